package sqlite

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/maillog"
	"postrider/store"
)

// reserve is a file that holds disk space for what must work when the disk is
// full: deleting mail, and keeping book of the queue. While it is not whole,
// the engine takes nothing in.
type reserve struct {
	path string
	size int64

	mu    sync.Mutex
	whole bool
}

// restore allocates the reserve and returns whether it is whole.
func (r *reserve) restore() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.whole || r.size == 0 {
		return true
	}
	f, err := os.OpenFile(r.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false
	}
	defer f.Close()
	if err := allocate(f, r.size); err != nil {
		f.Truncate(0)
		return false
	}
	r.whole = true
	return true
}

// release gives the space back to the file system: true if there was any.
func (r *reserve) release() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.whole || r.size == 0 {
		return false
	}
	r.whole = false
	return os.Truncate(r.path, 0) == nil
}

// intact tells whether the reserve is whole, as far as is known.
func (r *reserve) intact() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.whole || r.size == 0
}

// allocate makes sure that f has size bytes of its own on the disk.
func allocate(f *os.File, size int64) error {
	err := unix.Fallocate(int(f.Fd()), 0, 0, size)
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	zeros := make([]byte, 64<<10)
	for left := size; left > 0; left -= int64(len(zeros)) {
		if _, err := f.Write(zeros[:min(left, int64(len(zeros)))]); err != nil {
			return err
		}
	}
	return f.Sync()
}

// While the disk is full, free pages are given back every shrinkEvery at most,
// in shrinkSteps transactions of shrinkPages pages: small ones, since they need
// some of the space that there is none of.
const (
	shrinkEvery = time.Second
	shrinkSteps = 32
	shrinkPages = 512
)

// room refuses to take mail in while the reserve is not whole: Full. It tries
// to make it whole first, from what the disk has, then from what deleting has
// freed.
func (e *Engine) room(ctx context.Context, op string) error {
	if e.reserve.intact() || e.reserve.restore() || e.shrink(ctx) {
		return nil
	}
	return store.Errorf(store.Full, op, "the disk is full: what is left is for deleting")
}

// shrink gives the log, and free pages at the database's end, back to the file
// system until the reserve is whole again, and returns whether it is.
func (e *Engine) shrink(ctx context.Context) bool {
	e.shrinkMu.Lock()
	defer e.shrinkMu.Unlock()
	now := time.Now()
	if now.Sub(e.shrunk) < shrinkEvery {
		return e.reserve.restore()
	}
	e.shrunk = now
	for range shrinkSteps {
		err := e.checkpoint(ctx)
		if err == nil && e.reserve.restore() {
			return true
		}
		if err == nil {
			err = e.vacuum(ctx)
		}
		if errors.Is(err, errNothing) { // there may be holes to make in segments
			if err = e.sweep(ctx); err == nil {
				return e.reserve.restore()
			}
		}
		if err != nil {
			e.log.Warn(maillog.Warning, slog.String("what", "giving space back"), slog.Any("err", err))
			return false
		}
	}
	return e.reserve.restore()
}

var errNothing = errors.New("no free pages")

// vacuum moves some free pages to the database's end and cuts them off there.
func (e *Engine) vacuum(ctx context.Context) error {
	return e.writeFreeing(ctx, "vacuum", func(t *tx) error {
		n := 0
		// Each row of the answer is one page.
		err := t.each("PRAGMA incremental_vacuum", nil, func(func(...any) error) error {
			if n++; n >= shrinkPages {
				return errEnough
			}
			return nil
		})
		if err == nil && n == 0 {
			return errNothing
		}
		if errors.Is(err, errEnough) {
			return nil
		}
		return err
	})
}

var errEnough = errors.New("enough")

// checkpoint moves the log into the database file and empties it, as far as
// readers allow.
func (e *Engine) checkpoint(ctx context.Context) error {
	c, err := e.reader(ctx)
	if err != nil {
		return err
	}
	defer func() { e.readers <- c }()
	t := &tx{conn: c}
	var busy, log, done int
	return t.get("PRAGMA wal_checkpoint(TRUNCATE)", nil, &busy, &log, &done)
}
