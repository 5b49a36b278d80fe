package imapd

import (
	"cmp"

	"postrider/mail"
	"postrider/store"
)

// envelopeOf returns what ENVELOPE tells of a stored message: the fields of
// the header as it is served, so that those which we put before it count if it
// has none of that name.
func envelopeOf(c *store.Content) mail.HeaderInfo {
	h := c.Meta.Envelope
	for f := range mail.Fields(c.Prefix) {
		if to := envelopeField(&h, f); to != nil && *to == "" {
			*to = f.Value()
		}
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
	e.Special('(')
	e.field(h.Date, h.Empty&mail.EmptyDate != 0)
	e.SP()
	e.field(h.Subject, h.Empty&mail.EmptySubject != 0)
	from := mail.ParseAddressList(h.From)
	for _, list := range [][]mail.ListAddress{
		from, orFrom(h.Sender, from), orFrom(h.ReplyTo, from),
		mail.ParseAddressList(h.To), mail.ParseAddressList(h.Cc), mail.ParseAddressList(h.Bcc),
	} {
		e.SP()
		e.addresses(list)
	}
	e.SP()
	e.field(h.InReplyTo, h.Empty&mail.EmptyInReplyTo != 0)
	e.SP()
	e.field(h.MessageID, h.Empty&mail.EmptyMessageID != 0)
	e.Special(')')
}

// field writes a header field's text: "" for one that is there and empty.
func (e *encoder) field(s string, empty bool) {
	if s == "" && empty {
		e.Text(`""`)
		return
	}
	e.NString(s)
}

// orFrom is the default of Sender and Reply-To (RFC 9051 §7.5.2).
func orFrom(field string, from []mail.ListAddress) []mail.ListAddress {
	if list := mail.ParseAddressList(field); len(list) > 0 {
		return list
	}
	return from
}

// What stands for the missing half of an address, since NIL there marks the
// beginning or the end of a group (RFC 9051 §7.5.2). They are Dovecot's words,
// which programs that read envelopes know.
const (
	missingMailbox = "MISSING_MAILBOX"
	missingDomain  = "MISSING_DOMAIN"
)

func (e *encoder) addresses(list []mail.ListAddress) {
	if len(list) == 0 {
		e.NIL()
		return
	}
	e.Special('(')
	for _, a := range list {
		switch a.Group {
		case mail.GroupStart:
			e.Text("(NIL NIL ")
			e.String(a.Local)
			e.Text(" NIL)")
		case mail.GroupEnd:
			e.Text("(NIL NIL NIL NIL)")
		default:
			e.Special('(')
			e.NString(a.Name)
			e.SP()
			e.NString(a.Route)
			e.SP()
			e.String(cmp.Or(a.Local, missingMailbox))
			e.SP()
			e.String(cmp.Or(a.Domain, missingDomain))
			e.Special(')')
		}
	}
	e.Special(')')
}
