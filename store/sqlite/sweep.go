package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"time"

	"postrider/internal/maillog"
	"postrider/store"
	"postrider/store/blob"
)

// sweep drops what segments hold and no row names: what a crash left between
// the writing of a body and its commit, and bodies too small to be dropped
// when their last row went.
func (e *Engine) sweep(ctx context.Context) error {
	segs, err := e.blobs.Segments()
	if err != nil {
		return err
	}
	for _, n := range segs {
		if err := e.sweepSegment(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) sweepSegment(ctx context.Context, n int64) error {
	h, err := e.blobs.Hold(n)
	if h == nil || err != nil {
		return err
	}
	defer h.Close()
	var live []blob.Live
	err = e.read(ctx, "sweep", func(t *tx) error {
		live = nil
		return t.each("SELECT off, size FROM body INDEXED BY body_segment WHERE place = 1 AND seg = ?1 ORDER BY off", args(n), func(scan func(...any) error) error {
			var l blob.Live
			err := scan(&l.Off, &l.Size)
			live = append(live, l)
			return err
		})
	})
	if err != nil {
		return err
	}
	err = h.Sweep(live, func(id int64) (misplaced bool, err error) {
		err = e.read(ctx, "sweep", func(t *tx) error {
			misplaced, err = e.misplaced(t, id)
			return err
		})
		return misplaced, err
	})
	if err != nil { // nothing was dropped; check tells more
		e.log.Error(maillog.Failed, slog.String("what", "garbage in a segment is kept"), slog.Any("err", err))
	}
	return nil
}

// misplaced tells whether body id has a row, and that names a place where the
// body is not: then any record of the body must be kept.
func (e *Engine) misplaced(t *tx, id int64) (bool, error) {
	s := stored{body: id, bodySize: new(int64), place: new(int64)}
	err := t.get("SELECT size, place, seg, off, hash FROM body WHERE id = ?1", args(id), s.bodySize, s.place, &s.loc.Seg, &s.loc.Off, &s.hash)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err == nil {
		err = e.load(t, &s, store.NeedBody)
	}
	if err != nil {
		return false, err
	}
	defer s.close()
	s.size, s.sum = *s.bodySize, sumOf(s.hash, nil, nil, *s.bodySize)
	r, err := s.open()
	if err == nil {
		err = readAll(r, &s)
	}
	return err != nil, nil
}

// tidyEvery is how often the owner forgets what is too old to be asked for.
const tidyEvery = time.Hour

// tidy runs until the engine is closed.
func (e *Engine) tidy() {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		err := e.forget()
		if err == nil {
			err = e.trimGone(context.Background())
		}
		if err == nil {
			err = e.forgetJourneys(context.Background())
		}
		if err == nil {
			err = e.indexMessageIDs(context.Background())
		}
		if err == nil {
			err = e.writeQueue(context.Background(), "forget", forgetSent)
		}
		select {
		case <-e.quit:
			return
		default:
		}
		if err != nil {
			e.log.Warn(maillog.Warning, slog.String("what", "forgetting what is old"), slog.Any("err", err))
		}
		select {
		case <-tick.C:
		case <-e.quit:
			return
		}
	}
}

// forget removes what idempotency keys did more than keepOps ago, a bounded
// number in each transaction.
func (e *Engine) forget() error {
	for {
		var n int64
		err := e.writeFreeing(context.Background(), "forget", func(t *tx) (err error) {
			n, err = t.exec(`DELETE FROM op WHERE (acct, op) IN (SELECT acct, op FROM op WHERE at < ?1 ORDER BY at LIMIT 1000)`,
				t.now-keepOps.Microseconds())
			return err
		})
		if err != nil || n < 1000 {
			return err
		}
	}
}
