package wire

import (
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	flushEncoder = 64 << 10 // an encoder that holds more goes to its writer
	maxQuoted    = 1024     // longer strings are literals
)

// Encoder writes responses. Its methods are named after the grammar, as those
// of Decoder are, and what one writes the other reads. Nothing goes to the
// writer before Flush, or before much has come together; an Encoder without a
// writer only gathers. Methods allocate nothing but the room for what they
// gather. What writing fails with is the writer's to remember.
type Encoder struct {
	UTF8 bool // strings and names may be UTF-8 (RFC 9051 §5.1, RFC 6855 §3)

	w io.Writer
	b []byte
}

// NewEncoder makes an encoder that writes to w.
func NewEncoder(w io.Writer, utf8 bool) Encoder { return Encoder{w: w, UTF8: utf8} }

// Flush hands what is encoded to the writer.
func (e *Encoder) Flush() {
	e.w.Write(e.b)
	e.b = e.b[:0]
}

// Bytes is what is encoded and was not flushed.
func (e *Encoder) Bytes() []byte { return e.b }

// Reset goes on behind what b has, in its room.
func (e *Encoder) Reset(b []byte) { e.b = b }

// AvailableBuffer is the room behind what is encoded: for what another
// package's function appends and Raw then takes, without being copied.
func (e *Encoder) AvailableBuffer() []byte { return e.b[len(e.b):] }

// Relieve flushes, if much has come together.
func (e *Encoder) Relieve() {
	if len(e.b) > flushEncoder {
		e.Flush()
	}
}

// CRLF ends a response.
func (e *Encoder) CRLF() {
	e.b = append(e.b, "\r\n"...)
	e.Relieve()
}

// Text writes words of the protocol as they are.
func (e *Encoder) Text(s string) { e.b = append(e.b, s...) }

// Raw writes bytes that are encoded already.
func (e *Encoder) Raw(b []byte) { e.b = append(e.b, b...) }

// Special writes one character of the grammar.
func (e *Encoder) Special(c byte) { e.b = append(e.b, c) }

// SP writes a space.
func (e *Encoder) SP() { e.b = append(e.b, ' ') }

// ListSP writes the space that separates items in a list, of which the first
// has none before it. Nothing there means that a literal has just gone out.
func (e *Encoder) ListSP() {
	if n := len(e.b); n == 0 || e.b[n-1] != '(' {
		e.b = append(e.b, ' ')
	}
}

// List writes a list of n elements, each by item.
func (e *Encoder) List(n int, item func(i int)) {
	e.Special('(')
	for i := range n {
		if i > 0 {
			e.SP()
		}
		item(i)
	}
	e.Special(')')
}

// NIL writes NIL.
func (e *Encoder) NIL() { e.Text("NIL") }

// Number writes a number.
func (e *Encoder) Number(n int64) { e.b = strconv.AppendInt(e.b, n, 10) }

// Range writes an element of a sequence-set.
func (e *Encoder) Range(r Range) {
	e.b = appendSetNumber(e.b, r.A)
	if r.B != r.A {
		e.b = appendSetNumber(append(e.b, ':'), r.B)
	}
}

// String writes a string: quoted where that is allowed, else a literal. NUL
// has no place in either (RFC 9051 §9: CHAR8) and is left out.
func (e *Encoder) String(s string) {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "")
	}
	if !e.quotable(s) {
		e.LiteralHeader(int64(len(s)), false)
		e.Text(s)
		return
	}
	e.b = append(e.b, '"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			e.b = append(e.b, '\\')
		}
		e.b = append(e.b, s[i])
	}
	e.b = append(e.b, '"')
}

func (e *Encoder) quotable(s string) bool {
	if len(s) > maxQuoted {
		return false
	}
	ascii := true
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\r' || s[i] == '\n':
			return false
		case s[i] >= utf8.RuneSelf:
			ascii = false
		}
	}
	return ascii || e.UTF8 && utf8.ValidString(s)
}

// NString writes a string, NIL if it is empty.
func (e *Encoder) NString(s string) {
	if s == "" {
		e.NIL()
		return
	}
	e.String(s)
}

// AString writes an atom if s can be one, else a string. "]" could stand in one
// (RFC 9051 §9: ASTRING-CHAR), but not all clients know.
func (e *Encoder) AString(s string) {
	for i := 0; i < len(s); i++ {
		if classes[s[i]]&inAtom == 0 {
			e.String(s)
			return
		}
	}
	if s == "" {
		e.String(s)
		return
	}
	e.Text(s)
}

// Mailbox writes the name of a mailbox, in modified UTF-7 where the client has
// not said that it wants UTF-8 (RFC 9051 §5.1, RFC 6855 §3).
func (e *Encoder) Mailbox(name string) {
	switch {
	case name == "INBOX":
		e.Text(name)
	case e.UTF8:
		e.String(name)
	default:
		e.String(EncodeName(name))
	}
}

// LiteralHeader announces a literal of n bytes, a literal8 if it may hold NUL
// (RFC 9051 §4.3). They follow by Raw, or through the writer after Flush.
func (e *Encoder) LiteralHeader(n int64, binary bool) {
	if binary {
		e.Special('~')
	}
	e.Special('{')
	e.Number(n)
	e.Text("}\r\n")
}

// Literal writes bytes as a literal.
func (e *Encoder) Literal(b []byte) {
	e.LiteralHeader(int64(len(b)), false)
	e.Raw(b)
}

// DateTime writes a date-time (RFC 9051 §9), in UTC.
func (e *Encoder) DateTime(t time.Time) {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	e.Special('"')
	e.digits(day, 2, ' ')
	e.Special('-')
	e.Text(month.String()[:3])
	e.Special('-')
	e.digits(year, 4, '0')
	e.digits2(' ', hour)
	e.digits2(':', minute)
	e.digits2(':', second)
	e.Text(" +0000\"")
}

func (e *Encoder) digits2(before byte, n int) {
	e.b = append(e.b, before, byte('0'+n/10), byte('0'+n%10))
}

// digits writes a number that is filled up on the left to a width.
func (e *Encoder) digits(n, width int, fill byte) {
	for limit := 10; width > 1; width-- {
		if n < limit {
			for range width - 1 {
				e.b = append(e.b, fill)
			}
			break
		}
		limit *= 10
	}
	e.Number(int64(n))
}
