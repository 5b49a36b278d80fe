package search

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// Blocks that come one after the other make the same index as all at once.
func TestBlocksAreMergedIn(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 200 {
		var blocks []*block
		var one account
		for range 1 + r.IntN(8) {
			b := &block{}
			for range r.IntN(30) {
				b.emails = append(b.emails, int64(r.IntN(200)))
			}
			slices.Sort(b.emails)
			b.emails = slices.Compact(b.emails)
			blocks = append(blocks, b)
			one.set(slices.Clone(blocks))
		}
		want := map[int64]place{}
		for i, b := range blocks {
			for doc, e := range b.emails {
				want[e] = placeOf(i, doc)
			}
		}
		var all account
		all.set(blocks)
		for _, a := range []*account{&one, &all} {
			got := map[int64]place{}
			for i, e := range a.emails {
				got[e] = a.places[i]
			}
			if !slices.IsSorted(a.emails) || len(got) != len(a.emails) || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("%v, want %v", got, want)
			}
		}
	}
}

// BenchmarkBlock is one more block for an index of a million messages, in
// which merges have left the older ones behind newer ones.
func BenchmarkBlock(b *testing.B) {
	var blocks []*block
	for n := range 250 {
		x := &block{emails: make([]int64, 4000)}
		for i := range x.emails {
			x.emails[i] = int64((n*7%250)*4000 + i)
		}
		blocks = append(blocks, x)
	}
	var a account
	a.set(blocks[:249])
	for b.Loop() {
		a.set(blocks)
		a.blocks = a.blocks[:249]
	}
}
