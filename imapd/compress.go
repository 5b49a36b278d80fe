package imapd

import (
	"bufio"
	"bytes"
	"io"

	"postrider/imapd/deflate"
	"postrider/imapd/wire"
)

// cmdCompress answers COMPRESS (RFC 4978 §3).
func (s *session) cmdCompress(d *wire.Decoder) error {
	d.SP()
	method := d.Keyword()
	d.CRLF()
	switch {
	case d.Err() != nil:
		return d.Err()
	case s.c.compressed():
		return no("COMPRESSIONACTIVE", "The connection is compressed already")
	case method != "DEFLATE":
		return no("CANNOT", "Only DEFLATE is known")
	}
	s.ok("", "DEFLATE active")
	return nil
}

// compressed tells whether the connection is.
func (c *conn) compressed() bool { return c.low != c.br }

// startCompress begins behind the answer. What has come behind the command is
// compressed already.
func (s *session) startCompress() {
	c := s.c
	c.flush()
	early, _ := c.br.Peek(c.br.Buffered())
	c.low = bufio.NewReader(io.MultiReader(bytes.NewReader(bytes.Clone(early)), socket{c}))
	c.br.Discard(len(early))
	c.src = deflate.NewReader(c.low)
	c.out.dst = deflate.NewWriter(packets{c})
}

// socket reads from the connection's socket, whatever lies above it.
type socket struct{ c *conn }

func (s socket) Read(p []byte) (int, error) { return s.c.nc.Read(p) }
