package main

import (
	"context"
	"errors"
	"flag"
	"time"
)

// watchLoad delivers messages into a mailbox that many watch: how long until
// the last of them knows.
type watchLoad struct {
	watchers, count, sources int
	pause                    time.Duration
	generator                Generator
	sent, before             int
}

func watchWorkload() Workload {
	return Workload{
		Name: "watch", Needs: "imap",
		Summary: "messages into a mailbox that many connections watch in IDLE: time from the 250 to the last one's EXISTS",
		New: func(fs *flag.FlagSet) Runner {
			r := &watchLoad{generator: Generator{Seed: 1}}
			fs.IntVar(&r.watchers, "connections", 500, "`N` connections that watch")
			fs.IntVar(&r.count, "count", 20, "`N` messages, one after the other")
			fs.IntVar(&r.sources, "sources", 64, "`N` loopback addresses that connections come from, if the server is on one")
			fs.DurationVar(&r.pause, "pause", 300*time.Millisecond, "`TIME` between them")
			return r
		},
	}
}

const watchUser = idleUser + 1

func (r *watchLoad) Prepare(_ context.Context, s *Server) error {
	if r.watchers < 1 || r.count < 1 || r.sources < 1 || r.sources > 250 {
		return usageError{errors.New("there must be a connection, a message and 1 to 250 sources")}
	}
	if s.LMTP == "" && s.SMTP == "" {
		return usageError{errors.New("--lmtp or --smtp is missing")}
	}
	return moreFiles(r.watchers + 100)
}

func (r *watchLoad) Run(ctx context.Context, s *Server) ([]*Result, error) {
	group := &idlers{server: s, user: watchUser, mailbox: "INBOX", sources: r.sources}
	defer group.close()
	counting, err := loginIMAP(ctx, s.IMAP, s.User(watchUser), s.Password)
	if err != nil {
		return nil, err
	}
	defer counting.close()
	if r.before, err = counting.messages("INBOX"); err != nil {
		return nil, err
	}
	if t := group.add(ctx, r.watchers); t.first != nil {
		return nil, t.first
	}
	sender, err := r.dial(ctx, s)
	if err != nil {
		return nil, err
	}
	defer sender.close()
	tally := newTally(r.count)
	start := time.Now()
	for r.sent = 0; r.sent < r.count && tally.errors == 0; r.sent++ {
		took, err := r.deliver(group, sender, s.User(watchUser))
		if err != nil {
			tally.fail(err)
			break
		}
		tally.times = append(tally.times, took)
		if err := wait(ctx, r.pause); err != nil {
			return nil, err
		}
	}
	result := tally.result("notify", "messages", time.Since(start))
	result.Note = "from the 250 to the last watcher's EXISTS; the rate means nothing"
	return []*Result{result}, nil
}

func (r *watchLoad) dial(ctx context.Context, s *Server) (*smtpConn, error) {
	if s.LMTP != "" {
		return dialSMTP(ctx, s.LMTP, true)
	}
	return dialSMTP(ctx, s.SMTP, false)
}

// deliver sends one message, and returns how long after its 250 the last
// watcher knew: 0 if all knew before.
func (r *watchLoad) deliver(group *idlers, sender *smtpConn, user string) (time.Duration, error) {
	type told struct {
		at  time.Time
		err error
	}
	all := make(chan told, len(group.conns))
	for _, c := range group.conns {
		go func() {
			err := c.awaitExists(r.before + r.sent)
			all <- told{time.Now(), err}
		}()
	}
	if err := sender.send(r.generator.From(r.sent), []string{user}, r.generator.Message(r.sent)); err != nil {
		group.close() // ends those who wait
		return 0, err
	}
	accepted := time.Now()
	var last time.Duration
	for range group.conns {
		t := <-all
		if t.err != nil {
			group.close()
			return 0, t.err
		}
		last = max(last, t.at.Sub(accepted))
	}
	return last, nil
}

// Verify counts what arrived.
func (r *watchLoad) Verify(ctx context.Context, s *Server, results []*Result) error {
	c, err := loginIMAP(ctx, s.IMAP, s.User(watchUser), s.Password)
	if err != nil {
		return err
	}
	defer c.close()
	have, err := c.messages("INBOX")
	if err == nil {
		results[0].compareStored(have-r.before, r.sent)
	}
	return err
}
