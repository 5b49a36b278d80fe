package main

import (
	"context"
	"flag"
	"fmt"
	"time"
)

// mixLoad is many clients, each of which logs in, looks around, reads a
// little and leaves, again and again.
type mixLoad struct {
	archive
	clients, users int
	duration       time.Duration
}

func mixWorkload() Workload {
	return Workload{
		Name: "mix", Needs: "imap",
		Summary: "clients that log in, list, select, read 20 envelopes and one body, set a flag and log out",
		New: func(fs *flag.FlagSet) Runner {
			r := &mixLoad{}
			r.register(fs)
			fs.IntVar(&r.clients, "connections", 32, "`N` clients at once")
			fs.IntVar(&r.users, "users", 1, "`N` users, each with a mailbox, who take turns")
			fs.DurationVar(&r.duration, "duration", 10*time.Second, "`TIME` for which new sessions begin")
			return r
		},
	}
}

// mixPage is how many messages of a mailbox a client shows at once.
const mixPage = 20

// mixUsers is how many users there may be: from usersIMAP on.
const mixUsers = 32

func (r *mixLoad) Prepare(ctx context.Context, s *Server) error {
	if r.clients < 1 || r.users < 1 || r.users > mixUsers || r.count < mixPage {
		return usageError{fmt.Errorf("there must be a client, 1 to %d users, and %d messages", mixUsers, mixPage)}
	}
	for u := range r.users {
		if err := r.prepare(ctx, s, usersIMAP+u); err != nil {
			return err
		}
	}
	return nil
}

func (r *mixLoad) Run(ctx context.Context, s *Server) ([]*Result, error) {
	end := time.Now().Add(r.duration)
	tally, elapsed := parallel(r.clients, 1024, func(worker int, t *Tally) {
		random := Generator{Seed: r.generator.Seed}.random(worker)
		for time.Now().Before(end) && ctx.Err() == nil && t.errors == 0 {
			start := time.Now()
			octets, err := r.session(ctx, s, usersIMAP+worker%r.users, &random)
			if err != nil {
				t.fail(err)
				continue
			}
			t.done(start)
			t.bytes += octets
		}
	})
	return []*Result{tally.result("mix", "sessions", elapsed)}, nil
}

// Verify has nothing left to ask: every session looked at what it got.
func (r *mixLoad) Verify(context.Context, *Server, []*Result) error { return nil }

// session is one client's visit; it returns the octets of literals.
func (r *mixLoad) session(ctx context.Context, s *Server, user int, random *random) (int64, error) {
	c, err := loginIMAP(ctx, s.IMAP, s.User(user), s.Password)
	if err != nil {
		return 0, err
	}
	defer c.close()
	mailbox := quoteIMAP(r.mailbox())
	first := 1 + random.below(r.count-mixPage+1)
	one := 1 + random.below(r.count)
	sign := "+-"[random.below(2)]
	atLeast := func(kind string, want int, of func(counted) int) func(counted) error {
		return func(n counted) error { // what other clients changed comes as well
			if got := of(n); got < want {
				return fmt.Errorf("%d %s, not %d", got, kind, want)
			}
			return nil
		}
	}
	fetched := func(n counted) int { return n.fetched }
	for _, step := range []struct {
		command string
		check   func(counted) error
	}{
		{`LIST "" "*"`, atLeast("LIST responses", 1, func(n counted) int { return n.listed })},
		{"STATUS " + mailbox + " (MESSAGES UNSEEN UIDNEXT)", atLeast("STATUS responses", 1, func(n counted) int { return n.status })},
		{"SELECT " + mailbox, expectExists(r.count)},
		{fmt.Sprintf("FETCH %d:%d (UID FLAGS ENVELOPE BODYSTRUCTURE)", first, first+mixPage-1), atLeast("FETCH responses", mixPage, fetched)},
		{fmt.Sprintf("FETCH %d BODY.PEEK[]", one), atLeast("FETCH responses", 1, fetched)},
		{fmt.Sprintf(`STORE %d %cFLAGS (\Flagged)`, one, sign), nil},
	} {
		n, err := c.perform(step.command, nil)
		if err == nil && step.check != nil {
			err = step.check(n)
		}
		if err != nil {
			return 0, fmt.Errorf("%.60s: %w", step.command, err)
		}
	}
	if c.octets == 0 {
		return 0, fmt.Errorf("FETCH %d BODY.PEEK[]: no octets", one)
	}
	return c.octets, c.logout()
}
