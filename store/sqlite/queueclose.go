package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"postrider/mail"
	"postrider/store"
)

// CloseDest puts off all that waits for a destination by its own row alone.
func (e *Engine) CloseDest(ctx context.Context, dest string, until time.Time, fails int) error {
	open := int64(0)
	if !until.IsZero() {
		open = micros(until)
	}
	return e.writeQueue(ctx, "close destination", func(t *tx) error {
		_, err := t.exec("UPDATE dest SET open_until = ?2, fails = ?3 WHERE name = ?1", dest, open, fails)
		if err != nil {
			return err
		}
		return refreshDests(t, map[string]bool{dest: open == 0})
	})
}

// LeaseMessage takes the recipients of one message at dest.
func (e *Engine) LeaseMessage(ctx context.Context, owner, dest string, id store.OutID, now time.Time, ttl time.Duration, max int) (*store.Leased, error) {
	var l *store.Leased
	err := e.writeQueue(ctx, "lease", func(t *tx) error {
		l = nil
		taken, err := leaseRcpts(t, leaseOf{int64(id), dest, owner, micros(now), micros(now.Add(ttl)), max})
		if errors.Is(err, sql.ErrNoRows) {
			return nil // it has left the queue
		}
		if err != nil {
			return err
		}
		if len(taken.Rcpts) > 0 {
			l = taken
		}
		return refreshDest(t, dest)
	})
	return l, err
}

// Late finds messages whose sender has to be told something: see
// store.Queue. It walks past all that waits at dest, but writes nothing.
func (e *Engine) Late(ctx context.Context, dest string, now, created time.Time, max int) ([]store.OutID, error) {
	var ids []store.OutID
	err := e.look(ctx, "late", func(t *tx) (err error) {
		ids, err = values[store.OutID](t, `SELECT DISTINCT o.id FROM out_rcpt r JOIN out o ON o.id = r.out
			WHERE r.dest = ?1 AND r.state = 0 AND r.due <= ?2 AND (r.doomed OR o.expires <= ?2 OR o.created <= ?3 AND r.delayed = 0
				AND o.sender_host <> '' AND (r.notify = 0 OR r.notify & ?4 = 0 AND r.notify & ?5 <> 0)) LIMIT ?6`,
			args(dest, micros(now), micros(created), int64(mail.NotifyNever), int64(mail.NotifyDelay), max))
		return err
	})
	return ids, err
}
