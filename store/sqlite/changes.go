package sqlite

import (
	"context"

	"postrider/store"
)

// Changes tells what became of a mailbox after since, from one snapshot.
func (e *Engine) Changes(ctx context.Context, box store.MailboxID, since store.ModSeq) (store.Delta, error) {
	var d store.Delta
	var floor int64
	if since > 0 { // mostly nothing is new, and this is all
		err := e.look(ctx, "changes", func(t *tx) error { return mailboxByID(t, box, &d.Mailbox, &floor) })
		if err != nil {
			return store.Delta{}, err
		}
		if since >= d.Mailbox.ModSeq {
			return d, nil
		}
	}
	err := e.read(ctx, "changes", func(t *tx) error {
		d = store.Delta{}
		if err := mailboxByID(t, box, &d.Mailbox, &floor); err != nil {
			return err
		}
		if since >= d.Mailbox.ModSeq && since > 0 { // the data were put back
			return nil
		}
		d.Full = since <= 0 || int64(since) < floor
		if d.Full {
			d.Changed.Grow(int(d.Mailbox.Total))
			return readPages(t, box, &d.Changed)
		}
		if err := readChanged(t, box, since, &d.Changed); err != nil {
			return err
		}
		var err error
		d.Gone, err = goneSince(t, box, since)
		return err
	})
	if err != nil {
		return store.Delta{}, err
	}
	return d, nil
}

// Shapes returns the shape of each message that has one.
func (e *Engine) Shapes(ctx context.Context, box store.MailboxID) (map[store.UID]store.Shape, error) {
	var shapes map[store.UID]store.Shape
	err := e.read(ctx, "shapes", func(t *tx) error {
		shapes = map[store.UID]store.Shape{}
		if err := mailboxIsThere(t, "shapes", box); err != nil {
			return err
		}
		return t.each("SELECT uid, shape FROM message INDEXED BY message_shape WHERE acct = ?1 AND mbox = ?2 AND shape <> 0",
			args(int64(box.Account), box.N), func(scan func(...any) error) error {
				var uid store.UID
				var shape store.Shape
				err := scan(&uid, &shape)
				shapes[uid] = shape
				return err
			})
	})
	if err != nil {
		return nil, err
	}
	return shapes, nil
}

// goneSince reads the runs of messages expunged after since.
func goneSince(t *tx, box store.MailboxID, since store.ModSeq) (store.UIDSet, error) {
	var runs []store.UIDRange
	err := t.each("SELECT uid_lo, uid_hi FROM gone WHERE acct = ?1 AND mbox = ?2 AND modseq > ?3",
		args(int64(box.Account), box.N, int64(since)),
		func(scan func(...any) error) error {
			var r store.UIDRange
			err := scan(&r.Lo, &r.Hi)
			runs = append(runs, r)
			return err
		})
	return store.UIDSetOfRanges(runs), err
}
