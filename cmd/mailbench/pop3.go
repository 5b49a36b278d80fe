package main

import (
	"context"
	"flag"
	"fmt"
	"time"
)

// pop3Load reads a maildrop as clients do: it logs in and looks, lists, and
// fetches one message after the other.
type pop3Load struct {
	load
	logins, lists, fetches int
}

func pop3Workload() Workload {
	return Workload{
		Name: "pop3", Needs: "pop3 imap",
		Summary: "POP3 on a full maildrop: login and STAT, UIDL, RETR (--imap fills and counts it)",
		New: func(fs *flag.FlagSet) Runner {
			r := &pop3Load{}
			r.register(fs, 10000, 1, 1, usersPOP3)
			fs.IntVar(&r.logins, "logins", 30, "`N` sessions with login, STAT and QUIT")
			fs.IntVar(&r.lists, "lists", 10, "`N` times UIDL")
			fs.IntVar(&r.fetches, "fetches", 5000, "`N` messages that are fetched")
			return r
		},
	}
}

func (r *pop3Load) Prepare(ctx context.Context, s *Server) error {
	if err := r.check(); err != nil {
		return err
	}
	return fill(ctx, s, s.User(r.first), "INBOX", r.generator, r.count)
}

func (r *pop3Load) Run(ctx context.Context, s *Server) ([]*Result, error) {
	logins := newTally(r.logins)
	begin := time.Now()
	for range r.logins {
		start := time.Now()
		if err := r.look(ctx, s); err != nil {
			logins.fail(err)
			continue
		}
		logins.done(start)
	}
	results := []*Result{logins.result("login and STAT", "sessions", time.Since(begin))}

	c, err := r.open(ctx, s)
	if err != nil {
		return nil, err
	}
	defer c.close()
	lists := newTally(r.lists)
	begin = time.Now()
	for range r.lists {
		start := time.Now()
		n, err := c.uidl()
		if err == nil && n != r.count {
			err = fmt.Errorf("UIDL lists %d messages, not %d", n, r.count)
		}
		if err != nil {
			lists.fail(err)
			break
		}
		lists.done(start)
	}
	results = append(results, lists.result("UIDL", "lists", time.Since(begin)))

	fetches := newTally(r.fetches)
	cpu := cpuClock(s)
	begin = time.Now()
	for n := range min(r.fetches, r.count) {
		start := time.Now()
		c.beginRetr(n + 1)
		err := c.flush()
		if err == nil {
			err = c.finishRetr()
		}
		if err != nil {
			fetches.fail(err)
			break
		}
		fetches.done(start)
	}
	fetches.bytes = c.octets
	retr := fetches.result("RETR", "messages", time.Since(begin))
	cpu(retr)
	return append(results, retr), c.quit()
}

func (r *pop3Load) open(ctx context.Context, s *Server) (*pop3Conn, error) {
	c, err := dialPOP3(ctx, s.POP3)
	if err != nil {
		return nil, err
	}
	if err := c.login(s.User(r.first), s.Password); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// look is what a client does that finds nothing new.
func (r *pop3Load) look(ctx context.Context, s *Server) error {
	c, err := r.open(ctx, s)
	if err != nil {
		return err
	}
	n, err := c.stat()
	if err == nil && n != r.count {
		err = fmt.Errorf("STAT tells of %d messages, not %d", n, r.count)
	}
	if err != nil {
		c.close()
		return err
	}
	return c.quit()
}

// Verify asks over IMAP whether the maildrop is still whole.
func (r *pop3Load) Verify(ctx context.Context, s *Server, results []*Result) error {
	b, err := openBoxes(ctx, s, r.first, 1)
	if err != nil {
		return err
	}
	defer b.close()
	for _, res := range results {
		res.compareStored(b.before[0], r.count)
	}
	return nil
}
