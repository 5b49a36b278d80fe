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
	c.low = bufio.NewReader(io.MultiReader(bytes.NewReader(bytes.Clone(early)), c.src))
	c.br.Discard(len(early))
	c.src = deflate.NewReader(c.low)
	c.out.dst = deflate.NewWriter(packets{c})
}

// endCompress ends it behind the answer to UNAUTHENTICATE (RFC 8437 §4.1). What
// has come behind the command is not compressed.
func (s *session) endCompress() {
	c := s.c
	if !c.compressed() {
		return
	}
	c.flush()
	c.br.Discard(c.br.Buffered())
	rest, err := c.src.(*deflate.Reader).End()
	if err != nil {
		c.end("The compressed stream has no end", err)
		return
	}
	c.src = io.MultiReader(bytes.NewReader(rest), c.low)
	c.low = c.br
	c.out.dst = packets{c}
}
