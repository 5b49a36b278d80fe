package sqlite

import (
	"context"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"postrider/mail"
	"postrider/store"
)

// Conditions on out_rcpt by what a filter names: the most selective one leads,
// so that its index is used, and the others are checked on what it finds. All
// parameters are bound to all queries.
const (
	filterRest = ` AND (?2 = 0 OR r.out = ?2) AND (?3 = '' OR r.dest = ?3) AND (?4 < 0 OR r.state = ?4)
		AND (?6 = '' OR instr(lower(r.local || '@' || r.host), ?6) > 0) AND (?7 = '' OR instr(lower(o.sender_local || '@' || o.sender_host), ?7) > 0)
		AND (?8 = 0 OR o.created <= ?8) AND (?9 = '' OR instr(lower(r.last), ?9) > 0)
		AND (?10 = '' OR o.origin = ?10)`
	filterOrder = ` ORDER BY r.out, r.id LIMIT ?5`
	filterByID  = ` WHERE r.id IN (SELECT value FROM json_each(?1))` + filterRest
	filterByOut = ` WHERE ?1 = '' AND r.out = ?2` + filterRest
	filterAll   = ` WHERE ?1 = ''` + filterRest

	leasedAt    = "r.owner <> '' AND r.leased_until > ?11"
	closedUntil = "ifnull((SELECT open_until FROM dest d WHERE d.name = r.dest), 0)"

	listColumns = "SELECT " + outFields + ", " + rcptFields + ", " + leasedAt + ", " + closedUntil + " FROM out_rcpt r JOIN out o ON o.id = r.out"
	listByID    = listColumns + filterByID + filterOrder
	listByOut   = listColumns + filterByOut + filterOrder
	listAll     = listColumns + filterAll + filterOrder

	pickColumns = "SELECT r.id, r.out, r.dest, r.state, " + leasedAt + ", r.local, r.host FROM out_rcpt r JOIN out o ON o.id = r.out"
	pickOn      = " AND (r.out, r.id) > (?12, ?13)" + filterOrder
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
	before := int64(0)
	if !f.Before.IsZero() {
		before = micros(f.Before)
	}
	return query, args(ids, int64(f.Out), f.Dest, state, limit, strings.ToLower(f.Rcpt), strings.ToLower(f.Sender), before,
		strings.ToLower(f.Last), string(f.Message)), nil
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
		return t.each(query, append(params, t.now), func(scan func(...any) error) error {
			var m outRow
			var r rcptRow
			var open int64
			if err := scan(append(append(m.dest(), r.dest()...), &r.Leased, &open)...); err != nil {
				return err
			}
			r.Closed = open > t.now && !r.Leased
			r.due = max(r.due, open)
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
	addr    mail.Address
}

// Act does what an operator asked for, to many recipients in several
// transactions. What a worker has leased is not tried
// twice at once nor taken away under it: OutRetry and OutDrop pass it over.
func (e *Engine) Act(ctx context.Context, f store.OutFilter, a store.OutAction, now time.Time) (int, error) {
	const op = "queue action"
	if a > store.OutBounce {
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
		params[11], params[12] = last.out, last.id
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
			err := scan(&p.id, &p.out, &p.dest, &p.state, &p.leased, &p.addr.Local, &p.addr.Domain)
			rows = append(rows, p)
			return err
		})
		if err != nil {
			return err
		}
		n, err = actOn(t, rows, a, params[10].(int64), &dead)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	e.drop(dead)
	return rows, n, nil
}

// actedWords is what journeys say of an operator's actions.
var actedWords = [...]string{store.OutRetry: "to be tried again now", store.OutHold: "held", store.OutRelease: "released",
	store.OutDrop: "dropped without a notice", store.OutBounce: "to be returned to the sender"}

// tellActed has journeys tell of an action.
func tellActed(t *tx, acted map[int64]*store.Acted) error {
	for _, out := range slices.Sorted(maps.Keys(acted)) {
		id, err := originOf(t, out)
		if err == nil {
			err = addEvents(t, id, []store.Event{store.NewEvent(store.EventActed, fromMicros(t.now), acted[out])})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// actOn does a to rows and returns to how many of them it applied.
func actOn(t *tx, rows []picked, a store.OutAction, now int64, dead *[]deadBody) (int, error) {
	n := 0
	dests, dropped, acted := map[string]bool{}, map[int64]bool{}, map[int64]*store.Acted{}
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
		case a == store.OutBounce && !p.leased:
			_, err = t.exec("UPDATE out_rcpt SET state = 0, due = ?2, doomed = 1 WHERE id = ?1", p.id, now)
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
		dests[p.dest] = a == store.OutRetry || a == store.OutRelease || a == store.OutBounce
		if acted[p.out] == nil {
			acted[p.out] = &store.Acted{What: actedWords[a], Final: a == store.OutDrop}
		}
		acted[p.out].Rcpts = append(acted[p.out].Rcpts, store.RcptID(p.id))
		acted[p.out].To = append(acted[p.out].To, p.addr.String())
	}
	if err := tellActed(t, acted); err != nil {
		return 0, err
	}
	for dest, now := range dests {
		if !now {
			continue
		}
		if _, err := t.exec("UPDATE dest SET open_until = 0, fails = 0 WHERE name = ?1 AND open_until <> 0", dest); err != nil {
			return 0, err
		}
	}
	if err := dropDone(t, dropped, dead); err != nil {
		return 0, err
	}
	return n, refreshDests(t, dests)
}
