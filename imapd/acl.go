package imapd

import (
	"strings"

	"github.com/emersion/go-imap/v2"

	"postrider/imapd/wire"
	"postrider/mail"
	"postrider/store"
)

// writtenRights are rights as clients get them: with "c" and "d", which stand
// for what they became, for those who know only RFC 2086 (RFC 4314 §2.1.1).
func writtenRights(r store.Rights) string {
	s := r.String()
	if r&(store.RightCreate|store.RightDelete) != 0 {
		s += "c"
	}
	if r&(store.RightDeleteMessages|store.RightExpunge) != 0 {
		s += "d"
	}
	return s
}

// identity is who a grant is for (RFC 4314 §2).
type identity struct {
	who      store.AccountID // 0 is anyone
	negative bool
}

var errNoIdentity = no(imap.ResponseCodeNonExistent, "Nobody here has this identifier")

// identity finds who an identifier names: an address of this server or
// "anyone", behind "-" if rights are taken away.
func (s *session) identity(text string) (id identity, err error) {
	text, id.negative = strings.CutPrefix(text, "-")
	if strings.EqualFold(text, "anyone") {
		return id, nil
	}
	a, err := mail.ParseAddress(text)
	if err != nil {
		return id, errNoIdentity
	}
	e, err := s.srv.o.Store.Lookup(s.ctx(), a)
	switch {
	case err != nil && store.KindOf(err) != store.NotFound:
		return id, s.wireError(err, "lookup")
	case err != nil || e.Account == nil:
		return id, errNoIdentity
	}
	id.who = e.Account.ID
	return id, nil
}

// identifier is the text of who a grant is for.
func identifier(g store.Grant) string {
	text := "anyone"
	if g.Who != store.Anyone {
		text = g.Address.String()
	}
	if g.Negative {
		text = "-" + text
	}
	return text
}

// cmdSetACL answers SETACL (RFC 4314 §3.1). The owner of a mailbox has all
// rights, which nobody can change.
func (s *session) cmdSetACL(d *wire.Decoder) error {
	d.SP()
	name := d.Mailbox()
	d.SP()
	who := d.AString()
	d.SP()
	text := d.AString()
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	mode := store.FlagsSet
	if letters, ok := strings.CutPrefix(text, "+"); ok {
		text, mode = letters, store.FlagsAdd
	} else if letters, ok := strings.CutPrefix(text, "-"); ok {
		text, mode = letters, store.FlagsRemove
	}
	rights, ok := store.ParseRights(text)
	if !ok {
		return badCommand("No such right")
	}
	return s.setACL(name, who, mode, rights)
}

// cmdDeleteACL answers DELETEACL (RFC 4314 §3.2).
func (s *session) cmdDeleteACL(d *wire.Decoder) error {
	d.SP()
	name := d.Mailbox()
	d.SP()
	who := d.AString()
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	return s.setACL(name, who, store.FlagsSet, 0)
}

func (s *session) setACL(name, who string, mode store.FlagMode, rights store.Rights) error {
	p, err := s.permitted(name, store.RightAdminister, "acl")
	if err != nil {
		return err
	}
	id, err := s.identity(who)
	if err != nil {
		return err
	}
	if id.who == p.ID.Account {
		if !id.negative && (mode == store.FlagsAdd || mode == store.FlagsSet && rights == store.AllRights) {
			return nil // so it is
		}
		return no(imap.ResponseCodeCannot, "The owner has all rights")
	}
	return s.wireError(s.srv.o.Store.SetACL(s.ctx(), p.ID, id.who, id.negative, mode, rights), "acl")
}

// cmdGetACL answers GETACL (RFC 4314 §3.3).
func (s *session) cmdGetACL(d *wire.Decoder) error {
	name := oneMailbox(d)
	if err := d.Err(); err != nil {
		return err
	}
	p, err := s.permitted(name, store.RightAdminister, "acl")
	if err != nil {
		return err
	}
	grants, err := s.srv.o.Store.ACL(s.ctx(), p.ID)
	if err != nil {
		return s.wireError(err, "acl")
	}
	owner, err := s.srv.o.Store.Account(s.ctx(), p.ID.Account)
	if err != nil {
		return s.wireError(err, "acl")
	}
	grants = append([]store.Grant{{Who: owner.ID, Address: owner.Address, Rights: store.AllRights}}, grants...)
	e := newEncoder(s.c)
	e.Text("* ACL ")
	e.Mailbox(p.Name)
	for _, g := range grants {
		e.SP()
		e.AString(identifier(g))
		e.Text(" " + writtenRights(g.Rights))
	}
	e.CRLF()
	e.Flush()
	return nil
}

// cmdListRights answers LISTRIGHTS (RFC 4314 §3.4): any right can be given to
// anybody without any other.
func (s *session) cmdListRights(d *wire.Decoder) error {
	d.SP()
	name := d.Mailbox()
	d.SP()
	who := d.AString()
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	p, err := s.permitted(name, store.RightAdminister, "acl")
	if err != nil {
		return err
	}
	id, err := s.identity(who)
	if err != nil {
		return err
	}
	e := newEncoder(s.c)
	e.Text("* LISTRIGHTS ")
	e.Mailbox(p.Name)
	e.SP()
	e.AString(who)
	switch {
	case id.who == p.ID.Account && id.negative:
		e.Text(` ""`)
	case id.who == p.ID.Account:
		e.Text(" " + writtenRights(store.AllRights))
	default:
		e.Text(` "" ` + strings.Join(strings.Split(writtenRights(store.AllRights), ""), " "))
	}
	e.CRLF()
	e.Flush()
	return nil
}

// cmdMyRights answers MYRIGHTS (RFC 4314 §3.5).
func (s *session) cmdMyRights(d *wire.Decoder) error {
	name := oneMailbox(d)
	if err := d.Err(); err != nil {
		return err
	}
	p, err := s.permitted(name, 0, "rights")
	if err != nil {
		return err
	}
	e := newEncoder(s.c)
	e.myRights(&p)
	e.Flush()
	return nil
}

// myRights writes what the client may do in a mailbox.
func (e *encoder) myRights(p *place) {
	e.Text("* MYRIGHTS ")
	e.Mailbox(p.Name)
	e.Text(" " + writtenRights(p.rights))
	e.CRLF()
}

// flagMask is the flags that may not be changed with some rights (RFC 4314
// §4): the store leaves them alone.
func flagMask(r store.Rights) (keep store.FlagMask) {
	if r&store.RightSeen == 0 {
		keep.System |= store.Seen
	}
	if r&store.RightDeleteMessages == 0 {
		keep.System |= store.Deleted
	}
	if r&store.RightWrite == 0 {
		keep.System |= store.Answered | store.Flagged | store.Draft
		keep.Keywords = true
	}
	return keep
}
