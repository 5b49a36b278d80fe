package sqlite

import (
	"context"
	"strings"

	"postrider/mail"
	"postrider/store"
)

// suppressedUntil is SQL for until when nothing is sent to recipient r.
const suppressedUntil = "ifnull((SELECT s.until FROM suppressed s WHERE s.dest = r.dest AND s.local = lower(r.local)), 0)"

// countRefused counts a recipient who was refused for good.
func countRefused(t *tx, id store.RcptID, r *store.Refused) error {
	if r.After <= 0 {
		return nil
	}
	_, err := t.exec(`INSERT INTO suppressed (dest, local, until, n, at, reason)
			SELECT dest, lower(local), iif(?3 <= 1, ?2 + ?4, 0), 1, ?2, ?5 FROM out_rcpt WHERE id = ?1
		ON CONFLICT DO UPDATE SET n = iif(at < ?2 - ?4, 1, n + 1), at = ?2, reason = ?5,
			until = max(until, iif(iif(at < ?2 - ?4, 1, n + 1) >= ?3, ?2 + ?4, 0))`,
		int64(id), t.now, r.After, r.For.Microseconds(), r.Reason)
	return err
}

// forgetRefused begins anew with a recipient whose server has taken a message.
func forgetRefused(t *tx, id store.RcptID) error {
	return t.run(`DELETE FROM suppressed WHERE (dest, local) = (SELECT dest, lower(local) FROM out_rcpt WHERE id = ?1) AND until <= ?2`, int64(id), t.now)
}

// Suppressions lists them by domain and name.
func (e *Engine) Suppressions(ctx context.Context) ([]store.Suppression, error) {
	var all []store.Suppression
	err := e.look(ctx, "suppressions", func(t *tx) error {
		return t.each("SELECT local, dest, until, n, at, reason FROM suppressed ORDER BY dest, local", nil, func(scan func(...any) error) error {
			var s store.Suppression
			var until, at int64
			err := scan(&s.Address.Local, &s.Address.Domain, &until, &s.Refused, &at, &s.Reason)
			if s.At = fromMicros(at); until > 0 {
				s.Until = fromMicros(until)
			}
			all = append(all, s)
			return err
		})
	})
	return all, err
}

// Suppress has nothing sent to an address.
func (e *Engine) Suppress(ctx context.Context, s store.Suppression) error {
	return e.writeBeside(ctx, "suppress", func(t *tx) error {
		_, err := t.exec(`INSERT INTO suppressed (dest, local, until, n, at, reason) VALUES (?1, ?2, ?3, 0, ?4, ?5)
			ON CONFLICT DO UPDATE SET until = excluded.until, at = excluded.at, reason = excluded.reason`,
			destOf(s.Address), strings.ToLower(s.Address.Local), micros(s.Until), t.now, s.Reason)
		return err
	})
}

// Unsuppress forgets an address.
func (e *Engine) Unsuppress(ctx context.Context, a mail.Address) error {
	return e.writeBeside(ctx, "unsuppress", func(t *tx) error {
		n, err := t.exec("DELETE FROM suppressed WHERE dest = ?1 AND local = ?2", destOf(a), strings.ToLower(a.Local))
		if err == nil && n == 0 {
			err = store.Errorf(store.NotFound, "unsuppress", "%s", a)
		}
		return err
	})
}

const dayMicros = 24 * 60 * 60 * 1e6

// checkLimit counts what an account submits, unless it is too much.
func checkLimit(t *tx, p *prepared) error {
	l := p.Limit
	if l == nil {
		return nil
	}
	day := t.now / dayMicros
	var messages, fresh int
	err := t.get("SELECT ifnull(max(messages), 0), ifnull(max(fresh), 0) FROM sent WHERE acct = ?1 AND day = ?2", args(int64(l.Account), day), &messages, &fresh)
	if err != nil {
		return err
	}
	if l.Messages > 0 && messages+1 > l.Messages {
		return tooMuch(&store.SendLimitError{Limit: l.Messages})
	}
	more := 0
	for i := range p.Outgoing {
		for j, r := range p.Outgoing[i].Envelope.Rcpts {
			in := args(int64(l.Account), p.out[i].rcpts[j].dest, strings.ToLower(r.Addr.Local), t.now)
			var known bool
			if err := t.get("SELECT EXISTS (SELECT 1 FROM sent_to WHERE acct = ?1 AND dest = ?2 AND local = ?3)", in[:3], &known); err != nil {
				return err
			}
			if !known {
				more++
			}
			if l.Fresh > 0 && more > 0 && fresh+more > l.Fresh {
				return tooMuch(&store.SendLimitError{Limit: l.Fresh, Fresh: true, Always: more > l.Fresh})
			}
			_, err := t.exec("INSERT INTO sent_to (acct, dest, local, at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET at = excluded.at", in...)
			if err != nil {
				return err
			}
		}
	}
	_, err = t.exec(`INSERT INTO sent (acct, day, messages, fresh) VALUES (?1, ?2, 1, ?3)
		ON CONFLICT DO UPDATE SET messages = messages + 1, fresh = fresh + excluded.fresh`, int64(l.Account), day, more)
	return err
}

func tooMuch(e *store.SendLimitError) error {
	return &store.Error{Kind: store.Busy, Op: "accept", Err: e}
}

// forgetSent forgets what counts no longer, and refusals that are old.
func forgetSent(t *tx) error {
	for _, q := range []string{
		"DELETE FROM sent WHERE day < ?1 / 86400000000 - 30",
		"DELETE FROM sent_to WHERE at < ?1 - 400 * 86400000000",
		"DELETE FROM suppressed WHERE until < ?1 AND at < ?1 - 400 * 86400000000",
	} {
		if _, err := t.exec(q, t.now); err != nil {
			return err
		}
	}
	return nil
}
