package sqlite

import (
	"context"
	"time"

	"postrider/store"
)

// appended is what the op table keeps of an Append: the first message, and
// those that came with it.
type appended struct {
	Filed store.Filed
	Rest  []store.Filed `json:",omitempty"`
}

func (a *appended) all() []store.Filed { return append([]store.Filed{a.Filed}, a.Rest...) }

// Append stores a message as IMAP does (RFC 9051 §6.3.12).
func (e *Engine) Append(ctx context.Context, op store.OpID, box store.MailboxID, b store.Body, f store.Flags, received time.Time) (store.Filed, error) {
	filed, err := e.AppendAll(ctx, op, box, []store.NewMessage{{Body: b, Flags: f, Received: received}})
	if err != nil {
		return store.Filed{}, err
	}
	return filed[0], nil
}

// AppendAll stores several messages, all or none (RFC 3502).
func (e *Engine) AppendAll(ctx context.Context, op store.OpID, box store.MailboxID, msgs []store.NewMessage) ([]store.Filed, error) {
	if len(msgs) == 0 {
		return nil, store.Errorf(store.Invalid, "append", "no message")
	}
	var done appended
	if err := e.room(ctx, "append"); err != nil {
		if found, err := e.opBefore(ctx, int64(box.Account), op, "append", &done); found || err != nil {
			return done.all(), err
		}
		return nil, err
	}
	rows, bodies, err := e.prepareNew(ctx, "append", box, msgs)
	if err != nil {
		return nil, err
	}
	again := false
	err = e.write(ctx, "append", func(t *tx) (err error) {
		done = appended{}
		if again, err = opDone(t, int64(box.Account), op, "append", &done); again || err != nil {
			return err
		}
		if err := mailboxIsThere(t, "append", box); err != nil {
			return err
		}
		if done.Filed, err = fileNew(t, rows[0], bodies[0]); err != nil {
			return err
		}
		for i := 1; i < len(rows); i++ {
			filed, err := fileNew(t, rows[i], bodies[i])
			if err != nil {
				return err
			}
			done.Rest = append(done.Rest, filed)
		}
		return opRecord(t, int64(box.Account), op, "append", &done)
	}, bodies...)
	e.dropNew(bodies, again, err)
	if err != nil {
		return nil, err
	}
	return done.all(), nil
}

// prepareNew makes messages ready for a mailbox. After the transaction that
// was to name them, dropNew must be called.
func (e *Engine) prepareNew(ctx context.Context, op string, box store.MailboxID, msgs []store.NewMessage) ([]newMessage, []*newBody, error) {
	rows, bodies := make([]newMessage, 0, len(msgs)), make([]*newBody, 0, len(msgs))
	for _, n := range msgs {
		if n.Received.IsZero() {
			n.Received = e.now()
		}
		body, err := e.prepareBody(ctx, op, n.Body, nil)
		if err != nil {
			e.dropNew(bodies, false, err)
			return nil, nil, err
		}
		rows = append(rows, newMessage{acct: int64(box.Account), mbox: box.N, flags: cleanFlags(n.Flags), received: micros(n.Received),
			email: e.ids.next(e.now()), size: body.served, sum: sumOf(body.Hash[:], nil, nil, body.served)})
		bodies = append(bodies, body)
	}
	return rows, bodies, nil
}

// fileNew puts a message with its body into its mailbox.
func fileNew(t *tx, m newMessage, body *newBody) (store.Filed, error) {
	t.filing.addBody(body, 1)
	return fileMessage(t, &m, body)
}

// dropNew ends what prepareNew began, after the transaction ended with err, or
// found that it had been done before.
func (e *Engine) dropNew(bodies []*newBody, again bool, err error) {
	if again && err == nil {
		err = errDoneBefore
	}
	for _, b := range bodies {
		e.dropBody(b, err)
	}
}

// mailboxIsThere is NotFound if box is gone.
func mailboxIsThere(t *tx, op string, box store.MailboxID) error {
	var one int
	if err := t.get("SELECT 1 FROM mailbox WHERE acct = ?1 AND id = ?2", args(int64(box.Account), box.N), &one); err != nil {
		return wrap(op, err)
	}
	return nil
}
