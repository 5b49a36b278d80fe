package wiretest

import (
	"bufio"
	"compress/flate"
	"errors"
	"net"
)

// deflated is a connection that compresses what is written to it, with a flush
// after each write.
type deflated struct {
	net.Conn
	w *flate.Writer
	r *bufio.Reader // what is compressed
}

func (d deflated) Write(p []byte) (int, error) {
	n, err := d.w.Write(p)
	if err == nil {
		err = d.w.Flush()
	}
	return n, err
}

func (c *conn) deflate() error {
	w, err := flate.NewWriter(c.Conn, flate.DefaultCompression)
	if err != nil {
		return err
	}
	d := deflated{c.Conn, w, c.r}
	c.r = bufio.NewReader(flate.NewReader(d.r))
	c.Conn = d
	return nil
}

// plain ends what deflate has begun.
func (c *conn) plain() error {
	d, ok := c.Conn.(deflated)
	if !ok {
		return errors.New("nothing is compressed")
	}
	c.Conn, c.r = d.Conn, bufio.NewReader(&afterFlush{r: d.r})
	return nil
}

// afterFlush reads text behind compressed data, of which the bytes of the last
// flush may not have been read.
type afterFlush struct {
	r    *bufio.Reader
	text bool // the text has begun
}

func (a *afterFlush) Read(p []byte) (int, error) {
	for !a.text {
		c, err := a.r.ReadByte()
		if err != nil {
			return 0, err
		}
		if a.text = c != 0 && c != 0xff; a.text {
			a.r.UnreadByte()
		}
	}
	return a.r.Read(p)
}
