package imapd

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"

	"postrider/store"
)

const (
	flushEncoder = 64 << 10 // an encoder that holds more goes to the connection
	maxQuoted    = 1024     // longer strings are literals
)

// encoder writes responses of our own to a connection. Nothing is sent before
// flush, or before much has come together.
type encoder struct {
	c    *conn
	b    []byte
	utf8 bool // quoted strings may hold UTF-8 (RFC 9051 §5.1, RFC 6855 §3)
}

func newEncoder(c *conn) *encoder {
	e := &encoder{c: c}
	if c.sess != nil {
		e.utf8 = c.sess.utf8()
	}
	return e
}

// flush hands what is encoded to the connection's buffer.
func (e *encoder) flush() {
	rawWriter{e.c}.Write(e.b)
	e.b = e.b[:0]
}

// end ends a response.
func (e *encoder) end() {
	e.b = append(e.b, "\r\n"...)
	if len(e.b) > flushEncoder {
		e.flush()
	}
}

func (e *encoder) atom(s string) { e.b = append(e.b, s...) }

func (e *encoder) bytes(b []byte) { e.b = append(e.b, b...) }

// space separates items in a list, of which the first has none before it.
// Nothing there means that a literal has just gone out.
func (e *encoder) space() {
	if n := len(e.b); n == 0 || e.b[n-1] != '(' {
		e.b = append(e.b, ' ')
	}
}

// literal writes bytes as a literal.
func (e *encoder) literal(b []byte) {
	e.atom("{")
	e.num(int64(len(b)))
	e.atom("}\r\n")
	e.bytes(b)
}

// dateTime writes a date-time (RFC 9051 §9), in UTC.
func (e *encoder) dateTime(t time.Time) {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	e.atom("\"")
	e.digits(day, 2, ' ')
	e.atom("-")
	e.atom(month.String()[:3])
	e.atom("-")
	e.digits(year, 4, '0')
	e.digits2(' ', hour)
	e.digits2(':', minute)
	e.digits2(':', second)
	e.atom(" +0000\"")
}

func (e *encoder) digits2(before byte, n int) {
	e.b = append(e.b, before, byte('0'+n/10), byte('0'+n%10))
}

// digits writes a number that is filled up on the left to a width.
func (e *encoder) digits(n, width int, fill byte) {
	for limit := 10; width > 1; width-- {
		if n < limit {
			for range width - 1 {
				e.b = append(e.b, fill)
			}
			break
		}
		limit *= 10
	}
	e.num(int64(n))
}

func (e *encoder) num(n int64) { e.b = strconv.AppendInt(e.b, n, 10) }

// str writes a string: quoted where that is allowed, else a literal. NUL has
// no place in either (RFC 9051 §9: CHAR8) and is left out.
func (e *encoder) str(s string) {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "")
	}
	if !e.quotable(s) {
		e.atom("{")
		e.num(int64(len(s)))
		e.atom("}\r\n")
		e.atom(s)
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

func (e *encoder) quotable(s string) bool {
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
	return ascii || e.utf8 && utf8.ValidString(s)
}

// nstring writes a string, NIL if it is empty.
func (e *encoder) nstring(s string) {
	if s == "" {
		e.atom("NIL")
		return
	}
	e.str(s)
}

// astring writes an atom if s can be one, else a string.
func (e *encoder) astring(s string) {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' || strings.IndexByte(`(){%*"\]`, s[i]) >= 0 {
			e.str(s)
			return
		}
	}
	if s == "" {
		e.str(s)
		return
	}
	e.atom(s)
}

// messageFlags writes the flags of a message.
func (e *encoder) messageFlags(f store.Flags) {
	e.atom("(")
	for _, s := range &systemFlags {
		if f.System&s.bit != 0 {
			e.space()
			e.atom(string(s.flag))
		}
	}
	if f.Keywords != "" { // in the form of the list, see store.Flags
		e.space()
		e.atom(f.Keywords)
	}
	e.atom(")")
}

// flags writes a list of flags.
func (e *encoder) flags(flags []imap.Flag) {
	e.atom("(")
	for i, f := range flags {
		if i > 0 {
			e.atom(" ")
		}
		e.atom(string(f))
	}
	e.atom(")")
}
