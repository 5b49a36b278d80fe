package mail

import (
	"slices"
	"strconv"
	"strings"
)

// maxLanguages is how many languages of Content-Language are kept.
const maxLanguages = 32

// fieldParser reads the structured fields of MIME (RFC 2045 §5.1), tolerantly.
type fieldParser struct {
	s   string
	pos int
}

// parseContentType reads a Content-Type. ok is false if it names no type, in
// which case RFC 2045 §5.2 has it be ignored. "text" alone is common enough
// to be understood.
func parseContentType(s string) (typ, sub string, params []Param, ok bool) {
	p := fieldParser{s: s}
	typ = lowered(p.token())
	p.space()
	if p.peek() == '/' {
		p.pos++
		sub = lowered(p.token())
		p.space()
	} else if typ == "text" {
		sub = "plain"
	}
	if typ == "" || sub == "" || p.peek() == '/' {
		return "", "", nil, false
	}
	return typ, sub, p.params(), true
}

// parseDisposition reads a Content-Disposition (RFC 2183). There may be
// parameters of nothing.
func parseDisposition(s string) (string, []Param) {
	p := fieldParser{s: s}
	disposition := lowered(p.token())
	if p.space(); disposition == "" && p.peek() != ';' {
		return "", nil
	}
	return disposition, p.params()
}

// parseLanguage reads a Content-Language (RFC 3282).
func parseLanguage(s string) []string {
	var tags []string
	p := fieldParser{s: s}
	for p.pos < len(p.s) && len(tags) < maxLanguages {
		p.space()
		tag := ""
		if p.peek() == '"' {
			tag, _ = p.quoted()
		} else {
			tag = p.token()
		}
		if tag != "" {
			tags = append(tags, tag)
		}
		p.to(',')
	}
	return tags
}

// parseEncoding reads a Content-Transfer-Encoding, which is one token (RFC 2045
// §6.1) in lower case; empty if it is anything else.
func parseEncoding(s string) string {
	p := fieldParser{s: s}
	encoding := p.token()
	if p.space(); p.pos < len(p.s) {
		return ""
	}
	return lowered(encoding)
}

// lowered has the letters of ASCII in lower case; bytes that are no ASCII stay
// as they came.
func lowered(s string) string {
	b := []byte(s)
	for i, c := range b {
		b[i] = lower(c)
	}
	return string(b)
}

func (p *fieldParser) peek() byte {
	if p.pos < len(p.s) {
		return p.s[p.pos]
	}
	return 0
}

// space passes over white space and comments.
func (p *fieldParser) space() {
	for depth := 0; p.pos < len(p.s); p.pos++ {
		switch c := p.s[p.pos]; {
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case c == '\\' && depth > 0:
			p.pos++
		case depth == 0 && c != ' ' && c != '\t':
			return
		}
	}
	p.pos = min(p.pos, len(p.s))
}

// token reads a token (RFC 2045 §5.1) after white space; empty if there is
// none.
func (p *fieldParser) token() string {
	p.space()
	start := p.pos
	for p.pos < len(p.s) && isTokenByte(p.s[p.pos]) {
		p.pos++
	}
	return p.s[start:p.pos]
}

// isTokenByte is generous with bytes that are no ASCII.
func isTokenByte(c byte) bool {
	return c > ' ' && c != 0x7f && strings.IndexByte(`()<>@,;:\"/[]?=`, c) < 0
}

// isToken tells whether s can stand as it is where a token must (RFC 2045
// §5.1).
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 || !isTokenByte(s[i]) {
			return false
		}
	}
	return s != ""
}

// quoted reads a quoted string. ok is false if it has no end; then it was all
// that is left.
func (p *fieldParser) quoted() (text string, ok bool) {
	p.pos++
	start := p.pos
	for ; p.pos < len(p.s); p.pos++ {
		switch p.s[p.pos] {
		case '"':
			p.pos++
			return p.s[start : p.pos-1], true
		case '\\':
			text, end, ok := unquote(p.s, start)
			p.pos = end
			return text, ok
		}
	}
	return p.s[start:], false
}

// unquote reads what is left of a quoted string in s from pos on, behind its
// opening quote, and takes the backslashes out (RFC 5322 §3.2.4). It returns
// the text and where s goes on; ok is false if the closing quote is missing.
func unquote(s string, pos int) (text string, end int, ok bool) {
	var b strings.Builder
	for ; pos < len(s); pos++ {
		c := s[pos]
		if c == '"' {
			return b.String(), pos + 1, true
		}
		if c == '\\' && pos+1 < len(s) {
			pos++
			c = s[pos]
		}
		b.WriteByte(c)
	}
	return b.String(), pos, false
}

// to goes on after the next separator, passing over quoted strings and
// comments.
func (p *fieldParser) to(sep byte) {
	for p.pos < len(p.s) {
		switch c := p.s[p.pos]; {
		case c == sep:
			p.pos++
			return
		case c == '"':
			p.quoted()
		case c == '(':
			p.space()
		default:
			p.pos++
		}
	}
}

