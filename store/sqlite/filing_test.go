package sqlite

import (
	"fmt"
	"testing"
	"time"

	"postrider/store"
)

// oneGroup runs each of fns in its order in one group of writes.
func oneGroup(t *testing.T, e *Engine, fns ...func() error) []error {
	t.Helper()
	errs := make([]chan error, len(fns))
	release := hold(e)
	for i, fn := range fns {
		errs[i] = make(chan error, 1)
		go func() { errs[i] <- fn() }()
		for end := time.Now().Add(20 * time.Second); len(e.requests) <= i; time.Sleep(100 * time.Microsecond) {
			if time.Now().After(end) {
				t.Fatal("waited in vain")
			}
		}
	}
	release()
	var got []error
	for _, c := range errs {
		got = append(got, <-c)
	}
	return got
}

// What one member of a group filed before it failed is undone, and what the
// others file into the same mailbox, before and after it, is not.
func TestFilingUndo(t *testing.T) {
	e := openTest(t, t.TempDir(), Options{})
	a, box := addAccount(t, e, "bob")
	accept := func(n uint64, accounts ...store.AccountID) func() error {
		return func() error {
			m := acceptance(accounts[0], text(n, 200))
			m.Local = nil
			for _, id := range accounts {
				m.Local = append(m.Local, store.LocalRcpt{Account: id, Mailbox: store.Inbox})
			}
			_, err := e.Accept(t.Context(), m)
			return err
		}
	}
	flag := func() error {
		c := store.FlagChange{Mode: store.FlagsAdd, Flags: store.Flags{System: store.Seen}}
		_, err := e.SetFlags(t.Context(), box, store.AllUIDs(), c, store.Unconditional)
		return err
	}
	const nobody = 99
	for round := range 30 { // over the end of a page
		errs := oneGroup(t, e, accept(1, a.ID), accept(2, a.ID, nobody), accept(3, a.ID), flag, accept(4, a.ID, a.ID, nobody), accept(5, a.ID), accept(6, nobody))
		for i, err := range errs {
			if fails := i == 1 || i == 4 || i == 6; fails != (store.KindOf(err) == store.NotFound) || !fails && err != nil {
				t.Fatalf("round %d, member %d: %v", round, i, err)
			}
		}
		m, err := e.Mailbox(t.Context(), a.ID, store.Inbox)
		if n := int64(3 * (round + 1)); err != nil || m.Total != n || int64(m.UIDNext) != n+1 || m.Unseen != 1 {
			t.Fatalf("round %d: %+v, %v", round, m, err)
		}
	}
	clean(t, e)
}

// The writer's memory of a mailbox does not outlive what another handle, or
// another operation, does to that.
func TestFilingAfterOthers(t *testing.T) {
	dir := t.TempDir()
	e, other := openTest(t, dir, Options{}), openTest(t, dir, Options{})
	a, box := addAccount(t, e, "bob")
	file := func(e *Engine, n int) {
		t.Helper()
		if _, err := e.Accept(t.Context(), acceptance(a.ID, text(uint64(n), 100))); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 150 {
		file(e, n)
		switch n % 5 {
		case 0:
			file(other, n)
		case 1:
			if _, err := other.Expunge(t.Context(), box, store.UIDSetOf(store.UID(n)), false); err != nil {
				t.Fatal(err)
			}
		case 2:
			if _, err := e.Copy(t.Context(), "", box, store.UIDSetOf(store.UID(n)), box, true); err != nil {
				t.Fatal(err)
			}
		case 3:
			if err := e.Rename(t.Context(), a.ID, store.Inbox, fmt.Sprint("Old/", n)); err != nil {
				t.Fatal(err)
			}
		}
	}
	clean(t, e)
}
