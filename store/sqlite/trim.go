package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"postrider/store"
)

// Runs of expunged UIDs that a mailbox may gather, and how many are left when
// it has more. A client that was away for longer than they reach back compares
// all of the mailbox instead.
const (
	maxRuns  = 20_000
	keepRuns = 10_000
)

// trimGone forgets the oldest expunges of mailboxes that have too many.
func (e *Engine) trimGone(ctx context.Context) error {
	var boxes []store.MailboxID
	err := e.read(ctx, "trim", func(t *tx) error {
		return t.each("SELECT acct, mbox FROM gone GROUP BY acct, mbox HAVING count(*) > ?1", args(maxRuns),
			func(scan func(...any) error) error {
				var box store.MailboxID
				err := scan(&box.Account, &box.N)
				boxes = append(boxes, box)
				return err
			})
	})
	if err != nil {
		return err
	}
	for _, box := range boxes {
		if err := e.ForgetExpunged(ctx, box, keepRuns); err != nil && store.KindOf(err) != store.NotFound {
			return err
		}
	}
	return nil
}

// ForgetExpunged forgets which messages were expunged from a mailbox, except
// for the last keep runs of UIDs. Who asks for changes since before that gets
// all of the mailbox.
func (e *Engine) ForgetExpunged(ctx context.Context, box store.MailboxID, keep int) error {
	const op = "forget expunged"
	return e.writeFreeing(ctx, op, func(t *tx) error {
		if err := mailboxIsThere(t, op, box); err != nil {
			return err
		}
		var upto int64
		err := t.get("SELECT modseq FROM gone WHERE acct = ?1 AND mbox = ?2 ORDER BY modseq DESC, uid_lo DESC LIMIT 1 OFFSET ?3",
			args(int64(box.Account), box.N, keep), &upto)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		// The runs of one expunge are kept or forgotten together.
		_, err = t.exec("DELETE FROM gone WHERE acct = ?1 AND mbox = ?2 AND modseq <= ?3", int64(box.Account), box.N, upto)
		if err != nil {
			return err
		}
		_, err = t.exec("UPDATE mailbox SET gone_floor = max(gone_floor, ?3) WHERE acct = ?1 AND id = ?2", int64(box.Account), box.N, upto)
		return err
	})
}
