package store

import (
	"iter"
	"slices"
	"strings"
	"time"
)

// Row is what a view knows of one message.
type Row struct {
	UID      UID
	ModSeq   ModSeq
	Flags    Flags
	Received time.Time // INTERNALDATE
	Saved    time.Time // when it came into this mailbox (RFC 8514)
	Size     int64     // of what is served: prefix, then body less the cuts
	EmailID  int64     // RFC 8474; kept by COPY and MOVE
	ThreadID int64
}

// Rows is a list of Row by columns: parallel slices, rowBytes a message. An
// engine appends to the columns what it has read, without a Row in between.
// The zero value is empty and ready to use.
type Rows struct {
	UID      []UID
	ModSeq   []ModSeq
	System   []System
	Set      []uint32 // the keywords, by the number that Number gives to a set of them
	Size     []int64
	Received []int64 // microseconds since 1970, as Saved
	Saved    []int64
	EmailID  []int64
	ThreadID []int64

	keywords keywordTable
}

// rowBytes is what a message takes in all columns together.
const rowBytes = 4 + 8 + 1 + 4 + 5*8

// RowsOf returns rows by columns.
func RowsOf(rows ...Row) Rows {
	var r Rows
	for _, x := range rows {
		r.Append(x)
	}
	return r
}

// Len returns the number of messages.
func (r *Rows) Len() int { return len(r.UID) }

// At returns the message at index i.
func (r *Rows) At(i int) Row {
	return Row{
		UID:      r.UID[i],
		ModSeq:   r.ModSeq[i],
		Flags:    r.Flags(i),
		Received: time.UnixMicro(r.Received[i]).UTC(),
		Saved:    time.UnixMicro(r.Saved[i]).UTC(),
		Size:     r.Size[i],
		EmailID:  r.EmailID[i],
		ThreadID: r.ThreadID[i],
	}
}

// Flags returns the flags of the message at index i.
func (r *Rows) Flags(i int) Flags {
	return Flags{System: r.System[i], Keywords: r.Keywords(r.Set[i])}
}

// All yields all messages with their indices.
func (r *Rows) All() iter.Seq2[int, Row] {
	return func(yield func(int, Row) bool) {
		for i := range r.UID {
			if !yield(i, r.At(i)) {
				return
			}
		}
	}
}

// Append adds a message.
func (r *Rows) Append(x Row) {
	r.UID = append(r.UID, x.UID)
	r.ModSeq = append(r.ModSeq, x.ModSeq)
	r.System = append(r.System, x.Flags.System)
	r.Set = append(r.Set, r.Number(x.Flags.Keywords))
	r.Size = append(r.Size, x.Size)
	r.Received = append(r.Received, x.Received.UnixMicro())
	r.Saved = append(r.Saved, x.Saved.UnixMicro())
	r.EmailID = append(r.EmailID, x.EmailID)
	r.ThreadID = append(r.ThreadID, x.ThreadID)
}

// AppendFrom adds the message at index i of o, which is another list.
func (r *Rows) AppendFrom(o *Rows, i int) {
	r.UID = append(r.UID, o.UID[i])
	r.ModSeq = append(r.ModSeq, o.ModSeq[i])
	r.System = append(r.System, o.System[i])
	set := o.Set[i]
	if set != 0 {
		set = r.Number(o.Keywords(set))
	}
	r.Set = append(r.Set, set)
	r.Size = append(r.Size, o.Size[i])
	r.Received = append(r.Received, o.Received[i])
	r.Saved = append(r.Saved, o.Saved[i])
	r.EmailID = append(r.EmailID, o.EmailID[i])
	r.ThreadID = append(r.ThreadID, o.ThreadID[i])
}

// AppendRange adds the messages from index i to below j of o, which is another
// list.
func (r *Rows) AppendRange(o *Rows, i, j int) {
	r.UID = append(r.UID, o.UID[i:j]...)
	r.ModSeq = append(r.ModSeq, o.ModSeq[i:j]...)
	r.System = append(r.System, o.System[i:j]...)
	from, to := uint32(0), uint32(0) // the set before; neighbours mostly have the same
	for _, set := range o.Set[i:j] {
		if set != from {
			from, to = set, r.Number(o.Keywords(set))
		}
		r.Set = append(r.Set, to)
	}
	r.Size = append(r.Size, o.Size[i:j]...)
	r.Received = append(r.Received, o.Received[i:j]...)
	r.Saved = append(r.Saved, o.Saved[i:j]...)
	r.EmailID = append(r.EmailID, o.EmailID[i:j]...)
	r.ThreadID = append(r.ThreadID, o.ThreadID[i:j]...)
}

// Grow makes room for n more messages.
func (r *Rows) Grow(n int) {
	r.UID = grow(r.UID, n)
	r.ModSeq = grow(r.ModSeq, n)
	r.System = grow(r.System, n)
	r.Set = grow(r.Set, n)
	r.Size = grow(r.Size, n)
	r.Received = grow(r.Received, n)
	r.Saved = grow(r.Saved, n)
	r.EmailID = grow(r.EmailID, n)
	r.ThreadID = grow(r.ThreadID, n)
}

// grow is slices.Grow that gives an empty column no more than it was asked for.
func grow[T any](s []T, n int) []T {
	if cap(s) == 0 {
		return make([]T, 0, n)
	}
	return slices.Grow(s, n)
}

// Extend adds n messages of which nothing is filled in: what the columns hold
// behind the old end is the caller's to write.
func (r *Rows) Extend(n int) {
	r.Grow(n)
	r.Truncate(r.Len() + n)
}

