package order

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// Key is by what messages are sorted (RFC 5256 §3, RFC 5957 §4, RFC 6203 §6).
type Key uint8

const (
	Arrival Key = iota
	Cc
	Date
	From
	Size
	Subject
	To
	DisplayFrom
	DisplayTo
	Relevancy
)

// Keys are the names of all keys.
var Keys = map[string]Key{
	"ARRIVAL": Arrival, "CC": Cc, "DATE": Date, "FROM": From, "SIZE": Size, "SUBJECT": Subject, "TO": To,
	"DISPLAYFROM": DisplayFrom, "DISPLAYTO": DisplayTo, "RELEVANCY": Relevancy,
}

// Criterion is one sort criterion.
type Criterion struct {
	Key     Key
	Reverse bool
}

// Column is what one criterion compares: a number or a collated text of each
// message.
type Column struct {
	Numbers []int64
	Texts   [][]byte // if there are no numbers
	Reverse bool
}

// A front is a number that orders messages as one column's number does, or as
// frontText bytes of its text do: those bytes, and in the lowest byte how many
// there are, or frontMore if more follow.
const (
	frontText = 7
	frontMore = frontText + 1
)

// front is that of message i by its number, or by its text from depth on.
func (c *Column) front(i int32, depth int) uint64 {
	var n uint64
	if c.Numbers != nil {
		n = uint64(c.Numbers[i]) ^ 1<<63
	} else if text := c.Texts[i]; depth < len(text) {
		var b [8]byte
		copy(b[:frontText], text[depth:])
		b[frontText] = byte(min(len(text)-depth, frontMore))
		n = binary.BigEndian.Uint64(b[:])
	}
	if c.Reverse {
		return ^n
	}
	return n
}

// goesOn tells whether texts with this front have more bytes to compare.
func (c *Column) goesOn(front uint64) bool {
	if c.Reverse {
		front = ^front
	}
	return c.Numbers == nil && front&0xff == frontMore
}

type entry struct {
	front uint64
	i     int32
}

// Fewer entries than fewEntries are compared as they are, since making fronts
// would cost more; from manyEntries on fronts are sorted by their bytes, which
// compares none with another.
const (
	fewEntries  = 24
	manyEntries = 256
)

// Sort returns the messages 0 to n-1 in the order of the columns, the first
// counting most. Where all are equal, messages keep their order, in that of
// the mailbox whatever is reversed.
func Sort(n int, columns []Column) []int32 {
	entries := make([]entry, n)
	for i := range entries {
		entries[i].i = int32(i)
	}
	s := sorter{spare: make([]entry, n)}
	s.sort(entries, columns, 0)
	order := make([]int32, n)
	for k, e := range entries {
		order[k] = e.i
	}
	return order
}

type sorter struct {
	spare []entry // for byBytes
}

// sort sorts entries, which stand in the order of their messages, by columns,
// of which the first counts from depth on. Fronts are numbers that lie side by
// side: what is equal so far is sorted by what comes next.
func (s *sorter) sort(entries []entry, columns []Column, depth int) {
	if len(entries) < 2 || len(columns) == 0 {
		return
	}
	if len(entries) < fewEntries {
		few(entries, columns, depth)
		return
	}
	c := &columns[0]
	for k, e := range entries {
		entries[k].front = c.front(e.i, depth)
	}
	if len(entries) < manyEntries {
		slices.SortStableFunc(entries, func(a, b entry) int { return cmp.Compare(a.front, b.front) })
	} else {
		s.byBytes(entries)
	}
	for start := 0; start < len(entries); {
		front, end := entries[start].front, start+1
		for end < len(entries) && entries[end].front == front {
			end++
		}
		if run := entries[start:end]; c.goesOn(front) {
			s.sort(run, columns, depth+frontText)
		} else {
			s.sort(run, columns[1:], 0)
		}
		start = end
	}
}

// few sorts some entries by comparing them as a whole.
func few(entries []entry, columns []Column, depth int) {
	slices.SortStableFunc(entries, func(a, b entry) int {
		order := columns[0].compare(a.i, b.i, depth)
		for k := 1; order == 0 && k < len(columns); k++ {
			order = columns[k].compare(a.i, b.i, 0)
		}
		return order
	})
}

// compare orders two messages by a number, or by a text from depth on, where
// both have as much.
func (c *Column) compare(a, b int32, depth int) int {
	var order int
	if c.Numbers != nil {
		order = cmp.Compare(c.Numbers[a], c.Numbers[b])
	} else {
		order = bytes.Compare(c.Texts[a][depth:], c.Texts[b][depth:])
	}
	if c.Reverse {
		return -order
	}
	return order
}

// byBytes sorts entries by their fronts and keeps the order of equal ones: once
// for each byte in which fronts differ, the lowest first.
func (s *sorter) byBytes(entries []entry) {
	var counts [8][256]int32
	for _, e := range entries {
		for d := range counts {
			counts[d][byte(e.front>>(8*d))]++
		}
	}
	from, to := entries, s.spare[:len(entries)]
	for d := range counts {
		count := &counts[d]
		if int(count[byte(from[0].front>>(8*d))]) == len(from) {
			continue
		}
		at := int32(0)
		for b, n := range count {
			count[b], at = at, at+n
		}
		for _, e := range from {
			b := byte(e.front >> (8 * d))
			to[count[b]] = e
			count[b]++
		}
		from, to = to, from
	}
	if &from[0] != &entries[0] {
		copy(entries, from)
	}
}
