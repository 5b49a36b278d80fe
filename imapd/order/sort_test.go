package order_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
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
		if rnd.IntN(5) == 0 {
			n = rnd.IntN(1500)
		}
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
	column := order.Column{Texts: make([][]byte, 10_000)}
	words := strings.Fields("THE BUDGET FOR NEXT QUARTER MEETING NOTES PLEASE REVIEW INVOICE OFFER CONTRACT TRAVEL PLAN SERVER UPDATE REPORT")
	for i := range column.Texts {
		r := rand.New(rand.NewPCG(1, uint64(i/5)))
		var b []byte
		for range 3 + r.IntN(5) {
			b = append(append(b, words[r.IntN(len(words))]...), ' ')
		}
		column.Texts[i] = fmt.Appendf(b, "#%d.%d", i/5, i%5)
	}

	for b.Loop() {
		order.Sort(len(column.Texts), []order.Column{column})
	}
}
