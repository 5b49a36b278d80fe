package smtpc

import (
	"bytes"
	"io"
)

const scanBlock = 32 << 10

// facts is what the way a message may travel depends on.
type facts struct {
	eightHeader bool // the header has octets above 127
	eightBody   bool // the body has
}

// facts scans the message once for all hosts.
func (a *attempt) facts() (*facts, error) {
	if a.scanned != nil {
		return a.scanned, nil
	}
	f, err := scan(io.NewSectionReader(a.m.Body, 0, a.m.Size))
	if err == nil {
		a.scanned = f
	}
	return f, err
}

// scan reads a whole message.
func scan(r io.Reader) (*facts, error) {
	f := &facts{}
	buf := make([]byte, scanBlock)
	inBody := false
	tail := []byte("\r\n") // the end of what came before: an empty header ends at once
	for {
		n, err := r.Read(buf)
		b := buf[:n]
		if !inBody {
			both := append(tail, b...)
			end := bytes.Index(both, []byte("\r\n\r\n"))
			inBody = end >= 0
			if !inBody {
				end = len(both)
			}
			f.eightHeader = f.eightHeader || hasEight(both[:end])
			f.eightBody = f.eightBody || hasEight(both[end:])
			tail = append([]byte(nil), both[max(0, len(both)-3):]...)
		} else {
			f.eightBody = f.eightBody || hasEight(b)
		}
		if err == io.EOF {
			return f, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func hasEight(b []byte) bool {
	for _, c := range b {
		if c > 127 {
			return true
		}
	}
	return false
}

// cleaner passes a message on with every bare CR, bare LF and NUL made a
// space: servers disagree about what those mean, and a message must not
// become two on its way (RFC 5321 §2.3.8). What we accept has none; this is
// the last door. The size stays the same.
type cleaner struct {
	r    io.Reader
	held bool // a CR whose successor is not known yet
	in   [scanBlock]byte
	out  []byte
	buf  []byte // storage of out
	err  error
}

func (c *cleaner) Read(p []byte) (int, error) {
	for len(c.out) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		c.fill()
	}
	n := copy(p, c.out)
	c.out = c.out[n:]
	return n, nil
}

func (c *cleaner) fill() {
	n, err := c.r.Read(c.in[:])
	c.err = err
	out := c.buf[:0]
	for _, b := range c.in[:n] {
		if c.held {
			c.held = false
			if b == '\n' {
				out = append(out, '\r', '\n')
				continue
			}
			out = append(out, ' ')
		}
		switch b {
		case '\r':
			c.held = true
		case '\n', 0:
			out = append(out, ' ')
		default:
			out = append(out, b)
		}
	}
	if err != nil && c.held {
		c.held = false
		out = append(out, ' ')
	}
	c.buf, c.out = out, out
}
