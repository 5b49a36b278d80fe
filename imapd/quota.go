package imapd

import (
	"github.com/emersion/go-imap/v2"

	"postrider/imapd/wire"
	"postrider/mail"
	"postrider/store"
)

// An account is one quota root, whose name is its address: what it may hold in
// all its mailboxes together (RFC 9208 §3).

// storageUnit is the bytes that STORAGE counts in (RFC 9208 §5.1).
const storageUnit = 1024

var errNoRoot = no(imap.ResponseCodeNonExistent, "No such quota root")

// cmdGetQuota answers GETQUOTA (RFC 9208 §4.1.1). What others hold is theirs
// to know, and the administrators'.
func (s *session) cmdGetQuota(d *wire.Decoder) error {
	d.SP()
	root := d.AString()
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	a, err := s.quotaRoot(root)
	if err != nil {
		return err
	}
	s.writeQuota(a)
	return nil
}

// quotaRoot finds the account that a quota root is of.
func (s *session) quotaRoot(root string) (store.Account, error) {
	address, err := mail.ParseAddress(root)
	if err != nil {
		return store.Account{}, errNoRoot
	}
	e, err := s.srv.o.Store.Lookup(s.ctx(), address)
	switch {
	case err != nil && store.KindOf(err) != store.NotFound:
		return store.Account{}, s.wireError(err, "quota")
	case err != nil || e.Account == nil || e.Account.ID != s.account() && !s.c.account.Admin:
		return store.Account{}, errNoRoot
	}
	return *e.Account, nil
}

// cmdGetQuotaRoot answers GETQUOTAROOT (RFC 9208 §4.1.2). The mailbox need not
// be there. An account without limits has no root there: the grammar of QUOTA
// knows no empty list, and clients take one for a syntax error.
func (s *session) cmdGetQuotaRoot(d *wire.Decoder) error {
	name := oneMailbox(d)
	if err := d.Err(); err != nil {
		return err
	}
	owner, _, listed, err := s.locate(name)
	if err != nil {
		return s.wireError(err, "quota")
	}
	if owner != s.account() { // RFC 9208 §6
		if _, err := s.permitted(name, store.RightRead, "quota"); err != nil {
			return err
		}
	}
	a, err := s.srv.o.Store.Account(s.ctx(), owner)
	if err != nil {
		return s.wireError(err, "quota")
	}
	e := newEncoder(s.c)
	e.Text("* QUOTAROOT ")
	e.Mailbox(listed)
	limited := a.Quota > 0 || a.QuotaCount > 0
	if limited {
		e.SP()
		e.String(a.Address.String())
	}
	e.CRLF()
	e.Flush()
	if limited {
		s.writeQuota(a)
	}
	return nil
}

// writeQuota writes what an account holds, and may hold; what is not limited
// is left out (RFC 9208 §4.2.1).
func (s *session) writeQuota(a store.Account) {
	e := newEncoder(s.c)
	e.Text("* QUOTA ")
	e.String(a.Address.String())
	e.Text(" (")
	if a.Quota > 0 {
		e.Text("STORAGE ")
		e.Number(units(a.Bytes))
		e.SP()
		e.Number(units(a.Quota))
	}
	if a.QuotaCount > 0 {
		if a.Quota > 0 {
			e.SP()
		}
		e.Text("MESSAGE ")
		e.Number(a.Count)
		e.SP()
		e.Number(a.QuotaCount)
	}
	e.Special(')')
	e.CRLF()
	e.Flush()
}

func units(bytes int64) int64 { return (bytes + storageUnit - 1) / storageUnit }

// cmdSetQuota answers SETQUOTA (RFC 9208 §4.1.3), which is the administrators'.
// What is not named is not limited any more.
func (s *session) cmdSetQuota(d *wire.Decoder) error {
	d.SP()
	root := d.AString()
	d.SP()
	var bytes, messages int64
	unknown := false
	d.List(func() {
		name := d.Keyword()
		d.SP()
		n := d.Number64()
		switch {
		case name == "STORAGE" && n > 0 && n <= (1<<63-1)/storageUnit:
			bytes = n * storageUnit
		case name == "MESSAGE" && n > 0:
			messages = n
		default:
			unknown = true
		}
	})
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	if !s.c.account.Admin {
		return errNoRight
	}
	if unknown {
		return no(imap.ResponseCodeCannot, "Only STORAGE and MESSAGE can be limited, and not to nothing")
	}
	a, err := s.quotaRoot(root)
	if err != nil {
		return err
	}
	if err := s.srv.o.Store.SetQuota(s.ctx(), a.ID, bytes, messages); err != nil {
		return s.wireError(err, "quota")
	}
	a, err = s.srv.o.Store.Account(s.ctx(), a.ID)
	if err != nil {
		return s.wireError(err, "quota")
	}
	s.writeQuota(a)
	return nil
}
