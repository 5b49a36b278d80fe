package store

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// boxes is an engine of which only Changes is there: mailbox N has N messages.
type boxes struct {
	Engine
	mu      sync.Mutex
	reads   map[int64][]ModSeq // since of each call
	modseq  ModSeq
	missing bool
	gate    chan struct{} // if not nil, each call waits for a token
}

func (b *boxes) Changes(ctx context.Context, id MailboxID, since ModSeq) (Delta, error) {
	b.mu.Lock()
	b.reads[id.N] = append(b.reads[id.N], since)
	missing, head, gate := b.missing, b.modseq, b.gate
	b.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return Delta{}, &Error{Kind: Busy, Op: "changes", Err: ctx.Err()}
		}
	}
	if missing {
		return Delta{}, &Error{Kind: NotFound, Op: "changes"}
	}
	d := Delta{Mailbox: Mailbox{ID: id, UIDValidity: 1, ModSeq: head, Total: id.N}, Full: since == 0}
	if since == 0 {
		d.Changed.Grow(int(id.N))
		for u := range UID(id.N) {
			d.Changed.Append(row(u+1, 1, 0, ""))
		}
	}
	return d, nil
}

func (b *boxes) calls(n int64) []ModSeq {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]ModSeq(nil), b.reads[n]...)
}

func view(t *testing.T, s *Store, n int64) *View {
	t.Helper()
	v, err := s.View(context.Background(), MailboxID{1, n})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestStoreViewIsShared(t *testing.T) {
	b := &boxes{reads: map[int64][]ModSeq{}, modseq: 5}
	s := New(b, Options{})
	v := view(t, s, 3)
	if view(t, s, 3) != v {
		t.Error("nothing changed, and another view")
	}
	b.modseq = 6
	w := view(t, s, 3)
	if w == v || w.ModSeq() != 6 || w.Len() != 3 {
		t.Errorf("after a change: %+v", w.Mailbox())
	}
	if got := b.calls(3); len(got) != 3 || got[1] != 5 || got[2] != 5 {
		t.Errorf("the engine was asked since %v", got)
	}
	b.modseq = 4 // the data were put back
	if w = view(t, s, 3); w.ModSeq() != 4 {
		t.Errorf("the view is at %d after the data were put back to 4", w.ModSeq())
	}
	if got := b.calls(3); got[len(got)-1] != 0 {
		t.Errorf("after the data were put back, the engine was asked since %v", got)
	}
	b.missing = true
	if _, err := s.View(context.Background(), MailboxID{1, 3}); KindOf(err) != NotFound {
		t.Errorf("a deleted mailbox: %v", err)
	}
	if len(s.views.entries) != 0 || s.views.recent.Len() != 0 || s.views.bytes != 0 {
		t.Errorf("a deleted mailbox is still in the cache")
	}
}

func TestStoreViewOneRefreshForMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &boxes{reads: map[int64][]ModSeq{}, modseq: 5, gate: make(chan struct{})}
		s := New(b, Options{})
		const many = 20
		var wg sync.WaitGroup
		wg.Go(func() { view(t, s, 1) })
		synctest.Wait()
		for range many { // they come while a refresh runs that is too old for them
			wg.Go(func() { view(t, s, 1) })
		}
		synctest.Wait()
		b.gate <- struct{}{}
		b.gate <- struct{}{}
		wg.Wait()
		if got := b.calls(1); len(got) != 2 {
			t.Errorf("%d refreshes for %d callers, want 2", len(got), many+1)
		}
	})
}

func TestStoreViewCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &boxes{reads: map[int64][]ModSeq{}, modseq: 5, gate: make(chan struct{})}
		s := New(b, Options{})
		ctx, cancel := context.WithCancel(context.Background())
		errs, views := make(chan error), make(chan *View)
		go func() {
			_, err := s.View(ctx, MailboxID{1, 1})
			errs <- err
		}()
		synctest.Wait()
		go func() { views <- view(t, s, 1) }()
		synctest.Wait()
		cancel()
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		b.gate <- struct{}{} // who waited behind it refreshes for itself
		if v := <-views; v.Len() != 1 {
			t.Errorf("who waited behind a cancelled caller got %d messages", v.Len())
		}
	})
}

