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

// TestActOnMany does things to more recipients than go into one transaction.
func TestActOnMany(t *testing.T) {
	ctx := context.Background()
	e := openTest(t, t.TempDir(), Options{})
	now := time.Now()
	const n = 2*maxActed + 7
	for i := 0; i < n; {
		var env mail.Envelope
		for range min(900, n-i) {
			env.Rcpts = append(env.Rcpts, mail.Recipient{Addr: mail.Address{Local: fmt.Sprint("u", i), Domain: fmt.Sprintf("d%d.test", i%3)}})
			i++
		}
		_, err := e.Accept(ctx, &store.Acceptance{ID: mail.NewID(now), Body: strings.NewReader("Subject: x\r\n\r\nx\r\n"),
			Outgoing: []store.NewOutgoing{{Envelope: env, Expires: now.Add(time.Hour)}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	active := store.RcptActive
	for _, c := range []struct {
		f    store.OutFilter
		a    store.OutAction
		want int
	}{
		{store.OutFilter{Limit: maxActed + 5}, store.OutHold, maxActed + 5},
		{store.OutFilter{}, store.OutHold, n - maxActed - 5},
		{store.OutFilter{State: &active}, store.OutHold, 0},
		{store.OutFilter{}, store.OutRelease, n},
		{store.OutFilter{Dest: "d1.test", Limit: 3}, store.OutDrop, 3},
		{store.OutFilter{}, store.OutRetry, n - 3},
		{store.OutFilter{}, store.OutDrop, n - 3},
		{store.OutFilter{}, store.OutDrop, 0},
	} {
		if got, err := e.Act(ctx, c.f, c.a, now); got != c.want || err != nil {
			t.Errorf("%+v: action %d to %d, %v; want %d", c.f, c.a, got, err, c.want)
		}
	}
	if left, err := e.Outgoing(ctx, store.OutFilter{}); len(left) != 0 || err != nil {
		t.Errorf("%d messages left, %v", len(left), err)
	}
}
