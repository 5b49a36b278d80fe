package mail

import (
	"errors"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Address is a mailbox, local part and domain (RFC 5321 §4.1.2). The zero
// Address is the null reverse-path. Local holds the local part without
// quoting and with its case; Domain is in lower case, either A-labels or
// U-labels as the peer wrote it, or an address literal with its brackets.
//
// Domain is empty, with Local not, only for the <postmaster> of RFC 5321
// §4.5.1, which ParsePath accepts.
type Address struct{ Local, Domain string }

// Limits of an address in octets. RFC 5321 §4.5.3.1.1 guarantees senders 64
// for the local part; bounce addresses of mailing lists are longer.
const (
	maxLocal  = 255
	maxDomain = 255
	maxLabel  = 63
)

var (
	errNoAddress     = errors.New("mail: address missing")
	errLocalPart     = errors.New("mail: bad local part")
	errLocalTooLong  = errors.New("mail: local part too long")
	errNoDomain      = errors.New("mail: address without domain")
	errDomain        = errors.New("mail: bad domain")
	errLiteral       = errors.New("mail: bad address literal")
	errAfterAddress  = errors.New("mail: text after address")
	errAngleBracket  = errors.New("mail: missing angle bracket")
	errSourceRoute   = errors.New("mail: bad source route")
	errDomainTooLong = errors.New("mail: domain too long")
)

// IsZero tells whether a is the null reverse-path.
func (a Address) IsZero() bool { return a == Address{} }

// ParseAddress reads a Mailbox of RFC 5321 §4.1.2: a local part, which may be
// quoted, "@", and a domain or address literal; RFC 6531 allows UTF-8 in
// local part and domain. Nothing may stand before or after it.
func ParseAddress(s string) (Address, error) {
	a, n, err := scanMailbox(s)
	switch {
	case err != nil:
		return Address{}, err
	case n < len(s):
		return Address{}, errAfterAddress
	}
	return a, nil
}

// String returns the address as it stands in MAIL and RCPT, its local part
// quoted where it must be; empty for the zero Address.
func (a Address) String() string {
	if a.IsZero() {
		return ""
	}
	local := a.Local
	if !isDotString(local) {
		local = quoteLocal(local)
	}
	if a.Domain == "" {
		return local
	}
	return local + "@" + a.Domain
}

// Key returns what addresses are compared by: the local part in lower case
// and Normalization Form C, "@", the domain in A-labels. Comparing local
// parts without regard to case is the choice of a mailbox's host (RFC 5321
// §2.4), so Key is for addresses of our own domains.
func (a Address) Key() string {
	if a.IsZero() {
		return ""
	}
	local := norm.NFC.String(strings.ToLower(norm.NFC.String(a.Local)))
	domain, err := DomainKey(a.Domain)
	if err != nil {
		domain = a.Domain
	}
	return local + "@" + domain
}

// IsASCII tells whether the address can be used without SMTPUTF8.
func (a Address) IsASCII() bool { return isASCII(a.Local) && isASCII(a.Domain) }

// SplitPlus splits a local part at its first "+", as in plus-addressing: base
// names the mailbox, detail is what follows. A local part that begins with
// "+" is all base.
func SplitPlus(local string) (base, detail string) {
	if i := strings.IndexByte(local, '+'); i > 0 {
		return local[:i], local[i+1:]
	}
	return local, ""
}

// scanMailbox reads a mailbox at the beginning of s and returns its length.
// With errNoDomain it returns the local part, and n after it.
func scanMailbox(s string) (a Address, n int, err error) {
	if s == "" {
		return a, 0, errNoAddress
	}
	if s[0] == '"' {
		a.Local, n, err = scanQuoted(s)
	} else {
		a.Local, n, err = scanDotString(s)
	}
	switch {
	case err != nil:
		return Address{}, 0, err
	case len(a.Local) > maxLocal:
		return Address{}, 0, errLocalTooLong
	case n == len(s) || s[n] != '@':
		return a, n, errNoDomain
	}
	n++
	end := n + strings.IndexAny(s[n:], "> \t")
	if end < n {
		end = len(s)
	}
	if a.Domain, err = parseDomain(s[n:end]); err != nil {
		return Address{}, 0, err
	}
	return a, end, nil
}

// scanDotString reads a Dot-string, atoms joined by single dots.
func scanDotString(s string) (string, int, error) {
	n := 0
	for n < len(s) {
		r, size := utf8.DecodeRuneInString(s[n:])
		if r != '.' && !isAtext(r, size) {
			break
		}
		n += size
	}
	if !isDotString(s[:n]) {
		return "", 0, errLocalPart
	}
	return s[:n], n, nil
}

// scanQuoted reads a Quoted-string and returns it without quoting.
func scanQuoted(s string) (string, int, error) {
	var b strings.Builder
	for n := 1; n < len(s); {
		r, size := utf8.DecodeRuneInString(s[n:])
		if r == '"' {
			return b.String(), n + 1, nil
		}
		if r == '\\' {
			n++
			if n == len(s) || s[n] < ' ' || s[n] > '~' {
				break
			}
			r, size = rune(s[n]), 1
		}
		if !isQtext(r, size) {
			break
		}
		b.WriteRune(r)
		n += size
	}
	return "", 0, errLocalPart
}

// isDotString tells whether a local part needs no quoting.
func isDotString(s string) bool {
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	for i, r := range s {
		if r != '.' && !isAtext(r, runeSize(s[i:], r)) {
			return false
		}
	}
	return true
}

func quoteLocal(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

// runeSize returns how many bytes r, decoded from the beginning of s, took.
func runeSize(s string, r rune) int {
	if r == utf8.RuneError {
		_, n := utf8.DecodeRuneInString(s)
		return n
	}
	return utf8.RuneLen(r)
}

// isAtext tells whether r belongs in an atom (RFC 5322 §3.2.3, RFC 6532 §3.2).
func isAtext(r rune, size int) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return true
	case r < utf8.RuneSelf:
		return strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
	}
	return isUTF8Text(r, size)
}

// isQtext tells whether r may stand in a quoted string, quoted or not.
func isQtext(r rune, size int) bool {
	if r < utf8.RuneSelf {
		return ' ' <= r && r <= '~'
	}
	return isUTF8Text(r, size)
}

// isUTF8Text leaves out what is no character, and what some programs take for
// a control or the end of a line.
func isUTF8Text(r rune, size int) bool {
	return (r != utf8.RuneError || size > 1) && r > 0x9f && r != 0x2028 && r != 0x2029
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
