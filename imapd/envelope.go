package imapd

import (
	"postrider/mail"
	"postrider/store"
)

// envelopeOf returns what ENVELOPE tells of a stored message: the fields of
// the header as it is served, so that those which we put before it count, the
// first of a name where there are several.
func envelopeOf(c *store.Content) mail.HeaderInfo {
	h := c.Meta.Envelope
	seen := map[*string]bool{}
	for f := range mail.Fields(c.Prefix) {
		to := envelopeField(&h, f)
		if to == nil || seen[to] {
			continue
		}
		seen[to] = true
		*to = f.Value()
	}
	return h
}

// envelopeField finds where a header field belongs.
func envelopeField(h *mail.HeaderInfo, f mail.Field) *string {
	for _, x := range []struct {
		name string
		to   *string
	}{
		{"Date", &h.Date}, {"Subject", &h.Subject}, {"From", &h.From}, {"Sender", &h.Sender},
		{"Reply-To", &h.ReplyTo}, {"To", &h.To}, {"Cc", &h.Cc}, {"Bcc", &h.Bcc},
		{"In-Reply-To", &h.InReplyTo}, {"Message-ID", &h.MessageID},
	} {
		if f.Is(x.name) {
			return x.to
		}
	}
	return nil
}

// envelope writes an ENVELOPE (RFC 9051 §7.5.2). Texts are as they stand in
// the message: encoded words are the client's to decode.
func (e *encoder) envelope(h *mail.HeaderInfo) {
	e.atom("(")
	e.field(h.Date, h.Empty&mail.EmptyDate != 0)
	e.atom(" ")
	e.field(h.Subject, h.Empty&mail.EmptySubject != 0)
	from := mail.ParseAddressList(h.From)
	for _, list := range [][]mail.ListAddress{
		from, orFrom(h.Sender, from), orFrom(h.ReplyTo, from),
		mail.ParseAddressList(h.To), mail.ParseAddressList(h.Cc), mail.ParseAddressList(h.Bcc),
	} {
		e.atom(" ")
		e.addresses(list)
	}
	e.atom(" ")
	e.field(h.InReplyTo, h.Empty&mail.EmptyInReplyTo != 0)
	e.atom(" ")
	e.field(h.MessageID, h.Empty&mail.EmptyMessageID != 0)
	e.atom(")")
}

// field writes a header field's text: "" for one that is there and empty.
func (e *encoder) field(s string, empty bool) {
	if s == "" && empty {
		e.atom(`""`)
		return
	}
	e.nstring(s)
}

// orFrom is the default of Sender and Reply-To (RFC 9051 §7.5.2).
func orFrom(field string, from []mail.ListAddress) []mail.ListAddress {
	if list := mail.ParseAddressList(field); len(list) > 0 {
		return list
	}
	return from
}

func (e *encoder) addresses(list []mail.ListAddress) {
	if len(list) == 0 {
		e.atom("NIL")
		return
	}
	e.atom("(")
	for _, a := range list {
		switch a.Group {
		case mail.GroupStart:
			e.atom("(NIL NIL ")
			e.str(a.Local)
			e.atom(" NIL)")
		case mail.GroupEnd:
			e.atom("(NIL NIL NIL NIL)")
		default:
			e.atom("(")
			e.nstring(a.Name)
			e.atom(" ")
			e.nstring(a.Route)
			e.atom(" ")
			e.str(a.Local) // never NIL: that would mark a group
			e.atom(" ")
			e.str(a.Domain)
			e.atom(")")
		}
	}
	e.atom(")")
}
