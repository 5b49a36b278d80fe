package sqlite

import (
	"context"
	"time"

	"postrider/store"
)

// appended is what the op table keeps of an Append.
type appended struct{ Filed store.Filed }

// Append stores a message as IMAP does (RFC 9051 §6.3.12).
func (e *Engine) Append(ctx context.Context, op store.OpID, box store.MailboxID, b store.Body, f store.Flags, received time.Time) (store.Filed, error) {
	var done appended
	if err := e.room(ctx, "append"); err != nil {
		if found, err := e.opBefore(ctx, int64(box.Account), op, "append", &done); found || err != nil {
			return done.Filed, err
		}
		return store.Filed{}, err
	}
	if received.IsZero() {
		received = e.now()
	}
	m := newMessage{acct: int64(box.Account), mbox: box.N, flags: cleanFlags(f), received: micros(received), email: e.ids.next(e.now())}
	body, err := e.prepareBody(ctx, "append", b, nil)
	if err != nil {
		return store.Filed{}, err
	}
	m.size = body.served
	m.sum = sumOf(body.Hash[:], nil, nil, m.size)
	again := false
	err = e.write(ctx, "append", func(t *tx) (err error) {
		if again, err = opDone(t, m.acct, op, "append", &done); again || err != nil {
			return err
		}
		if err := mailboxIsThere(t, "append", box); err != nil {
			return err
		}
		t.filing.addBody(body, 1)
		if done.Filed, err = fileMessage(t, &m, body); err != nil {
			return err
		}
		return opRecord(t, m.acct, op, "append", &done)
	}, body)
	if again && err == nil {
		e.dropBody(body, errDoneBefore)
	} else {
		e.dropBody(body, err)
	}
	if err != nil {
		return store.Filed{}, err
	}
	return done.Filed, nil
}

// mailboxIsThere is NotFound if box is gone.
func mailboxIsThere(t *tx, op string, box store.MailboxID) error {
	var one int
	if err := t.get("SELECT 1 FROM mailbox WHERE acct = ?1 AND id = ?2", args(int64(box.Account), box.N), &one); err != nil {
		return wrap(op, err)
	}
	return nil
}
