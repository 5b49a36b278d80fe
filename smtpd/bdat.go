package smtpd

import (
	"context"
	"strings"
	"time"
)

// errBdatSyntax hangs up: without the size nobody knows where the next
// command begins.
var errBdatSyntax = hangUp{refuse(501, 5, 5, 4, "Syntax: BDAT size [LAST], closing")}

// bdat is BDAT (RFC 3030 §2). The chunk follows its command without waiting,
// so it is read whatever the answer will be.
func (c *conn) bdat(ctx context.Context, arg string) (reply, error) {
	size, last, valid := parseChunk(arg)
	if !valid {
		return reply{}, errBdatSyntax
	}
	if size > c.o.MaxMessageBytes+skipAllowance {
		return reply{}, errEndless
	}
	refused := c.chunkRefused()
	var text *content
	if refused == nil {
		if c.tx.chunk == nil {
			c.tx.chunk = c.newContent()
		}
		text = c.tx.chunk
	}
	if err := c.readChunk(size, text); err != nil {
		return reply{}, err
	}
	switch {
	case refused != nil:
		return reply{}, refused
	case text.size > text.limit && !last:
		c.reset()
		c.refusal = errTooBig
		return reply{}, errTooBig
	case !last:
		return ok(250, 0, 0, "%d octets received", size), nil
	}
	return c.finish(ctx, text)
}

// chunkRefused tells why a chunk cannot be taken.
func (c *conn) chunkRefused() error {
	switch {
	case c.hello == "":
		return errWantHello
	case c.tx == nil:
		return errWantMail
	}
	return c.wantRcpts()
}

// readChunk reads size bytes into text, or nowhere if that is nil.
func (c *conn) readChunk(size int64, text *content) error {
	c.moved = &transfer{start: time.Now()}
	defer func() { c.moved = nil }()
	for size > 0 {
		if _, err := c.br.Peek(1); err != nil {
			return err
		}
		b, err := c.br.Peek(int(min(size, int64(c.br.Buffered()))))
		if err == nil && text != nil {
			err = text.write(b)
		}
		if err != nil {
			return err
		}
		size -= int64(len(b))
		c.br.Discard(len(b))
	}
	return nil
}

// parseChunk reads "size [LAST]".
func parseChunk(arg string) (size int64, last, ok bool) {
	words := strings.Fields(arg)
	if len(words) == 0 || len(words) > 2 || len(words) == 2 && !strings.EqualFold(words[1], "LAST") {
		return 0, false, false
	}
	size, ok = parseSize(words[0])
	return size, len(words) == 2, ok
}
