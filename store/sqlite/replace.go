package sqlite

import (
	"context"

	"postrider/store"
)

// Replace puts a message into a mailbox and expunges another, both or neither
// (RFC 8508).
func (e *Engine) Replace(ctx context.Context, op store.OpID, from store.MailboxID, uid store.UID, to store.MailboxID, n store.NewMessage) (store.Filed, error) {
	var done appended
	if err := e.room(ctx, "replace"); err != nil {
		if found, err := e.opBefore(ctx, int64(to.Account), op, "replace", &done); found || err != nil {
			return done.Filed, err
		}
		return store.Filed{}, err
	}
	rows, bodies, err := e.prepareNew(ctx, "replace", to, []store.NewMessage{n})
	if err != nil {
		return store.Filed{}, err
	}
	again := false
	var dead []deadBody
	// It reads and changes mailboxes: the writer brings the database up to date
	// first, and what is filed comes last.
	err = e.submit(ctx, &request{op: "replace", bodies: bodies, done: make(chan struct{}), fn: func(t *tx) (err error) {
		dead, done = nil, appended{}
		if again, err = opDone(t, int64(to.Account), op, "replace", &done); again || err != nil {
			return err
		}
		if err := mailboxIsThere(t, "replace", to); err != nil {
			return err
		}
		if err := expungeOne(t, from, uid, &dead); err != nil {
			return err
		}
		defer func() {
			if err != nil {
				t.filing.forget() // it knows counters that are undone
			}
		}()
		if done.Filed, err = fileNew(t, rows[0], bodies[0]); err != nil {
			return err
		}
		return opRecord(t, int64(to.Account), op, "replace", &done)
	}})
	e.dropNew(bodies, again, err)
	if err != nil {
		return store.Filed{}, err
	}
	e.drop(dead)
	return done.Filed, nil
}

// expungeOne removes a message that has to be there: Expunged.
func expungeOne(t *tx, box store.MailboxID, uid store.UID, dead *[]deadBody) error {
	if err := mailboxIsThere(t, "replace", box); err != nil {
		return err
	}
	x := &expunger{t: t, box: box}
	if err := x.find(store.UIDSetOf(uid), false); err != nil {
		return err
	}
	if len(x.went) == 0 {
		return store.Errorf(store.Expunged, "replace", "no message %d", uid)
	}
	if err := unrefMessages(t, box, x.went, dead); err != nil {
		return err
	}
	return x.remove()
}
