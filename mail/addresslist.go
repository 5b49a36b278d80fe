package mail

import "strings"

// ListAddress is one entry of an address list such as To (RFC 5322 §3.4): an
// address, or the beginning or the end of a group. Texts are without quoting
// and comments; encoded words stay encoded.
// Local and Domain are empty where they are missing, which only broken mail has.
type ListAddress struct {
	Name   string // display name; of an address without one, the comment that follows it
	Route  string // obsolete source route, "@a,@b" (RFC 5322 §4.4)
	Local  string // of a group's beginning: its name
	Domain string
	Group  GroupMark
}

// GroupMark tells the parts of a group from addresses.
type GroupMark uint8

const (
	NoGroup    GroupMark = iota
	GroupStart           // "name:"
	GroupEnd             // ";"
)

// Address returns the entry as an address that mail can be sent to; ok is
// false for group marks and what is no valid address.
func (a ListAddress) Address() (addr Address, ok bool) {
	if a.Group != NoGroup || a.Local == "" {
		return Address{}, false
	}
	domain, err := parseDomain(a.Domain)
	if err != nil || len(a.Local) > maxLocal {
		return Address{}, false
	}
	for i, r := range a.Local {
		if !isQtext(r, runeSize(a.Local[i:], r)) {
			return Address{}, false
		}
	}
	return Address{Local: a.Local, Domain: domain}, true
}

// maxListAddresses is how many entries a list may have. What is beyond is left
// out.
const maxListAddresses = 20000

// ParseAddressList reads an unfolded list of addresses. It never fails: text
// that is no address becomes an entry without what is missing, and the list
// goes on after the next comma.
func ParseAddressList(s string) []ListAddress {
	p := listParser{s: s}
	for p.pos < len(p.s) && len(p.list) < maxListAddresses {
		p.entry()
	}
	if p.inGroup {
		p.list = append(p.list, ListAddress{Group: GroupEnd})
	}
	return p.list
}

// listParser reads entries left to right; every method moves pos forward only.
type listParser struct {
	s       string
	pos     int
	list    []ListAddress
	inGroup bool
	comment string // the last one read of the current entry
}

// entry reads up to and including the next separator.
func (p *listParser) entry() {
	p.comment = ""
	words := p.words()
	var a ListAddress
	there := true
	switch p.peek() {
	case '<':
		p.pos++
		a = p.angle()
		a.Name = words.phrase()
		p.trailer()
	case '@':
		p.pos++
		a.Name, a.Local = words.local()
		p.comment = ""
		a.Domain = p.domain()
		p.trailer()
		if a.Name == "" {
			a.Name = p.comment
		}
	case ':':
		p.pos++
		if !p.inGroup {
			p.inGroup = true
			p.list = append(p.list, ListAddress{Group: GroupStart, Local: words.phrase()})
		}
		return
	default: // ',', ';', end, or a character out of place
		there = len(words) > 0
		a.Name, a.Local = words.local()
		if a.Name != "" || strings.ContainsAny(a.Local, " \t") { // text, which is no address
			a.Name, a.Local = words.phrase(), ""
		}
		p.trailer()
		if a.Name == "" {
			a.Name = p.comment
		}
	}
	if there {
		p.list = append(p.list, a)
	}
	p.separator()
}

// trailer passes over what is left up to the separator.
func (p *listParser) trailer() {
	for p.words(); p.pos < len(p.s) && p.s[p.pos] != ',' && p.s[p.pos] != ';'; p.words() {
		p.pos++
	}
}

// separator takes a comma, or a semicolon, which ends a group.
func (p *listParser) separator() {
	if p.peek() == ';' {
		p.endGroup()
	}
	p.pos = min(p.pos+1, len(p.s))
}

func (p *listParser) endGroup() {
	if p.inGroup {
		p.inGroup = false
		p.list = append(p.list, ListAddress{Group: GroupEnd})
	}
}

// peek returns the byte at pos, 0 at the end.
func (p *listParser) peek() byte {
	if p.pos < len(p.s) {
		return p.s[p.pos]
	}
	return 0
}

// words is a run of atoms and quoted strings.
type words []string

// phrase joins words as in a display name.
func (w words) phrase() string { return strings.Join(w, " ") }

