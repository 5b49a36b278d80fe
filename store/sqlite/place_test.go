package sqlite

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"postrider/store"
	"postrider/store/blob"
)

// faultyFS is a disk whose segments fail to be written or synced on demand.
type faultyFS struct {
	blob.Disk
	writes, syncs atomic.Pointer[error]
	synced        atomic.Int32
}

func (f *faultyFS) Create(path string) (blob.File, error) {
	file, err := f.Disk.Create(path)
	return faultyFile{file, f}, err
}

type faultyFile struct {
	blob.File
	fs *faultyFS
}

func (f faultyFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.fs.writes.Load(); err != nil {
		return 0, *err
	}
	return f.File.WriteAt(p, off)
}

func (f faultyFile) Sync() error {
	f.fs.synced.Add(1)
	if err := f.fs.syncs.Load(); err != nil {
		return *err
	}
	return f.File.Sync()
}

// group runs fns at once, so that they share a commit, in this order, and
// returns their errors. e is no owner, which has writes of its own.
func group(e *Engine, fns ...func() error) []error {
	release := hold(e)
	errs := make([]error, len(fns))
	var wg sync.WaitGroup
	for i, fn := range fns {
		wg.Go(func() { errs[i] = fn() })
		for len(e.requests) <= i { // until it waits behind the one that is held
			runtime.Gosched()
		}
	}
	release()
	wg.Wait()
	return errs
}

func places(t *testing.T, e *Engine) (n [2]int) {
	t.Helper()
	err := e.read(t.Context(), "test", func(t *tx) error {
		return t.get("SELECT count(*) FILTER (WHERE place = 0), count(*) FILTER (WHERE place = 1) FROM body", nil, &n[0], &n[1])
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Writes that share a commit put little into the database and much into a
// segment, with one sync. One that fails takes nobody with it.
func TestPlaceOfAGroup(t *testing.T) {
	fs := &faultyFS{}
	e := openTest(t, t.TempDir(), Options{FS: fs})
	a, inbox := addAccount(t, e, "bob")
	accept := func(n int) func() error {
		return func() error {
			_, err := e.Accept(context.Background(), acceptance(a.ID, text(uint64(n), 10000)))
			return err
		}
	}
	full := func() error {
		_, err := e.Accept(context.Background(), acceptance(a.ID+1, text(99, 10000)))
		return err
	}
	for i, err := range group(e, accept(0), accept(1), full) {
		if (err != nil) != (i == 2) {
			t.Errorf("write %d: %v", i, err)
		}
	}
	if n := places(t, e); n != [2]int{2, 0} || fs.synced.Load() != 0 {
		t.Errorf("a small group: %d in the database and %d in segments, %d syncs", n[0], n[1], fs.synced.Load())
	}
	var many []func() error
	for i := range 10 {
		many = append(many, accept(2+i))
	}
	for i, err := range group(e, append(many, full)...) {
		if (store.KindOf(err) == store.NotFound) != (i == 10) {
			t.Errorf("write %d: %v", i, err)
		}
	}
	if n := places(t, e); n != [2]int{2, 10} || fs.synced.Load() != 1 {
		t.Errorf("a large group: %d in the database and %d in segments, %d syncs", n[0], n[1], fs.synced.Load())
	}
	if got := readAllOf(t, e, inbox); len(got) != 12 {
		t.Errorf("%d messages", len(got))
	}
	clean(t, e)
}

// When a group's bodies cannot be made durable, those whose bodies they are
// fail, nothing names them, and the others take place.
func TestSegmentOfAGroupFails(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		kind store.Kind
	}{{"input/output error", unix.EIO, store.Internal}, {"no space", unix.ENOSPC, store.Full}} {
		for _, what := range []string{"write", "sync"} {
			t.Run(fmt.Sprint(c.name, " in a ", what), func(t *testing.T) {
				fs := &faultyFS{}
				e := openTest(t, t.TempDir(), Options{FS: fs})
				a, inbox := addAccount(t, e, "bob")
				broken := &fs.writes
				if what == "sync" {
					broken = &fs.syncs
				}
				broken.Store(&c.err)
				var fns []func() error
				for i := range 10 {
					fns = append(fns, func() error {
						_, err := e.Accept(context.Background(), acceptance(a.ID, text(uint64(i), 10000)))
						return err
					})
				}
				fns = append(fns, func() error { return e.SetQuota(context.Background(), a.ID, 1<<40, 0) })
				for i, err := range group(e, fns...) {
					switch {
					case i == 10 || c.kind == store.Full: // the database has room
						if err != nil {
							t.Errorf("write %d: %v", i, err)
						}
					case !errors.Is(err, c.err) || store.KindOf(err) != c.kind:
						t.Errorf("write %d: %v", i, err)
					}
				}
				broken.Store(nil)
				for _, err := range group(e, fns...) {
					if err != nil {
						t.Errorf("after the failure: %v", err)
					}
				}
				want := 10
				if c.kind == store.Full {
					want = 20
				}
				if got := readAllOf(t, e, inbox); len(got) != want {
					t.Errorf("%d messages, want %d", len(got), want)
				}
				clean(t, e)
			})
		}
	}
}
