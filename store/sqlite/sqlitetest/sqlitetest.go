// Package sqlitetest gives tests a store of their own.
package sqlitetest

import (
	"context"
	"testing"

	"postrider/store"
	"postrider/store/sqlite"
)

// New returns a store in a directory of its own. When the test ends every
// invariant is verified, and the store is closed.
func New(t testing.TB) *store.Store {
	t.Helper()
	return NewWith(t, sqlite.Options{})
}

// NewWith is New with settings, such as a clock. The store has no disk
// reserve unless o says so.
func NewWith(t testing.TB, o sqlite.Options) *store.Store {
	t.Helper()
	o.Owner = true
	return store.New(Open(t, t.TempDir(), o), store.Options{})
}

// Open opens an engine on dir, to be verified and closed when the test ends.
func Open(t testing.TB, dir string, o sqlite.Options) *sqlite.Engine {
	t.Helper()
	if o.Reserve == 0 {
		o.Reserve = -1
	}
	e, err := sqlite.Open(dir, o)
	if err != nil {
		t.Fatalf("opening a store: %v", err)
	}
	t.Cleanup(func() {
		found, err := e.Check(context.Background(), true)
		if err != nil {
			t.Errorf("checking the store: %v", err)
		}
		for _, f := range found {
			t.Errorf("store: %s", f)
		}
		if err := e.Close(); err != nil {
			t.Errorf("closing the store: %v", err)
		}
	})
	return e
}
