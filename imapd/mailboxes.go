package imapd

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"
	"golang.org/x/text/unicode/norm"

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

func attrOf(u store.Use) imap.MailboxAttr {
	for _, x := range uses {
		if x.use == u {
			return x.attr
		}
	}
	return ""
}

// create answers CREATE (RFC 9051 §6.3.4, RFC 6154 §3). A delimiter at the
// end says that children will come, which any mailbox may have.
func (s *session) create(name string, attrs []imap.MailboxAttr) error {
	name, err := mailboxName(strings.TrimSuffix(name, string(store.Delimiter)))
	if err != nil {
		return err
	}
	use, err := s.newUse(attrs)
	if err != nil {
		return err
	}
	_, err = s.srv.o.Store.Create(s.c.ctx, s.account(), name, use)
	if store.KindOf(err) == store.Invalid && err != nil {
		return errName
	}
	return s.wireError(err, "create")
}

// newUse is the special use that CREATE asks for: one, which is not all mail
// or flagged mail, as those are no mailboxes here, and which no mailbox has.
func (s *session) newUse(attrs []imap.MailboxAttr) (store.Use, error) {
	refused := no("USEATTR", "This special use cannot be given to the mailbox")
	if len(attrs) == 0 {
		return store.UseNone, nil
	}
	use := store.UseNone
	for _, x := range uses {
		if strings.EqualFold(string(x.attr), string(attrs[0])) {
			use = x.use
		}
	}
	if len(attrs) > 1 || use == store.UseNone || use == store.UseAll || use == store.UseFlagged {
		return "", refused
	}
	all, err := s.srv.o.Store.List(s.c.ctx, s.account())
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

// deleteMailbox answers DELETE (RFC 9051 §6.3.5).
func (s *session) deleteMailbox(name string) error {
	name, err := mailboxName(name)
	if err != nil {
		return no(imap.ResponseCodeNonExistent, "No such mailbox")
	}
	if name == store.Inbox {
		return no(imap.ResponseCodeCannot, "INBOX cannot be deleted")
	}
	m, err := s.mailbox(name)
	if err == nil {
		err = s.srv.o.Store.Delete(s.c.ctx, s.account(), name)
	}
	if err == nil && s.box != nil && s.box.id == m.ID {
		s.unselect() // by its own doing: no reason for BYE
	}
	return s.wireError(err, "delete")
}

// rename answers RENAME (RFC 9051 §6.3.6).
func (s *session) rename(from, to string) error {
	from, err := mailboxName(from)
	if err != nil {
		return no(imap.ResponseCodeNonExistent, "No such mailbox")
	}
	to, err = mailboxName(strings.TrimSuffix(to, string(store.Delimiter)))
	if err != nil {
		return err
	}
	err = s.srv.o.Store.Rename(s.c.ctx, s.account(), from, to)
	if store.KindOf(err) == store.Invalid && err != nil {
		return errName
	}
	return s.wireError(err, "rename")
}

// subscribe answers SUBSCRIBE and UNSUBSCRIBE. Names need no mailbox (RFC
// 9051 §6.3.7).
func (s *session) subscribe(name string, on bool) error {
	name, err := mailboxName(strings.TrimSuffix(name, string(store.Delimiter)))
	if err != nil {
		return err
	}
	return s.wireError(s.srv.o.Store.Subscribe(s.c.ctx, s.account(), name, on), "subscribe")
}

// status answers STATUS (RFC 9051 §6.3.11).
func (s *session) status(name string, o *imap.StatusOptions) (*imap.StatusData, error) {
	m, err := s.mailbox(name)
	if err != nil {
		return nil, s.wireError(err, "status")
	}
	return s.statusOf(m, o), nil
}

// statusOf has all items; the engine writes those that are asked for. No
// message is ever recent: \Recent went with IMAP4rev2 (RFC 9051 §E).
func (s *session) statusOf(m store.Mailbox, o *imap.StatusOptions) *imap.StatusData {
	total, unseen, deleted, recent := uint32(m.Total), uint32(m.Unseen), uint32(m.Deleted), uint32(0)
	limit := s.srv.appendLimit()
	return &imap.StatusData{
		Mailbox: m.Name, NumMessages: &total, NumRecent: &recent, NumUnseen: &unseen, NumDeleted: &deleted,
		UIDNext: imap.UID(m.UIDNext), UIDValidity: m.UIDValidity, Size: &m.Bytes,
		AppendLimit: &limit, DeletedStorage: &m.DeletedBytes,
	}
}
