package sqlite

import (
	"context"
	"encoding/json"
	"math"
	"time"

	"postrider/store"
)

// Conditions on out_rcpt by what a filter names: the most selective one leads,
// so that its index is used, and the others are checked on what it finds. All
// parameters are bound to all queries.
const (
	filterRest  = ` AND (?2 = 0 OR r.out = ?2) AND (?3 = '' OR r.dest = ?3) AND (?4 < 0 OR r.state = ?4)`
	filterOrder = ` ORDER BY r.out, r.id LIMIT ?5`
	filterByID  = ` WHERE r.id IN (SELECT value FROM json_each(?1))` + filterRest
	filterByOut = ` WHERE ?1 = '' AND r.out = ?2` + filterRest
	filterAll   = ` WHERE ?1 = ''` + filterRest

	listColumns = "SELECT " + outFields + ", " + rcptFields + " FROM out_rcpt r JOIN out o ON o.id = r.out"
	listByID    = listColumns + filterByID + filterOrder
	listByOut   = listColumns + filterByOut + filterOrder
	listAll     = listColumns + filterAll + filterOrder

	pickColumns = "SELECT r.id, r.out, r.dest, r.state, r.owner <> '' AND r.leased_until > ?6 FROM out_rcpt r"
	pickOn      = " AND (r.out, r.id) > (?7, ?8)" + filterOrder
	pickByID    = pickColumns + filterByID + pickOn
	pickByOut   = pickColumns + filterByOut + pickOn
	pickAll     = pickColumns + filterAll + pickOn
)

// maxActed is how many recipients an action is for in one transaction: a long
// queue must not keep mail from coming in meanwhile.
const maxActed = 1000

// filterQuery chooses between three queries and makes their parameters.
func filterQuery(f store.OutFilter, byID, byOut, all string) (string, []any, error) {
	state, limit, ids := int64(-1), int64(math.MaxInt64), ""
	if f.State != nil {
		state = int64(*f.State)
	}
	if f.Limit > 0 {
		limit = int64(f.Limit)
	}
	query := all
	switch {
	case len(f.IDs) > 0:
		list, err := json.Marshal(f.IDs)
		if err != nil {
			return "", nil, err
		}
		ids, query = string(list), byID
	case f.Out != 0:
		query = byOut
	}
	return query, args(ids, int64(f.Out), f.Dest, state, limit), nil
}

// Outgoing lists recipients in the queue. The filter's limit counts recipients.
func (e *Engine) Outgoing(ctx context.Context, f store.OutFilter) ([]store.Leased, error) {
	const op = "outgoing"
	query, params, err := filterQuery(f, listByID, listByOut, listAll)
	if err != nil {
		return nil, wrap(op, err)
	}
	var all []store.Leased
	err = e.read(ctx, op, func(t *tx) error {
		return t.each(query, params, func(scan func(...any) error) error {
			var m outRow
			var r rcptRow
			if err := scan(append(m.dest(), r.dest()...)...); err != nil {
				return err
			}
			if n := len(all); n == 0 || all[n-1].ID != m.ID {
				all = append(all, store.Leased{Outgoing: m.outgoing()})
			}
			l := &all[len(all)-1]
			l.Rcpts = append(l.Rcpts, r.rcpt())
			return nil
		})
	})
	return all, err
}

// picked is a recipient that an operator's action is for.
type picked struct {
	id, out int64
	dest    string
	state   store.RcptState
	leased  bool
}

// Act does what an operator asked for, to many recipients in several
// transactions. What a worker has leased is not tried
// twice at once nor taken away under it: OutRetry and OutDrop pass it over.
func (e *Engine) Act(ctx context.Context, f store.OutFilter, a store.OutAction, now time.Time) (int, error) {
	const op = "queue action"
	if a > store.OutDrop {
		return 0, store.Errorf(store.Invalid, op, "action %d", a)
	}
	query, params, err := filterQuery(f, pickByID, pickByOut, pickAll)
	if err != nil {
		return 0, wrap(op, err)
	}
	params = append(params, micros(now), int64(0), int64(0))
	limit := params[4].(int64)
	n := 0
	for limit > 0 {
		params[4] = min(limit, maxActed)
		rows, did, err := e.actOnSome(ctx, op, query, params, a)
		n += did
		if err != nil || len(rows) < int(params[4].(int64)) {
			return n, err
		}
		last := rows[len(rows)-1]
		params[6], params[7] = last.out, last.id
		limit -= int64(len(rows))
	}
	return n, nil
}

// actOnSome does a to the rows that a query picks, in one transaction, and
// returns them and to how many it applied.
func (e *Engine) actOnSome(ctx context.Context, op, query string, params []any, a store.OutAction) ([]picked, int, error) {
	var rows []picked
	var dead []deadBody
	n := 0
	err := e.writeFreeing(ctx, op, func(t *tx) error {
		rows, dead = nil, nil
		err := t.each(query, params, func(scan func(...any) error) error {
			var p picked
			err := scan(&p.id, &p.out, &p.dest, &p.state, &p.leased)
			rows = append(rows, p)
			return err
		})
		if err != nil {
			return err
		}
		n, err = actOn(t, rows, a, params[5].(int64), &dead)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	e.drop(dead)
	return rows, n, nil
}

// actOn does a to rows and returns to how many of them it applied.
func actOn(t *tx, rows []picked, a store.OutAction, now int64, dead *[]deadBody) (int, error) {
	n := 0
	dests, dropped := map[string]bool{}, map[int64]bool{}
	for _, p := range rows {
		var err error
		switch {
		case a == store.OutRetry && !p.leased:
			_, err = t.exec("UPDATE out_rcpt SET due = ?2 WHERE id = ?1", p.id, now)
		case a == store.OutHold && p.state != store.RcptHeld:
			_, err = t.exec("UPDATE out_rcpt SET state = 1 WHERE id = ?1", p.id)
		case a == store.OutRelease && p.state == store.RcptHeld && p.leased:
			_, err = t.exec("UPDATE out_rcpt SET state = 0 WHERE id = ?1", p.id)
		case a == store.OutRelease && p.state == store.RcptHeld:
			_, err = t.exec("UPDATE out_rcpt SET state = 0, due = ?2 WHERE id = ?1", p.id, now)
		case a == store.OutDrop && !p.leased:
			_, err = t.exec("DELETE FROM out_rcpt WHERE id = ?1", p.id)
			dropped[p.out] = true
		default:
			continue
		}
		if err != nil {
			return 0, err
		}
		n++
		dests[p.dest] = a == store.OutRetry || a == store.OutRelease
	}
	if err := dropDone(t, dropped, dead); err != nil {
		return 0, err
	}
	return n, refreshDests(t, dests)
}
