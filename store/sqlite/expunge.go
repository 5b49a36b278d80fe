package sqlite

import (
	"context"
	"slices"

	"postrider/store"
)

// Expunge removes messages and returns which went.
func (e *Engine) Expunge(ctx context.Context, box store.MailboxID, uids store.UIDSet, onlyDeleted bool) (store.UIDSet, error) {
	var went store.UIDSet
	var dead []deadBody
	err := e.writeFreeing(ctx, "expunge", func(t *tx) error {
		went, dead = nil, nil
		x := &expunger{t: t, box: box, bodies: map[int64]int{}}
		if err := mailboxIsThere(t, "expunge", box); err != nil {
			return err
		}
		if err := x.find(uids, onlyDeleted); err != nil {
			return err
		}
		if len(x.went) == 0 {
			return nil
		}
		if err := x.unref(&dead); err != nil {
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

// expunger is one removal of messages under way.
type expunger struct {
	t      *tx
	box    store.MailboxID
	went   store.UIDSet
	diff   counts
	bodies map[int64]int
}

// find notes which messages go, and what they count.
func (x *expunger) find(uids store.UIDSet, onlyDeleted bool) error {
	rows, err := collect(x.t, x.box, uids, func(f store.System) bool { return !onlyDeleted || f&store.Deleted != 0 })
	if err != nil {
		return err
	}
	x.went = uidsOf(rows)
	x.diff.add(tally(rows), -1)
	return x.findBodies()
}

// findBodies notes the bodies of the messages that go.
func (x *expunger) findBodies() error {
	for _, r := range x.went {
		err := x.t.each("SELECT body FROM message WHERE acct = ?1 AND mbox = ?2 AND uid BETWEEN ?3 AND ?4",
			args(int64(x.box.Account), x.box.N, int64(r.Lo), int64(r.Hi)),
			func(scan func(...any) error) error {
				var body int64
				err := scan(&body)
				x.bodies[body]++
				return err
			})
		if err != nil {
			return err
		}
	}
	return nil
}

// unref takes the messages' references from their bodies, in order of ids.
func (x *expunger) unref(dead *[]deadBody) error { return unrefBodies(x.t, x.bodies, dead) }

// unrefBodies takes references from bodies, in order of their ids.
func unrefBodies(t *tx, bodies map[int64]int, dead *[]deadBody) error {
	ids := make([]int64, 0, len(bodies))
	for id := range bodies {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		if err := unrefBody(t, id, bodies[id], dead); err != nil {
			return err
		}
	}
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
	for _, r := range uids {
		in := args(int64(box.Account), box.N, int64(r.Lo), int64(r.Hi))
		if _, err := t.exec("DELETE FROM message WHERE acct = ?1 AND mbox = ?2 AND uid BETWEEN ?3 AND ?4", in...); err != nil {
			return err
		}
		if _, err := t.exec("INSERT INTO gone (acct, mbox, uid_lo, uid_hi, modseq) VALUES (?1, ?2, ?3, ?4, ?5)", append(in, modseq)...); err != nil {
			return err
		}
	}
	return nil
}
