package sqlite

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"postrider/mail"
	"postrider/store"
)

// BenchmarkQueue has 100,000 recipients wait at 20 destinations, and does what
// the scheduler, the workers and an operator do.
func BenchmarkQueue(b *testing.B) {
	ctx := context.Background()
	e := openTest(b, b.TempDir(), Options{})
	now := time.Now()
	for i := range 1000 {
		env := mail.Envelope{From: mail.Address{Local: "a", Domain: "a.test"}}
		for j := range 100 {
			env.Rcpts = append(env.Rcpts, mail.Recipient{Addr: mail.Address{Local: fmt.Sprint("u", j), Domain: fmt.Sprintf("d%d.test", j%20)}})
		}
		_, err := e.Accept(ctx, &store.Acceptance{ID: mail.NewID(now), Body: strings.NewReader("Subject: x\r\n\r\nx\r\n"),
			Outgoing: []store.NewOutgoing{{Envelope: env, Due: now.Add(time.Duration(i) * time.Millisecond), Expires: now.Add(time.Hour)}}})
		if err != nil {
			b.Fatal(err)
		}
	}
	held := store.RcptHeld
	for name, f := range map[string]func(i int) error{
		"DueDests":      func(int) error { _, _, err := e.DueDests(ctx, now.Add(time.Minute), 32); return err },
		"DueDests_none": func(int) error { _, _, err := e.DueDests(ctx, now.Add(-time.Minute), 32); return err },
		"Lease_Finish": func(i int) error {
			l, err := e.Lease(ctx, "me", fmt.Sprintf("d%d.test", i%20), now.Add(time.Minute), time.Hour, 1)
			if err != nil {
				return err
			}
			return e.Finish(ctx, []store.RcptOutcome{{ID: l.Rcpts[0].ID, Fence: l.Rcpts[0].Fence, Done: true}})
		},
		"Outgoing_100":      func(int) error { _, err := e.Outgoing(ctx, store.OutFilter{Limit: 100}); return err },
		"Outgoing_dest_100": func(int) error { _, err := e.Outgoing(ctx, store.OutFilter{Dest: "d7.test", Limit: 100}); return err },
		"Outgoing_held":     func(int) error { _, err := e.Outgoing(ctx, store.OutFilter{State: &held, Limit: 100}); return err },
		"Act_dest_100": func(int) error {
			_, err := e.Act(ctx, store.OutFilter{Dest: "d7.test", Limit: 100}, store.OutRetry, now)
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if err := f(i); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
