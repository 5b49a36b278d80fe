package wiretest

import (
	"bufio"
	"compress/flate"
	"net"
)

// deflated is a connection that compresses what is written to it, with a flush
// after each write.
type deflated struct {
	net.Conn
	w *flate.Writer
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
	c.r = bufio.NewReader(flate.NewReader(c.r))
	c.Conn = deflated{c.Conn, w}
	return nil
}
