package store

import (
	"slices"
	"sort"
	"sync/atomic"
	"time"
)

// View is a snapshot of one mailbox: its state and what a Row tells of each
// of its messages, in the order of their UIDs. It never changes, so all
// sessions may share it without a lock. The message at index i has the
// sequence number i+1.
//
// Its columns are parallel slices, 57 bytes a message. A newer view shares
// with an older one whatever did not change, see [View.advance].
type View struct {
	mailbox  Mailbox
	uids     []UID
	system   []System
	sets     []uint32 // index into keywords.text
	modseqs  []ModSeq
	sizes    []int64
	received []int64 // microseconds
	saved    []int64
	emails   []int64
	threads  []int64
	keywords keywordTable
	spent    *atomic.Bool // a newer view writes behind the end of the columns
}

// rowBytes is what a message takes in all columns together.
const rowBytes = 4 + 1 + 4 + 6*8

// Mailbox returns the mailbox's state at the moment of the snapshot.
func (v *View) Mailbox() Mailbox { return v.mailbox }

// ModSeq returns the mailbox's highest ModSeq at the moment of the snapshot.
func (v *View) ModSeq() ModSeq { return v.mailbox.ModSeq }

// Len returns the number of messages.
func (v *View) Len() int { return len(v.uids) }

// UID returns the UID of the message at index i.
func (v *View) UID(i int) UID { return v.uids[i] }

// At returns what is known of the message at index i.
func (v *View) At(i int) Row {
	return Row{
		UID:      v.uids[i],
		ModSeq:   v.modseqs[i],
		Flags:    Flags{System: v.system[i], Keywords: v.keywords.text[v.sets[i]]},
		Received: time.UnixMicro(v.received[i]).UTC(),
		Saved:    time.UnixMicro(v.saved[i]).UTC(),
		Size:     v.sizes[i],
		EmailID:  v.emails[i],
		ThreadID: v.threads[i],
	}
}

// Index returns the index of the message with the UID u. If there is none, ok
// is false and i is where it would be: the index of the next higher UID.
func (v *View) Index(u UID) (i int, ok bool) { return slices.BinarySearch(v.uids, u) }

// newView makes a view of a delta that is the whole mailbox.
func newView(d Delta) *View {
	n := len(d.Changed)
	v := &View{
		mailbox:  d.Mailbox,
		uids:     make([]UID, 0, n),
		system:   make([]System, 0, n),
		sets:     make([]uint32, 0, n),
		modseqs:  make([]ModSeq, 0, n),
		sizes:    make([]int64, 0, n),
		received: make([]int64, 0, n),
		saved:    make([]int64, 0, n),
		emails:   make([]int64, 0, n),
		threads:  make([]int64, 0, n),
		keywords: newKeywordTable(),
		spent:    new(atomic.Bool),
	}
	v.add(d.Changed)
	return v
}

// advance returns v with d applied, v itself if d changes nothing, nil if d
// does not follow on v, so that the whole mailbox must be read again.
//
// The new view shares v's arrays where nothing changed, and appends in place:
// behind v's end, which v does not see. Only the first advance may do so; a
// second one from the same view goes on in arrays of its own.
func (v *View) advance(d Delta) *View {
	if d.Full || d.Mailbox.UIDValidity != v.mailbox.UIDValidity {
		return newView(d)
	}
	if d.Mailbox == v.mailbox && len(d.Changed) == 0 && len(d.Gone) == 0 {
		return v
	}
	next := *v
	next.mailbox = d.Mailbox
	next.spent = new(atomic.Bool)
	if v.spent.Swap(true) {
		next.part()
	}
	next.remove(d.Gone)
	fresh := 0 // where in d.Changed the messages begin that v does not have
	if n := len(next.uids); n > 0 {
		last := next.uids[n-1]
		fresh = sort.Search(len(d.Changed), func(i int) bool { return d.Changed[i].UID > last })
	}
	if !next.update(d.Changed[:fresh]) {
		return nil
	}
	next.add(d.Changed[fresh:])
	next.tidyKeywords()
	if int64(len(next.uids)) != d.Mailbox.Total {
		return nil
	}
	return &next
}

