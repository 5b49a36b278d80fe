package imapd

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"
)

const (
	flushEncoder = 32 << 10 // an encoder that holds more goes to the connection
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
