package wire

import (
	"encoding/base64"
	"strconv"
	"strings"
	"unicode/utf8"
)

// class is what a character may be part of.
type class uint8

const (
	inAtom class = 1 << iota
	inAString
	inList
	inTag
)

// classes are those of each byte (RFC 9051 §9: ATOM-CHAR, ASTRING-CHAR,
// list-char, tag).
var classes = func() (t [256]class) {
	for c := byte(' ') + 1; c < 0x7f; c++ {
		if strings.IndexByte(`(){%*"\]`, c) < 0 {
			t[c] |= inAtom
		}
		if strings.IndexByte(`(){%*"\`, c) < 0 {
			t[c] |= inAString
		}
		if strings.IndexByte(`(){"\`, c) < 0 {
			t[c] |= inList
		}
		if strings.IndexByte(`(){%*"\+`, c) < 0 {
			t[c] |= inTag
		}
	}
	return t
}()

// Peek returns the next byte, 0 at the end of the command.
func (d *Decoder) Peek() byte {
	if d.err != nil || d.pos >= len(d.line) {
		return 0
	}
	return d.line[d.pos]
}

// End tells whether the command ends here, or is broken: a loop that reads
// until then ends.
func (d *Decoder) End() bool { return d.err != nil || d.pos >= len(d.line) }

// TrySpecial reads c if it is next.
func (d *Decoder) TrySpecial(c byte) bool {
	if d.Peek() != c || c == 0 {
		return false
	}
	d.pos++
	return true
}

// NextAre tells whether the next bytes are text.
func (d *Decoder) NextAre(text string) bool {
	return d.err == nil && strings.HasPrefix(string(d.line[d.pos:min(len(d.line), d.pos+len(text))]), text)
}

// Special reads c.
func (d *Decoder) Special(c byte) {
	if !d.TrySpecial(c) {
		d.Fail("%q is missing", string(c))
	}
}

// Follows tells whether s comes next, in any case.
func (d *Decoder) Follows(s string) bool {
	return d.err == nil && strings.EqualFold(string(d.line[d.pos:min(len(d.line), d.pos+len(s))]), s)
}

// SP reads a space.
func (d *Decoder) SP() {
	if !d.TrySpecial(' ') {
		d.Fail("An argument is missing")
	}
}

// TrySP reads a space if one is next.
func (d *Decoder) TrySP() bool { return d.TrySpecial(' ') }

// CRLF reads the end of the command. Spaces before it are tolerated.
func (d *Decoder) CRLF() {
	for d.TrySP() {
	}
	if d.err == nil && d.pos < len(d.line) {
		d.Fail("Too many arguments")
	}
}

// span returns the characters of a class that come next.
func (d *Decoder) span(k class) string {
	if d.err != nil {
		return ""
	}
	from := d.pos
	for d.pos < len(d.line) && classes[d.line[d.pos]]&k != 0 {
		d.pos++
	}
	return string(d.line[from:d.pos])
}

func (d *Decoder) some(k class, what string) string {
	s := d.span(k)
	if s == "" {
		d.Fail("%s is missing", what)
	}
	return s
}

// Tag reads the tag of a command, also one that Next has refused. It is empty
// if there is none.
func (d *Decoder) Tag() string {
	n := d.pos
	for n < len(d.line) && classes[d.line[n]]&inTag != 0 {
		n++
	}
	if n-d.pos > MaxTag || n < len(d.line) && d.line[n] != ' ' {
		return ""
	}
	tag := string(d.line[d.pos:n])
	d.pos = n
	return tag
}

// Atom reads an atom.
func (d *Decoder) Atom() string { return d.some(inAtom, "An atom") }

// TryAtom reads an atom if one is next.
func (d *Decoder) TryAtom() (string, bool) {
	s := d.span(inAtom)
	return s, s != ""
}

// Keyword reads an atom that is a word of the protocol, in upper case.
func (d *Decoder) Keyword() string { return strings.ToUpper(d.some(inAtom, "A word")) }

// TryWord reads the word w, which is in upper case, if an atom is next that is
// it.
func (d *Decoder) TryWord(w string) bool {
	from := d.pos
	if strings.EqualFold(d.span(inAtom), w) && d.err == nil {
		return true
	}
	d.pos = from
	return false
}

// AString reads an astring.
func (d *Decoder) AString() string {
	if d.isString() {
		return d.String()
	}
	return d.some(inAString, "A string")
}

func (d *Decoder) isString() bool {
	c := d.Peek()
	return c == '"' || c == '{'
}

// String reads a string: quoted or a literal.
func (d *Decoder) String() string {
	switch d.Peek() {
	case '"':
		return d.Quoted()
	case '{':
		return d.literal(false)
	}
	d.Fail("A string is missing")
	return ""
}

// String8 reads a string or a literal8.
func (d *Decoder) String8() string {
	if d.Peek() == '~' {
		return d.literal(true)
	}
	return d.String()
}

// NString reads an nstring; ok is false if it is NIL.
func (d *Decoder) NString() (s string, ok bool) {
	if d.TryWord("NIL") {
		return "", false
	}
	return d.String(), true
}

// NString8 reads an nstring or a literal8.
func (d *Decoder) NString8() (s string, ok bool) {
	if d.TryWord("NIL") {
		return "", false
	}
	return d.String8(), true
}

// Quoted reads a quoted string. Bytes above ASCII are taken as they are, in any
// mode: clients send UTF-8 before they enable it.
func (d *Decoder) Quoted() string {
	d.Special('"')
	if d.err != nil {
		return ""
	}
	from, plain := d.pos, true
	for i := from; i < len(d.line); i++ {
		switch d.line[i] {
		case '"':
			d.pos = i + 1
			if plain {
				return string(d.line[from:i])
			}
			return unescape(d.line[from:i])
		case '\\':
			if i++; i >= len(d.line) || d.line[i] != '"' && d.line[i] != '\\' {
				d.Fail("A backslash stands before what needs none")
				return ""
			}
			plain = false
		}
	}
	d.Fail("A string has no end")
	return ""
}

func unescape(b []byte) string {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' {
			i++
		}
		out = append(out, b[i])
	}
	return string(out)
}

