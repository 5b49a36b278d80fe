package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Waiting for mail that a server has acknowledged and delivers later: how
// often to look, and how long nothing new may come before the rest is missing.
const (
	pollEvery  = 10 * time.Millisecond
	stillLimit = 15 * time.Second
)

// boxes counts messages in the INBOX of a range of users, over connections
// that stay open, so that counting costs little.
type boxes struct {
	conns  []*imapConn
	before []int
}

// openBoxes logs in n users from first on, and counts what they have.
func openBoxes(ctx context.Context, s *Server, first, n int) (*boxes, error) {
	b := &boxes{conns: make([]*imapConn, n)}
	const atOnce = 8
	t, _ := parallel(min(n, atOnce), 0, func(worker int, t *Tally) {
		for i := worker; i < n && t.errors == 0; i += atOnce {
			c, err := loginIMAP(ctx, s.IMAP, s.User(first+i), s.Password)
			if err != nil {
				t.fail(fmt.Errorf("counting messages of %s: %w", s.User(first+i), err))
				return
			}
			b.conns[i] = c
		}
	})
	err := t.first
	if err == nil {
		b.before, err = b.count()
	}
	if err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *boxes) close() {
	for _, c := range b.conns {
		if c != nil {
			c.close()
		}
	}
	b.conns = nil
}

// count asks every mailbox.
func (b *boxes) count() ([]int, error) {
	counts := make([]int, len(b.conns))
	for i, c := range b.conns {
		var err error
		if counts[i], err = c.messages("INBOX"); err != nil {
			return nil, err
		}
	}
	return counts, nil
}

// arrived is how many messages are there more than at the beginning.
func (b *boxes) arrived() (int, error) {
	now, err := b.count()
	sum := 0
	for i := range now {
		sum += now[i] - b.before[i]
	}
	return sum, err
}

// wait returns when every mailbox has got what sent says, or when nothing has
// come for stillLimit. It looks at one mailbox at a time, so that it hardly
// disturbs a server that is still delivering.
func (b *boxes) wait(ctx context.Context, sent []int) error {
	last, changed := -1, time.Now()
	for i := 0; i < len(b.conns); {
		have, err := b.conns[i].messages("INBOX")
		if err != nil {
			return err
		}
		if have >= b.before[i]+sent[i] {
			i, last, changed = i+1, -1, time.Now()
			continue
		}
		if have != last {
			last, changed = have, time.Now()
		} else if time.Since(changed) > stillLimit {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("interrupted")
		case <-time.After(pollEvery):
		}
	}
	return nil
}
