package main

import (
	"context"
	"flag"
	"fmt"
	"time"
)

// smtpLoad sends messages by SMTP or LMTP into mailboxes.
type smtpLoad struct {
	load
	lmtp          bool
	perConnection int
	sender        string
	folder        string // of messages to send in place of generated ones

	acked []int // by mailbox, in the last run
	boxes *boxes
}

func smtpWorkload() Workload {
	return Workload{
		Name: "smtp", Needs: "smtp",
		Summary: "messages by SMTP into mailboxes: until acknowledged, and until filed",
		New: func(fs *flag.FlagSet) Runner {
			r := &smtpLoad{}
			r.registerSMTP(fs)
			return r
		},
	}
}

func lmtpWorkload() Workload {
	return Workload{
		Name: "lmtp", Needs: "lmtp",
		Summary: "messages by LMTP into mailboxes",
		New: func(fs *flag.FlagSet) Runner {
			r := &smtpLoad{lmtp: true}
			r.registerSMTP(fs)
			return r
		},
	}
}

func (r *smtpLoad) registerSMTP(fs *flag.FlagSet) {
	r.register(fs, 5000, 32, 100, usersSMTP)
	fs.IntVar(&r.perConnection, "per-connection", 0, "`N` messages over one connection, then a new one (default all)")
	fs.StringVar(&r.sender, "sender", "sender@sender.example", "`ADDRESS` in MAIL FROM")
	fs.StringVar(&r.folder, "messages", "", "send the *.eml files in `DIR`, in turn, and generate none")
}

func (r *smtpLoad) addr(s *Server) string {
	if r.lmtp {
		return s.LMTP
	}
	return s.SMTP
}

// Prepare reads the folder of messages, if there is one, and looks whether the
// server answers.
func (r *smtpLoad) Prepare(ctx context.Context, s *Server) error {
	if err := r.check(); err != nil {
		return err
	}
	if r.folder != "" && len(r.messages) == 0 {
		var err error
		if r.messages, err = readFolder(r.folder); err != nil {
			return err
		}
	}
	c, err := dialSMTP(ctx, r.addr(s), r.lmtp)
	if err != nil {
		return err
	}
	return c.quit()
}

// Run measures two spans: until the last acknowledgement ("accept"), and until
// the last message is in its mailbox ("filed"), which some servers see to only
// after they have acknowledged.
func (r *smtpLoad) Run(ctx context.Context, s *Server) ([]*Result, error) {
	if r.folder == "" {
		r.render()
	}
	if s.stores() {
		var err error
		if r.boxes, err = openBoxes(ctx, s, r.first, r.mailboxes); err != nil {
			return nil, err
		}
	}
	acked := make([][]int, r.connections)
	numbers := &counter{n: r.count}
	cpu := cpuClock(s)
	start := time.Now()
	tally, elapsed := parallel(r.connections, r.count/r.connections+1, func(worker int, t *Tally) {
		acked[worker] = make([]int, r.mailboxes)
		r.connection(ctx, s, numbers, t, acked[worker])
	})
	r.acked = make([]int, r.mailboxes)
	for _, byWorker := range acked {
		for i, n := range byWorker {
			r.acked[i] += n
		}
	}
	if r.boxes != nil {
		if err := r.boxes.wait(ctx, r.acked); err != nil {
			return nil, err
		}
	}
	accept := tally.result("accept", "messages", elapsed)
	filed := tally.result("filed", "messages", max(elapsed, time.Since(start)))
	cpu(filed)
	accept.CPU = filed.CPU
	if r.boxes == nil {
		*filed = *accept
		filed.Name = "filed"
	}
	return []*Result{accept, filed}, nil
}

// connection is one worker: it sends what numbers gives it, and connects anew
// after an error.
func (r *smtpLoad) connection(ctx context.Context, s *Server, numbers *counter, t *Tally, acked []int) {
	var c *smtpConn
	used := 0
	for {
		n, ok := numbers.take(ctx)
		if !ok {
			break
		}
		box := n % r.mailboxes
		start := time.Now()
		if c == nil {
			var err error
			if c, err = dialSMTP(ctx, r.addr(s), r.lmtp); err != nil {
				t.fail(fmt.Errorf("connecting: %w", err))
				continue
			}
			used = 0
		}
		m := r.message(n)
		if err := c.send(r.sender, []string{s.User(r.first + box)}, m); err != nil {
			t.fail(err)
			c.close()
			c = nil
			continue
		}
		t.done(start)
		t.bytes += int64(len(m))
		acked[box]++
		if used++; used == r.perConnection {
			c.quit()
			c = nil
		}
	}
	if c != nil {
		c.quit()
	}
}

// Verify counts what is in the mailboxes.
func (r *smtpLoad) Verify(ctx context.Context, s *Server, results []*Result) error {
	if r.boxes == nil {
		return nil
	}
	defer func() { r.boxes.close(); r.boxes = nil }()
	have, err := r.boxes.arrived()
	if err != nil {
		return err
	}
	sent := 0
	for _, n := range r.acked {
		sent += n
	}
	for _, res := range results {
		res.compareStored(have, sent)
	}
	return nil
}
