package imapd

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
)

// readLine reads a line without its line end, which may lack the CR. A line
// that is too long or not text is read to its end. Of one too long, the
// beginning, which has the tag, and the end, which may announce a literal, are
// returned with the error.
func (c *conn) readLine(limit int) ([]byte, error) {
	var line, head, tail []byte
	tooLong := false
	for {
		if i := bytes.IndexByte(c.buffered(), '\n'); i < 0 {
			c.flushIfWaiting(c.br.Buffered() + 1)
		}
		part, err := c.br.ReadSlice('\n')
		if !tooLong {
			line = append(line, part...)
		}
		if !tooLong && len(line) > limit+2 {
			head, tooLong = line[:min(limit, keptHead)], true
		}
		if tooLong {
			tail = bytes.Clone(last(append(tail, part...), keptTail))
		}
		if err == nil {
			break
		}
		if !errors.Is(err, io.ErrShortBuffer) && !isBufferFull(err) {
			return nil, err
		}
	}
	if tooLong {
		return trimEnd(append(head[:len(head):len(head)], tail...)), errLineTooLong
	}
	line = trimEnd(line)
	if bytes.IndexByte(line, 0) >= 0 || bytes.IndexByte(line, '\r') >= 0 {
		return line, errBadBytes
	}
	return line, nil
}

// What is kept of a line that is too long.
const (
	keptHead = 256
	keptTail = 64
)

// last returns the last n bytes of b.
func last(b []byte, n int) []byte { return b[max(len(b)-n, 0):] }

func trimEnd(line []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
}

// buffered is what can be read without waiting.
func (c *conn) buffered() []byte {
	b, _ := c.br.Peek(c.br.Buffered())
	return b
}

// flushIfWaiting sends what is written before a read of n bytes that waits.
func (c *conn) flushIfWaiting(n int) {
	if c.br.Buffered() < n {
		c.flush()
	}
}

// isStopping tells what to say if the connection is to end.
func (c *conn) isStopping() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopping
}

// readFailed ends the connection, with BYE if the client may hear it.
func (c *conn) readFailed(err error) error {
	var ne net.Error
	switch why := c.isStopping(); {
	case why != "":
		return c.end(why, nil)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &ne) && ne.Timeout():
		return c.end("Idle for too long", err) // RFC 9051 §5.4
	}
	return c.end("", err)
}
