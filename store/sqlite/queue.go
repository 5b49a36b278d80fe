package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"time"

	"postrider/store"
)

// A lease moves a recipient's due time to the lease's end. So a recipient is
// due again by itself when its worker died, the index on (dest, due) passes over
// those that wait and those that are leased alike, and dest.due is their least,
// or when the destination is open again if that is later.

// DueDests returns the destinations with work. It reads rows of dest, one for
// each destination, and never those of recipients that wait.
func (e *Engine) DueDests(ctx context.Context, now time.Time, max int) ([]store.Dest, time.Time, error) {
	var dests []store.Dest
	var next time.Time
	err := e.read(ctx, "due destinations", func(t *tx) error {
		at := micros(now)
		err := t.each("SELECT name, due, fails FROM dest WHERE due <= ?1 ORDER BY due, name LIMIT ?2", args(at, max),
			func(scan func(...any) error) error {
				var d store.Dest
				var due int64
				err := scan(&d.Name, &due, &d.Fails)
				d.Due = fromMicros(due)
				dests = append(dests, d)
				return err
			})
		if err != nil {
			return err
		}
		next, err = nextDue(t, dests, at)
		return err
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	return dests, next, nil
}

// nextDue returns when the first recipient after now is due, at a destination
// that has nothing due yet or at one of dests, which have.
func nextDue(t *tx, dests []store.Dest, now int64) (time.Time, error) {
	var first sql.NullInt64
	if err := t.get("SELECT min(due) FROM dest WHERE due > ?1", args(now), &first); err != nil {
		return time.Time{}, err
	}
	for _, d := range dests {
		var due sql.NullInt64
		err := t.get("SELECT min(due) FROM out_rcpt WHERE dest = ?1 AND state = 0 AND due > ?2", args(d.Name, now), &due)
		if err != nil {
			return time.Time{}, err
		}
		if due.Valid && (!first.Valid || due.Int64 < first.Int64) {
			first = due
		}
	}
	if !first.Valid {
		return time.Time{}, nil
	}
	return fromMicros(first.Int64), nil
}

// Lease takes the recipients at dest of the message that has been due the
// longest.
func (e *Engine) Lease(ctx context.Context, owner, dest string, now time.Time, ttl time.Duration, max int) (*store.Leased, error) {
	ls, err := e.LeaseSeveral(ctx, owner, dest, now, ttl, max, 1)
	if err != nil || len(ls) == 0 {
		return nil, err
	}
	return ls[0], nil
}

// LeaseSeveral is Lease of several messages with one transaction.
func (e *Engine) LeaseSeveral(ctx context.Context, owner, dest string, now time.Time, ttl time.Duration, max, messages int) ([]*store.Leased, error) {
	var ls []*store.Leased
	err := e.writeQueue(ctx, "lease", func(t *tx) error {
		ls = nil
		outs, err := longestDue(t, dest, micros(now), messages)
		if err != nil || len(outs) == 0 {
			return err
		}
		taken := make([]*store.Leased, len(outs))
		for i, out := range outs {
			if taken[i], err = leaseRcpts(t, leaseOf{out, dest, owner, micros(now), micros(now.Add(ttl)), max}); err != nil {
				return err
			}
		}
		if err := refreshDest(t, dest); err != nil {
			return err
		}
		ls = taken
		return nil
	})
	for _, l := range ls {
		if s := e.fresh.take(int64(l.ID)); s != nil {
			l.Content, _ = e.content(ctx, s, store.NeedMeta|store.NeedBody) // or it is read
		}
	}
	return ls, err
}

// longestDue finds up to n messages that have been due at dest the longest. It
// looks at n recipients, which with several of one message are of fewer.
func longestDue(t *tx, dest string, now int64, n int) ([]int64, error) {
	var outs []int64
	err := t.each("SELECT out FROM out_rcpt WHERE dest = ?1 AND state = 0 AND due <= ?2 ORDER BY due, id LIMIT ?3",
		args(dest, now, n), func(scan func(...any) error) error {
			var out int64
			err := scan(&out)
			if !slices.Contains(outs, out) {
				outs = append(outs, out)
			}
			return err
		})
	return outs, err
}

// leaseOf says what a lease takes, for whom and until when.
type leaseOf struct {
	out        int64
	dest       string
	owner      string
	now, until int64
	max        int
}

func leaseRcpts(t *tx, o leaseOf) (*store.Leased, error) {
	var m outRow
	if err := t.get("SELECT "+outFields+" FROM out o WHERE o.id = ?1", args(o.out), m.dest()...); err != nil {
		return nil, err
	}
	l := store.Leased{Outgoing: m.outgoing()}
	// Left to itself, the planner may take the index on (dest, due), and walk
	// past every other message that waits for this destination.
	err := t.each("SELECT "+rcptFields+` FROM out_rcpt r INDEXED BY out_rcpt_out
		WHERE r.out = ?1 AND r.dest = ?2 AND r.state = 0 AND r.due <= ?3 ORDER BY r.due, r.id LIMIT ?4`,
		args(o.out, o.dest, o.now, max(o.max, 1)),
		func(scan func(...any) error) error {
			var r rcptRow
			err := scan(r.dest()...)
			r.Fence++
			l.Rcpts = append(l.Rcpts, r.rcpt())
			return err
		})
	if err != nil {
		return nil, err
	}
	for _, r := range l.Rcpts {
		err := t.run("UPDATE out_rcpt SET owner = ?2, leased_until = ?3, due = ?3, fence = ?4 WHERE id = ?1",
			int64(r.ID), o.owner, o.until, r.Fence)
		if err != nil {
			return nil, err
		}
	}
	return &l, nil
}

// refreshDest writes when a destination is due. A destination without active
// recipients, and without settings of its own, has no row.
func refreshDest(t *tx, name string) error {
	var due, was sql.NullInt64
	var open int64
	err := t.get(`SELECT min(due), (SELECT due FROM dest WHERE name = ?1), ifnull((SELECT open_until FROM dest WHERE name = ?1), 0)
		FROM out_rcpt WHERE dest = ?1 AND state = 0`, args(name), &due, &was, &open)
	if err != nil {
		return err
	}
	due.Int64 = max(due.Int64, open)
	if due.Valid && due == was {
		return nil // as it is while others wait longer than who leaves
	}
	if due.Valid {
		err := t.run("INSERT INTO dest (name, due) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET due = excluded.due",
			name, due.Int64)
		return err
	}
	if err := t.run("UPDATE dest SET due = NULL, open_until = 0, fails = 0 WHERE name = ?1", name); err != nil {
		return err
	}
	err = t.run("DELETE FROM dest WHERE name = ?1 AND concurrent = 0", name)
	return err
}

// Finish writes outcomes and accepts their notices.
func (e *Engine) Finish(ctx context.Context, outcomes []store.RcptOutcome, notices ...*store.Acceptance) error {
	var ready []*prepared
	var bodies []*newBody
	for _, n := range notices {
		p, err := e.prepare(ctx, n)
		if err != nil {
			e.dropBodies(bodies, err)
			return err
		}
		ready, bodies = append(ready, p), append(bodies, p.body)
	}
	var dead []deadBody
	var fresh, again []*newBody
	err := e.writeQueue(ctx, "finish", func(t *tx) error {
		dead, fresh, again = nil, nil, nil
		if err := finishRcpts(t, outcomes, &dead); err != nil {
			return err
		}
		for _, p := range ready {
			done, err := e.accept(t, p)
			if err != nil {
				return err
			}
			if done.Again {
				again = append(again, p.body)
			} else {
				fresh = append(fresh, p.body)
			}
		}
		return nil
	}, bodies...)
	if err != nil {
		e.dropBodies(bodies, err)
		return err
	}
	e.dropBodies(fresh, nil)
	e.dropBodies(again, errDoneBefore)
	e.drop(dead)
	return nil
}

func (e *Engine) dropBodies(bodies []*newBody, err error) {
	for _, b := range bodies {
		e.dropBody(b, err)
	}
}

// finishRcpts writes outcomes and announces the destinations where recipients
// stay.
func finishRcpts(t *tx, outcomes []store.RcptOutcome, dead *[]deadBody) error {
	dests, done, events := map[string]bool{}, map[int64]bool{}, map[int64][]store.Event{}
	silent := map[int64][]store.RcptID{} // that are done, by message
	for _, o := range outcomes {
		var out int64
		var dest string
		err := t.get("SELECT out, dest FROM out_rcpt WHERE id = ?1 AND fence = ?2 AND owner <> ''",
			args(int64(o.ID), o.Fence), &out, &dest)
		if errors.Is(err, sql.ErrNoRows) {
			return store.Errorf(store.Expunged, "finish", "the lease of recipient %d is lost", o.ID)
		}
		if err == nil && o.Refused != nil {
			err = countRefused(t, o.ID, o.Refused)
		}
		if err == nil && o.Taken {
			err = forgetRefused(t, o.ID)
		}
		if err == nil {
			err = finishRcpt(t, o)
		}
		if err != nil {
			return err
		}
		dests[dest] = dests[dest] || !o.Done
		if o.Done {
			done[out] = true
			silent[out] = append(silent[out], o.ID)
		}
		if len(o.Events) > 0 {
			events[out] = append(events[out], o.Events...)
		}
	}
	for out, ids := range silent { // a journey always says who has left the queue
		if len(events[out]) == 0 {
			events[out] = []store.Event{store.NewEvent(store.EventActed, fromMicros(t.now), &store.Acted{What: "finished", Rcpts: ids, Final: true})}
		}
	}
	for _, out := range slices.Sorted(maps.Keys(events)) {
		id, err := originOf(t, out)
		if err == nil {
			err = addEvents(t, id, events[out])
		}
		if err != nil {
			return err
		}
	}
	if err := dropDone(t, done, dead); err != nil {
		return err
	}
	return refreshDests(t, dests)
}

// dropDone removes those of outs that have no recipient left, with their
// references to bodies.
func dropDone(t *tx, outs map[int64]bool, dead *[]deadBody) error {
	for _, id := range slices.Sorted(maps.Keys(outs)) {
		var body int64
		err := t.get(`DELETE FROM out WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM out_rcpt WHERE out = ?1)
			RETURNING body`, args(id), &body)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err == nil {
			err = unrefBody(t, body, 1, dead)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// finishRcpt writes one outcome.
func finishRcpt(t *tx, o store.RcptOutcome) error {
	if o.Done {
		err := t.run("DELETE FROM out_rcpt WHERE id = ?1", int64(o.ID))
		return err
	}
	err := t.run(`UPDATE out_rcpt SET owner = '', leased_until = 0, due = ?2, last = ?3, last_at = ?4,
		tries = tries + ?5, delayed = max(delayed, ?6) WHERE id = ?1`,
		int64(o.ID), micros(o.Due), o.Last, t.now, o.Attempt, o.Delayed)
	return err
}

// refreshDests refreshes the destinations in dests and announces those that
// map to true.
func refreshDests(t *tx, dests map[string]bool) error {
	for _, name := range slices.Sorted(maps.Keys(dests)) {
		if err := refreshDest(t, name); err != nil {
			return err
		}
		if dests[name] {
			t.publish(store.Change{Kind: store.OutgoingDue, Dest: name})
		}
	}
	return nil
}

// Columns of out and out_rcpt, in the order of outRow.dest and rcptRow.dest.
const (
	outFields = `o.id, o.acct, o.origin, o.sender_local, o.sender_host, o.body_type, o.utf8, o.require_tls,
		o.ret, o.envid, o.size, o.created, o.expires`
	rcptFields = `r.id, r.out, r.local, r.host, r.notify, r.orcpt, r.dest, r.state, r.due, r.tries, r.last, r.last_at,
		r.delayed, r.doomed, r.fence, ` + suppressedUntil
)

// outRow is a row of out as it is read.
type outRow struct {
	store.Outgoing
	created, expires int64
}

func (r *outRow) dest() []any {
	env := &r.Envelope
	return []any{&r.ID, &r.Account, &r.Message, &env.From.Local, &env.From.Domain, &env.Body, &env.UTF8, &env.RequireTLS,
		&env.Ret, &env.EnvID, &r.Size, &r.created, &r.expires}
}

func (r *outRow) outgoing() store.Outgoing {
	r.Created, r.Expires = fromMicros(r.created), fromMicros(r.expires)
	return r.Outgoing
}

// rcptRow is a row of out_rcpt as it is read.
type rcptRow struct {
	store.OutRcpt
	due, lastAt, suppressed int64
}

func (r *rcptRow) dest() []any {
	to := &r.Recipient
	return []any{&r.ID, &r.Out, &to.Addr.Local, &to.Addr.Domain, &to.Notify, &to.ORcpt, &r.Dest, &r.State, &r.due,
		&r.Tries, &r.Last, &r.lastAt, &r.Delayed, &r.Doomed, &r.Fence, &r.suppressed}
}

func (r *rcptRow) rcpt() store.OutRcpt {
	r.Due = fromMicros(r.due)
	if r.lastAt != 0 {
		r.LastAt = fromMicros(r.lastAt)
	}
	if r.suppressed != 0 {
		r.Suppressed = fromMicros(r.suppressed)
	}
	return r.OutRcpt
}
