package imapd

import (
	"github.com/emersion/go-imap/v2"

	"postrider/imapd/wire"
	"postrider/store"
)

// cmdReplace answers REPLACE and UID REPLACE (RFC 8508): a message comes and
// another goes, both or neither. APPENDUID stands before EXPUNGE (§4.3).
func (s *session) cmdReplace(d *wire.Decoder) error {
	d.SP()
	set := d.SeqSet()
	d.SP()
	name := d.Mailbox()
	d.SP()
	if err := d.Err(); err != nil {
		return err
	}
	if len(set.Ranges) != 1 || set.Ranges[0].A != set.Ranges[0].B {
		return badCommand("One message is replaced")
	}
	if err := s.may(store.RightDeleteMessages | store.RightExpunge); err != nil {
		return err
	}
	indices, err := s.resolve(set, s.byUID())
	switch {
	case err != nil:
		return err
	case len(indices) == 0:
		return no(imap.ResponseCodeNonExistent, "No such message")
	}
	p, err := s.target(name, "replace")
	if err != nil {
		return err
	}
	a := s.newAppending(d, &p)
	defer a.body.Close()
	if err := a.message(); err != nil {
		return err
	}
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	filed, err := s.srv.o.Store.Replace(s.ctx(), "", s.box.id, s.box.told.UID(indices[0]), p.ID, a.messages()[0])
	if err != nil {
		return s.intoMailbox(err, "replace")
	}
	e := newEncoder(s.c)
	e.okCode(appendUIDCode([]store.Filed{filed}), "Replacement is stored")
	e.Flush()
	return s.refresh(true)
}