// Truncate keeps the first n messages. The room of the others is used again.
func (r *Rows) Truncate(n int) {
	r.UID = r.UID[:n]
	r.ModSeq = r.ModSeq[:n]
	r.System = r.System[:n]
	r.Set = r.Set[:n]
	r.Size = r.Size[:n]
	r.Received = r.Received[:n]
	r.Saved = r.Saved[:n]
	r.EmailID = r.EmailID[:n]
	r.ThreadID = r.ThreadID[:n]
}

// Drop removes the first n messages. The room of all of them is used again.
func (r *Rows) Drop(n int) {
	copy(r.UID, r.UID[n:])
	copy(r.ModSeq, r.ModSeq[n:])
	copy(r.System, r.System[n:])
	copy(r.Set, r.Set[n:])
	copy(r.Size, r.Size[n:])
	copy(r.Received, r.Received[n:])
	copy(r.Saved, r.Saved[n:])
	copy(r.EmailID, r.EmailID[n:])
	copy(r.ThreadID, r.ThreadID[n:])
	r.Truncate(r.Len() - n)
	r.tidyKeywords()
}

// Index returns the index of the message with the UID u. If there is none, ok
// is false and i is where it would be: the index of the next higher UID.
func (r *Rows) Index(u UID) (i int, ok bool) { return slices.BinarySearch(r.UID, u) }

// Number returns the number of a set of keywords in this list, a new one if
// need be. The empty set has the number 0.
func (r *Rows) Number(keywords string) uint32 { return r.keywords.number(keywords) }

// Keywords returns the set of keywords with the number n.
func (r *Rows) Keywords(n uint32) string { return r.keywords.get(n) }

// clip makes the next append to each column move to an array of r's own.
func (r *Rows) clip() {
	r.UID = slices.Clip(r.UID)
	r.ModSeq = slices.Clip(r.ModSeq)
	r.System = slices.Clip(r.System)
	r.Set = slices.Clip(r.Set)
	r.Size = slices.Clip(r.Size)
	r.Received = slices.Clip(r.Received)
	r.Saved = slices.Clip(r.Saved)
	r.EmailID = slices.Clip(r.EmailID)
	r.ThreadID = slices.Clip(r.ThreadID)
}

// keep leaves only the runs of indices [Lo, Hi), in new arrays.
func (r *Rows) keep(runs []UIDRange) {
	r.UID = compact(r.UID, runs)
	r.ModSeq = compact(r.ModSeq, runs)
	r.System = compact(r.System, runs)
	r.Set = compact(r.Set, runs)
	r.Size = compact(r.Size, runs)
	r.Received = compact(r.Received, runs)
	r.Saved = compact(r.Saved, runs)
	r.EmailID = compact(r.EmailID, runs)
	r.ThreadID = compact(r.ThreadID, runs)
}

// compact returns the runs of s that keep names, in a new array.
func compact[T any](s []T, keep []UIDRange) []T {
	n := 0
	for _, k := range keep {
		n += int(k.Hi - k.Lo)
	}
	out := make([]T, 0, n)
	for _, k := range keep {
		out = append(out, s[k.Lo:k.Hi]...)
	}
	return out
}

// appendAll adds all messages from index i of o on. Columns that have to move
// get little room to spare, as views are large and live long.
func (r *Rows) appendAll(o *Rows, i int) {
	n := o.Len() - i
	if n <= 0 {
		return
	}
	r.UID = widen(r.UID, n)
	r.ModSeq = widen(r.ModSeq, n)
	r.System = widen(r.System, n)
	r.Set = widen(r.Set, n)
	r.Size = widen(r.Size, n)
	r.Received = widen(r.Received, n)
	r.Saved = widen(r.Saved, n)
	r.EmailID = widen(r.EmailID, n)
	r.ThreadID = widen(r.ThreadID, n)
	r.AppendRange(o, i, o.Len())
}

// widen makes room for n more in s, and if it has to move for 1/16 besides.
func widen[T any](s []T, n int) []T {
	if cap(s)-len(s) >= n {
		return s
	}
	const least = 16
	return append(make([]T, 0, len(s)+n+max(least, (len(s)+n)/16)), s...)
}

// bytes returns about how much memory the list holds.
func (r *Rows) bytes() int64 { return int64(cap(r.UID))*rowBytes + r.keywords.bytes }

// tidyKeywords makes the table anew when most of it is of no use any more, so
// that a client which invents keywords without end does not fill the memory.
func (r *Rows) tidyKeywords() {
	const slack = 64
	if len(r.keywords.text) > 2*len(r.UID)+slack {
		r.renumberKeywords()
	}
}

// renumberKeywords gives r a table of its own, with only what it uses.
func (r *Rows) renumberKeywords() {
	old := r.keywords
	r.keywords = keywordTable{}
	sets := make([]uint32, len(r.Set))
	for i, n := range r.Set {
		if n != 0 {
			sets[i] = r.Number(old.get(n))
		}
	}
	r.Set = sets
}

// keywordTable numbers the sets of keywords that occur in a list; most
// mailboxes have a handful for all their messages. Number 0 is the empty set.
// Views in one line of descent share it; each sees only the numbers up to its
// own end of text, and only advance touches numbers.
type keywordTable struct {
	text    []string // of number i+1
	numbers map[string]uint32
	bytes   int64
}

func (t *keywordTable) get(n uint32) string {
	if n == 0 {
		return ""
	}
	return t.text[n-1]
}

func (t *keywordTable) number(set string) uint32 {
	if set == "" {
		return 0
	}
	if n, ok := t.numbers[set]; ok {
		return n
	}
	if t.numbers == nil {
		t.numbers = map[string]uint32{}
	}
	const entry = 64 // two string headers, a number, the map's share
	set = strings.Clone(set)
	t.text = append(t.text, set)
	n := uint32(len(t.text))
	t.numbers[set] = n
	t.bytes += int64(len(set)) + entry
	return n
}
