package pop3d

import (
	"postrider/store"
)

// userName takes the name of USER (RFC 1939 §7). It says nothing about whether
// there is such a user.
func (c *conn) userName(arg string) error {
	if !c.s.o.Auth.PlaintextAllowed(c.peer) {
		return errPlaintext
	}
	if arg == "" {
		return errWantName
	}
	c.user = arg
	c.ok("now the password")
	return nil
}

// pass logs in. The argument is everything behind the one space: a password
// may hold spaces (RFC 1939 §7).
func (c *conn) pass(arg string) error {
	if !c.s.o.Auth.PlaintextAllowed(c.peer) {
		return errPlaintext
	}
	if c.user == "" {
		return errWantUser
	}
	user := c.user
	c.user = ""
	acc, err := c.s.o.Auth.Login(c.ctx, c.peer, user, arg)
	if err != nil {
		return err
	}
	return c.open(acc)
}

// open locks the maildrop of who has just logged in and takes its snapshot.
func (c *conn) open(acc store.Account) error {
	if !c.s.lock(acc.ID) {
		return errInUse
	}
	drop, err := newMaildrop(c.ctx, c.s, acc, c.utf8)
	if err != nil {
		c.s.unlock(acc.ID)
		if store.KindOf(err) == store.NotFound {
			return errTemporary // the account was removed a moment ago
		}
		return err
	}
	c.drop, c.state = drop, transaction
	c.log = c.log.With("user", acc.Address.String())
	c.ok("%d messages (%d octets)", drop.count, drop.bytes)
	return nil
}
