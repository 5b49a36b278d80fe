package imapd

import (
	"github.com/emersion/go-imap/v2"

	"postrider/store"
)

// selectMailbox answers SELECT and EXAMINE (RFC 9051 §6.3.2).
func (s *session) selectMailbox(name string, readOnly bool) (*imap.SelectData, error) {
	s.unselect()
	m, err := s.mailbox(name)
	if err != nil {
		return nil, s.wireError(err, "select")
	}
	v, err := s.srv.o.Store.View(s.c.ctx, m.ID)
	if err != nil {
		return nil, s.wireError(err, "view")
	}
	box := newMailboxView(v, readOnly)
	s.box = box
	data := &imap.SelectData{
		NumMessages: uint32(v.Len()),
		UIDNext:     imap.UID(v.Mailbox().UIDNext),
		UIDValidity: v.Mailbox().UIDValidity,
	}
	for _, set := range v.KeywordSets() {
		box.learn(set)
	}
	if i := v.FirstWithout(store.Seen); i < v.Len() {
		data.FirstUnseenSeqNum = uint32(i) + 1
	}
	data.Flags = box.flagList()
	if !readOnly {
		data.PermanentFlags = append(data.Flags, imap.FlagWildcard)
	}
	if s.rev2() { // RFC 9051 §6.3.2: and not asked for by IMAP4rev1
		data.List = &imap.ListData{Mailbox: m.Name, Delim: store.Delimiter}
	}
	return data, nil
}

// unselect leaves the selected mailbox, if there is one; the saved search
// result goes with it (RFC 5182 §2.1).
func (s *session) unselect() error {
	s.box, s.saved = nil, nil
	return nil
}
