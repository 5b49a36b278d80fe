package imapd

import (
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"postrider/store"
)

// messageURL is an IMAP URL that names a message or a part of one, relative to
// this server (RFC 4469 §3, RFC 5092 §7.2).
type messageURL struct {
	mailbox  string // empty for the selected one
	validity uint32 // UIDVALIDITY; 0 if the URL has none
	uid      store.UID
	section  string
	offset   int64 // of ;PARTIAL= (RFC 5550 §4)
	length   int64 // -1 is up to the end
}

// parseMessageURL reads a URL. Absolute ones, even of this server, are refused:
// what they need is not there (RFC 4469 §3).
func parseMessageURL(s string) (u messageURL, ok bool) {
	u.length = -1
	rest := strings.TrimPrefix(s, "/")
	i := indexParam(rest, "UID")
	if i < 0 || strings.HasPrefix(rest, "/") || strings.Contains(s, "://") {
		return u, false
	}
	mailbox := strings.TrimSuffix(rest[:i], "/")
	if i > 0 && mailbox == rest[:i] || !u.box(mailbox) {
		return u, false
	}
	rest = rest[i:]
	for n, param := range strings.Split(rest, "/;") {
		if n == 0 {
			param = strings.TrimPrefix(param, ";")
		}
		name, value, _ := strings.Cut(param, "=")
		if value, ok = unescapeURL(value); !ok || !u.param(n, strings.ToUpper(name), value) {
			return u, false
		}
	}
	return u, u.uid != 0
}

// indexParam finds ";NAME=" in a URL, without regard to case.
func indexParam(s, name string) int {
	want := ";" + name + "="
	for i := 0; i+len(want) <= len(s); i++ {
		if s[i] == ';' && strings.EqualFold(s[i:i+len(want)], want) {
			return i
		}
	}
	return -1
}

// box reads the mailbox with its UIDVALIDITY.
func (u *messageURL) box(s string) (ok bool) {
	if i := indexParam(s, "UIDVALIDITY"); i >= 0 {
		n, err := strconv.ParseUint(s[i+len(";UIDVALIDITY="):], 10, 32)
		if err != nil || n == 0 {
			return false
		}
		u.validity, s = uint32(n), s[:i]
	}
	u.mailbox, ok = unescapeURL(s)
	return ok && utf8.ValidString(u.mailbox)
}

// param reads the n-th parameter: UID, SECTION and PARTIAL come in this order.
func (u *messageURL) param(n int, name, value string) bool {
	switch {
	case name == "UID" && n == 0:
		uid, err := strconv.ParseUint(value, 10, 32)
		u.uid = store.UID(uid)
		return err == nil && uid > 0
	case name == "SECTION" && n == 1:
		u.section = value
		return value != ""
	case name == "PARTIAL" && n > 0:
		from, length, some := strings.Cut(value, ".")
		offset, err := strconv.ParseUint(from, 10, 63)
		if err != nil || u.offset > 0 || u.length >= 0 {
			return false
		}
		u.offset = int64(offset)
		if some {
			n, err := strconv.ParseUint(length, 10, 63)
			u.length = int64(n)
			return err == nil && n > 0
		}
		return true
	}
	return false
}

// unescapeURL decodes %-escapes. A mailbox's name is UTF-8 under them, not
// modified UTF-7 (RFC 5092 §8).
func unescapeURL(s string) (string, bool) {
	out, err := url.PathUnescape(s)
	return out, err == nil && strings.IndexByte(out, 0) < 0
}

// badURL is the response code that names a URL which cannot be used (RFC 4469
// §4.1), as far as a response code can hold it.
func badURL(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == ']' || r == '\\' || r == '"' {
			return '?'
		}
		return r
	}, s)
	return `BADURL "` + s[:min(len(s), 500)] + `"`
}
