package queue

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"postrider/internal/maillog"
	"postrider/smtpc"
	"postrider/store"
)

// Limits of putting off what is due at a destination that does not answer.
const (
	batch  = 50 // outcomes written in one transaction
	drains = 16 // leases at once: they share the store's commits
)

var errPanic = errors.New("panic")

// worker sends the mail that is due at one destination, over one connection
// where it can.
type worker struct {
	q    *Queue
	dest string
	tell func(eventKind)

	session *smtpc.Session
	told    bool           // the scheduler knows that the destination answers
	dead    *smtpc.Outcome // why it cannot be spoken with
	asOf    time.Time      // since when
	held    []*result      // outcomes not written yet
	writing sync.WaitGroup // outcomes being written
}

// result is what an attempt at one message came to.
type result struct {
	m        *store.Leased
	verdicts []verdict
	notices  []*store.Acceptance
	about    []kind // of the notices
}

// run works until nothing is due, ctx has ended, or others should have a
// turn. Attempts run under work.
func (w *worker) run(ctx, work context.Context) {
	defer w.tell(done)
	defer w.writing.Wait()
	w.session = w.q.o.Client.Session(w.dest)
	defer func() { w.session.Close() }()
	for range maxRun {
		if !w.next(ctx, work, w.q.o.Now()) {
			return
		}
		if w.dead != nil {
			w.tell(failed)
			w.putOff(ctx, work)
			return
		}
	}
}

// next takes one message and makes an attempt; false if there is none.
func (w *worker) next(ctx, work context.Context, now time.Time) bool {
	if ctx.Err() != nil {
		return false
	}
	m, err := w.q.o.Store.Lease(ctx, w.q.o.Owner, w.dest, now, leaseTime, maxRcpts)
	if err != nil && ctx.Err() == nil {
		w.q.o.Log.Error(maillog.Failed, "doing", "lease", "dest", w.dest, "err", err)
	}
	if err != nil || m == nil {
		return false
	}
	// Writing the last outcomes and leasing the next message may share a
	// commit, but nothing is sent before they are written: what a crash makes
	// us send twice is never more than one message for each worker.
	w.writing.Wait()
	w.held = append(w.held, w.attempt(work, m))
	if w.dead == nil || len(w.held) >= batch {
		w.flush()
	}
	return true
}

// putOff deals with all that was due when the destination turned out dead, as
// if each message had been tried. What falls due later makes a new attempt.
func (w *worker) putOff(ctx, work context.Context) {
	w.flush()
	var all sync.WaitGroup
	for range drains {
		d := &worker{q: w.q, dest: w.dest, session: w.session, dead: w.dead, asOf: w.asOf}
		all.Go(func() {
			for d.next(ctx, work, d.asOf) {
			}
			d.flush()
			d.writing.Wait()
		})
	}
	all.Wait()
}

// attempt sends m, unless the destination is known not to answer. A panic is
// a failed attempt like others: the queue goes on.
func (w *worker) attempt(work context.Context, m *store.Leased) (r *result) {
	r = &result{m: m}
	defer func() {
		if p := recover(); p != nil {
			w.q.o.Log.Error(maillog.Panic, "id", m.Message, "dest", w.dest, "panic", p, "stack", string(debug.Stack()))
			w.session = w.q.o.Client.Session(w.dest)
			*r = result{m: m}
			w.q.judge(r, broken(m, "this server failed while sending"))
			w.q.unsaid(r, failure, errPanic) // what made a notice fail must not lose it
			w.q.unsaid(r, delay, errPanic)
		}
	}()
	if w.dead != nil {
		w.q.judge(r, w.sameFor(m))
		if !r.speaks() {
			return r
		}
		r.verdicts = nil
	}
	// The outcome and its notice are made while the message can be read, and
	// written when it no longer has to be.
	err := w.q.o.Store.FetchOutgoing(work, m.ID, func(c *store.Content) error {
		outcomes := w.send(work, m, c)
		if outcomes == nil {
			for _, rc := range m.Rcpts {
				r.verdicts = append(r.verdicts, release(rc, w.q.o.Now()))
			}
			return nil
		}
		w.q.judge(r, outcomes)
		w.q.addNotices(context.WithoutCancel(work), r, c)
		return nil
	})
	if err != nil && len(r.verdicts) == 0 {
		w.q.o.Log.Error(maillog.Failed, "doing", "read queued message", "id", m.Message, "err", err)
		w.q.judge(r, broken(m, "the message could not be read"))
		w.q.addNotices(context.WithoutCancel(work), r, &store.Content{ReaderAt: strings.NewReader("")})
	}
	return r
}

// sameFor is the outcome of a destination that does not answer, for every
// recipient.
func (w *worker) sameFor(m *store.Leased) []smtpc.Outcome {
	return slices.Repeat([]smtpc.Outcome{*w.dead}, len(m.Rcpts))
}

// speaks tells whether somebody is to be told, for which the message has to
// be read.
func (r *result) speaks() bool {
	return slices.ContainsFunc(r.verdicts, func(v verdict) bool { return v.notice != none })
}

// broken is the outcome of a fault of ours, for every recipient.
func broken(m *store.Leased, words string) []smtpc.Outcome {
	return slices.Repeat([]smtpc.Outcome{{Status: smtpc.Temporary, Enhanced: "4.3.0", Text: words}}, len(m.Rcpts))
}

// send hands the message to the destination; nil if that was broken off
// because this server stops.
func (w *worker) send(work context.Context, m *store.Leased, c *store.Content) []smtpc.Outcome {
	if w.dead != nil {
		return w.sameFor(m)
	}
	w.q.o.Log.Info(maillog.Attempt, "id", m.Message, "dest", w.dest, "rcpts", len(m.Rcpts), "try", m.Rcpts[0].Tries+1)
	ctx, cancel := context.WithTimeout(work, attemptTime)
	defer cancel()
	sm := &smtpc.Message{ID: m.Message, Envelope: m.Envelope, Body: c, Size: c.Size}
	for _, r := range m.Rcpts {
		sm.Envelope.Rcpts = append(sm.Envelope.Rcpts, r.Recipient)
	}
	res := w.session.Send(ctx, sm)
	settled := false
	for _, o := range res.Outcomes {
		settled = settled || o.Status != smtpc.Temporary
	}
	if work.Err() != nil && !settled {
		return nil
	}
	if res.Unreachable && !settled {
		w.dead, w.asOf = &res.Outcomes[0], w.q.o.Now()
	} else if !w.told {
		w.told = true
		w.tell(reached)
	}
	return res.Outcomes
}

// judge turns outcomes into verdicts. The jitter is one for the whole message,
// so that its recipients stay together, in attempts and in notices.
func (q *Queue) judge(r *result, outcomes []smtpc.Outcome) {
	now, spread := q.o.Now(), q.o.Rand()
	for i, rc := range r.m.Rcpts {
		r.verdicts = append(r.verdicts, q.o.settle(&r.m.Outgoing, rc, outcomes[i], now, spread))
	}
}
