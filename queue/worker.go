package queue

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"postrider/internal/maillog"
	"postrider/mail"
	"postrider/smtpc"
	"postrider/store"
)

// Limits of putting off what is due at a destination that does not answer.
const (
	batch     = 50        // outcomes written in one transaction
	drains    = 16        // leases at once: they share the store's commits
	maxLate   = 1000      // messages found at once
	maxClosed = time.Hour // new mail is not kept from trying for longer
)

// Limits of leasing several messages at once, from a destination that is quick:
// others could send them meanwhile, and an operator cannot act on them.
const (
	maxLeases = 8
	quickTime = 100 * time.Millisecond // for one message
	heldTime  = time.Second            // for all of them
)

var errPanic = errors.New("panic")

// worker sends the mail that is due at one destination, over one connection
// where it can.
type worker struct {
	q     *Queue
	dest  string
	fails int // how often in a row it could not be spoken with, before
	tell  func(eventKind)

	session *smtpc.Session
	via     *smtpc.Client                    // whose session it is
	down    map[*smtpc.Client]*smtpc.Outcome // routes of some senders that do not answer
	told    bool                             // the scheduler knows that the destination answers
	dead    *smtpc.Outcome                   // why it cannot be spoken with
	asOf    time.Time                        // since when
	ready   []*store.Leased                  // leased and not tried yet
	since   time.Time                        // when they were
	quick   bool                             // the last message was sent in no time
	held    []*result                        // outcomes not written yet
	writing sync.WaitGroup                   // outcomes being written
}

// result is what an attempt at one message came to.
type result struct {
	m        *store.Leased
	verdicts []verdict
	notices  []*store.Acceptance
	about    []kind       // of the notices
	sender   mail.Address // whom they tell
	attempt  *store.Event
}

// run works until nothing is due, ctx has ended, or others should have a
// turn. Attempts run under work.
func (w *worker) run(ctx, work context.Context) {
	defer w.tell(done)
	defer w.giveBack()
	defer w.writing.Wait()
	w.via = w.q.o.Client
	w.session = w.via.Session(w.dest)
	defer func() { w.session.Close() }()
	for range maxRun {
		if !w.next(ctx, work, w.q.o.Now()) {
			return
		}
		if w.dead != nil {
			w.tell(failed)
			w.giveBack()
			w.putOff(ctx, work)
			return
		}
	}
}

// next takes one message and makes an attempt; false if there is none.
func (w *worker) next(ctx, work context.Context, now time.Time) bool {
	return w.take(ctx, work, func() (*store.Leased, error) {
		if len(w.ready) > 0 && time.Since(w.since) > heldTime {
			w.giveBack()
		}
		if len(w.ready) == 0 {
			n := 1
			if w.quick {
				n = maxLeases
			}
			var err error
			w.since = time.Now()
			w.ready, err = w.q.o.Store.LeaseSeveral(ctx, w.q.o.Owner, w.dest, now, leaseTime, maxRcpts, n)
			if err != nil || len(w.ready) == 0 {
				return nil, err
			}
		}
		m := w.ready[0]
		w.ready = w.ready[1:]
		return m, nil
	})
}

// giveBack ends leases of messages that were not tried: they are due as before.
func (w *worker) giveBack() {
	var back []*result
	for _, m := range w.ready {
		r := &result{m: m}
		for _, rc := range m.Rcpts {
			r.verdicts = append(r.verdicts, release(rc, rc.Due))
		}
		back = append(back, r)
	}
	if w.ready = nil; len(back) > 0 {
		w.q.record(back)
	}
}

// take makes an attempt at what lease returns; false if that is nothing.
func (w *worker) take(ctx, work context.Context, lease func() (*store.Leased, error)) bool {
	if ctx.Err() != nil {
		return false
	}
	m, err := lease()
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
	began := time.Now()
	w.held = append(w.held, w.attempt(work, m))
	w.quick = w.told && time.Since(began) < quickTime
	if w.dead == nil || len(w.held) >= batch {
		w.flush()
	}
	return true
}

