package order_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"postrider/imapd/order"
)

// TestSort compares with the definition: a stable sort by each criterion, the
// last one first.
func TestSort(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	words := [][]byte{nil, []byte("A"), []byte("LONGER THAN EIGHT"), []byte("LONGER THAN NINE"), []byte("LONGER T"), []byte("\xff"), []byte("A\x00")}
	for range 300 {
		n := rnd.IntN(40)
		columns := make([]order.Column, 1+rnd.IntN(3))
		for c := range columns {
			columns[c].Reverse = rnd.IntN(2) == 0
			if rnd.IntN(2) == 0 {
				columns[c].Numbers = make([]int64, n)
				for i := range columns[c].Numbers {
					columns[c].Numbers[i] = rnd.Int64N(5) - 2
				}
				continue
			}
			columns[c].Texts = make([][]byte, n)
			for i := range columns[c].Texts {
				columns[c].Texts[i] = words[rnd.IntN(len(words))]
			}
		}
		want := make([]int32, n)
		for i := range want {
			want[i] = int32(i)
		}
		for _, c := range slices.Backward(columns) {
			slices.SortStableFunc(want, func(a, b int32) int {
				var d int
				if c.Numbers != nil {
					d = cmp.Compare(c.Numbers[a], c.Numbers[b])
				} else {
					d = bytes.Compare(c.Texts[a], c.Texts[b])
				}
				if c.Reverse {
					return -d
				}
				return d
			})
		}
		if got := order.Sort(n, columns); !slices.Equal(got, want) {
			t.Fatalf("%+v\ngot  %v\nwant %v", columns, got, want)
		}
	}
}

// BenchmarkSort is what SORT (SUBJECT) does with the subjects of 2,000 threads
// of five, which begin alike.
func BenchmarkSort(b *testing.B) {
	rnd := rand.New(rand.NewPCG(3, 4))
	column := order.Column{Texts: make([][]byte, 10_000)}
	for i := range column.Texts {
		column.Texts[i] = fmt.Appendf(nil, "MINUTES OF THE MEETING %d", rnd.IntN(2_000))
	}
	for b.Loop() {
		order.Sort(len(column.Texts), []order.Column{column})
	}
}
