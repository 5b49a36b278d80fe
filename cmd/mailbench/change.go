package main

import (
	"context"
	"flag"
	"fmt"
)

// changeLoad copies the archive, flags all of the copy and expunges it.
type changeLoad struct {
	archive
	repeat int
}

func changeWorkload() Workload {
	return Workload{
		Name: "change", Needs: "imap",
		Summary: "COPY of a whole mailbox, then STORE and EXPUNGE of all in the copy",
		New: func(fs *flag.FlagSet) Runner {
			r := &changeLoad{}
			r.register(fs)
			fs.IntVar(&r.repeat, "repeat", 3, "`N` times for each command")
			return r
		},
	}
}

const copyMailbox = "archive-copy"

func (r *changeLoad) Prepare(ctx context.Context, s *Server) error {
	if r.repeat < 1 {
		return usageError{fmt.Errorf("repeat must be at least 1")}
	}
	return r.prepare(ctx, s, usersIMAP)
}

func (r *changeLoad) Run(ctx context.Context, s *Server) ([]*Result, error) {
	copies, stores, expunges := newTally(r.repeat), newTally(r.repeat), newTally(r.repeat)
	for range r.repeat {
		if err := r.once(ctx, s, copies, stores, expunges); err != nil {
			return nil, err
		}
	}
	return []*Result{copies.sum("copy", "commands"), stores.sum("store", "commands"), expunges.sum("expunge", "commands")}, nil
}

func (r *changeLoad) once(ctx context.Context, s *Server, copies, stores, expunges *Tally) error {
	c, err := r.open(ctx, s, usersIMAP)
	if err != nil {
		return err
	}
	defer c.close()
	took, err := c.copyTo(copyMailbox)
	if err == nil {
		err = c.selectMailbox(copyMailbox, r.count)
	}
	if err != nil {
		copies.fail(err)
		return nil
	}
	copies.times = append(copies.times, took)

	c.timed(stores, `STORE 1:* +FLAGS.SILENT (\Flagged)`, expectFetched(0))
	if err := c.wantFound("FLAGGED", r.count); err != nil {
		stores.fail(err)
	}
	if _, err := c.perform(`STORE 1:* +FLAGS.SILENT (\Deleted)`, nil); err != nil {
		return err
	}
	c.timed(expunges, "EXPUNGE", expect("EXPUNGE responses", r.count, func(n counted) int { return n.expunged }))
	if err := c.wantFound("ALL", 0); err != nil {
		expunges.fail(err)
	}
	if _, err := c.perform("CLOSE", nil); err != nil {
		return err
	}
	if _, err := c.perform("DELETE "+copyMailbox, nil); err != nil {
		return err
	}
	return c.logout()
}

// Verify has nothing left to ask: what each command did was looked at.
func (r *changeLoad) Verify(context.Context, *Server, []*Result) error { return nil }

// wantFound searches for a key that must match want messages.
func (c *imapConn) wantFound(key string, want int) error {
	n, err := c.perform("SEARCH "+key, nil)
	if err == nil && len(n.found) != want {
		err = fmt.Errorf("SEARCH %s finds %d messages, not %d", key, len(n.found), want)
	}
	return err
}
