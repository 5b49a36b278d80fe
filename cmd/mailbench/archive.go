package main

import (
	"context"
	"flag"
	"fmt"
	"time"
)

// archive is the large mailbox that all loads of reading share: each server
// is filled once, however many of them run.
type archive struct {
	count     int
	generator Generator
}

func (a *archive) register(fs *flag.FlagSet) {
	fs.IntVar(&a.count, "count", 10000, "`N` messages in the mailbox")
	fs.Uint64Var(&a.generator.Seed, "seed", 1, "`SEED` of the messages")
	fs.Func("size", "`SIZE` of a message, such as 1K or 10K (default 10K)", func(v string) (err error) {
		a.generator.Size, err = parseSize(v)
		return err
	})
}

// mailbox is a name that tells what is in it, so that what an earlier run
// left serves again.
func (a *archive) mailbox() string {
	return fmt.Sprintf("archive-%d-%d-%d", a.count, a.generator.SizeOf(0), a.generator.Seed)
}

// prepare fills the mailbox of a user.
func (a *archive) prepare(ctx context.Context, s *Server, user int) error {
	if a.count < 1 {
		return usageError{fmt.Errorf("count must be at least 1")}
	}
	return fill(ctx, s, s.User(user), a.mailbox(), a.generator, a.count)
}

// open logs a user in and selects the mailbox.
func (a *archive) open(ctx context.Context, s *Server, user int) (*imapConn, error) {
	c, err := loginIMAP(ctx, s.IMAP, s.User(user), s.Password)
	if err != nil {
		return nil, err
	}
	if err := c.selectMailbox(a.mailbox(), a.count); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// selectMailbox selects a mailbox that must have want messages.
func (c *imapConn) selectMailbox(mailbox string, want int) error {
	n, err := c.perform("SELECT "+quoteIMAP(mailbox), nil)
	if err == nil {
		err = expectExists(want)(n)
	}
	return err
}

// copyTo makes a mailbox that did not exist, with copies of all messages of
// the selected one, and says how long the COPY took.
func (c *imapConn) copyTo(mailbox string) (time.Duration, error) {
	c.do("DELETE "+quoteIMAP(mailbox), nil) // what a broken run left; else there is none
	if _, err := c.perform("CREATE "+quoteIMAP(mailbox), nil); err != nil {
		return 0, err
	}
	start := time.Now()
	_, err := c.perform("COPY 1:* "+quoteIMAP(mailbox), nil)
	return time.Since(start), err
}
