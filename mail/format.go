package mail

import "strings"

// FormatAddress returns an address with its display name as it stands in a
// header field, such as: "Alice A." <alice@a.test>. A name that is not ASCII
// becomes encoded words; it may already be made of them.
func FormatAddress(name string, a Address) string {
	name = strings.TrimSpace(name)
	if name == "" {
		return a.String()
	}
	if !isEncoded(name) {
		if !isPrintable(name) || strings.Contains(name, "=?") {
			name = EncodeWord(name)
		} else if !isWords(name) {
			name = quoteLocal(name)
		}
	}
	return name + " <" + a.String() + ">"
}

// isEncoded tells whether s is nothing but encoded words.
func isEncoded(s string) bool {
	for w := range strings.FieldsSeq(s) {
		if !strings.HasPrefix(w, "=?") || !isPrintable(w) || strings.ContainsAny(w, `()<>@,;:\"`) {
			return false
		}
		if _, n := scanWord(w); n != len(w) {
			return false
		}
	}
	return s != ""
}

// isWords tells whether s is atoms with single spaces between them.
func isWords(s string) bool {
	space := true
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == ' ' && space || c != ' ' && (c >= 0x7f || !isAtext(rune(c), 1)) {
			return false
		}
		space = c == ' '
	}
	return s != "" && !space
}

// maxLine is how long lines of a header should be (RFC 5322 §2.1.1).
const maxLine = 78

// Fold returns a header field, name, colon, value and line end, with lines of
// at most 78 characters where its spaces allow (RFC 5322 §2.2.3). Line ends
// in value become spaces: a value cannot add a field.
func Fold(name, value string) string {
	value = strings.Map(func(r rune) rune {
		if r == '\r' || r == '\n' || r == 0 {
			return ' '
		}
		return r
	}, strings.TrimSpace(value))
	var b strings.Builder
	b.WriteString(name + ":")
	width := len(name) + 1
	for value != "" {
		// A piece is white space and the word after it; a line never begins
		// with nothing but white space.
		n := len(value) - len(strings.TrimLeft(value, " \t"))
		end := strings.IndexAny(value[n:], " \t")
		if end < 0 {
			end = len(value) - n
		}
		piece := value[:n+end]
		value = value[n+end:]
		if n == 0 {
			piece = " " + piece
		}
		if width+len(piece) > maxLine && width > len(name)+1 {
			b.WriteString("\r\n")
			width = 0
		}
		b.WriteString(piece)
		width += len(piece)
	}
	b.WriteString("\r\n")
	return b.String()
}
