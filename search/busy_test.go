package search

import (
	"testing"
	"time"

	"postrider/mail"
	"postrider/store"
	"postrider/store/sqlite/sqlitetest"
)

// TestBusyIsSeenDuringUpdate has an update go on while far more happens than
// waits to be read: the worker must see it, so that it leaves the processor to
// mail that comes in.
func TestBusyIsSeenDuringUpdate(t *testing.T) {
	s := sqlitetest.New(t)
	if _, err := s.AddDomain(t.Context(), "a.test"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AddAccount(t.Context(), store.NewAccount{Address: mail.Address{Local: "alice", Domain: "a.test"}}); err != nil {
		t.Fatal(err)
	}
	x, err := Open(t.TempDir(), s, Options{Idle: true})
	if err != nil {
		t.Fatal(err)
	}
	w := &x.work
	w.update.Lock() // the worker waits for this one, at its first account
	w.start()
	defer x.Close()
	defer w.update.Unlock()
	change := store.Change{Kind: store.MailboxChanged}
	for end := time.Now().Add(time.Minute); w.busy.Load() == 0; s.Feed().Publish(change) {
		if time.Now().After(end) {
			t.Fatal("the worker does not listen")
		}
	}
	before := w.busy.Load()
	for range 3 * followed {
		s.Feed().Publish(change)
	}
	if got := w.busy.Load() - before; got != 3*followed {
		t.Errorf("the worker saw %d of %d changes", got, 3*followed)
	}
}
