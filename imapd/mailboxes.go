package imapd

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"
	"golang.org/x/text/unicode/norm"

	"postrider/imapd/wire"
	"postrider/store"
)

const (
	maxName  = 1000 // bytes of a mailbox's name
	maxDepth = 100  // levels of its hierarchy
)

var errName = no(imap.ResponseCodeCannot, "No mailbox can have this name")

// mailboxName brings a name to the form that the store has: NFC, INBOX in
// upper case, no delimiter at the end. INBOX is matched without regard to case
// also as the first of several levels (RFC 9051 §5.1).
func mailboxName(name string) (string, error) {
	name = norm.NFC.String(name)
	if len(name) > maxName || !utf8.ValidString(name) {
		return "", errName
	}
	levels := strings.Split(name, string(store.Delimiter))
	if len(levels) > maxDepth {
		return "", errName
	}
	for _, l := range levels {
		if l == "" || strings.IndexFunc(l, unicode.IsControl) >= 0 {
			return "", errName
		}
	}
	if strings.EqualFold(levels[0], store.Inbox) {
		levels[0] = store.Inbox
	}
	return strings.Join(levels, string(store.Delimiter)), nil
}

var uses = []struct {
	attr imap.MailboxAttr
	use  store.Use
}{
	{imap.MailboxAttrDrafts, store.UseDrafts},
	{imap.MailboxAttrSent, store.UseSent},
	{imap.MailboxAttrJunk, store.UseJunk},
	{imap.MailboxAttrTrash, store.UseTrash},
	{imap.MailboxAttrArchive, store.UseArchive},
	{imap.MailboxAttrAll, store.UseAll},
	{imap.MailboxAttrFlagged, store.UseFlagged},
}

// useOf is the special use that an attribute stands for, if it is one.
func useOf(attr string) store.Use {
	for _, x := range uses {
		if strings.EqualFold(string(x.attr), attr) {
			return x.use
		}
	}
	return store.UseNone
}

func attrOf(u store.Use) imap.MailboxAttr {
	for _, x := range uses {
		if x.use == u {
			return x.attr
		}
	}
	return ""
}

// cmdCreate answers CREATE (RFC 9051 §6.3.4, RFC 6154 §3, RFC 8474 §4.1). A
// delimiter at the end says that children will come, which any mailbox may
// have.
func (s *session) cmdCreate(d *wire.Decoder) error {
	d.SP()
	given := strings.TrimSuffix(d.Mailbox(), string(store.Delimiter))
	var attrs []string
	if d.TrySP() && !d.End() {
		d.List(func() {
			if d.Keyword() != "USE" {
				d.Fail("No such parameter")
			}
			d.SP()
			attrs = d.FlagList()
		})
	}
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	owner, own, name, err := s.newName(given)
	if err != nil {
		return err
	}
	use, err := s.newUse(owner, attrs)
	if err != nil {
		return err
	}
	m, err := s.srv.o.Store.Create(s.ctx(), owner, own, use)
	switch {
	case err == nil:
		s.tellName(name, given, "")
		s.ok("MAILBOXID ("+mailboxObjectID(m.ID)+")", "")
		return nil
	case store.KindOf(err) == store.Invalid:
		return errName
	}
	return s.wireError(err, "create")
}

// newName finds where a mailbox of a name is to be, which the client must be
// allowed to make there: with the right "k" in the nearest mailbox above it
// that is there (RFC 4314 §4).
func (s *session) newName(given string) (owner store.AccountID, own, listed string, err error) {
	owner, own, listed, err = s.locate(given)
	switch {
	case err != nil && store.KindOf(err) == store.NotFound:
		return 0, "", "", errNoRight // in somebody's place, who may be there or not
	case err != nil:
		return 0, "", "", s.wireError(err, "create")
	case owner == s.account():
		return owner, own, listed, nil
	}
	for above := range parents(listed) {
		p, err := s.mailbox(above)
		if err == nil {
			return owner, own, listed, p.allow(store.RightCreate)
		}
		if store.KindOf(err) != store.NotFound {
			return 0, "", "", s.wireError(err, "create")
		}
	}
	return 0, "", "", errNoRight
}

// newUse is the special use that CREATE asks for: one, which is not all mail
// or flagged mail, as those are no mailboxes here, and which no mailbox has.
func (s *session) newUse(owner store.AccountID, attrs []string) (store.Use, error) {
	refused := no("USEATTR", "This special use cannot be given to the mailbox")
	if len(attrs) == 0 {
		return store.UseNone, nil
	}
	use := useOf(attrs[0])
	if len(attrs) > 1 || use == store.UseNone || use == store.UseAll || use == store.UseFlagged || owner != s.account() {
		return "", refused
	}
	all, err := s.srv.o.Store.List(s.ctx(), owner)
	if err != nil {
		return "", s.wireError(err, "list")
	}
	for _, m := range all {
		if m.Use == use {
			return "", refused
		}
	}
	return use, nil
}

