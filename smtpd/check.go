package smtpd

import (
	"context"
	"slices"

	"net/netip"

	"postrider/delivery"
	"postrider/mailauth"
	"postrider/store"
)

// beginCheck begins to check who the message is from, if anybody is to be
// asked: a user has logged in, and what comes over a local socket or from an
// exempt network was checked by who had it before.
func (c *conn) beginCheck(tx *transaction) *mailauth.Check {
	if c.o.Check == nil || c.o.Mode != MX || c.account != nil || !c.ip.IsValid() ||
		slices.ContainsFunc(c.o.Exempt, func(p netip.Prefix) bool { return p.Contains(c.ip) }) {
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
