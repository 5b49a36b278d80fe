package test

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
)

// rawIMAP is an IMAP client that understands nothing but the syntax, so that
// the answers of two servers can be compared as they are.
type rawIMAP struct {
	t    *testing.T
	name string
	r    *bufio.Reader
	w    io.Writer
	tag  int

	refused bool // a command, or the connection is gone
}

func newRawIMAP(t *testing.T, name string, r io.Reader, w io.Writer) *rawIMAP {
	c := &rawIMAP{t: t, name: name, r: bufio.NewReader(r), w: w}
	if line := c.line(); !strings.HasPrefix(line, "* ") {
		t.Fatalf("%s: the greeting is %q", name, line)
	}
	return c
}

// value is what FETCH tells of an item: an atom, a string, NIL or a list.
type value struct {
	kind byte // 'a', 's', 'n' or 'l'
	text string
	list []value
}

func (v value) String() string {
	switch v.kind {
	case 's':
		return strconv.Quote(v.text)
	case 'n':
		return "NIL"
	case 'l':
		var parts []string
		for _, x := range v.list {
			parts = append(parts, x.String())
		}
		return "(" + strings.Join(parts, " ") + ")"
	}
	return v.text
}

// gone is the end of a command whose connection the server has closed.
const gone = "GONE"

// line reads one line of a response with its literals in it.
func (c *rawIMAP) line() string {
	c.t.Helper()
	var b strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return gone
		}
		b.WriteString(line)
		n, ok := literalSize(line)
		if !ok {
			return strings.TrimSuffix(b.String(), "\r\n")
		}
		if _, err := io.CopyN(&b, c.r, int64(n)); err != nil {
			return gone
		}
	}
}

// literalSize returns the size that a line ends with.
func literalSize(line string) (int, bool) {
	line = strings.TrimSuffix(line, "\r\n")
	i := strings.LastIndexByte(line, '{')
	if i < 0 || !strings.HasSuffix(line, "}") {
		return 0, false
	}
	n, err := strconv.Atoi(line[i+1 : len(line)-1])
	return n, err == nil
}

// cmd runs a command and returns its untagged responses and the tagged one
// without its tag.
func (c *rawIMAP) cmd(format string, args ...any) (untagged []string, tagged string) {
	c.t.Helper()
	c.tag++
	tag := fmt.Sprintf("t%d", c.tag)
	if _, err := fmt.Fprintf(c.w, tag+" "+format+"\r\n", args...); err != nil {
		c.t.Fatalf("%s: %v", c.name, err)
	}
	for {
		line := c.line()
		if done, ok := strings.CutPrefix(line, tag+" "); ok {
			c.refused = c.refused || !strings.HasPrefix(done, "OK")
			return untagged, done
		}
		if line == gone {
			c.refused = true
			return nil, gone
		}
		untagged = append(untagged, line)
	}
}

func (c *rawIMAP) ok(format string, args ...any) []string {
	c.t.Helper()
	untagged, tagged := c.cmd(format, args...)
	if !strings.HasPrefix(tagged, "OK") {
		c.t.Fatalf("%s: %s: %s", c.name, short(fmt.Sprintf(format, args...)), tagged)
	}
	return untagged
}

// append adds a message to a mailbox and tells whether the server took it.
func (c *rawIMAP) append(mailbox string, raw []byte) (tagged string, ok bool) {
	c.t.Helper()
	_, tagged = c.cmd("APPEND %s {%d+}\r\n%s", mailbox, len(raw), raw)
	return tagged, strings.HasPrefix(tagged, "OK")
}

// fetch returns the items of one message by their names, and how the command
// ended: "OK", "NO" or "BAD".
func (c *rawIMAP) fetch(n int, items string) (map[string]value, string) {
	c.t.Helper()
	untagged, tagged := c.cmd("FETCH %d %s", n, items)
	got := map[string]value{}
	for _, line := range untagged {
		rest, ok := strings.CutPrefix(line, fmt.Sprintf("* %d FETCH (", n))
		if !ok {
			continue
		}
		p := &valueParser{t: c.t, who: c.name, s: rest}
		for !p.at(')') {
			name := p.itemName()
			got[name] = p.value()
			p.at(' ')
		}
	}
	status, _, _ := strings.Cut(tagged, " ")
	return got, status
}

// valueParser reads the values of a FETCH response.
type valueParser struct {
	t   *testing.T
	who string
	s   string
}

func (p *valueParser) at(c byte) bool {
	if p.s != "" && p.s[0] == c {
		p.s = p.s[1:]
		return true
	}
	return false
}

func (p *valueParser) fail(why string) {
	p.t.Helper()
	p.t.Fatalf("%s: %s at %q", p.who, why, short(p.s))
}

// itemName reads a name with its section in brackets, in upper case.
func (p *valueParser) itemName() string {
	p.t.Helper()
	depth := 0
	for i := range len(p.s) {
		switch c := p.s[i]; {
		case c == '[':
			depth++
		case c == ']':
			depth--
		case c == ' ' && depth == 0:
			name := p.s[:i]
			p.s = p.s[i+1:]
			return strings.ToUpper(name)
		}
	}
	p.fail("no item name")
	return ""
}

func (p *valueParser) value() value {
	p.t.Helper()
	switch {
	case p.s == "":
		p.fail("no value")
	case p.s[0] == '(':
		p.s = p.s[1:]
		v := value{kind: 'l'}
		for !p.at(')') {
			v.list = append(v.list, p.value())
			p.at(' ') // none between the parts of a multipart
		}
		return v
	case p.s[0] == '"':
		return p.quoted()
	case p.s[0] == '{' || strings.HasPrefix(p.s, "~{"):
		return p.literal()
	}
	i := strings.IndexAny(p.s, " ()")
	if i <= 0 {
		p.fail("no value")
	}
	text := p.s[:i]
	p.s = p.s[i:]
	if strings.EqualFold(text, "NIL") {
		return value{kind: 'n'}
	}
	return value{kind: 'a', text: text}
}

// quoted reads a quoted string, which must be one (RFC 9051 §9, quoted).
func (p *valueParser) quoted() value {
	p.t.Helper()
	var b strings.Builder
	for i := 1; i < len(p.s); i++ {
		switch c := p.s[i]; {
		case c == '"':
			p.s = p.s[i+1:]
			return value{kind: 's', text: b.String()}
		case c == '\\':
			i++
			if i == len(p.s) || p.s[i] != '"' && p.s[i] != '\\' {
				p.fail("a backslash before something else")
			}
			b.WriteByte(p.s[i])
		case c == '\r' || c == '\n' || c == 0 || c >= 0x80:
			p.fail(fmt.Sprintf("%q in a quoted string", c))
		default:
			b.WriteByte(c)
		}
	}
	p.fail("a quoted string without an end")
	return value{}
}

func (p *valueParser) literal() value {
	p.t.Helper()
	head, rest, ok := strings.Cut(p.s, "\r\n")
	n, isSize := literalSize(head)
	if !ok || !isSize || n > len(rest) {
		p.fail("no literal")
	}
	p.s = rest[n:]
	return value{kind: 's', text: rest[:n]}
}

func short(s string) string {
	if len(s) > 300 {
		return s[:300] + "..."
	}
	return s
}
