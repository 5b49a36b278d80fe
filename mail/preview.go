package mail

import (
	"html"
	"io"
	"strings"
	"unicode"
)

const (
	// MaxPreview is how many characters a preview has at most (RFC 8970 §3.2).
	MaxPreview = 200

	maxPreviewText  = 32 << 10 // bytes looked at of one part, decoded
	maxPreviewParts = 5        // parts looked at, if those before say nothing
)

// Preview returns the beginning of what a message says as one line of plain
// text (RFC 8970): of its first text/plain or text/html that is no attachment,
// in a multipart/alternative of the plain one. Lines that quote another message
// are left out, unless there are no others. It is empty for a message without
// such text. open gives the bytes of a part; what Preview reads of it is
// bounded.
func (m *Meta) Preview(open func(Extent) io.Reader) (string, error) {
	var parts []*Part
	m.Root.previewParts(&parts)
	for _, p := range parts {
		raw := io.LimitReader(DecodeBody(open(p.Body), p.Encoding), maxPreviewText)
		b, err := io.ReadAll(io.LimitReader(DecodeCharset(p.Param("charset"), raw), maxPreviewText))
		if err != nil {
			return "", err
		}
		text := string(b)
		if p.Subtype == "html" {
			text = stripHTML(text)
		} else if own := unquoted(text); strings.TrimSpace(own) != "" {
			text = own
		}
		if text = oneLine(text, MaxPreview); text != "" {
			return text, nil
		}
	}
	return "", nil
}

// previewParts collects the parts that a preview may be made of, the best
// first.
func (p *Part) previewParts(to *[]*Part) {
	switch {
	case len(*to) >= maxPreviewParts || p.Disposition == "attachment" || p.is("multipart", "encrypted"):
	case p.Type == "text" && (p.Subtype == "plain" || p.Subtype == "html"):
		*to = append(*to, p)
	case p.is("multipart", "alternative"):
		for _, plain := range []bool{true, false} {
			for i := range p.Parts {
				if c := &p.Parts[i]; c.is("text", "plain") == plain {
					c.previewParts(to)
				}
			}
		}
	default:
		for i := range p.Parts {
			p.Parts[i].previewParts(to)
		}
	}
}

// unquoted returns text without the lines that begin with ">".
func unquoted(text string) string {
	if !strings.Contains(text, ">") {
		return text
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimLeft(line, " \t"), ">") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// oneLine makes one line of at most max characters of a text: white space and
// what cannot be seen becomes one space.
func oneLine(text string, max int) string {
	var b strings.Builder
	space, n := false, 0
	for _, r := range text {
		switch {
		case unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && r != '\u200d' || r == '\u034f':
			space = true
			continue
		case space && n > 0:
			if n++; n >= max {
				return b.String()
			}
			b.WriteByte(' ')
		}
		space = false
		b.WriteRune(r)
		if n++; n >= max {
			break
		}
	}
	return b.String()
}

// hiddenElements have content that is not shown.
var hiddenElements = []string{"head", "style", "script", "title", "template", "svg"}

// stripHTML returns the text of HTML, in one pass and however broken it is.
func stripHTML(s string) string {
	var b strings.Builder
	for s != "" {
		i := strings.IndexByte(s, '<')
		if i < 0 {
			b.WriteString(s)
			break
		}
		b.WriteString(s[:i])
		s = s[i:]
		name, rest := cutTag(s)
		switch {
		case name == "":
			b.WriteByte('<')
			s = s[1:]
			continue
		case isHidden(name):
			rest = behindElement(rest, name)
		case !isInline(name):
			b.WriteByte(' ')
		}
		s = rest
	}
	return html.UnescapeString(b.String())
}

// cutTag reads a tag or a comment, which s begins with, and returns its name,
// which is empty if it is none, and what follows.
func cutTag(s string) (name, rest string) {
	if strings.HasPrefix(s, "<!--") {
		_, rest, _ = strings.Cut(s[4:], "-->")
		return "!--", rest
	}
	n := 1
	for n < len(s) && (s[n] == '/' && n == 1 || s[n] == '!' && n == 1 || s[n] == '?' && n == 1 || isTagByte(s[n])) {
		n++
	}
	if n == 1 {
		return "", s
	}
	name = strings.ToLower(s[1:n])
	quote := byte(0)
	for ; n < len(s); n++ {
		switch c := s[n]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			return name, s[n+1:]
		}
	}
	return name, ""
}

func isTagByte(c byte) bool { return 'a' <= lower(c) && lower(c) <= 'z' || '0' <= c && c <= '9' }

func isHidden(name string) bool {
	for _, h := range hiddenElements {
		if name == h {
			return true
		}
	}
	return false
}

// isInline tells whether a tag may stand inside a word.
func isInline(name string) bool {
	switch strings.TrimPrefix(name, "/") {
	case "a", "b", "i", "u", "em", "strong", "span", "font", "small", "big", "sub", "sup", "code", "abbr", "!--", "wbr":
		return true
	}
	return false
}

// behindElement returns what follows the end tag of an element that was begun.
func behindElement(s, name string) string {
	for {
		i := strings.Index(s, "</")
		if i < 0 {
			return ""
		}
		s = s[i:]
		if len(s) >= 2+len(name) && strings.EqualFold(s[2:2+len(name)], name) {
			_, rest := cutTag(s)
			return rest
		}
		s = s[2:]
	}
}
