package mailauth

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"strings"

	"postrider/mail"
)

// canon is a pair of canonicalizations (RFC 6376 §3.4); the zero value is
// simple/simple.
type canon struct{ header, body bool } // true is relaxed

// parseCanon reads a c= tag; the body's is simple unless it says otherwise.
func parseCanon(s string) (c canon, ok bool) {
	head, body, _ := strings.Cut(noSpace(s), "/")
	if c.header, ok = relaxed(head); ok {
		c.body, ok = relaxed(body)
	}
	return c, ok
}

func relaxed(s string) (is, ok bool) {
	return s == "relaxed", s == "" || s == "simple" || s == "relaxed"
}

// canonField appends a header field in canonical form, with its line end (RFC
// 6376 §3.4.1, §3.4.2).
func canonField(dst, raw []byte, relaxed bool) []byte {
	if !relaxed {
		dst = append(dst, raw...)
		if !bytes.HasSuffix(raw, []byte("\r\n")) {
			dst = append(dst, "\r\n"...)
		}
		return dst
	}
	colon := bytes.IndexByte(raw, ':')
	for _, c := range bytes.TrimRight(raw[:colon], " \t") {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		dst = append(dst, c)
	}
	dst = append(dst, ':')
	begin, space := len(dst), false
	for _, c := range raw[colon+1:] {
		if isSpace(c) {
			space = true
			continue
		}
		if space && len(dst) > begin {
			dst = append(dst, ' ')
		}
		space = false
		dst = append(dst, c)
	}
	return append(dst, "\r\n"...)
}

// bodyHash hashes a body as it comes, in one of the canonical forms (RFC 6376
// §3.4.3, §3.4.4). A CR or LF by itself, which no accepted message has, is
// text.
type bodyHash struct {
	relaxed bool
	h       hash.Hash
	buf     []byte
	ends    int64 // line ends that count only if text follows
	cr      bool  // the last byte was CR
	space   bool  // white space that counts only if text follows in its line
	any     bool  // there was text
}

const hashBuffer = 4 << 10

func newBodyHash(relaxed bool) *bodyHash {
	return &bodyHash{relaxed: relaxed, h: sha256.New(), buf: make([]byte, 0, hashBuffer)}
}

func (b *bodyHash) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		switch c := p[0]; {
		case b.cr && c == '\n':
			b.cr, b.space = false, false
			b.ends++
		case b.cr:
			b.cr = false
			b.text([]byte{'\r'})
			continue
		case c == '\r':
			b.cr = true
		case b.relaxed && (c == ' ' || c == '\t'):
			b.space = true
		default:
			end := b.plain(p)
			b.text(p[:end])
			p = p[end:]
			continue
		}
		p = p[1:]
	}
	return n, nil
}

// plain returns how much of p, whose first byte is text, is text.
func (b *bodyHash) plain(p []byte) int {
	if !b.relaxed {
		if i := bytes.IndexByte(p, '\r'); i >= 0 {
			return i
		}
		return len(p)
	}
	for i, c := range p {
		if c <= '\r' && (c == '\r' || c == '\t') || c == ' ' {
			return i
		}
	}
	return len(p)
}

// text adds text, and what was held back before it.
func (b *bodyHash) text(p []byte) {
	for ; b.ends > 0; b.ends-- {
		b.put("\r\n")
	}
	if b.space {
		b.put(" ")
		b.space = false
	}
	b.any = true
	if b.room(len(p)); len(p) > hashBuffer/2 {
		b.h.Write(b.buf)
		b.buf = b.buf[:0]
		b.h.Write(p)
		return
	}
	b.buf = append(b.buf, p...)
}

func (b *bodyHash) put(s string) {
	b.room(len(s))
	b.buf = append(b.buf, s...)
}

// room empties the buffer if n bytes more do not fit.
func (b *bodyHash) room(n int) {
	if len(b.buf)+n > hashBuffer {
		b.h.Write(b.buf)
		b.buf = b.buf[:0]
	}
}

// sum ends the body and returns its hash. An empty body is a line end in the
// simple form and nothing in the relaxed one.
func (b *bodyHash) sum() []byte {
	if b.cr {
		b.cr = false
		b.text([]byte{'\r'})
	}
	if b.any || !b.relaxed {
		b.put("\r\n")
	}
	b.h.Write(b.buf)
	b.buf = b.buf[:0]
	return b.h.Sum(nil)
}

// header is a message's header, its fields found by name.
type header struct {
	fields []mail.Field
	byName map[string][]int // lower-case name: places, from the top
}

// parseHeader finds the fields of a header. The fields refer to raw.
func parseHeader(raw ...[]byte) *header {
	h := &header{byName: map[string][]int{}}
	for _, part := range raw {
		for f := range mail.Fields(part) {
			if f.Name != "" {
				key := strings.ToLower(f.Name)
				h.byName[key] = append(h.byName[key], len(h.fields))
			}
			h.fields = append(h.fields, f)
		}
	}
	return h
}

func (h *header) all(name string) []int { return h.byName[name] }

// hash hashes the fields that names tells of, each name once for each time it
// stands there, from the bottom up (RFC 6376 §5.4.2), then the signature's own
// field with an empty b= and without its line end (§3.7).
func (h *header) hash(names []string, relaxed bool, own []byte) []byte {
	sum := sha256.New()
	used := make(map[string]int, len(names))
	var buf []byte
	for _, name := range names {
		name = strings.ToLower(name)
		places := h.byName[name]
		left := len(places) - used[name]
		if left <= 0 {
			continue // a field that is not there signs that it is not
		}
		used[name]++
		buf = canonField(buf[:0], h.fields[places[left-1]].Raw, relaxed)
		sum.Write(buf)
	}
	buf = canonField(buf[:0], own, relaxed)
	sum.Write(bytes.TrimSuffix(buf, []byte("\r\n")))
	return sum.Sum(nil)
}

// emptyB removes the value of the tag b from a field, with the white space
// around it (RFC 6376 §3.5).
func emptyB(raw []byte) []byte {
	at := bytes.IndexByte(raw, ':') + 1
	for at < len(raw) {
		end := len(raw)
		if i := bytes.IndexByte(raw[at:], ';'); i >= 0 {
			end = at + i
		}
		name, _, ok := bytes.Cut(raw[at:end], []byte{'='})
		if ok && string(bytes.Trim(name, " \t\r\n")) == "b" {
			out := append([]byte{}, raw[:at+len(name)+1]...)
			return append(out, raw[end:]...)
		}
		at = end + 1
	}
	return raw
}