func TestStoreViewBounded(t *testing.T) {
	const each = 512 + 100*rowBytes
	b := &boxes{reads: map[int64][]ModSeq{}, modseq: 5}
	s := New(b, Options{ViewBytes: 3 * each})
	held := view(t, s, 100)
	for n := int64(101); n < 120; n++ {
		view(t, s, n)
	}
	if s.views.bytes > 3*each || s.views.recent.Len() > 3 {
		t.Errorf("the cache holds %d bytes in %d views", s.views.bytes, s.views.recent.Len())
	}
	if view(t, s, 100) != held || len(b.calls(100)) != 2 || b.calls(100)[1] == 0 {
		t.Errorf("a view that a session holds was read again: %v", b.calls(100))
	}
	runtime.KeepAlive(held)
	held = nil
	waitFor(t, func() bool {
		runtime.GC()
		s.views.mu.Lock()
		defer s.views.mu.Unlock()
		return len(s.views.entries) == s.views.recent.Len()
	})
	view(t, s, 110)
	if c := b.calls(110); c[len(c)-1] != 0 {
		t.Errorf("a view that nobody held was not read anew: %v", c)
	}
}

func TestStoreViewLeastRecentlyUsed(t *testing.T) {
	b := &boxes{reads: map[int64][]ModSeq{}, modseq: 5}
	s := New(b, Options{ViewBytes: 3 * (512 + 103*rowBytes)})
	for _, n := range []int64{100, 101, 102, 100, 103} { // 101 has to go
		view(t, s, n)
	}
	for n, want := range map[int64]bool{100: true, 101: false, 102: true, 103: true} {
		if e := s.views.entries[MailboxID{1, n}]; (e != nil && e.view != nil) != want {
			t.Errorf("mailbox %d is in the cache: %v", n, !want)
		}
	}
}

func TestStoreViewLargerThanTheCache(t *testing.T) {
	b := &boxes{reads: map[int64][]ModSeq{}, modseq: 5}
	s := New(b, Options{ViewBytes: 1})
	view(t, s, 1000)
	runtime.GC()
	view(t, s, 1000)
	if got := b.calls(1000); len(got) != 2 || got[1] == 0 || s.views.recent.Len() != 1 {
		t.Error("the view in use must stay, however large")
	}
}

// waitFor waits until cond holds.
func waitFor(t *testing.T, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}

// A change that is told moves the view on only from the moment before it, and
// what is newest is asked of the engine all the same.
func TestStoreViewFollows(t *testing.T) {
	b := &boxes{reads: map[int64][]ModSeq{}, modseq: 5}
	s := New(b, Options{})
	id := MailboxID{1, 3}
	change := Delta{Mailbox: Mailbox{ID: id, UIDValidity: 1, ModSeq: 6, Total: 3}, Changed: RowsOf(row(2, 6, Seen, "k"))}
	s.views.follow(id, 5, change) // there is none yet
	view(t, s, 3)
	for _, before := range []ModSeq{4, 6} {
		if s.views.follow(id, before, change); s.views.entries[id].view.ModSeq() != 5 {
			t.Errorf("a view at 5 took a change after %d", before)
		}
	}
	s.views.follow(id, 5, change)
	b.modseq = 6
	w := view(t, s, 3)
	if w.ModSeq() != 6 || w.At(1).Flags != (Flags{System: Seen, Keywords: "k"}) || w.At(0).ModSeq != 1 {
		t.Errorf("%+v, %+v", w.Mailbox(), w.At(1))
	}
	if got := b.calls(3); len(got) != 2 || got[1] != 6 {
		t.Errorf("the engine was asked since %v", got)
	}
}
