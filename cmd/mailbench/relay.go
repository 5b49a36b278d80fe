package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// relayLoad submits messages for other domains and waits until a sink of its
// own has got them all.
type relayLoad struct {
	load
	destinations int

	run  uint64 // how often Run was called: each has a seed of its own
	seen *arrivals
}

func relayWorkload() Workload {
	return Workload{
		Name: "relay", Needs: "submission sink",
		Summary: "messages submitted for other domains, until a sink has got all (it listens on --sink)",
		New: func(fs *flag.FlagSet) Runner {
			r := &relayLoad{}
			r.register(fs, 10000, 16, 1, usersRelay)
			fs.IntVar(&r.destinations, "destinations", 20, "`N` domains that the messages are for")
			return r
		},
	}
}

func (r *relayLoad) Prepare(ctx context.Context, s *Server) error {
	if r.destinations < 1 {
		return usageError{errors.New("destinations must be at least 1")}
	}
	return r.check()
}

// arrivals is what the sink has seen of one run.
type arrivals struct {
	mu      sync.Mutex
	suffix  string // of this run's Message-IDs
	times   []int  // by message
	at      []time.Time
	unique  int
	foreign int
	done    chan struct{} // closed when all are there
	last    time.Time
}

func newArrivals(g Generator, n int) *arrivals {
	return &arrivals{
		suffix: "." + strconv.FormatUint(g.Seed, 36) + "@mailbench.example>",
		times:  make([]int, n), at: make([]time.Time, n), done: make(chan struct{}), last: time.Now(),
	}
}

// got counts the message that has this Message-ID, "<m12.seed@…>".
func (a *arrivals) got(at time.Time, messageID []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	number, ok := bytes.CutPrefix(messageID, []byte("<m"))
	number, ok2 := bytes.CutSuffix(number, []byte(a.suffix))
	n, err := strconv.Atoi(string(number))
	if !ok || !ok2 || err != nil || n < 0 || n >= len(a.times) {
		a.foreign++
		return
	}
	a.last = at
	if a.times[n]++; a.times[n] > 1 {
		return
	}
	a.at[n] = at
	if a.unique++; a.unique == len(a.times) {
		close(a.done)
	}
}

// wait returns when all are there, or none has come for stillLimit.
func (a *arrivals) wait(ctx context.Context) error {
	for {
		select {
		case <-a.done:
			return nil
		case <-ctx.Done():
			return errors.New("interrupted")
		case <-time.After(time.Second):
		}
		a.mu.Lock()
		still := time.Since(a.last) > stillLimit
		a.mu.Unlock()
		if still {
			return nil
		}
	}
}

// Run submits and waits. The latency of a message is from its MAIL command to
// its arrival in the sink.
func (r *relayLoad) Run(ctx context.Context, s *Server) ([]*Result, error) {
	r.run++
	g := r.generator
	g.Seed = g.Seed<<32 + r.run
	g.Sender = s.User(r.first)
	messages := g.Render(0, r.count)
	r.seen = newArrivals(g, r.count)
	snk, err := newSink(s.Sink, r.seen.got)
	if err != nil {
		return nil, fmt.Errorf("the sink: %w", err)
	}
	defer snk.close()

	sent := make([]time.Time, r.count)
	numbers := &counter{n: r.count}
	cpu := cpuClock(s)
	begin := time.Now()
	submitted, elapsed := parallel(r.connections, r.count/r.connections+1, func(_ int, t *Tally) {
		r.submit(ctx, s, numbers, messages, sent, t)
	})
	if err := r.seen.wait(ctx); err != nil {
		return nil, err
	}
	relay := newTally(r.count)
	last := begin
	r.seen.mu.Lock()
	for n, at := range r.seen.at {
		if r.seen.times[n] > 0 {
			relay.times = append(relay.times, at.Sub(sent[n]))
			relay.bytes += int64(len(messages[n]))
			if at.After(last) {
				last = at
			}
		}
	}
	r.seen.mu.Unlock()
	relay.errors, relay.first = submitted.errors, submitted.first
	relayed := relay.result("relay", "messages", last.Sub(begin))
	cpu(relayed)
	return []*Result{
		relayed,
		submitted.result("submit", "messages", elapsed),
	}, nil
}

// submit is one connection of a user.
func (r *relayLoad) submit(ctx context.Context, s *Server, numbers *counter, messages [][]byte, sent []time.Time, t *Tally) {
	user := s.User(r.first)
	c, err := dialSMTP(ctx, s.submission(), false)
	if err == nil {
		err = c.login(user, s.Password)
	}
	if err != nil {
		t.fail(err)
		return
	}
	defer c.close()
	for {
		n, ok := numbers.take(ctx)
		if !ok {
			c.quit()
			return
		}
		to := fmt.Sprintf("user%d@dest%02d.example", n, n%r.destinations)
		sent[n] = time.Now()
		if err := c.send(user, []string{to}, messages[n]); err != nil {
			t.fail(err)
			return
		}
		t.done(sent[n])
	}
}

// Verify looks which messages the sink has, and which twice.
func (r *relayLoad) Verify(_ context.Context, _ *Server, results []*Result) error {
	a := r.seen
	a.mu.Lock()
	defer a.mu.Unlock()
	relay, submit := results[0], results[1]
	relay.Stored = a.unique
	relay.Missing = max(0, submit.Count-a.unique)
	for _, times := range a.times {
		relay.Extra += max(0, times-1)
	}
	if a.foreign > 0 {
		relay.Note = fmt.Sprintf("the sink also got %d messages of other origin", a.foreign)
	}
	return nil
}
