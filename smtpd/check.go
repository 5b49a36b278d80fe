package smtpd

import (
	"context"
	"slices"

	"net/netip"

	"postrider/delivery"
	"postrider/mailauth"
	"postrider/store"
)

// foreign tells whether the peer is none of our own servers: those are at a
// local socket and in exempt networks.
func (c *conn) foreign() bool {
	return c.o.Mode == MX && c.ip.IsValid() && !slices.ContainsFunc(c.o.Exempt, func(p netip.Prefix) bool { return p.Contains(c.ip) })
}

// beginCheck begins to check who the message is from, if anybody is to be
// asked: a user has logged in, and what one of our servers hands over was
// checked when that had it.
func (c *conn) beginCheck(tx *transaction) *mailauth.Check {
	if c.o.Check == nil || c.account != nil || !c.foreign() {
		return nil
	}
	return c.o.Check.Begin(context.WithoutCancel(c.ctx), mailauth.Peer{Addr: c.ip, Helo: c.hello, From: tx.env.From})
}

// endCheck puts what was found into the message, and refuses it if that is
// what follows.
func (c *conn) endCheck(tx *transaction, m *delivery.Message) error {
	if tx.check == nil {
		return nil
	}
	r := tx.check.Finish()
	m.Checked = r
	m.Events = append(m.Events, store.NewEvent(store.EventChecked, c.o.Now(), r))
	if c.o.Checked != nil {
		c.o.Checked(r)
	}
	if r.Reply == nil {
		return nil
	}
	return refuse(r.Reply.Code, r.Reply.Enhanced[0], r.Reply.Enhanced[1], r.Reply.Enhanced[2], r.Reply.Text)
}
