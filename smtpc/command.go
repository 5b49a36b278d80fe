package smtpc

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"postrider/mail"
)

// mailLine is the MAIL command of a plan, with what the peer announced that it
// understands.
func (p *peer) mailLine(pl *plan) string {
	b := append(make([]byte, 0, 128), "MAIL FROM:<"...)
	b = append(b, pl.from...)
	b = append(b, '>')
	if pl.eight {
		b = append(b, " BODY=8BITMIME"...)
	}
	if _, ok := p.ext["SIZE"]; ok && pl.size > 0 {
		b = strconv.AppendInt(append(b, " SIZE="...), pl.size, 10)
	}
	if _, ok := p.ext["SMTPUTF8"]; ok && pl.utf8 {
		b = append(b, " SMTPUTF8"...)
	}
	if pl.requireTLS {
		b = append(b, " REQUIRETLS"...)
	}
	if _, ok := p.ext["DSN"]; ok {
		if pl.ret != "" {
			b = append(append(b, " RET="...), pl.ret...)
		}
		if pl.envID != "" {
			b = appendXtext(append(b, " ENVID="...), pl.envID)
		}
	}
	return string(b)
}

// notifyWords are the words of NOTIFY (RFC 3461 §4.1).
var notifyWords = []struct {
	bit  mail.Notify
	word string
}{{mail.NotifySuccess, "SUCCESS"}, {mail.NotifyFailure, "FAILURE"}, {mail.NotifyDelay, "DELAY"}}

// rcptLine is the RCPT command for a recipient.
func (p *peer) rcptLine(r *rcpt) string {
	b := append(make([]byte, 0, 64), "RCPT TO:<"...)
	b = append(b, r.addr...)
	b = append(b, '>')
	if _, ok := p.ext["DSN"]; !ok {
		return string(b)
	}
	if r.notify&mail.NotifyNever != 0 { // alone (RFC 3461 §4.1)
		b = append(b, " NOTIFY=NEVER"...)
	} else if r.notify != 0 {
		sep := " NOTIFY="
		for _, n := range notifyWords {
			if r.notify&n.bit != 0 {
				b, sep = append(append(b, sep...), n.word...), ","
			}
		}
	}
	_, utf8 := p.ext["SMTPUTF8"]
	switch kind, addr, _ := strings.Cut(r.orcpt, ";"); {
	case addr == "":
	case strings.EqualFold(kind, "rfc822") && isPrintASCII(addr):
		b = appendXtext(append(b, " ORCPT=RFC822;"...), addr)
	case strings.EqualFold(kind, "utf-8"):
		b = appendUTF8Addr(append(b, " ORCPT=UTF-8;"...), addr, utf8)
	}
	return string(b)
}

// appendXtext appends printable ASCII as xtext (RFC 3461 §4).
func appendXtext(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c > ' ' && c <= '~' && c != '+' && c != '=' {
			b = append(b, c)
		} else {
			b = fmt.Appendf(b, "+%02X", c)
		}
	}
	return b
}

// appendUTF8Addr appends an address as utf-8-addr-unitext, or as
// utf-8-addr-xtext for a server without SMTPUTF8 (RFC 6533 §3).
func appendUTF8Addr(b []byte, s string, utf8 bool) []byte {
	for _, r := range s {
		if r > ' ' && r <= '~' && r != '+' && r != '=' && r != '\\' || utf8 && r >= 0xa0 && unicode.IsPrint(r) {
			b = append(b, string(r)...)
		} else {
			b = fmt.Appendf(b, "\\x{%02X}", r)
		}
	}
	return b
}

// isPrintASCII tells whether s is ASCII without controls.
func isPrintASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// isLine tells whether s can be sent as one command line.
func isLine(s string) bool {
	return len(s) <= maxCommand && !strings.ContainsAny(s, "\r\n\x00")
}
