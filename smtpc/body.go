package smtpc

import (
	"bytes"
	"encoding/binary"
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
	f, err := scan(io.NewSectionReader(a.m.Body, 0, a.m.Size), make([]byte, min(scanBlock, a.m.Size+1)))
	if err == nil {
		a.scanned = f
	}
	return f, err
}

// scan reads a whole message, by means of buf.
func scan(r io.Reader, buf []byte) (*facts, error) {
	f := &facts{}
	h := headerEnd{seen: 2} // the end of what came before: an empty header ends at once
	for {
		n, err := r.Read(buf)
		b := buf[:n]
		end := h.find(b)
		f.eightHeader = f.eightHeader || hasEight(b[:end])
		f.eightBody = f.eightBody || hasEight(b[end:])
		if err == io.EOF {
			return f, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// headerEnd looks for the blank line that ends a header.
type headerEnd struct {
	seen int // bytes of CR LF CR LF; 4: it has been found
}

// find returns how much of the next piece belongs to the header.
func (h *headerEnd) find(b []byte) int {
	for i := 0; i < len(b) && h.seen < 4; i++ {
		switch c := b[i]; {
		case c == "\r\n\r\n"[h.seen]:
			h.seen++
		case c == '\r':
			h.seen = 1
		default:
			h.seen = 0
			if j := bytes.IndexByte(b[i:], '\r'); j > 0 { // on to the next line end
				i += j - 1
			} else if j < 0 {
				return len(b)
			}
		}
		if h.seen == 4 {
			return i + 1
		}
	}
	if h.seen == 4 {
		return 0
	}
	return len(b)
}

// hasEight tells whether b has a byte above 127, eight at a time.
func hasEight(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		if binary.NativeEndian.Uint64(b)&0x8080808080808080 != 0 {
			return true
		}
	}
	for _, c := range b {
		if c > 127 {
			return true
		}
	}
	return false
}

// stuffer makes of a message what follows DATA: dots at the beginning of a
// line doubled (RFC 5321 §4.5.2), and every bare CR, bare LF and NUL made a
// space: servers disagree about what those mean, and a message must not become
// two on its way (RFC 5321 §2.3.8). What we accept has none; this is the last
// door. Its zero value is at the beginning of a message.
type stuffer struct {
	inLine bool
	held   bool // a CR whose successor is not known yet
}

// add appends the next piece to out.
func (s *stuffer) add(out, b []byte) []byte {
	if s.held && len(b) > 0 {
		s.held = false
		if b[0] == '\n' {
			out, b = append(out, "\r\n"...), b[1:]
			s.inLine = false
		} else {
			out = append(out, ' ')
		}
	}
	for len(b) > 0 {
		if !s.inLine && b[0] == '.' {
			out = append(out, '.')
		}
		s.inLine = true
		i := bytes.IndexByte(b, '\n')
		switch {
		case i > 0 && b[i-1] == '\r':
			out = append(appendClean(out, b[:i-1]), "\r\n"...)
			s.inLine = false
		case i >= 0:
			out = append(appendClean(out, b[:i]), ' ')
		case b[len(b)-1] == '\r':
			s.held = true
			return appendClean(out, b[:len(b)-1])
		default:
			return appendClean(out, b)
		}
		b = b[i+1:]
	}
	return out
}

// end appends what ends the message.
func (s *stuffer) end(out []byte) []byte {
	if s.held {
		out = append(out, ' ')
	}
	if s.inLine {
		out = append(out, "\r\n"...)
	}
	return append(out, ".\r\n"...)
}

// appendClean appends b with every CR and NUL made a space.
func appendClean(out, b []byte) []byte {
	from := len(out)
	out = append(out, b...)
	for _, c := range [...]byte{'\r', 0} {
		for rest := out[from:]; ; {
			i := bytes.IndexByte(rest, c)
			if i < 0 {
				break
			}
			rest[i] = ' '
			rest = rest[i+1:]
		}
	}
	return out
}
