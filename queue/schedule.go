package queue

import (
	"context"
	"time"

	"postrider/internal/maillog"
	"postrider/store"
)

// eventKind is what a worker tells the scheduler.
type eventKind uint8

const (
	reached eventKind = iota // the destination took part in a dialogue
	failed                   // it could not be spoken with
	went                     // it has taken a message
	pushed                   // it wants less at once
	stalls                   // an attempt takes long
	moves                    // it has ended
	done                     // the worker has ended
)

type event struct {
	dest string
	kind eventKind
}

// destState is what the scheduler remembers of a destination.
type destState struct {
	running int
	stalled int  // of these, in an attempt that takes long
	good    bool // a worker that runs has reached it
	failing bool // the last contact failed

	limit  int  // connections that it takes at once, as far as is known; 0 is not known
	wasOff bool // it has said that it wants less
	calm   int  // messages that it has taken since
}

// Growth of the number of connections to a destination: at first one more
// with each message that it takes; once it has pushed back, one more after
// this many messages for each connection.
const calmFor = 20

// doubted tells whether it holds a worker's place though its last contact
// failed.
func (d *destState) doubted() bool { return d.failing && d.running > d.stalled }

// went notes that the destination has taken a message.
func (d *destState) went(most int) {
	d.calm++
	if !d.wasOff || d.calm >= calmFor*d.limit {
		d.limit, d.calm = min(max(d.limit, 1)+1, most), 0
	}
}

// pushed notes that the destination wants less at once: half of what it has.
func (d *destState) pushed() {
	d.limit, d.wasOff, d.calm = max(min(d.limit, max(d.running, 1))/2, 1), true, 0
}

// scheduler decides which destination gets a worker. It belongs to one
// goroutine.
type scheduler struct {
	q       *Queue
	dests   map[string]*destState
	busy    int // workers that run
	stalled int // of these, in attempts that take long
	doubted int // destinations that fail, and hold a place
	events  chan event
}

// loop starts workers until ctx ends; they run under work.
func (s *scheduler) loop(ctx, work context.Context) {
	match := func(c store.Change) bool { return c.Kind == store.OutgoingDue }
	sub := s.q.o.Store.Feed().Subscribe(feedBuffer, match)
	defer func() { sub.Close() }()
	for {
		sleep := time.NewTimer(s.dispatch(ctx, work))
		select {
		case <-ctx.Done():
			sleep.Stop()
			return
		case e := <-s.events:
			s.take(e)
		case <-sleep.C:
		case _, ok := <-sub.C():
			if !ok { // too many hints at once: one look tells as much
				sub = s.q.o.Store.Feed().Subscribe(feedBuffer, match)
			}
			drain(sub.C())
		}
		sleep.Stop()
	}
}

// drain empties a channel of hints.
func drain(c <-chan store.Change) {
	for {
		select {
		case _, ok := <-c:
			if !ok {
				return
			}
		default:
			return
		}
	}
}

// dispatch gives workers to destinations that have mail due and returns how
// long there is nothing to do unless something happens.
func (s *scheduler) dispatch(ctx, work context.Context) time.Duration {
	if s.full() || ctx.Err() != nil {
		return maxSleep // a worker's end, or that it waits, wakes us
	}
	now := s.q.o.Now()
	// Destinations that may not start now can stand first; look beyond them.
	dests, next, err := s.q.o.Store.DueDests(ctx, now, s.q.o.Workers+len(s.dests))
	if err != nil {
		if ctx.Err() == nil {
			s.q.o.Log.Error(maillog.Failed, "doing", "find due destinations", "err", err)
		}
		return retryStore
	}
	for _, d := range dests {
		if s.mayStart(d.Name) {
			s.start(ctx, work, d)
		}
	}
	if next.IsZero() {
		return maxSleep
	}
	return min(max(next.Sub(now), time.Millisecond), maxSleep)
}

// full tells whether all places are taken. A worker whose peer lets it wait
// gives up its place until that has ended, so that silent servers, however many
// there are, stop nobody else's mail; what waits so is bounded for its memory.
func (s *scheduler) full() bool {
	return s.busy-min(s.stalled, maxStalled*s.q.o.Workers) >= s.q.o.Workers
}

// mayStart tells whether a destination may have one more worker. Until it has
// been reached it has one, so that a dead one holds no more; and the dead
// ones together leave half of the workers to others.
func (s *scheduler) mayStart(dest string) bool {
	if s.full() {
		return false
	}
	d := s.dests[dest]
	switch {
	case d == nil:
		return true
	case d.running == 0:
		return !d.failing || s.doubted < max(s.q.o.Workers/2, 1)
	}
	return d.good && d.running < min(d.limit, s.q.o.PerDest)
}

func (s *scheduler) start(ctx, work context.Context, due store.Dest) {
	dest := due.Name
	d := s.dests[dest]
	if d == nil {
		d = &destState{}
		s.dests[dest] = d
	}
	s.change(d, func() { d.running++ })
	s.busy++
	w := &worker{q: s.q, dest: dest, fails: due.Fails, tell: func(k eventKind) { s.events <- event{dest, k} }}
	go w.run(ctx, work)
}

// change changes d, and counts whether it is doubted.
func (s *scheduler) change(d *destState, f func()) {
	was := d.doubted()
	f()
	switch is := d.doubted(); {
	case is && !was:
		s.doubted++
	case was && !is:
		s.doubted--
	}
}

// take notes what a worker tells.
func (s *scheduler) take(e event) {
	d := s.dests[e.dest]
	s.change(d, func() {
		switch e.kind {
		case reached:
			d.good, d.failing = true, false
			d.limit = max(d.limit, 1)
		case failed:
			d.good, d.failing = false, true
		case went:
			d.went(s.q.o.PerDest)
		case pushed:
			d.pushed()
		case stalls:
			d.stalled++
			s.stalled++
		case moves:
			d.stalled--
			s.stalled--
		case done:
			d.running--
			s.busy--
			d.good = d.good && d.running > 0
		}
	})
	if d.running == 0 && (!d.failing && !d.wasOff || len(s.dests) > maxFailing) {
		delete(s.dests, e.dest)
	}
}