// putOff closes a destination that turned out dead: what waits there is left
// as it is, however much it is, and one message is tried when it opens. Only
// those whose sender has to be told something are taken out, as if they had
// been tried.
func (w *worker) putOff(ctx, work context.Context) {
	wait := min(w.q.o.Retry[min(w.fails, len(w.q.o.Retry)-1)], maxClosed)
	wait += time.Duration(float64(wait) * jitter * (2*w.q.o.Rand() - 1))
	err := w.q.o.Store.CloseDest(context.WithoutCancel(ctx), w.dest, w.asOf.Add(wait), w.fails+1)
	if err != nil {
		w.q.o.Log.Error(maillog.Failed, "doing", "close destination", "dest", w.dest, "err", err)
	}
	// Only now is the outcome there to be seen: who then has it tried again
	// opens what was closed, and not the other way round.
	w.flush()
	w.writing.Wait()           // the message that was tried no longer counts
	created := time.Unix(0, 0) // nobody is told
	if w.q.o.DelayNotice > 0 {
		created = w.asOf.Add(-w.q.o.DelayNotice)
	}
	for {
		late, err := w.q.o.Store.Late(ctx, w.dest, w.asOf, created, maxLate)
		if err != nil && ctx.Err() == nil {
			w.q.o.Log.Error(maillog.Failed, "doing", "find late mail", "dest", w.dest, "err", err)
		}
		if err != nil || len(late) == 0 {
			return
		}
		if w.tellLate(ctx, work, late) == 0 {
			return // they are in other hands
		}
	}
}

// tellLate deals with messages as if each had been tried, and returns with how
// many.
func (w *worker) tellLate(ctx, work context.Context, late []store.OutID) int64 {
	var all sync.WaitGroup
	var n atomic.Int64
	todo := make(chan store.OutID, len(late))
	for _, id := range late {
		todo <- id
	}
	close(todo)
	for range min(drains, len(late)) {
		d := &worker{q: w.q, dest: w.dest, session: w.session, dead: w.dead, asOf: w.asOf}
		all.Go(func() {
			for id := range todo {
				took := d.take(ctx, work, func() (*store.Leased, error) {
					return w.q.o.Store.LeaseMessage(ctx, w.q.o.Owner, w.dest, id, w.asOf, leaseTime, maxRcpts)
				})
				if took {
					n.Add(1)
				}
			}
			d.flush()
			d.writing.Wait()
		})
	}
	all.Wait()
	return n.Load()
}

