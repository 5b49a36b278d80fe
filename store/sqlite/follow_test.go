package sqlite

import (
	"math/rand/v2"
	"sync"
	"testing"

	"postrider/store"
)

// A view that has followed changes of flags by what the writer told is the one
// that reading all of the mailbox gives, whatever else changes it meanwhile.
func TestViewFollowsFlags(t *testing.T) {
	const n, rounds = 300, 150
	e := openTest(t, t.TempDir(), Options{})
	_, box := addAccount(t, e, "bob")
	double(t, e, box, n)
	s := store.New(e, store.Options{})
	r := rand.New(rand.NewPCG(5, 6))
	words := []string{"", "a", "b c", "a c d"}
	some := func() store.UIDSet {
		lo := store.UID(1 + r.IntN(2*n))
		return store.UIDSet{{Lo: lo, Hi: lo + store.UID(r.IntN(n))}}
	}
	followed := 0
	for round := range rounds {
		before, err := s.View(t.Context(), box)
		if err != nil {
			t.Fatal(err)
		}
		uids, others := some(), some()
		c := store.FlagChange{Mode: store.FlagMode(r.IntN(3)), Flags: store.Flags{System: store.System(r.IntN(32)), Keywords: words[r.IntN(len(words))]}}
		var wg sync.WaitGroup
		switch round % 4 {
		case 1: // another session
			wg.Go(func() {
				_, err := s.SetFlags(t.Context(), box, others, store.FlagChange{Mode: store.FlagsAdd, Flags: store.Flags{Keywords: "z"}}, store.Unconditional)
				if err != nil {
					t.Error(err)
				}
			})
		case 2: // one that does not go through s
			wg.Go(func() {
				if _, err := e.Copy(t.Context(), "", box, others, box, true); err != nil {
					t.Error(err)
				}
			})
		case 3: // one that reads
			wg.Go(func() {
				if _, err := s.View(t.Context(), box); err != nil {
					t.Error(err)
				}
			})
		}
		res, err := s.SetFlags(t.Context(), box, uids, c, store.Unconditional)
		if err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if res.Before == before.ModSeq() && res.Delta.Changed.Len() > 0 {
			followed++
		}
		got, err := s.View(t.Context(), box)
		if err != nil {
			t.Fatal(err)
		}
		want, err := store.New(e, store.Options{}).View(t.Context(), box)
		if err != nil {
			t.Fatal(err)
		}
		if got.Mailbox() != want.Mailbox() || got.Len() != want.Len() {
			t.Fatalf("round %d: %+v, want %+v", round, got.Mailbox(), want.Mailbox())
		}
		for i := range want.Len() {
			if got.At(i) != want.At(i) {
				t.Fatalf("round %d: %+v, want %+v", round, got.At(i), want.At(i))
			}
		}
	}
	if followed < rounds/6 {
		t.Errorf("only %d of %d changes were of use", followed, rounds)
	}
}
