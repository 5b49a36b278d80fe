package queue

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"postrider/delivery"
	"postrider/internal/maillog"
	"postrider/mail"
	"postrider/smtpc"
	"postrider/store"
)

// Defaults of Options.
const (
	defaultWorkers     = 32
	defaultPerDest     = 8
	defaultDelayNotice = 4 * time.Hour
	defaultGrace       = 10 * time.Second
	defaultPatience    = 10 * time.Second
)

// Limits of the scheduler.
const (
	leaseTime   = time.Hour        // longer than any attempt
	attemptTime = 55 * time.Minute // of one message at one destination
	maxRcpts    = 100              // in one transaction (RFC 5321 §4.5.3.1.8)
	maxRun      = 100              // messages that a worker sends before others get a turn
	maxSleep    = time.Minute      // before the store is asked again: the feed is but a hint
	retryStore  = 2 * time.Second  // after the store failed
	feedBuffer  = 64
	maxStalled  = 8      // workers that wait for a peer beside each of Workers
	maxFailing  = 10_000 // destinations remembered as not answering
)

// Options are what New needs.
type Options struct {
	Store   *store.Store
	Deliver *delivery.Deliverer
	Client  *smtpc.Client
	// Route chooses another client for some of the mail; nil, or a nil result,
	// is Client. bySender tells that other mail to dest may go elsewhere.
	Route    func(from mail.Address, dest string) (c *smtpc.Client, bySender bool)
	Hostname string // in notices
	// Owner names this node in leases. Nodes on the same store have different
	// names, and a node keeps its name. Empty for Hostname.
	Owner string
	// Retry is how long to wait after the first, second, … attempt; the last
	// repeats. Empty for DefaultRetry.
	Retry []time.Duration
	// DelayNotice is the age at which a message's sender is told that it is
	// late; 0 for 4 hours, negative for never.
	DelayNotice time.Duration
	Workers     int // messages under way at once; 0 for 32
	// Patience is when an attempt no longer counts among Workers, since its peer
	// lets it wait; 0 for 10 seconds.
	Patience time.Duration
	PerDest  int // of these at one destination, at most; 0 for 8
	// SuppressAfter is how often an address may be refused for good until
	// nothing is sent to it for SuppressFor; 0 is never.
	SuppressAfter int
	SuppressFor   time.Duration
	Grace         time.Duration // for attempts under way when Run ends; 0 for 10 seconds
	Log           *slog.Logger
	Now           func() time.Time
	Rand          func() float64 // [0, 1)
}

// DefaultRetry suits a server that is down for a moment, greylists, or is
// down for a day (RFC 5321 §4.5.4.1).
func DefaultRetry() []time.Duration {
	return []time.Duration{5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour}
}

// Queue is the outgoing message queue at work.
type Queue struct {
	o      Options
	notice *Notifier
}

// New makes a queue; Run starts it.
func New(o Options) *Queue {
	if o.Owner == "" {
		o.Owner = o.Hostname
	}
	if len(o.Retry) == 0 {
		o.Retry = DefaultRetry()
	}
	if o.DelayNotice == 0 {
		o.DelayNotice = defaultDelayNotice
	}
	if o.Workers <= 0 {
		o.Workers = defaultWorkers
	}
	if o.PerDest <= 0 {
		o.PerDest = defaultPerDest
	}
	if o.Grace <= 0 {
		o.Grace = defaultGrace
	}
	if o.Patience <= 0 {
		o.Patience = defaultPatience
	}
	if o.Log == nil {
		o.Log = maillog.Discard()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	return &Queue{o: o, notice: NewNotifier(o.Hostname, o.Now)}
}

// Run sends until ctx ends, then leases nothing more, gives attempts under
// way their grace, and returns when all workers are done. Its error is nil.
func (q *Queue) Run(ctx context.Context) error {
	q.unlease(ctx)
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s := &scheduler{q: q, dests: map[string]*destState{}, events: make(chan event)}
	s.loop(ctx, work)
	end := time.AfterFunc(q.o.Grace, cancel)
	defer end.Stop()
	for s.busy > 0 {
		s.take(<-s.events)
	}
	return nil
}

// unlease ends the leases of this node's former life.
func (q *Queue) unlease(ctx context.Context) {
	n, err := q.o.Store.Unlease(ctx, q.o.Owner)
	switch {
	case err != nil && ctx.Err() == nil:
		q.o.Log.Error(maillog.Failed, "doing", "end old leases", "err", err)
	case n > 0:
		q.o.Log.Warn(maillog.Warning, "doing", "end old leases", "rcpts", n)
	}
}