// local splits words into a local part, which are the last word and those
// that dots join to it, and what stands before it.
func (w words) local() (before, local string) {
	if len(w) == 0 {
		return "", ""
	}
	i := len(w) - 1
	for i > 0 && (strings.HasPrefix(w[i], ".") || strings.HasSuffix(w[i-1], ".")) {
		i--
	}
	return w[:i].phrase(), strings.Join(w[i:], "")
}

// words reads atoms, dots and quoted strings with comments between them.
func (p *listParser) words() words {
	var w words
	for {
		p.skip()
		switch c := p.peek(); {
		case c == '"':
			w = append(w, p.quoted())
		case isWordByte(c):
			start := p.pos
			for isWordByte(p.peek()) {
				p.pos++
			}
			w = append(w, p.s[start:p.pos])
		default:
			return w
		}
	}
}

// isWordByte tells what an atom may have here: everything that does not
// separate, dots included.
func isWordByte(c byte) bool {
	return c > ' ' && c != 0x7f && strings.IndexByte(`()<>:;@,"`, c) < 0
}

// skip passes over white space, control characters and comments.
func (p *listParser) skip() {
	for p.pos < len(p.s) {
		c := p.s[p.pos]
		if c == '(' {
			p.readComment()
		} else if c <= ' ' || c == 0x7f {
			p.pos++
		} else {
			return
		}
	}
}

// readComment reads a comment, which may hold others (RFC 5322 §3.2.2). One
// without an end goes to the end of the text.
func (p *listParser) readComment() {
	var b strings.Builder
	depth := 0
	for ; p.pos < len(p.s); p.pos++ {
		c := p.s[p.pos]
		switch {
		case c == '\\' && p.pos+1 < len(p.s):
			p.pos++
			c = p.s[p.pos]
		case c == '(':
			if depth++; depth == 1 {
				continue
			}
		case c == ')':
			if depth--; depth == 0 {
				p.pos++
				p.comment = strings.TrimSpace(b.String())
				return
			}
		}
		b.WriteByte(c)
	}
	p.comment = strings.TrimSpace(b.String())
}

// quoted reads a quoted string, whose end may be missing.
func (p *listParser) quoted() string {
	text, end, _ := unquote(p.s, p.pos+1)
	p.pos = end
	return text
}

// angle reads what stands in angle brackets, with the closing one.
func (p *listParser) angle() ListAddress {
	var a ListAddress
	p.skip()
	if p.peek() == '@' {
		a.Route = p.route()
	}
	_, a.Local = p.words().local()
	if p.peek() == '@' {
		p.pos++
		a.Domain = p.domain()
	}
	for p.pos < len(p.s) && p.s[p.pos] != '>' && p.s[p.pos] != ',' {
		p.pos++
	}
	if p.peek() == '>' {
		p.pos++
	}
	return a
}

// route reads an obsolete source route up to its colon.
func (p *listParser) route() string {
	var b strings.Builder
	for {
		p.skip()
		switch p.peek() {
		case '@':
			p.pos++
			b.WriteString("@" + p.domain())
		case ',':
			p.pos++
			b.WriteByte(',')
		case ':':
			p.pos++
			return b.String()
		default:
			return b.String()
		}
	}
}

// domain reads a domain or a literal. White space is allowed next to dots.
func (p *listParser) domain() string {
	p.skip()
	if p.peek() == '[' {
		start := p.pos
		for p.pos < len(p.s) && strings.IndexByte("]>,", p.s[p.pos]) < 0 {
			if p.s[p.pos] == '\\' { // a quoted pair (RFC 5322 §4.4)
				p.pos++
			}
			p.pos++
		}
		if p.pos = min(p.pos, len(p.s)); p.peek() == ']' {
			p.pos++
		}
		return strings.TrimSpace(p.s[start:p.pos])
	}
	var b strings.Builder
	for {
		start := p.pos
		for isWordByte(p.peek()) {
			p.pos++
		}
		b.WriteString(p.s[start:p.pos])
		dot := p.pos > start && p.s[p.pos-1] == '.'
		p.skip()
		if !isWordByte(p.peek()) || !dot && p.peek() != '.' {
			return b.String()
		}
	}
}
