package queue

import (
	"bytes"
	"fmt"
	"strings"

	"postrider/mail"
)

// status is the second part, for programs (RFC 3464 §2; RFC 6533 §3 if
// global).
func (n *Notifier) status(o *original, fates []fate, global bool) part {
	p := part{contentType: "message/delivery-status"}
	if global {
		p = part{contentType: "message/global-delivery-status", encoding: "8bit"}
	}
	var b bytes.Buffer
	put := func(name, value string) {
		if value != "" {
			b.WriteString(fold(name + ": " + statusText(value, global)))
		}
	}
	put("Original-Envelope-Id", oneLine(o.env.EnvID))
	put("Reporting-MTA", "dns; "+n.hostname)
	put("Arrival-Date", mail.FormatDate(o.arrived))
	put("X-Postrider-Id", string(o.id))
	for _, f := range fates {
		b.WriteString("\r\n")
		put("Original-Recipient", originalRecipient(f.rcpt.ORcpt, global))
		put("Final-Recipient", addressField(f.rcpt.Addr, global))
		put("Action", f.kind.String())
		put("Status", f.status)
		if f.host != "" && !strings.HasPrefix(f.host, "[") {
			put("Remote-MTA", "dns; "+f.host)
		}
		if f.diag != "" {
			put("Diagnostic-Code", "smtp; "+f.diag)
		} else if f.words != "" {
			put("Diagnostic-Code", "x-postrider; "+f.words)
		}
		put("Last-Attempt-Date", mail.FormatDate(f.last))
		if f.kind == delay {
			put("Will-Retry-Until", mail.FormatDate(o.expires))
		}
	}
	p.text = b.Bytes()
	return p
}

// statusText is a value as the status part may have it: ASCII, or UTF-8 if
// global.
func statusText(s string, global bool) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < ' ' || r == 0x7f || r == '\uFFFD':
			return '?'
		case r > 0x7f && !global:
			return '?'
		}
		return r
	}, s)
}

// originalRecipient is ORCPT as it came, decoded (RFC 3464 §2.3.1).
func originalRecipient(orcpt string, global bool) string {
	kind, addr, ok := strings.Cut(orcpt, ";")
	if !ok {
		return ""
	}
	return kind + "; " + addressText(oneLine(addr), global)
}

// addressField is an address with its type (RFC 3464 §2.3.2, RFC 6533 §3).
func addressField(a mail.Address, global bool) string {
	if a.IsASCII() {
		return "rfc822; " + a.String()
	}
	return "utf-8; " + addressText(a.String(), global)
}

// addressText writes what is not ASCII as \x{…} where UTF-8 is not allowed
// (RFC 6533 §3, utf-8-addr-xtext).
func addressText(s string, global bool) string {
	if global {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if r > 0x7e {
			fmt.Fprintf(&b, `\x{%X}`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// fold writes a header field in lines of foldAt columns where it has spaces
// (RFC 5322 §2.2.3), with its CRLF.
func fold(s string) string {
	var b strings.Builder
	line := 0
	for i, w := range strings.Split(s, " ") {
		switch {
		case i == 0:
		case i > 1 && w != "" && line+1+len(w) > foldAt:
			b.WriteString("\r\n ")
			line = 1
		default:
			b.WriteByte(' ')
			line++
		}
		b.WriteString(w)
		line += len(w)
	}
	return b.String() + "\r\n"
}
