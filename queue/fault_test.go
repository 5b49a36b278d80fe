package queue

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postrider/smtpc/smtpctest"
	"postrider/store"
)

// faulty is an engine that fails where a test wants it to.
type faulty struct {
	store.Engine
	fetch, finish atomic.Int64 // calls that fail
	panics        atomic.Bool
	dead          atomic.Bool // writes nothing any more, as after kill -9
}

var errDisk = &store.Error{Kind: store.Internal, Op: "test", Err: errors.New("disk")}

// LeaseSeveral hands out nothing from memory: what fails is reading.
func (f *faulty) LeaseSeveral(ctx context.Context, owner, dest string, now time.Time, ttl time.Duration, max, messages int) ([]*store.Leased, error) {
	ls, err := f.Engine.LeaseSeveral(ctx, owner, dest, now, ttl, max, messages)
	for _, l := range ls {
		l.Content = nil
	}
	return ls, err
}

func (f *faulty) FetchOutgoing(ctx context.Context, id store.OutID, fn func(*store.Content) error) error {
	if f.fetch.Add(-1) >= 0 {
		return errDisk
	}
	return f.Engine.FetchOutgoing(ctx, id, func(c *store.Content) error {
		if f.panics.CompareAndSwap(true, false) {
			panic("a bug")
		}
		return fn(c)
	})
}

func (f *faulty) Finish(ctx context.Context, o []store.RcptOutcome, n ...*store.Acceptance) error {
	if f.dead.Load() {
		return &store.Error{Kind: store.Expunged, Op: "test"}
	}
	if f.finish.Add(-1) >= 0 {
		return &store.Error{Kind: store.Full, Op: "test"}
	}
	return f.Engine.Finish(ctx, o, n...)
}

// failing puts a faulty engine under a rig.
func failing(f *faulty) func(*rig) {
	return func(r *rig) {
		f.Engine = r.store.Engine
		r.store = store.New(f, store.Options{})
		r.opts.Store = r.store
	}
}

func TestMessageThatCannotBeRead(t *testing.T) {
	f := &faulty{}
	s := smtpctest.New(t, smtpctest.Options{})
	r := newRig(t, s, failing(f))
	f.fetch.Store(1)
	r.run()
	r.send(nil, "bob@b.test")
	if q := r.tried(1); !strings.Contains(q.Last, "could not be read") {
		t.Errorf("last: %q", q.Last)
	}
	r.later(schedule[0])
	s.Wait(t, 1)
	r.empty()
	// Even when its time is over, its sender is told.
	f.fetch.Store(1)
	r.stop()
	r.send(nil, "bob@b.test")
	r.clock.add(200 * time.Hour)
	r.run()
	p := r.only()
	has(t, p.Status[1], "Action", "failed", "Status", "4.4.7")
	r.empty()
}

func TestFullDiskAfterDelivery(t *testing.T) {
	f := &faulty{}
	s := smtpctest.New(t, smtpctest.Options{})
	r := newRig(t, s, failing(f))
	f.finish.Store(2)
	r.send(nil, "bob@b.test")
	r.run()
	r.empty()
	if n := len(s.Messages()); n != 1 {
		t.Errorf("delivered %d times", n)
	}
}

func TestPanicIsAFailedAttempt(t *testing.T) {
	f := &faulty{}
	s := smtpctest.New(t, smtpctest.Options{})
	r := newRig(t, s, failing(f))
	f.panics.Store(true)
	r.send(nil, "bob@b.test")
	r.run()
	if q := r.tried(1); !strings.Contains(q.Last, "failed while sending") || !strings.Contains(r.log.String(), "msg=panic") {
		t.Errorf("last: %q", q.Last)
	}
	r.later(schedule[0])
	s.Wait(t, 1)
	r.empty()
}

// A crash between the remote server's reply and our commit repeats the
// message, and nothing else: one notice for one failure.
func TestCrashBeforeTheOutcomeIsWritten(t *testing.T) {
	f := &faulty{}
	s := smtpctest.New(t, refuse("RCPT TO:<nobody", "550 5.1.1 no such user"))
	r := newRig(t, s, failing(f))
	f.dead.Store(true)
	r.send(nil, "bob@b.test", "nobody@b.test")
	r.run()
	s.Wait(t, 1)
	r.until("the outcome is lost", func() bool { return strings.Contains(r.log.String(), "write outcome") })
	r.stop()
	if n := len(r.queued()); n != 2 {
		t.Fatalf("%d queued", n)
	}
	f.dead.Store(false)
	r.run()
	s.Wait(t, 2)
	r.empty()
	if n := r.inbox(); len(n) != 1 || len(s.Messages()) != 2 {
		t.Errorf("%d notices, delivered %d times", len(n), len(s.Messages()))
	}
}
