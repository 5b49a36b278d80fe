package mail

import (
	"encoding/base64"
	"strings"
)

// DecodeText decodes the encoded words of an unfolded field body (RFC 2047)
// to UTF-8. White space between two encoded words goes; a character split
// between them, which is wrong and common, is put together. A word in an
// unknown charset or without an end stays as it is. Control characters that
// were hidden in a word become spaces, and what is no UTF-8 U+FFFD.
func DecodeText(s string) string {
	if !strings.Contains(s, "=?") {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	d := textDecoder{words: map[string]bool{}}
	for s != "" {
		i := strings.Index(s, "=?")
		if i < 0 {
			break
		}
		w, n := scanWord(s[i:])
		if n == 0 || !d.known(w.charset) {
			d.text(s[:i+2])
			s = s[i+2:]
			continue
		}
		d.word(s[:i], w)
		s = s[i+n:]
	}
	d.text(s)
	d.flush()
	return d.out.String()
}

// encodedWord is one "=?charset?encoding?text?=".
type encodedWord struct {
	charset string // lower case, without language (RFC 2231 §5)
	b64     bool
	text    string
}

// scanWord reads an encoded word at the beginning of s and returns its
// length, 0 if there is none. It looks no further than the fourth question
// mark, which keeps DecodeText linear.
func scanWord(s string) (encodedWord, int) {
	rest := s[2:]
	charset, rest, ok := strings.Cut(rest, "?")
	if !ok || charset == "" || len(charset) > 64 || len(rest) < 2 || rest[1] != '?' {
		return encodedWord{}, 0
	}
	enc := rest[0] | 0x20
	end := strings.IndexByte(rest[2:], '?')
	if enc != 'q' && enc != 'b' || end < 0 || !strings.HasPrefix(rest[2+end:], "?=") {
		return encodedWord{}, 0
	}
	charset, _, _ = strings.Cut(charset, "*")
	n := len(s) - len(rest) + 2 + end + 2
	return encodedWord{strings.ToLower(charset), enc == 'b', rest[2 : 2+end]}, n
}

// textDecoder collects the bytes of adjacent words of one charset.
type textDecoder struct {
	out     strings.Builder
	words   map[string]bool // charsets met, and whether they are known
	charset string
	raw     []byte
	inWord  bool // the last thing seen was a word
}

func (d *textDecoder) known(charset string) bool {
	k, seen := d.words[charset]
	if !seen {
		k = KnownCharset(charset)
		d.words[charset] = k
	}
	return k
}

// text takes what is no encoded word.
func (d *textDecoder) text(s string) {
	if s == "" {
		return
	}
	d.flush()
	d.inWord = false
	d.out.WriteString(strings.ToValidUTF8(s, "\uFFFD"))
}

// word takes an encoded word and the text before it.
func (d *textDecoder) word(before string, w encodedWord) {
	if !d.inWord || strings.Trim(before, " \t\r\n") != "" {
		d.text(before)
	}
	if w.charset != d.charset {
		d.flush()
		d.charset = w.charset
	}
	d.inWord = true
	if w.b64 {
		b := base64Reader{out: d.raw}
		for i := 0; i < len(w.text); i++ {
			b.put(w.text[i])
		}
		b.flush()
		d.raw = b.out
		return
	}
	d.raw = appendQP(d.raw, w.text, true)
}

// flush decodes the bytes collected.
func (d *textDecoder) flush() {
	if len(d.raw) == 0 {
		return
	}
	text, _ := decodeBytes(d.charset, d.raw)
	for i, c := range text {
		if c < ' ' && c != '\t' || c == 0x7f {
			text[i] = ' '
		}
	}
	d.out.Write(text)
	d.raw = d.raw[:0]
}

// EncodeWord returns s for use in a Subject or a display name: as it is if it
// is printable ASCII without anything that looks like an encoded word, else
// as encoded words in UTF-8, each at most 75 characters long (RFC 2047 §2),
// separated by spaces.
func EncodeWord(s string) string {
	if isPrintable(s) && !strings.Contains(s, "=?") {
		return s
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	b64 := 2*qCount(s) > len(s)
	var out strings.Builder
	for s != "" {
		n := wordPrefix(s, b64)
		if out.Len() > 0 {
			out.WriteByte(' ')
		}
		writeWord(&out, s[:n], b64)
		s = s[n:]
	}
	return out.String()
}

// maxWordText is what 75 characters leave beside "=?utf-8?q?" and "?=".
const maxWordText = 75 - 12

func isPrintable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// isQSafe tells whether the Q encoding leaves c alone, in phrases too (RFC
// 2047 §5, rule 3).
func isQSafe(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!*+-/", c) >= 0
}

// qCount counts the bytes that the Q encoding has to encode.
func qCount(s string) int {
	n := 0
	for i := 0; i < len(s); i++ {
		if !isQSafe(s[i]) && s[i] != ' ' {
			n++
		}
	}
	return n
}

// wordPrefix returns how much of s fits into one word, whole characters.
func wordPrefix(s string, b64 bool) int {
	end, cost := 0, 0
	for i, r := range s {
		size := runeSize(s[i:], r)
		if b64 {
			cost = (i + size + 2) / 3 * 4
		} else if size > 1 || !isQSafe(s[i]) && s[i] != ' ' {
			cost += 3 * size
		} else {
			cost++
		}
		if cost > maxWordText {
			break
		}
		end = i + size
	}
	return end
}

func writeWord(out *strings.Builder, s string, b64 bool) {
	if b64 {
		out.WriteString("=?utf-8?b?")
		out.WriteString(base64.StdEncoding.EncodeToString([]byte(s)))
		out.WriteString("?=")
		return
	}
	out.WriteString("=?utf-8?q?")
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == ' ':
			out.WriteByte('_')
		case isQSafe(c):
			out.WriteByte(c)
		default:
			const hex = "0123456789ABCDEF"
			out.Write([]byte{'=', hex[c>>4], hex[c&15]})
		}
	}
	out.WriteString("?=")
}
