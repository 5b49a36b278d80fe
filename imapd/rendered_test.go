package imapd

import (
	"fmt"
	"math/rand"
	"testing"

	"postrider/store"
)

// TestRendered fills blocks in random order and compares what is found with
// what was put, under a bound that lets blocks go.
func TestRendered(t *testing.T) {
	r := newRendered(8 << 10)
	rnd := rand.New(rand.NewSource(1))
	text := func(k blockKey, i int) string { return fmt.Sprintf("%d/%s/%d", k.n, k.item, i) }
	hits := 0
	for range 5000 {
		k := blockKey{box: store.MailboxID{Account: 1, N: 1}, n: store.UID(rnd.Intn(8)), item: string(rune('a' + rnd.Intn(2)))}
		b := r.get(k)
		var fresh freshTexts
		for range rnd.Intn(4) {
			i := rnd.Intn(blockMessages)
			if got := string(b.of(i)); got != "" && got != text(k, i) {
				t.Fatalf("%v has %q at %d", k, got, i)
			} else if got != "" {
				hits++
				continue
			}
			fresh.at[i].from = uint32(len(fresh.text))
			fresh.text = append(fresh.text, text(k, i)...)
			fresh.at[i].to = uint32(len(fresh.text))
		}
		next := b.with(k, &fresh)
		for i := range blockMessages {
			want := string(b.of(i))
			if n := fresh.of(i); len(n) > 0 {
				want = string(n)
			}
			if got := string(next.of(i)); got != want {
				t.Fatalf("%v has %q at %d, want %q", k, got, i, want)
			}
		}
		r.put(next)
		if r.bytes > r.max || len(r.blocks) != r.recent.Len() {
			t.Fatalf("%d bytes of %d, %d blocks, %d listed", r.bytes, r.max, len(r.blocks), r.recent.Len())
		}
	}
	if hits == 0 || len(r.blocks) == 0 || len(r.blocks) == 16 {
		t.Errorf("%d hits, %d blocks: nothing was tried", hits, len(r.blocks))
	}
	big := &block{text: make([]byte, maxBlock+1)}
	if r.put(big); r.get(big.key) != nil {
		t.Error("a block that is too large was kept")
	}
}