// params reads parameters to the end of the field. One without "=" or with a
// quoted string that has no end is left out; a value need be no token, since
// boundaries are often written without the quotes that they need.
func (p *fieldParser) params() []Param {
	var raw []Param
	for p.to(';'); p.pos < len(p.s) && len(raw) < maxParams; p.to(';') {
		name := p.token()
		p.space()
		if p.peek() != '=' {
			continue
		}
		p.pos++
		p.space()
		value := ""
		if p.peek() == '"' {
			var ok bool
			if value, ok = p.quoted(); !ok {
				break
			}
		} else {
			value = p.value()
		}
		raw = append(raw, Param{Name: lowered(name), Value: value})
	}
	return resolveParams(raw)
}

// value reads a value without quotes up to white space, ";" or the comment
// behind it. Parentheses in its middle are taken for a part of it.
func (p *fieldParser) value() string {
	rest := p.s[p.pos:]
	end := strings.IndexAny(rest, "; \t")
	if end < 0 {
		end = len(rest)
	}
	if i := strings.IndexByte(rest[:end], '('); i >= 0 {
		behind := fieldParser{s: rest, pos: i}
		if behind.space(); behind.pos == len(rest) || behind.peek() == ';' {
			end = i
		}
	}
	p.pos += end
	return rest[:end]
}

// section is one "name*n*=value" of RFC 2231 §4.1.
type section struct {
	n       int
	encoded bool
	value   string
}

// resolveParams puts together what RFC 2231 splits and encodes. Parameters in
// its notation come after the others; a continuation from which a section is
// missing stays as it is.
func resolveParams(raw []Param) []Param {
	if !hasExtended(raw) {
		return raw
	}
	var out []Param
	var names []string
	split := map[string][]section{}
	for _, p := range raw {
		name, s, ok := parseSection(p)
		if !ok {
			out = append(out, p)
			continue
		}
		if split[name] == nil {
			names = append(names, name)
		}
		split[name] = append(split[name], s)
	}
	for _, name := range names {
		out = append(out, joinSections(name, split[name])...)
	}
	return out
}

func hasExtended(raw []Param) bool {
	for _, p := range raw {
		if strings.IndexByte(p.Name, '*') >= 0 {
			return true
		}
	}
	return false
}

// parseSection reads the name of a parameter in RFC 2231's notation. A name
// with only the asterisk is a whole value: section -1.
func parseSection(p Param) (string, section, bool) {
	name, number, ok := strings.Cut(p.Name, "*")
	if !ok || name == "" {
		return "", section{}, false
	}
	if number == "" {
		return name, section{-1, true, p.Value}, true
	}
	number, encoded := strings.CutSuffix(number, "*")
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 || n >= maxParams || len(number) > 1 && number[0] == '0' {
		return "", section{}, false
	}
	return name, section{n, encoded, p.Value}, true
}

// joinSections makes one parameter of the sections of a name, or leaves them
// alone.
func joinSections(name string, sections []section) []Param {
	byNumber := make([]*section, len(sections))
	for i := range sections {
		s := &sections[i]
		if s.n == -1 {
			return []Param{decodeExtended(name, []*section{s})}
		}
		if s.n < len(byNumber) {
			byNumber[s.n] = s
		}
	}
	for _, s := range byNumber {
		if s == nil {
			return unjoined(name, sections)
		}
	}
	if !byNumber[0].encoded {
		var b strings.Builder
		for _, s := range byNumber {
			b.WriteString(s.value)
		}
		return []Param{{Name: name, Value: b.String()}}
	}
	return []Param{decodeExtended(name, byNumber)}
}

// unjoined returns sections that make no whole as they were written.
func unjoined(name string, sections []section) []Param {
	var out []Param
	slices.SortStableFunc(sections, func(a, b section) int { return a.n - b.n })
	for _, s := range sections {
		n := name + "*" + strconv.Itoa(s.n)
		if s.encoded {
			n += "*"
		}
		out = append(out, Param{Name: n, Value: s.value})
	}
	return out
}

// decodeExtended decodes charset'language'text, where %XX is a byte of text
// in the sections that are encoded.
func decodeExtended(name string, sections []*section) Param {
	first := sections[0].value
	charset, rest, ok := strings.Cut(first, "'")
	_, text, ok2 := strings.Cut(rest, "'")
	if !ok || !ok2 {
		charset, text = "", first
	}
	var raw []byte
	var extended strings.Builder
	extended.WriteString(first)
	raw = appendPercent(raw, text)
	for _, s := range sections[1:] {
		if s.encoded {
			raw = appendPercent(raw, s.value)
			extended.WriteString(s.value)
		} else {
			raw = append(raw, s.value...)
			writePercent(&extended, s.value)
		}
	}
	value, _ := decodeBytes(charset, raw)
	return Param{Name: name, Value: strings.ReplaceAll(string(value), "\x00", "\uFFFD"), Extended: extended.String()}
}

// appendPercent decodes %XX.
func appendPercent(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' && i+2 < len(s) && hexValue(s[i+1]) >= 0 && hexValue(s[i+2]) >= 0 {
			c = byte(hexValue(s[i+1])<<4 | hexValue(s[i+2]))
			i += 2
		}
		dst = append(dst, c)
	}
	return dst
}

// writePercent encodes what an attribute-char of RFC 2231 §7 may not be.
func writePercent(b *strings.Builder, s string) {
	const hex = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x80 && isTokenByte(c) && strings.IndexByte("*'%", c) < 0 {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
}