// part makes the next append to each column move to an array of v's own.
func (v *View) part() {
	v.uids = slices.Clip(v.uids)
	v.system = slices.Clip(v.system)
	v.sets = slices.Clip(v.sets)
	v.modseqs = slices.Clip(v.modseqs)
	v.sizes = slices.Clip(v.sizes)
	v.received = slices.Clip(v.received)
	v.saved = slices.Clip(v.saved)
	v.emails = slices.Clip(v.emails)
	v.threads = slices.Clip(v.threads)
	v.renumberKeywords()
}

// remove drops the messages of gone, into new arrays if there are any.
func (v *View) remove(gone UIDSet) {
	var keep []UIDRange // of indices, [Lo, Hi)
	from := 0
	for _, r := range gone {
		lo, _ := v.Index(r.Lo)
		hi, found := v.Index(r.Hi)
		if found {
			hi++
		}
		if lo < hi {
			keep = append(keep, UIDRange{UID(from), UID(lo)})
			from = hi
		}
	}
	if len(keep) == 0 {
		return
	}
	keep = append(keep, UIDRange{UID(from), UID(len(v.uids))})
	v.uids = compact(v.uids, keep)
	v.system = compact(v.system, keep)
	v.sets = compact(v.sets, keep)
	v.modseqs = compact(v.modseqs, keep)
	v.sizes = compact(v.sizes, keep)
	v.received = compact(v.received, keep)
	v.saved = compact(v.saved, keep)
	v.emails = compact(v.emails, keep)
	v.threads = compact(v.threads, keep)
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

// update gives messages that are there new flags, in new arrays. It tells
// false if one of them is not there.
func (v *View) update(rows []Row) bool {
	if len(rows) == 0 {
		return true
	}
	v.modseqs = slices.Clone(v.modseqs)
	v.system = slices.Clone(v.system)
	ownSets := false
	for _, r := range rows {
		i, ok := v.Index(r.UID)
		if !ok {
			return false
		}
		v.modseqs[i] = r.ModSeq
		v.system[i] = r.Flags.System
		set := v.keywords.index(r.Flags.Keywords)
		if set == v.sets[i] {
			continue
		}
		if !ownSets {
			v.sets, ownSets = slices.Clone(v.sets), true
		}
		v.sets[i] = set
	}
	return true
}

// add appends rows.
func (v *View) add(rows []Row) {
	for i := range rows {
		r := &rows[i]
		v.uids = append(v.uids, r.UID)
		v.system = append(v.system, r.Flags.System)
		v.sets = append(v.sets, v.keywords.index(r.Flags.Keywords))
		v.modseqs = append(v.modseqs, r.ModSeq)
		v.sizes = append(v.sizes, r.Size)
		v.received = append(v.received, r.Received.UnixMicro())
		v.saved = append(v.saved, r.Saved.UnixMicro())
		v.emails = append(v.emails, r.EmailID)
		v.threads = append(v.threads, r.ThreadID)
	}
}

// bytes returns about how much memory the view holds.
func (v *View) bytes() int64 {
	const header = 512
	return header + int64(cap(v.uids))*rowBytes + v.keywords.bytes
}

// keywordTable numbers the sets of keywords that occur in a view; most
// mailboxes have a handful for all their messages. Number 0 is the empty set.
// Views in one line of descent share it; each sees only the numbers up to its
// own end of text, and only advance touches numbers.
type keywordTable struct {
	text    []string
	numbers map[string]uint32
	bytes   int64
}

func newKeywordTable() keywordTable {
	return keywordTable{text: []string{""}, numbers: map[string]uint32{"": 0}}
}

// index returns the number of a set, a new one if need be.
func (t *keywordTable) index(set string) uint32 {
	if n, ok := t.numbers[set]; ok {
		return n
	}
	const entry = 64 // two string headers, a number, the map's share
	n := uint32(len(t.text))
	t.text = append(t.text, set)
	t.numbers[set] = n
	t.bytes += int64(len(set)) + entry
	return n
}

// tidyKeywords makes the table anew when most of it is of no use any more, so
// that a client which invents keywords without end does not fill the memory.
func (v *View) tidyKeywords() {
	const slack = 64
	if len(v.keywords.text) <= 2*len(v.uids)+slack {
		return
	}
	v.renumberKeywords()
}

// renumberKeywords gives v a table of its own, with only what it uses.
func (v *View) renumberKeywords() {
	old := v.keywords.text
	v.keywords = newKeywordTable()
	sets := make([]uint32, len(v.sets))
	for i, n := range v.sets {
		sets[i] = v.keywords.index(old[n])
	}
	v.sets = sets
}
