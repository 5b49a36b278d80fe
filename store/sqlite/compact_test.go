package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/store"
)

// compactStore makes a store whose segments are mostly garbage and returns
// what is to be read of its mailbox.
func compactStore(t *testing.T, o Options) (dir string, inbox store.MailboxID, want map[store.UID][]byte) {
	t.Helper()
	dir = t.TempDir()
	o.GroupInline, o.SegmentMax = 1, 3<<20
	e := openTest(t, dir, o)
	a, inbox := addAccount(t, e, "bob")
	var gone store.UIDSet
	for i := range 120 {
		size := 50000
		if i%20 == 0 {
			size = 400000 // large
		}
		done, err := e.Accept(t.Context(), acceptance(a.ID, text(uint64(i), size)))
		if err != nil {
			t.Fatal(err)
		}
		if i%5 != 0 {
			gone = append(gone, store.UIDRange{Lo: done.Filed[0].UID, Hi: done.Filed[0].UID})
		}
	}
	if _, err := e.Expunge(t.Context(), inbox, gone, false); err != nil {
		t.Fatal(err)
	}
	want = readAllOf(t, e, inbox)
	if len(want) != 24 {
		t.Fatalf("%d messages", len(want))
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, inbox, want
}

// space is what segments take on the disk.
func space(t *testing.T, dir string) (n int64) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, bodiesDir, "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		var st unix.Stat_t
		if err := unix.Stat(name, &st); err != nil {
			continue // removed
		}
		n += st.Blocks * 512
	}
	return n
}

func same(t *testing.T, e *Engine, inbox store.MailboxID, want map[store.UID][]byte) {
	t.Helper()
	got := readAllOf(t, e, inbox)
	if len(got) != len(want) {
		t.Errorf("%d messages, want %d", len(got), len(want))
	}
	for uid, b := range want {
		if !bytes.Equal(got[uid], b) {
			t.Errorf("uid %d has %d other bytes, want %d", uid, len(got[uid]), len(b))
		}
	}
}

