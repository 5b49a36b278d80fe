package sqlite

import (
	"context"
	"errors"
	"fmt"

	"postrider/store"
)

var errClosed = &store.Error{Kind: store.Busy, Op: "read", Err: errors.New("the store is closed")}

// read runs fn on one snapshot of the database. It never waits for the
// writer. fn may not wait for peers: whatever is slow comes after it.
func (e *Engine) read(ctx context.Context, op string, fn func(*tx) error) error {
	return e.reading(ctx, op, func(t *tx) (sound bool, err error) {
		if err := t.conn.exec("BEGIN"); err != nil {
			return false, fmt.Errorf("begin: %w", err)
		}
		err = fn(t)
		return t.conn.exec("COMMIT") == nil, err
	})
}

// look is read for a single statement, which is a snapshot by itself.
func (e *Engine) look(ctx context.Context, op string, fn func(*tx) error) error {
	return e.reading(ctx, op, func(t *tx) (bool, error) { return true, fn(t) })
}

// reading runs fn on a reading connection, which is not used again unless fn
// says that it is sound.
func (e *Engine) reading(ctx context.Context, op string, fn func(*tx) (sound bool, err error)) error {
	c, err := e.reader(ctx)
	if err != nil {
		return wrap(op, err)
	}
	sound := false
	defer func() {
		if !sound {
			c.discard()
			c = nil
		}
		e.readers <- c
	}()
	sound, err = fn(&tx{conn: c, now: micros(e.now())})
	sound = sound && !isBroken(err)
	return wrap(op, err)
}

// reader takes a reading connection and opens it if that has not been done.
func (e *Engine) reader(ctx context.Context) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if e.isClosed() {
		return nil, errClosed
	}
	select {
	case <-e.quit:
		return nil, errClosed
	case c := <-e.readers:
		if c != nil {
			return c, nil
		}
		c, err := newConn(context.Background(), e.rdb)
		if err != nil {
			e.readers <- nil
		}
		return c, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (e *Engine) isClosed() bool {
	select {
	case <-e.quit:
		return true
	default:
		return false
	}
}
