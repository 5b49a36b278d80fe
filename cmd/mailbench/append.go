package main

import (
	"context"
	"flag"
	"time"
)

// appendLoad appends messages by IMAP, each connection to a mailbox of its own.
type appendLoad struct {
	load
	acked int
	boxes *boxes
}

func appendWorkload() Workload {
	return Workload{
		Name: "append", Needs: "imap",
		Summary: "messages by IMAP APPEND, each connection into one of the mailboxes",
		New: func(fs *flag.FlagSet) Runner {
			r := &appendLoad{}
			r.register(fs, 4000, 8, 8, usersAppend)
			return r
		},
	}
}

// Prepare has nothing to do: every user has an INBOX.
func (r *appendLoad) Prepare(context.Context, *Server) error { return r.check() }

func (r *appendLoad) Run(ctx context.Context, s *Server) ([]*Result, error) {
	r.render()
	var err error
	if r.boxes, err = openBoxes(ctx, s, r.first, r.mailboxes); err != nil {
		return nil, err
	}
	conns := make([]*imapConn, r.connections)
	for i := range conns {
		if conns[i], err = loginIMAP(ctx, s.IMAP, s.User(r.first+i%r.mailboxes), s.Password); err != nil {
			return nil, err
		}
		defer conns[i].close()
	}
	numbers := &counter{n: r.count}
	cpu := cpuClock(s)
	tally, elapsed := parallel(r.connections, r.count/r.connections+1, func(worker int, t *Tally) {
		for {
			n, ok := numbers.take(ctx)
			if !ok {
				return
			}
			m := r.message(n)
			start := time.Now()
			if err := conns[worker].append("INBOX", m); err != nil {
				t.fail(err)
				return
			}
			t.done(start)
			t.bytes += int64(len(m))
		}
	})
	r.acked = len(tally.times)
	result := tally.result("append", "messages", elapsed)
	cpu(result)
	return []*Result{result}, nil
}

// Verify counts what is in the mailboxes.
func (r *appendLoad) Verify(ctx context.Context, s *Server, results []*Result) error {
	defer func() { r.boxes.close() }()
	have, err := r.boxes.arrived()
	if err != nil {
		return err
	}
	results[0].compareStored(have, r.acked)
	return nil
}