// Compaction may end behind any of its steps: whoever opens the store then
// finds all bodies, and what is left to do is done the next time.
func TestCompactionIsCutOff(t *testing.T) {
	cut := errors.New("cut off")
	made, inbox, want := compactStore(t, Options{})
	for _, step := range []string{"written", "changed", "moved", ""} {
		for nth := 1; nth <= 2; nth++ {
			if step == "" && nth > 1 {
				continue
			}
			t.Run(fmt.Sprint(step, nth), func(t *testing.T) {
				dir := t.TempDir()
				if err := os.CopyFS(dir, os.DirFS(made)); err != nil {
					t.Fatal(err)
				}
				full := space(t, dir)
				e := openTest(t, dir, Options{SegmentMax: 3 << 20})
				n := 0
				e.step = func(at string) error {
					if at == step {
						n++
					}
					if n == nth {
						return cut
					}
					return nil
				}
				if err := e.compact(t.Context(), true); (n == nth) != errors.Is(err, cut) {
					t.Fatalf("compact: %v", err)
				}
				if nth == 1 && step != "" && n != 1 {
					t.Error("nothing was compacted")
				}
				e.Close()
				e = openTest(t, dir, Options{SegmentMax: 3 << 20})
				clean(t, e)
				same(t, e, inbox, want)
				if err := e.compact(t.Context(), true); err != nil {
					t.Fatal(err)
				}
				clean(t, e)
				same(t, e, inbox, want)
				if now := space(t, dir); now > full*2/3 {
					t.Errorf("segments take %d bytes, took %d", now, full)
				}
				// Nothing is left to do.
				e.step = func(at string) error { t.Errorf("again: %s", at); return nil }
				if err := e.compact(t.Context(), true); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// Who has a body open keeps reading it, and who has only read where it stood
// finds where it stands now, also through another handle.
func TestCompactionUnderReaders(t *testing.T) {
	dir, inbox, want := compactStore(t, Options{})
	e, other := openTest(t, dir, Options{}), openTest(t, dir, Options{})
	before := new(stored) // a small body, as its row said where it was
	err := other.read(t.Context(), "test", func(t *tx) error {
		return t.get("SELECT id, size, place, seg, off, hash FROM body WHERE place = 1 AND size < 100000 ORDER BY id LIMIT 1", nil,
			&before.body, &before.bodySize, &before.place, &before.loc.Seg, &before.loc.Off, &before.hash)
	})
	if err != nil {
		t.Fatal(err)
	}
	got := map[store.UID][]byte{}
	compacted := false
	err = other.Fetch(t.Context(), inbox, store.AllUIDs(), store.NeedBody, func(c *store.Content) error {
		if !compacted {
			compacted = true
			if err := e.compact(t.Context(), true); err != nil {
				return err
			}
		}
		b, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size))
		got[c.UID] = b
		return err
	})
	if err != nil || len(got) != len(want) {
		t.Errorf("%d messages, %v", len(got), err)
	}
	for uid, b := range want {
		if !bytes.Equal(got[uid], b) {
			t.Errorf("uid %d: %d other bytes", uid, len(got[uid]))
		}
	}

	s := before
	err = other.read(t.Context(), "test", func(t *tx) error { return other.load(t, s, store.NeedBody) })
	if err != nil || s.readerErr == nil {
		t.Fatalf("the old place: %v, %v", err, s.readerErr)
	}
	if err := other.follow(t.Context(), s); err != nil || s.readerErr != nil {
		t.Errorf("the new place: %v, %v", err, s.readerErr)
	}
	s.close()
	clean(t, other)
}

// A body that is damaged stays where it is, and nothing of its segment goes.
func TestCompactionKeepsTheDamaged(t *testing.T) {
	dir, inbox, want := compactStore(t, Options{})
	e := openTest(t, dir, Options{})
	mustExec(t, e, "UPDATE body SET hash = zeroblob(32) WHERE id = (SELECT min(id) FROM body WHERE size < 100000)")
	if err := e.compact(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if err := e.compact(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	got := readAllOf(t, e, inbox)
	if len(got) != len(want)-1 {
		t.Errorf("%d messages of %d", len(got), len(want))
	}
	if found, err := e.Check(t.Context(), true); err != nil || len(found) == 0 {
		t.Errorf("check: %v, %v", found, err)
	}
}

// Deliveries, reading and expunging go on while bodies are moved about.
func TestMovingUnderLoad(t *testing.T) {
	dir := t.TempDir()
	o := Options{GroupInline: 20000, SegmentMax: 1 << 20}
	e, other := openTest(t, dir, o), openTest(t, dir, o)
	a, inbox := addAccount(t, e, "bob")
	ctx, stop := context.WithTimeout(t.Context(), 4*time.Second)
	defer stop()
	var mu sync.Mutex
	want := map[store.UID][]byte{}
	var wg sync.WaitGroup
	for i := range 4 {
		h := []*Engine{e, other}[i%2]
		wg.Go(func() {
			for n := uint64(i) << 32; ctx.Err() == nil; n++ {
				body := text(n, 3000+int(n%7)*8000)
				done, err := h.Accept(context.Background(), acceptance(a.ID, body))
				if err != nil {
					t.Error(err)
					return
				}
				uid := done.Filed[0].UID
				if n%4 != 0 {
					if _, err := h.Expunge(context.Background(), inbox, store.UIDSetOf(uid), false); err != nil {
						t.Error(err)
					}
					continue
				}
				mu.Lock()
				want[uid] = body
				mu.Unlock()
			}
		})
	}
	wg.Go(func() { // what moves
		for ctx.Err() == nil {
			e.busy.Store(0)
			if err := e.moveOut(ctx, -time.Second); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			if err := e.compact(ctx, true); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() { // what reads
		for ctx.Err() == nil {
			err := other.Fetch(context.Background(), inbox, store.AllUIDs(), store.NeedBody, func(c *store.Content) error {
				b := make([]byte, c.Size)
				if _, err := c.ReadAt(b, 0); err != nil {
					return fmt.Errorf("uid %d: %w", c.UID, err)
				}
				mu.Lock()
				body, known := want[c.UID]
				mu.Unlock()
				if known && !bytes.HasSuffix(b, body) {
					t.Errorf("uid %d has other bytes", c.UID)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	got := readAllOf(t, e, inbox)
	for uid, body := range want {
		if !bytes.HasSuffix(got[uid], body) {
			t.Errorf("uid %d: %d bytes, want %d", uid, len(got[uid]), len(body))
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d messages, want %d", len(got), len(want))
	}
	t.Logf("%d messages", len(want))
	clean(t, e)
}

// Bodies in the database are moved to segments, once they are old enough and
// many enough.
func TestMoveOut(t *testing.T) {
	for _, step := range []string{"written", "changed", ""} {
		t.Run(step, func(t *testing.T) {
			cut := errors.New("cut off")
			dir := t.TempDir()
			e := openTest(t, dir, Options{})
			a, inbox := addAccount(t, e, "bob")
			for i := range 30 {
				if _, err := e.Accept(t.Context(), acceptance(a.ID, text(uint64(i), 20000))); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := e.Accept(t.Context(), acceptance(a.ID, nil)); err != nil { // there is nothing to move
				t.Fatal(err)
			}
			want := readAllOf(t, e, inbox)
			if err := e.moveOut(t.Context(), time.Hour); err != nil {
				t.Fatal(err)
			}
			if n := places(t, e); n != [2]int{31, 0} {
				t.Errorf("moved what is new: %v", n)
			}
			e.step = func(at string) error {
				if at == step {
					return cut
				}
				return nil
			}
			if err := e.moveOut(t.Context(), -time.Second); (step != "") != errors.Is(err, cut) {
				t.Fatal(err)
			}
			e.Close()
			e = openTest(t, dir, Options{})
			clean(t, e)
			same(t, e, inbox, want)
			if err := e.moveOut(t.Context(), -time.Second); err != nil {
				t.Fatal(err)
			}
			if n := places(t, e); n != [2]int{1, 30} {
				t.Errorf("%d bodies in the database, %d in segments", n[0], n[1])
			}
			clean(t, e)
			same(t, e, inbox, want)
		})
	}
}

// What takes long is done seldom, and what takes no time with every tick.
func TestSpacing(t *testing.T) {
	var s spacing
	now := time.Now()
	if !s.due(now) {
		t.Error("the first is not due")
	}
	for _, took := range []time.Duration{0, 40 * time.Millisecond, 2 * time.Second} {
		s.done(now, took)
		if took > 0 && s.due(now.Add(sumShare*took-1)) || !s.due(now.Add(sumShare*took)) {
			t.Errorf("what took %v is due at %v", took, s.next.Sub(now))
		}
	}
}
