package smtpc

import (
	"bufio"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of a reply. RFC 5321 §4.5.3.1.5 has 512 octets in a line; real
// servers are sometimes chattier, and a hostile one has no end.
const (
	maxReplyLine  = 1500 // octets, without CRLF; go-smtp reads up to 2000
	maxReplyLines = 128
)

var (
	errReplyLine  = errors.New("reply line too long")
	errReplyLines = errors.New("reply with too many lines")
	errReplyForm  = errors.New("this is no SMTP reply")
)

// reply is one reply of the remote server (RFC 5321 §4.2), its lines made
// printable.
type reply struct {
	code  int
	lines []string // without code and separator; at least one
}

// readReply reads one reply and not a byte more. said is called with every
// line as it came.
func readReply(br *bufio.Reader, said func(string)) (reply, error) {
	var r reply
	for {
		line, err := readLine(br)
		if err != nil {
			return reply{}, err
		}
		said(line)
		code, last, text, ok := splitLine(line)
		if !ok || r.lines != nil && code != r.code {
			return reply{}, errReplyForm
		}
		r.code = code
		r.lines = append(r.lines, text)
		if last {
			return r, nil
		}
		if len(r.lines) == maxReplyLines {
			return reply{}, errReplyLines
		}
	}
}

// readLine reads a line of up to maxReplyLine octets. A bare LF ends one too,
// since that is what sloppy servers send and it can do no harm here.
func readLine(br *bufio.Reader) (string, error) {
	var b []byte
	for {
		c, err := br.ReadByte()
		if err != nil {
			return "", err
		}
		if c == '\n' {
			return printable(strings.TrimSuffix(string(b), "\r")), nil
		}
		if len(b) > maxReplyLine {
			return "", errReplyLine
		}
		b = append(b, c)
	}
}

// splitLine takes a reply line apart: a code from 200 to 599, "-" or " ",
// text. A code alone is tolerated (RFC 5321 §4.2).
func splitLine(s string) (code int, last bool, text string, ok bool) {
	if len(s) < 3 || s[0] < '2' || s[0] > '5' || s[1] < '0' || s[1] > '9' || s[2] < '0' || s[2] > '9' {
		return 0, false, "", false
	}
	code = int(s[0]-'0')*100 + int(s[1]-'0')*10 + int(s[2]-'0')
	switch {
	case len(s) == 3:
		return code, true, "", true
	case s[3] == ' ' || s[3] == '-':
		return code, s[3] == ' ', s[4:], true
	}
	return 0, false, "", false
}

// printable makes peer text safe to print and to put into a header: control
// characters and what is not UTF-8 become "?".
func printable(s string) string {
	clean := func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r < ' ', r == 0x7f, r >= 0x80 && r < 0xa0, r == 0x2028, r == 0x2029, r == utf8.RuneError:
			return '?'
		}
		return r
	}
	return strings.Map(clean, strings.ToValidUTF8(s, "?"))
}

// wire is the reply as go-smtp's client shall read it.
func (r reply) wire() []byte {
	var b []byte
	for i, l := range r.lines {
		sep := '-'
		if i == len(r.lines)-1 {
			sep = ' '
		}
		b = fmt.Appendf(b, "%03d%c%s\r\n", r.code, sep, l)
	}
	return b
}

// enhanced returns the enhanced status code that the reply begins with (RFC
// 2034 §4); its class must be that of the reply.
func (r reply) enhanced() (string, bool) {
	word, _, _ := strings.Cut(r.lines[0], " ")
	class, rest, _ := strings.Cut(word, ".")
	subject, detail, ok := strings.Cut(rest, ".")
	if !ok || len(class) != 1 || int(class[0]-'0') != r.code/100 || !isNumber(subject) || !isNumber(detail) {
		return "", false
	}
	return word, true
}

// isNumber tells whether s is one to three digits (RFC 3463 §2).
func isNumber(s string) bool {
	if len(s) < 1 || len(s) > 3 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// text is what the reply says, in one line, without its enhanced code, which
// stands in front of each line (RFC 2034 §4).
func (r reply) text() string {
	code, has := r.enhanced()
	var parts []string
	for _, l := range r.lines {
		if has {
			if after, ok := strings.CutPrefix(l, code); ok && (after == "" || after[0] == ' ') {
				l = after
			}
		}
		if l = strings.TrimSpace(l); l != "" {
			parts = append(parts, l)
		}
	}
	return strings.Join(parts, " ")
}
