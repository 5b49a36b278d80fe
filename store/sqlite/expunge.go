package sqlite

import (
	"context"

	"postrider/store"
)

// Expunge removes messages and returns which went.
func (e *Engine) Expunge(ctx context.Context, box store.MailboxID, uids store.UIDSet, onlyDeleted bool) (store.UIDSet, error) {
	if onlyDeleted {
		var err error
		if uids, err = e.findDeleted(ctx, box, uids); err != nil || len(uids) == 0 {
			return nil, err
		}
	}
	var went store.UIDSet
	var dead []deadBody
	err := e.writeFreeing(ctx, "expunge", func(t *tx) error {
		went, dead = nil, nil
		x := &expunger{t: t, box: box}
		if err := mailboxIsThere(t, "expunge", box); err != nil {
			return err
		}
		if err := x.find(uids, onlyDeleted); err != nil {
			return err
		}
		if len(x.went) == 0 {
			return nil
		}
		if err := unrefMessages(t, box, x.went, &dead); err != nil {
			return err
		}
		went = x.went
		return x.remove()
	})
	if err != nil {
		return nil, err
	}
	e.drop(dead)
	return went, nil
}

// findDeleted narrows uids to the messages with the flag \Deleted, so that the
// writer has not to look for them in all of a large mailbox.
func (e *Engine) findDeleted(ctx context.Context, box store.MailboxID, uids store.UIDSet) (found store.UIDSet, err error) {
	err = e.read(ctx, "expunge", func(t *tx) error {
		var m store.Mailbox
		var floor int64
		if err := mailboxByID(t, box, &m, &floor); err != nil || m.Deleted == 0 {
			return err
		}
		rows, err := collect(t, box, uids, m.Deleted, func(f store.System) bool { return f&store.Deleted != 0 })
		found = uidsOf(rows)
		return err
	})
	return found, err
}

// expunger is one removal of messages under way.
type expunger struct {
	t    *tx
	box  store.MailboxID
	went store.UIDSet
	diff counts
}

// find notes which messages go, and what they count.
func (x *expunger) find(uids store.UIDSet, onlyDeleted bool) error {
	rows, err := collect(x.t, x.box, uids, int64(store.MaxUID), func(f store.System) bool { return !onlyDeleted || f&store.Deleted != 0 })
	if err != nil {
		return err
	}
	x.went = uidsOf(rows)
	x.diff.add(tally(rows), -1)
	return nil
}

// remove deletes the rows, notes them as gone and counts them out.
func (x *expunger) remove() error {
	modseq, err := bumpAccount(x.t, int64(x.box.Account), x.diff.bytes, x.diff.total)
	if err != nil {
		return err
	}
	if err := deleteRows(x.t, x.box, x.went, modseq); err != nil {
		return err
	}
	return changeMailbox(x.t, x.box, modseq, x.diff)
}

// deleteRows deletes messages that are there and writes their runs to gone.
func deleteRows(t *tx, box store.MailboxID, uids store.UIDSet, modseq int64) error {
	if err := removeRows(t, box, uids); err != nil {
		return err
	}
	if err := deleteMessages(t, box, uids); err != nil {
		return err
	}
	err := t.run(`INSERT INTO gone (acct, mbox, modseq, uid_lo, uid_hi, at)
		SELECT ?1, ?2, ?4, r.value ->> 0, r.value ->> 1, ?5 FROM json_each(?3) r`,
		int64(box.Account), box.N, setOf(uids, 0), modseq, t.now)
	return err
}
