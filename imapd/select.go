package imapd

import (
	"strconv"
	"strings"

	"postrider/imapd/wire"
	"postrider/store"
)

// cmdSelect answers SELECT and EXAMINE (RFC 9051 §6.3.2, §6.3.3).
func (s *session) cmdSelect(d *wire.Decoder) error {
	d.SP()
	name := d.Mailbox()
	known := s.parseSelectParams(d)
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	if known.seqs.Ranges != nil && s.enabled&uidOnly != 0 {
		return errUIDRequired // a sample of numbers means nothing
	}
	if s.box != nil {
		s.unselect()
		s.c.write("* OK [CLOSED] Previous mailbox is now closed\r\n")
	}
	p, err := s.permitted(name, store.RightRead, "select")
	if err != nil {
		return err
	}
	v, err := s.srv.o.Store.View(s.ctx(), p.ID)
	if err != nil {
		return s.wireError(err, "view")
	}
	readOnly := s.c.req.name == "EXAMINE" || p.rights&changing == 0
	s.box = newMailboxView(v, readOnly, &s.enabled, p.rights)
	s.describe(p.Name, name)
	if known.condstore {
		s.enabled |= condstore
	}
	if known.given && known.validity == v.Mailbox().UIDValidity {
		if err := s.resync(&known); err != nil {
			return err
		}
	}
	if readOnly {
		s.ok("READ-ONLY", "")
	} else {
		s.ok("READ-WRITE", "")
	}
	return nil
}

// changing are the rights of which one makes a mailbox more than read-only (RFC
// 4314 §5.2).
const changing = store.RightInsert | store.RightExpunge | store.RightSeen | store.RightWrite | store.RightDeleteMessages

// describe tells what SELECT tells of the mailbox, whose name the client has
// given in some form.
func (s *session) describe(name, given string) {
	box, e := s.box, newEncoder(s.c)
	v := box.told
	m := v.Mailbox()
	e.Text("* ")
	e.Number(int64(v.Len()))
	e.Text(" EXISTS")
	e.CRLF()
	if !s.rev2() {
		e.Text("* 0 RECENT")
		e.CRLF()
		if i := v.FirstWithout(store.Seen); i < v.Len() && s.enabled&uidOnly == 0 {
			e.okCode("UNSEEN "+strconv.Itoa(i+1), "First unseen message")
		}
	}
	e.okCode("UIDVALIDITY "+strconv.FormatUint(uint64(m.UIDValidity), 10), "UIDs valid")
	e.okCode("UIDNEXT "+strconv.FormatUint(uint64(m.UIDNext), 10), "Predicted next UID")
	for _, set := range v.KeywordSets() {
		box.learn(set)
	}
	all := box.flagList()
	e.Text("* FLAGS ")
	e.flagList(all)
	e.CRLF()
	box.writePermanent(e, all)
	e.okCode("HIGHESTMODSEQ "+strconv.FormatInt(int64(box.highest()), 10), "Highest mod-sequence") // RFC 7162 §3.1.2.1
	e.okCode("MAILBOXID ("+mailboxObjectID(m.ID)+")", "Mailbox id")                                // RFC 8474 §4.2
	if s.rev2() {                                                                                  // RFC 9051 §6.3.2: and not asked for by IMAP4rev1
		e.Text(`* LIST () "/" `)
		e.Mailbox(name)
		if name != given && !strings.EqualFold(given, store.Inbox) {
			e.Text(` ("OLDNAME" (`)
			e.Mailbox(given)
			e.Text("))")
		}
		e.CRLF()
	}
	e.Flush()
}

// cmdUnselect answers UNSELECT (RFC 9051 §6.4.2).
func (s *session) cmdUnselect(d *wire.Decoder) error {
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	s.unselect()
	return nil
}

// cmdClose answers CLOSE, which expunges, tells nothing and, in a mailbox
// opened by EXAMINE, removes nothing (RFC 9051 §6.4.1).
func (s *session) cmdClose(d *wire.Decoder) error {
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	if !s.box.readOnly && s.may(store.RightExpunge) == nil { // without it, CLOSE is UNSELECT (RFC 4314 §4)
		_, err := s.srv.o.Store.Expunge(s.ctx(), s.box.id, store.AllUIDs(), true)
		if err != nil && store.KindOf(err) != store.NotFound { // if the mailbox is gone, so is all in it
			return s.wireError(err, "expunge")
		}
	}
	s.unselect()
	return nil
}

// unselect leaves the selected mailbox, if there is one; the saved search
// result goes with it (RFC 5182 §2.1).
func (s *session) unselect() { s.box, s.saved = nil, nil }
