package delivery

import (
	"context"
	"testing"

	"postrider/mail"
	"postrider/store"
	"postrider/store/sqlite/sqlitetest"
)

// forgetful is an engine that accepts a message and then does not know
// whether it did.
type forgetful struct {
	store.Engine
	forget int
}

func (f *forgetful) Accept(ctx context.Context, a *store.Acceptance) (store.Accepted, error) {
	got, err := f.Engine.Accept(ctx, a)
	if f.forget--; err == nil && f.forget >= 0 {
		return store.Accepted{}, store.ErrUnknown
	}
	return got, err
}

// TestUnknownOutcome asks again under the same op, so that the peer hears the
// truth and the message is there once.
func TestUnknownOutcome(t *testing.T) {
	for _, c := range []struct {
		op     store.OpID
		forget int
		ok     bool
	}{{"op", 1, true}, {"op", 2, false}, {"", 1, false}} {
		engine := &forgetful{sqlitetest.New(t), c.forget}
		s := &site{t: t, st: store.New(engine, store.Options{})}
		s.Deliverer = New(Options{Store: s.st, Hostname: "mx.b.test"})
		_, err := s.st.AddDomain(t.Context(), "b.test")
		s.must(err)
		m := message("x\r\n", "postmaster@b.test")
		m.Op = c.op
		_, err = s.Accept(t.Context(), m)
		if (err == nil) != c.ok {
			t.Errorf("op %q, %d times: %v", c.op, c.forget, err)
		}
		if a := s.account("postmaster@b.test"); a.Count != 1 {
			t.Errorf("op %q, %d times: %d messages", c.op, c.forget, a.Count)
		}
	}
}

// TestNoDomain is a server that nobody has set up yet.
func TestNoDomain(t *testing.T) {
	d := New(Options{Store: sqlitetest.New(t), Hostname: "mx.b.test"})
	err := d.Verify(t.Context(), &Peer{Account: &store.Account{}}, mail.Address{Local: "postmaster"})
	if store.KindOf(err) != store.NotFound {
		t.Errorf("got %v", err)
	}
}
