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

// compare orders two messages by one column.
func (c *Column) compare(a, b int32) int {
	var order int
	if c.Numbers != nil {
		order = cmp.Compare(c.Numbers[a], c.Numbers[b])
	} else {
		order = bytes.Compare(c.Texts[a], c.Texts[b])
	}
	if c.Reverse {
		return -order
	}
	return order
}

// front is a number that orders a message as far as the first column's number
// or the first eight bytes of its text do.
func (c *Column) front(i int32) uint64 {
	var n uint64
	if c.Numbers != nil {
		n = uint64(c.Numbers[i]) ^ 1<<63
	} else {
		var b [8]byte
		copy(b[:], c.Texts[i])
		n = binary.BigEndian.Uint64(b[:])
	}
	if c.Reverse {
		return ^n
	}
	return n
}

// Sort returns the messages 0 to n-1 in the order of the columns, the first
// counting most. Where all are equal, messages keep their order, in that of
// the mailbox whatever is reversed.
func Sort(n int, columns []Column) []int32 {
	if n == 0 || len(columns) == 0 {
		order := make([]int32, n)
		for i := range order {
			order[i] = int32(i)
		}
		return order
	}
	type entry struct {
		front uint64
		i     int32
	}
	entries := make([]entry, n)
	for i := range entries {
		entries[i] = entry{columns[0].front(int32(i)), int32(i)}
	}
	slices.SortFunc(entries, func(a, b entry) int {
		if a.front != b.front {
			return cmp.Compare(a.front, b.front)
		}
		for k := range columns {
			if order := columns[k].compare(a.i, b.i); order != 0 {
				return order
			}
		}
		return cmp.Compare(a.i, b.i)
	})
	order := make([]int32, n)
	for k, e := range entries {
		order[k] = e.i
	}
	return order
}