// tellName tells a client of IMAP4rev2 that a mailbox has another name than
// the one she gave, or had before (RFC 9051 §6.3.9.7). Names that differ only
// in the case of INBOX are not worth it.
func (s *session) tellName(name, old, attrs string) {
	if name == old || !s.rev2() || strings.EqualFold(name, old) && strings.EqualFold(name, store.Inbox) {
		return
	}
	e := newEncoder(s.c)
	e.Text("* LIST (" + attrs + `) "/" `)
	e.Mailbox(name)
	e.Text(` ("OLDNAME" (`)
	e.Mailbox(old)
	e.Text("))")
	e.CRLF()
	e.Flush()
}

// oneMailbox reads arguments that are the name of a mailbox.
func oneMailbox(d *wire.Decoder) string {
	d.SP()
	name := d.Mailbox()
	d.CRLF()
	return name
}

// cmdDelete answers DELETE (RFC 9051 §6.3.5).
func (s *session) cmdDelete(d *wire.Decoder) error {
	given := oneMailbox(d)
	if err := d.Err(); err != nil {
		return err
	}
	p, err := s.permitted(given, store.RightDelete, "delete")
	if err != nil {
		return err
	}
	if p.own == store.Inbox {
		return no(imap.ResponseCodeCannot, "INBOX cannot be deleted")
	}
	if err := s.srv.o.Store.Delete(s.ctx(), p.ID.Account, p.own); err != nil {
		return s.wireError(err, "delete")
	}
	s.tellName(p.Name, given, `\NonExistent`)
	if s.box != nil && s.box.id == p.ID {
		s.unselect() // by its own doing: no reason for BYE
	}
	return nil
}

// cmdRename answers RENAME (RFC 9051 §6.3.6). A mailbox stays its owner's.
func (s *session) cmdRename(d *wire.Decoder) error {
	d.SP()
	from := d.Mailbox()
	d.SP()
	to := strings.TrimSuffix(d.Mailbox(), string(store.Delimiter))
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	p, err := s.toRename(from)
	if err != nil {
		return err
	}
	owner, own, listed, err := s.newName(to)
	if err != nil {
		return err
	}
	if owner != p.ID.Account {
		return no(imap.ResponseCodeCannot, "A mailbox cannot change hands")
	}
	err = s.srv.o.Store.Rename(s.ctx(), owner, p.own, own)
	switch {
	case err == nil && p.ID.N == 0:
		s.tellName(listed, p.Name, `\NonExistent`)
		return nil
	case err == nil:
		s.tellName(listed, p.Name, "")
		return nil
	case store.KindOf(err) == store.Invalid:
		return errName
	}
	return s.wireError(err, "rename")
}

// toRename finds what RENAME is to rename: a mailbox, or a name of the client's
// own that may only have children, and then has no number.
func (s *session) toRename(name string) (place, error) {
	p, err := s.permitted(name, store.RightDelete, "rename")
	if err == nil {
		return p, nil
	}
	owner, own, listed, locateErr := s.locate(name)
	if locateErr != nil || owner != s.account() {
		return p, err
	}
	p = place{own: own}
	p.ID.Account, p.Name = owner, listed
	return p, nil
}

// cmdSubscribe answers SUBSCRIBE and UNSUBSCRIBE. Names need no mailbox (RFC
// 9051 §6.3.7).
func (s *session) cmdSubscribe(d *wire.Decoder) error {
	name := oneMailbox(d)
	if err := d.Err(); err != nil {
		return err
	}
	_, _, listed, err := s.locate(strings.TrimSuffix(name, string(store.Delimiter)))
	if err != nil && store.KindOf(err) != store.NotFound {
		return s.wireError(err, "subscribe")
	}
	on := s.c.req.name == "SUBSCRIBE"
	return s.wireError(s.srv.o.Store.Subscribe(s.ctx(), s.account(), listed, on), "subscribe")
}

// cmdNamespace answers NAMESPACE (RFC 9051 §6.3.10). Clients trip over a prefix
// that is not quoted.
func (s *session) cmdNamespace(d *wire.Decoder) error {
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	s.c.write(`* NAMESPACE (("" "/")) (("` + othersPrefix + `" "/")) NIL` + "\r\n")
	return nil
}