// attempt sends m, unless the destination is known not to answer. A panic is
// a failed attempt like others: the queue goes on.
func (w *worker) attempt(work context.Context, m *store.Leased) (r *result) {
	r = &result{m: m}
	defer func() {
		if p := recover(); p != nil {
			w.q.o.Log.Error(maillog.Panic, "id", m.Message, "dest", w.dest, "panic", p, "stack", string(debug.Stack()))
			w.session = w.via.Session(w.dest)
			*r = result{m: m}
			w.q.judge(r, broken(m, "this server failed while sending"))
			w.q.unsaid(r, failure, errPanic) // what made a notice fail must not lose it
			w.q.unsaid(r, delay, errPanic)
		}
	}()
	if w.dead != nil {
		w.q.judge(r, w.overrule(m, w.sameFor(m)))
		if !r.speaks() {
			return r
		}
		r.verdicts = nil
	}
	// The outcome and its notice are made while the message can be read, and
	// written when it no longer has to be.
	err := w.read(work, m, func(c *store.Content) error {
		outcomes := w.send(work, r, c)
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

// read calls fn with a message.
func (w *worker) read(work context.Context, m *store.Leased, fn func(*store.Content) error) error {
	if m.Content != nil {
		return fn(m.Content)
	}
	return w.q.o.Store.FetchOutgoing(work, m.ID, fn)
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

// overrule puts in the outcomes of recipients that are not sent to at all.
func (w *worker) overrule(m *store.Leased, outcomes []smtpc.Outcome) []smtpc.Outcome {
	for i, rc := range m.Rcpts {
		if o := withheld(&rc, w.q.o.Now()); o != nil {
			outcomes[i] = *o
		}
	}
	return outcomes
}

// withheld is why nothing is sent to a recipient; nil if it is.
func withheld(rc *store.OutRcpt, now time.Time) *smtpc.Outcome {
	if rc.Doomed {
		return &smtpc.Outcome{Status: smtpc.Permanent, Enhanced: "5.0.0", Text: "the administrator of this server has given the message up"}
	}
	if now.Before(rc.Suppressed) {
		return &smtpc.Outcome{Status: smtpc.Permanent, Enhanced: "5.1.0",
			Text: "this server sends nothing to this address any more, since mail to it came back; its administrator can change that"}
	}
	return nil
}

// send hands the message to the destination, for those recipients that it is
// for; nil if that was broken off because this server stops.
func (w *worker) send(work context.Context, r *result, c *store.Content) []smtpc.Outcome {
	m := r.m
	if w.dead != nil {
		return w.overrule(m, w.sameFor(m))
	}
	outcomes := make([]smtpc.Outcome, len(m.Rcpts))
	var open []int
	ctx, cancel := context.WithTimeout(work, attemptTime)
	defer cancel()
	sm := &smtpc.Message{ID: m.Message, Envelope: m.Envelope, Body: c, Size: c.Size}
	for i, rc := range m.Rcpts {
		if o := withheld(&rc, w.q.o.Now()); o != nil {
			outcomes[i] = *o
			continue
		}
		open = append(open, i)
		sm.Envelope.Rcpts = append(sm.Envelope.Rcpts, rc.Recipient)
	}
	if len(open) == 0 {
		return outcomes
	}
	w.q.o.Log.Info(maillog.Attempt, "id", m.Message, "dest", w.dest, "rcpts", len(open), "try", m.Rcpts[0].Tries+1)
	bySender := w.route(m)
	if o := w.down[w.via]; o != nil {
		for _, i := range open {
			outcomes[i] = *o
		}
		return outcomes
	}
	began := w.q.o.Now()
	res := w.hand(ctx, sm)
	event := attempted(m, open, res, began, w.q.o.Now())
	r.attempt = &event
	settled := false
	for i, o := range res.Outcomes {
		outcomes[open[i]] = o
		settled = settled || o.Status != smtpc.Temporary
	}
	if work.Err() != nil && !settled {
		return nil
	}
	if res.Unreachable && !settled && bySender {
		if w.down == nil {
			w.down = map[*smtpc.Client]*smtpc.Outcome{}
		}
		w.down[w.via] = &res.Outcomes[0] // other senders' mail may still go
	} else if res.Unreachable && !settled {
		w.dead, w.asOf = &res.Outcomes[0], w.q.o.Now()
	} else {
		w.answered(work, res.Outcomes)
	}
	return outcomes
}

// hand hands the message over, and tells the scheduler if that takes long.
func (w *worker) hand(ctx context.Context, m *smtpc.Message) *smtpc.Result {
	told := make(chan struct{})
	late := time.AfterFunc(w.q.o.Patience, func() {
		w.tell(stalls)
		close(told)
	})
	defer func() {
		if !late.Stop() {
			<-told
			w.tell(moves)
		}
	}()
	return w.session.Send(ctx, m)
}

// route has the session go the way that m's sender and destination take, and
// tells whether others' mail to the destination may take another.
func (w *worker) route(m *store.Leased) (bySender bool) {
	c := w.q.o.Client
	if w.q.o.Route != nil {
		var other *smtpc.Client
		if other, bySender = w.q.o.Route(m.Envelope.From, w.dest); other != nil {
			c = other
		}
	}
	if c != w.via {
		w.session.Close()
		w.via, w.session = c, c.Session(w.dest)
	}
	return bySender
}

// answered tells the scheduler what a destination's answers say of how much
// it wants at once.
func (w *worker) answered(work context.Context, outcomes []smtpc.Outcome) {
	if !w.told {
		w.told = true
		w.tell(reached)
		if w.fails > 0 {
			w.fails = 0
			if err := w.q.o.Store.CloseDest(context.WithoutCancel(work), w.dest, time.Time{}, 0); err != nil {
				w.q.o.Log.Error(maillog.Failed, "doing", "open destination", "dest", w.dest, "err", err)
			}
		}
	}
	switch {
	case slices.ContainsFunc(outcomes, wantsLess):
		w.tell(pushed)
	case slices.ContainsFunc(outcomes, func(o smtpc.Outcome) bool { return o.Status == smtpc.Delivered }):
		w.tell(went)
	}
}

// wantsLess tells whether a reply is about how much comes at once: the
// service closes the channel (RFC 5321 §3.8), or is congested (RFC 3463 §3.4,
// §3.5), or there are too many connections or messages.
func wantsLess(o smtpc.Outcome) bool {
	if o.Status != smtpc.Temporary {
		return false
	}
	switch o.Enhanced {
	case "4.3.2", "4.4.5", "4.7.28":
		return true
	}
	return o.Code == 421
}

// judge turns outcomes into verdicts. The jitter is one for the whole message,
// so that its recipients stay together, in attempts and in notices.
func (q *Queue) judge(r *result, outcomes []smtpc.Outcome) {
	now, spread := q.o.Now(), q.o.Rand()
	for i, rc := range r.m.Rcpts {
		r.verdicts = append(r.verdicts, q.o.settle(&r.m.Outgoing, rc, outcomes[i], now, spread))
	}
}