// Number reads a number of 32 bits.
func (d *Decoder) Number() uint32 { return uint32(d.number(1<<32 - 1)) }

// NZNumber reads an nz-number.
func (d *Decoder) NZNumber() uint32 {
	n := d.Number()
	if n == 0 {
		d.Fail("A number is zero")
	}
	return n
}

// Number64 reads a number64, of 63 bits; mod-sequences are such numbers (RFC
// 7162 §3.1).
func (d *Decoder) Number64() int64 { return d.number(1<<63 - 1) }

func (d *Decoder) number(limit int64) int64 {
	if d.err != nil {
		return 0
	}
	from := d.pos
	for d.pos < len(d.line) && d.line[d.pos] >= '0' && d.line[d.pos] <= '9' {
		d.pos++
	}
	switch n, err := strconv.ParseInt(string(d.line[from:min(d.pos, from+40)]), 10, 64); {
	case from == d.pos:
		d.Fail("A number is missing")
	case err != nil || n > limit || d.pos-from > 40:
		d.Fail("A number is too large")
	default:
		return n
	}
	return 0
}

// Mailbox reads the name of a mailbox, and decodes it from modified UTF-7 if
// that is the connection's form.
func (d *Decoder) Mailbox() string { return d.name(d.AString()) }

// ListMailbox reads a name with wildcards (RFC 9051 §9: list-mailbox). ok is
// false for one that is not modified UTF-7, which no name matches.
func (d *Decoder) ListMailbox() (pattern string, ok bool) {
	if d.isString() {
		pattern = d.String()
	} else {
		pattern = d.some(inList, "A pattern")
	}
	if d.UTF8 || !isASCII(pattern) {
		return d.name(pattern), d.err == nil
	}
	return DecodeName(pattern)
}

func (d *Decoder) name(s string) string {
	if d.err != nil || d.UTF8 {
		if !utf8.ValidString(s) {
			d.Fail("A name is not UTF-8")
			return ""
		}
		return s
	}
	name, ok := DecodeName(s)
	if !ok {
		d.Fail("A name is not modified UTF-7")
	}
	return name
}

// Flag reads a flag, with its backslash if it has one.
func (d *Decoder) Flag() string {
	if d.TrySpecial('\\') {
		return `\` + d.some(inAtom, "A flag")
	}
	return d.some(inAtom, "A flag")
}

// FlagList reads a flag-list.
func (d *Decoder) FlagList() (flags []string) {
	d.List(func() { flags = append(flags, d.Flag()) })
	return flags
}

// List reads a list in parentheses whose elements, with one space between two,
// are read by item. It may be empty.
func (d *Decoder) List(item func()) {
	d.ListOpen()
	for first := true; d.err == nil && !d.ListClose(); first = false {
		if !first {
			d.SP()
		}
		item()
	}
}

// ListOpen reads the parenthesis that opens a list.
func (d *Decoder) ListOpen() {
	d.Special('(')
	d.Down()
}

// TryListOpen reads the parenthesis that opens a list if it is next.
func (d *Decoder) TryListOpen() bool {
	if !d.TrySpecial('(') {
		return false
	}
	d.Down()
	return d.err == nil
}

// ListClose reads the parenthesis that ends a list if it is next.
func (d *Decoder) ListClose() bool {
	if !d.TrySpecial(')') {
		return false
	}
	d.Up()
	return true
}

// Down notes that what is read nests one level deeper; it is refused if that
// is too deep.
func (d *Decoder) Down() {
	if d.depth++; d.depth > MaxDepth {
		d.fail(&LimitError{"LIMIT", "The command nests too deep"})
	}
}

// Up is the end of a level.
func (d *Decoder) Up() { d.depth-- }

// Base64 reads the base64 of an initial response of AUTHENTICATE, or "=",
// which is one of no bytes (RFC 4959 §3).
func (d *Decoder) Base64() []byte {
	if d.err != nil {
		return nil
	}
	from := d.pos
	for d.pos < len(d.line) && d.line[d.pos] > ' ' {
		d.pos++
	}
	b, ok := DecodeBase64(string(d.line[from:d.pos]))
	if !ok {
		d.Fail("Base64 is malformed")
	}
	return b
}

// DecodeBase64 decodes what AUTHENTICATE exchanges; "=" is no bytes.
func DecodeBase64(s string) ([]byte, bool) {
	if s == "=" || s == "" {
		return []byte{}, s != ""
	}
	b, err := base64.StdEncoding.DecodeString(s)
	return b, err == nil
}
