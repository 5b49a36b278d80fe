package order

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MaxText is how many bytes of a text count when texts are compared. No line
// of a header may be longer (RFC 5322 §2.1.1).
const MaxText = 1024

// AppendCollated appends a text as i;unicode-casemap compares it octet by octet
// (RFC 5051 §2): every character in its title case, then taken apart. At most
// MaxText bytes are appended.
func AppendCollated(dst []byte, s string) []byte {
	end := len(dst) + MaxText
	for i := 0; i < len(s) && len(dst) < end; {
		c := s[i]
		if c < utf8.RuneSelf {
			if 'a' <= c && c <= 'z' {
				c -= 'a' - 'A'
			}
			dst = append(dst, c)
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:]) // U+FFFD for what is no UTF-8
		dst = appendRune(dst, unicode.ToTitle(r))
		i += n
	}
	return dst[:min(len(dst), end)]
}

func appendRune(dst []byte, r rune) []byte {
	var b [utf8.UTFMax]byte
	n := utf8.EncodeRune(b[:], r)
	return norm.NFKD.Append(dst, b[:n]...)
}
