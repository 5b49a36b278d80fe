package imapd

import (
	"errors"
	"strings"

	"github.com/emersion/go-imap/v2"

	"postrider/mail"
	"postrider/store"
)

// othersPrefix begins the names of mailboxes that belong to others: their
// address and the name that they give it follow (RFC 2342 §4).
const othersPrefix = "Other Users/"

// place is a mailbox by the name that this client knows it by, and what she
// may do there.
type place struct {
	store.Mailbox        // its Name is the client's
	own           string // its name in its owner's account
	rights        store.Rights
}

// anyRight is the rights of which at least one is needed to learn that a mailbox
// is there (RFC 4314 §4, "Any").
const anyRight = store.RightLookup | store.RightRead | store.RightInsert | store.RightCreate | store.RightDelete | store.RightAdminister

var (
	errNoMailbox = no(imap.ResponseCodeNonExistent, "No such mailbox")
	errNoRight   = no(imap.ResponseCodeNoPerm, "Not permitted")
)

// allow refuses what needs a right that the client has not. Who may not see a
// mailbox does not learn of it (RFC 4314 §6).
func (p *place) allow(need store.Rights) error {
	switch {
	case p.rights&need == need:
		return nil
	case p.rights&store.RightLookup == 0:
		return errNoMailbox
	}
	return errNoRight
}

// isOthers tells whether a clean name is one of the other users' namespace.
func isOthers(name string) bool {
	return strings.HasPrefix(name, othersPrefix) || name == strings.TrimSuffix(othersPrefix, "/")
}

// locate finds whose mailbox a name means, and what its owner calls it. It
// returns the name in the form in which it is listed. The mailbox need not be
// there: NotFound if nobody has such mailboxes.
func (s *session) locate(name string) (owner store.AccountID, own, listed string, err error) {
	name, err = mailboxName(name)
	if err != nil || !isOthers(name) {
		return s.account(), name, name, err
	}
	nobody := store.Errorf(store.NotFound, "mailbox", "%q is nobody's", name)
	address, own, ok := splitOthers(strings.TrimPrefix(name, othersPrefix))
	if !ok {
		return 0, "", name, nobody
	}
	e, err := s.srv.o.Store.Recipient(s.ctx(), address)
	switch {
	case err != nil && store.KindOf(err) != store.NotFound:
		return 0, "", name, err
	case err != nil || e.Account == nil || e.Account.ID == s.account():
		return 0, "", name, nobody
	}
	if own, err = mailboxName(own); err != nil {
		return 0, "", name, err
	}
	return e.Account.ID, own, othersName(e.Account.Address, own), nil
}

// splitOthers splits what stands behind othersPrefix. An address may have the
// delimiter in its local part: it ends with the first level that makes it one.
func splitOthers(s string) (a mail.Address, own string, ok bool) {
	for i := 0; i < len(s); i++ {
		if s[i] != store.Delimiter {
			continue
		}
		if a, err := mail.ParseAddress(s[:i]); err == nil {
			return a, s[i+1:], true
		}
	}
	return mail.Address{}, "", false
}

// othersName is the name by which others know a mailbox.
func othersName(owner mail.Address, own string) string {
	return othersPrefix + owner.String() + "/" + own
}

// mailbox finds a mailbox by the name that a client gave: NotFound also if she
// may not know of it.
func (s *session) mailbox(name string) (place, error) {
	owner, own, listed, err := s.locate(name)
	if err == nil {
		var p place
		p, err = s.place(owner, own, listed)
		if err == nil {
			return p, nil
		}
	}
	switch {
	case errors.Is(err, errName):
		return place{}, store.Errorf(store.NotFound, "mailbox", "%w", err)
	case store.KindOf(err) == store.NotFound && isOthers(listed):
		// One of her own may have had such a name before there were others.
		return s.place(s.account(), listed, listed)
	}
	return place{}, err
}

// place finds a mailbox by what its owner calls it.
func (s *session) place(owner store.AccountID, own, listed string) (place, error) {
	m, err := s.srv.o.Store.Mailbox(s.ctx(), owner, own)
	if err != nil {
		return place{}, err
	}
	p := place{Mailbox: m, own: own, rights: store.AllRights}
	p.Name = listed
	if owner == s.account() {
		return p, nil
	}
	p.Use = store.UseNone // what a mailbox is for its owner it is not for others
	if p.rights, err = s.srv.o.Store.Rights(s.ctx(), m.ID, s.account()); err != nil {
		return place{}, err
	}
	if p.rights&anyRight == 0 {
		return place{}, store.Errorf(store.NotFound, "mailbox", "no rights in %q", listed)
	}
	return p, nil
}

// permitted is mailbox for what needs a right there. Its errors are ready for
// the wire.
func (s *session) permitted(name string, need store.Rights, doing string) (place, error) {
	p, err := s.mailbox(name)
	if err != nil {
		return p, s.wireError(err, doing)
	}
	return p, p.allow(need)
}

// places returns all mailboxes that the client may list, her own first.
func (s *session) places() ([]place, error) {
	boxes, err := s.srv.o.Store.List(s.ctx(), s.account())
	if err != nil {
		return nil, err
	}
	shared, err := s.srv.o.Store.Shared(s.ctx(), s.account())
	if err != nil {
		return nil, err
	}
	all := make([]place, 0, len(boxes)+len(shared))
	for _, m := range boxes {
		all = append(all, place{Mailbox: m, own: m.Name, rights: store.AllRights})
	}
	for _, m := range shared {
		if p := sharedPlace(m); p.rights&store.RightLookup != 0 {
			all = append(all, p)
		}
	}
	return all, nil
}

func sharedPlace(m store.SharedMailbox) place {
	p := place{Mailbox: m.Mailbox, own: m.Name, rights: m.Rights}
	p.Name, p.Use = othersName(m.Owner, m.Name), store.UseNone
	if clean, err := mailboxName(p.Name); err != nil || clean != p.Name {
		p.rights = 0 // an address that no name can hold
	}
	return p
}

// placeOf returns a mailbox by its number, as this client knows it. NotFound if
// it is gone, or nothing to her.
func (s *session) placeOf(id store.MailboxID) (place, error) {
	all, err := s.places()
	if err != nil {
		return place{}, err
	}
	for _, p := range all {
		if p.ID == id {
			return p, nil
		}
	}
	return place{}, store.Errorf(store.NotFound, "mailbox", "no mailbox %v", id)
}
