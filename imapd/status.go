package imapd

import (
	"postrider/imapd/wire"
	"postrider/store"
)

// statusItem is what STATUS may tell of a mailbox (RFC 9051 §6.3.11).
type statusItem struct {
	name  string
	value func(s *session, m *store.Mailbox) int64
	text  func(m *store.Mailbox) string // if value is nil
}

// statusItems has them all. No message is ever recent: \Recent went with
// IMAP4rev2 (RFC 9051 §E).
var statusItems = [...]statusItem{
	{name: "MESSAGES", value: func(_ *session, m *store.Mailbox) int64 { return m.Total }},
	{name: "RECENT", value: func(*session, *store.Mailbox) int64 { return 0 }},
	{name: "UIDNEXT", value: func(_ *session, m *store.Mailbox) int64 { return int64(m.UIDNext) }},
	{name: "UIDVALIDITY", value: func(_ *session, m *store.Mailbox) int64 { return int64(m.UIDValidity) }},
	{name: "UNSEEN", value: func(_ *session, m *store.Mailbox) int64 { return m.Unseen }},
	{name: "DELETED", value: func(_ *session, m *store.Mailbox) int64 { return m.Deleted }},
	{name: "SIZE", value: func(_ *session, m *store.Mailbox) int64 { return m.Bytes }},
	{name: "HIGHESTMODSEQ", value: func(s *session, m *store.Mailbox) int64 {
		s.knowsModSeq()
		return int64(max(m.ModSeq, 1))
	}},
	{name: "APPENDLIMIT", value: func(s *session, _ *store.Mailbox) int64 { return int64(s.srv.appendLimit()) }},
	{name: "DELETED-STORAGE", value: func(_ *session, m *store.Mailbox) int64 { return m.DeletedBytes }},
	{name: "MAILBOXID", text: func(m *store.Mailbox) string { return "(" + mailboxObjectID(m.ID) + ")" }}, // RFC 8474 §4.3
}

// parseStatusItems reads a list of items.
func parseStatusItems(d *wire.Decoder) (items []statusItem) {
	d.List(func() {
		name := d.Keyword()
		for _, x := range &statusItems {
			if x.name == name {
				items = append(items, x)
				return
			}
		}
		d.Fail("No such item")
	})
	if len(items) == 0 {
		d.Fail("An item is missing")
	}
	return items
}

// cmdStatus answers STATUS (RFC 9051 §6.3.11).
func (s *session) cmdStatus(d *wire.Decoder) error {
	d.SP()
	name := d.Mailbox()
	d.SP()
	items := parseStatusItems(d)
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	p, err := s.permitted(name, store.RightRead, "status")
	if err != nil {
		return err
	}
	e := newEncoder(s.c)
	s.writeStatus(e, &p.Mailbox, items)
	e.Flush()
	return nil
}

// writeStatus tells items in the order in which they were asked for.
func (s *session) writeStatus(e *encoder, m *store.Mailbox, items []statusItem) {
	e.Text("* STATUS ")
	e.Mailbox(m.Name)
	e.Text(" (")
	for i, x := range items {
		if i > 0 {
			e.SP()
		}
		e.Text(x.name)
		e.SP()
		if x.value != nil {
			e.Number(x.value(s, m))
		} else {
			e.Text(x.text(m))
		}
	}
	e.Special(')')
	e.CRLF()
}
