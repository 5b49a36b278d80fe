package sqlite

import (
	"context"
	"log/slog"
	"time"

	"postrider/internal/maillog"
	"postrider/store/blob"
)

// sweep drops what segments hold and no row names: what a crash left between
// the writing of a body and its commit, and what was being read when its last
// row went.
func (e *Engine) sweep(c *conn) error {
	segs, err := e.blobs.Segments()
	if err != nil {
		return err
	}
	t := &tx{conn: c}
	for _, n := range segs {
		var live []blob.Live
		err := t.each("SELECT off, size FROM body WHERE place = 1 AND seg = ?1 ORDER BY off", args(n), func(scan func(...any) error) error {
			var l blob.Live
			err := scan(&l.Off, &l.Size)
			live = append(live, l)
			return err
		})
		if err != nil {
			return err
		}
		err = e.blobs.Sweep(n, live, func(id int64) (there bool, err error) {
			err = t.get("SELECT EXISTS (SELECT 1 FROM body WHERE id = ?1)", args(id), &there)
			return there, err
		})
		if err != nil { // nothing was dropped; check tells more
			e.log.Error(maillog.Failed, slog.String("what", "garbage of a crash is kept"), slog.Any("err", err))
		}
	}
	return nil
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
