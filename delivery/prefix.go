package delivery

import (
	"cmp"
	"net/netip"
	"strings"
	"time"

	"postrider/mail"
	"postrider/store"
)

// returnPath is the field that final delivery puts first (RFC 5321 §4.4).
func returnPath(from mail.Address) []byte {
	return []byte("Return-Path: <" + from.String() + ">\r\n")
}

// prefix is what we put before a message for every recipient: what was found
// out about it, above the Received of who found it (RFC 8601 §5), that, then,
// on submission, Date and Message-ID where they are missing (RFC 6409 §8.2,
// §8.3). It ends in an empty line if the message has no header of its own, so
// that its text stays text.
func (d *Deliverer) prefix(m *Message, h *header, cut []store.Range, now time.Time) []byte {
	var b strings.Builder
	if m.Checked != nil {
		b.WriteString(m.Checked.Field(d.o.AuthservID))
	}
	b.WriteString(d.received(m, now))
	if m.Submission {
		if h.count("Date") == 0 {
			b.WriteString("Date: " + mail.FormatDate(now) + "\r\n")
		}
		if h.count("Message-ID") == 0 {
			b.WriteString("Message-ID: <" + string(m.ID) + "@" + d.o.Hostname + ">\r\n")
		}
	}
	if h.empty(cut) {
		b.WriteString("\r\n")
	}
	return []byte(b.String())
}

// received is the time stamp line of RFC 5321 §4.4.
func (d *Deliverer) received(m *Message, now time.Time) string {
	var b strings.Builder
	b.WriteString("Received: ")
	if from := m.Peer.from(); from != "" {
		b.WriteString("from " + from + "\r\n\t")
	}
	b.WriteString("by " + d.o.Hostname)
	if m.Peer.Proto != "" {
		b.WriteString(" with " + m.Peer.Proto)
	}
	if m.Peer.TLS != "" {
		b.WriteString(" (" + m.Peer.TLS + ")")
	}
	b.WriteString("\r\n\tid " + string(m.ID))
	// One recipient only: naming several would show a Bcc to the others (RFC
	// 5321 §7.2).
	if r := m.Envelope.Rcpts; len(r) == 1 && (m.Envelope.UTF8 || r[0].Addr.IsASCII()) {
		b.WriteString("\r\n\tfor <" + r[0].Addr.String() + ">")
	}
	b.WriteString(";\r\n\t" + mail.FormatDate(now) + "\r\n")
	return b.String()
}

// from is the From-domain: what the peer called itself, and in parentheses
// where it really was. In place of a name that is no domain, which could be
// anything, stands the address again: a literal without parentheses is no
// Extended-Domain (RFC 5321 §4.4).
func (p *Peer) from() string {
	name := p.Helo
	if key, err := mail.DomainKey(name); err != nil {
		name = ""
	} else if !(mail.Address{Domain: name}).IsASCII() {
		name = key // A-labels: the rest of the header may be ASCII
	}
	if !p.Addr.IsValid() {
		return name
	}
	literal := Literal(p.Addr)
	return cmp.Or(name, literal) + " (" + literal + ")"
}

// here is the literal of the address where p reached us, empty if it has none.
func (p *Peer) here() string {
	if !p.Local.IsValid() {
		return ""
	}
	return Literal(p.Local)
}

// Literal writes an address as an address literal (RFC 5321 §4.1.3).
func Literal(a netip.Addr) string {
	if a = a.Unmap().WithZone(""); a.Is6() {
		return "[IPv6:" + a.String() + "]"
	}
	return "[" + a.String() + "]"
}
