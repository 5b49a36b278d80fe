package imapd_test

import (
	"context"
	"testing"
)

// TestClosedAccount shows that the open sessions of an account end when it is
// disabled or removed, and nobody else's.
func TestClosedAccount(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	login := func(user string) *client {
		c := newClient(t, w.dial(""))
		t.Cleanup(func() { c.Close() })
		c.line()
		c.send("a LOGIN " + user + " \"" + password + "\"")
		c.line()
		return c
	}
	for _, x := range []struct {
		what string
		shut func() error
	}{
		{"disabled", func() error { return w.store.SetDisabled(ctx, w.carol.ID, true) }},
		{"removed", func() error { return w.store.RemoveAccount(ctx, w.carol.ID) }},
	} {
		if err := w.store.SetDisabled(ctx, w.carol.ID, false); err != nil {
			t.Fatal(err)
		}
		waiting, idling, other := login("carol@a.test"), login("carol@a.test"), login("alice@a.test")
		idling.send("b IDLE")
		idling.line()
		if err := x.shut(); err != nil {
			t.Fatal(err)
		}
		for _, c := range []*client{waiting, idling} {
			if got := c.line(); got != "* BYE The account was closed" {
				t.Errorf("%s: %q", x.what, got)
			}
		}
		other.send("c NOOP")
		if got := other.line(); got != "c OK NOOP completed" {
			t.Errorf("%s: alice: %q", x.what, got)
		}
	}
}
