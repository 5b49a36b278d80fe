package sqlite

import (
	"context"

	"postrider/store"
)

// copied is what the op table keeps of a Copy.
type copied struct {
	UIDValidity uint32
	Source      store.UIDSet
	First       store.UID // of Dest, which is without gaps
}

func (c copied) result() store.CopyResult {
	r := store.CopyResult{UIDValidity: c.UIDValidity}
	next := c.First
	for u := range c.Source.All() {
		r.Source, r.Dest = append(r.Source, u), append(r.Dest, next)
		next++
	}
	return r
}

// Copy copies or moves messages, in ascending order of UID.
func (e *Engine) Copy(ctx context.Context, op store.OpID, from store.MailboxID, uids store.UIDSet, to store.MailboxID, move bool) (store.CopyResult, error) {
	return e.CopyWithout(ctx, op, from, uids, to, move, store.FlagMask{})
}

// CopyWithout is Copy for messages that arrive without some of their flags.
func (e *Engine) CopyWithout(ctx context.Context, op store.OpID, from store.MailboxID, uids store.UIDSet, to store.MailboxID, move bool, drop store.FlagMask) (store.CopyResult, error) {
	name, submit := "copy", e.write
	if move {
		name, submit = "move", e.writeFreeing // to the trash, also when the disk is full
	} else if err := e.room(ctx, name); err != nil {
		return store.CopyResult{}, err
	}
	var done copied
	err := submit(ctx, name, func(t *tx) error {
		done = copied{}
		acct := int64(from.Account)
		if found, err := opDone(t, acct, op, name, &done); found || err != nil {
			return err
		}
		c := &copier{t: t, from: from, to: to, move: move, drop: drop}
		for _, box := range []store.MailboxID{from, to} {
			if err := mailboxIsThere(t, name, box); err != nil {
				return err
			}
		}
		if err := c.run(uids); err != nil {
			return err
		}
		done = c.done
		return opRecord(t, acct, op, name, &done)
	})
	if err != nil {
		return store.CopyResult{}, err
	}
	return done.result(), nil
}

// copier is one Copy under way.
type copier struct {
	t        *tx
	from, to store.MailboxID
	move     bool
	drop     store.FlagMask // flags that do not come along
	rows     *store.Rows
	sum      counts // of what there is
	added    counts // of what arrives
	done     copied
	into, at int64 // modseq of the target and, if moved, of the source
}

func (c *copier) run(uids store.UIDSet) error {
	rows, err := collect(c.t, c.from, uids, int64(store.MaxUID), func(store.System) bool { return true })
	if err != nil {
		return err
	}
	c.rows, c.sum, c.done.Source = rows, tally(rows), uidsOf(rows)
	c.added = c.sum
	if c.drop != (store.FlagMask{}) {
		for i := range rows.UID {
			f := c.drop.Keep(store.Flags{}, rows.Flags(i))
			rows.System[i], rows.Set[i] = f.System, rows.Number(f.Keywords)
		}
		c.added = tally(rows)
	}
	if rows.Len() == 0 {
		return c.t.get("SELECT uidvalidity FROM mailbox WHERE acct = ?1 AND id = ?2", args(int64(c.to.Account), c.to.N), &c.done.UIDValidity)
	}
	if err := c.bump(); err != nil {
		return err
	}
	if err := c.insert(); err != nil {
		return err
	}
	if c.move {
		if err := c.leave(); err != nil {
			return err
		}
	}
	return c.arrive()
}

// leave takes the messages out of the source.
func (c *copier) leave() error {
	if err := deleteRows(c.t, c.from, c.done.Source, c.at); err != nil {
		return err
	}
	var less counts
	less.add(c.sum, -1)
	return changeMailbox(c.t, c.from, c.at, less)
}

// arrive puts the messages into the target's pages.
func (c *copier) arrive() error {
	for i := range c.rows.UID {
		c.rows.UID[i] = c.done.First + store.UID(i)
		c.rows.ModSeq[i] = store.ModSeq(c.into)
		c.rows.Saved[i] = c.t.now
	}
	return appendRows(c.t, c.to, c.rows)
}

// bump changes the counters and takes the target's UIDs. A move within one
// account does not grow it.
func (c *copier) bump() (err error) {
	bytes, n := c.sum.bytes, c.sum.total
	if c.move && c.from.Account == c.to.Account {
		bytes, n = 0, 0
	}
	if c.into, err = bumpAccount(c.t, int64(c.to.Account), bytes, n); err != nil {
		return err
	}
	c.at = c.into
	if c.move && c.from.Account != c.to.Account {
		if c.at, err = bumpAccount(c.t, int64(c.from.Account), -bytes, -n); err != nil {
			return err
		}
	}
	var next int64
	err = c.t.get("UPDATE mailbox SET uidnext = uidnext + ?3 WHERE acct = ?1 AND id = ?2 RETURNING uidnext, uidvalidity",
		args(int64(c.to.Account), c.to.N, c.sum.total), &next, &c.done.UIDValidity)
	if err := checkUID(next, err); err != nil {
		return err
	}
	c.done.First = store.UID(next - c.sum.total)
	return changeMailbox(c.t, c.to, c.into, c.added)
}

// insert copies the rows of message.
func (c *copier) insert() error {
	in := args(int64(c.from.Account), c.from.N, setOf(c.done.Source, c.done.First))
	if !c.move {
		err := c.t.run(`INSERT INTO body_ref (id, refs) SELECT m.body, 1 + count(*) FROM `+inSet+` GROUP BY m.body
			ON CONFLICT (id) DO UPDATE SET refs = refs + excluded.refs - 1`, in...)
		if err != nil {
			return err
		}
	}
	// The sum has the message's place in it: the old one goes and the new one
	// comes by XOR, which in SQL is (a | b) - (a & b).
	moved := placeOf(int64(c.from.Account), c.from.N, 0) ^ placeOf(int64(c.to.Account), c.to.N, 0)
	err := c.t.run(`INSERT INTO message (acct, mbox, uid, created_modseq, received, saved,
			size, body, email_id, thread_id, sum, origin, prefix, cut, shape)
		SELECT ?4, ?5, next, ?6, received, ?7, size, body, email_id, thread_id,
			(sum | moved) - (sum & moved), origin, prefix, cut, shape
		FROM (WITH r AS MATERIALIZED (SELECT value ->> 0 AS lo, value ->> 1 AS hi, value ->> 2 AS shift FROM json_each(?3))
			SELECT m.*, uid + shift AS next, ?8 | ((uid | (uid + shift)) - (uid & (uid + shift))) AS moved
			FROM r CROSS JOIN message m WHERE m.acct = ?1 AND m.mbox = ?2 AND m.uid BETWEEN r.lo AND r.hi)`,
		append(in, int64(c.to.Account), c.to.N, c.into, c.t.now, moved)...)
	return err
}
