package pop3d

import (
	"context"
	"time"

	"postrider/internal/maillog"
	"postrider/store"
)

const updateTimeout = time.Minute // for the UPDATE state

// quit ends the session; after login it enters the UPDATE state (RFC 1939 §6).
func (c *conn) quit(string) error {
	c.done = true
	if c.state == transaction && c.drop.deleted != nil {
		if err := c.expunge(); err != nil {
			c.release()
			return err
		}
	}
	c.release() // before the answer: who has read it may log in again
	c.ok("goodbye")
	return nil
}

// expunge removes what was deleted, all of it or nothing.
func (c *conn) expunge() error {
	ctx, cancel := c.updateContext()
	defer cancel()
	gone, err := c.s.o.Store.Expunge(ctx, c.drop.box, c.drop.uids(c.drop.deleted), false)
	if err != nil {
		c.log.Error(maillog.Failed, "op", "expunge", "err", err.Error())
		return errNotPurged
	}
	c.drop.purged = true
	for range gone.All() {
		c.drop.expunged++
	}
	return nil
}

// release ends the hold on the maildrop, if there is one, and marks what was
// sent as \Seen.
func (c *conn) release() {
	if c.state != transaction {
		return
	}
	c.state = authorization
	defer c.s.unlock(c.drop.account.ID)
	d := c.drop
	for i := range d.sent {
		if d.sent[i] && (d.view.At(i).Flags.System&store.Seen != 0 || d.purged && d.isDeleted(i)) {
			d.sent[i] = false
		}
	}
	uids := d.uids(d.sent)
	if len(uids) == 0 {
		return
	}
	ctx, cancel := c.updateContext()
	defer cancel()
	seen := store.FlagChange{Mode: store.FlagsAdd, Flags: store.Flags{System: store.Seen}}
	_, err := c.s.o.Store.SetFlags(ctx, d.box, uids, seen, store.Unconditional)
	if err != nil && store.KindOf(err) != store.NotFound {
		// The client has its mail; that it looks unread elsewhere is no
		// reason to tell it of a failure.
		c.log.Error(maillog.Failed, "op", "seen", "err", err.Error())
	}
}

// updateContext outlives the server's wish to stop: a command under way is
// finished.
func (c *conn) updateContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(c.ctx), updateTimeout)
}
