package store

import (
	"slices"
	"sync/atomic"
)

// View is a snapshot of one mailbox: its state and what a Row tells of each
// of its messages, in the order of their UIDs. It never changes, so all
// sessions may share it without a lock. The message at index i has the
// sequence number i+1.
//
// A newer view shares with an older one whatever did not change, see
// [View.advance].
type View struct {
	mailbox Mailbox
	rows    Rows
	spent   *atomic.Bool // a newer view writes behind the end of the columns
}

// Mailbox returns the mailbox's state at the moment of the snapshot.
func (v *View) Mailbox() Mailbox { return v.mailbox }

// ModSeq returns the mailbox's highest ModSeq at the moment of the snapshot.
func (v *View) ModSeq() ModSeq { return v.mailbox.ModSeq }

// Len returns the number of messages.
func (v *View) Len() int { return v.rows.Len() }

// UID returns the UID of the message at index i.
func (v *View) UID(i int) UID { return v.rows.UID[i] }

// EmailIDs returns the email ids of all messages (RFC 8474). They are the
// view's own and must not be changed.
func (v *View) EmailIDs() []int64 { return v.rows.EmailID[:v.Len():v.Len()] }

// FirstWithout returns the index of the first message that has none of the
// flags f; if there is none, Len.
func (v *View) FirstWithout(f System) int {
	for i, has := range v.rows.System {
		if has&f == 0 {
			return i
		}
	}
	return v.Len()
}

// KeywordSets returns the sets of keywords that messages have, each set once,
// without the empty one.
func (v *View) KeywordSets() []string {
	var sets []string
	seen := map[uint32]bool{0: true} // 0 is the empty set
	last := uint32(0)
	for _, n := range v.rows.Set {
		if n == last { // mostly
			continue
		}
		if last = n; !seen[n] {
			seen[n] = true
			sets = append(sets, v.rows.Keywords(n))
		}
	}
	return sets
}

// At returns what is known of the message at index i.
func (v *View) At(i int) Row { return v.rows.At(i) }

// Flags returns the flags of the message at index i.
func (v *View) Flags(i int) Flags { return v.rows.Flags(i) }

// ModSeqOf returns the ModSeq of the message at index i.
func (v *View) ModSeqOf(i int) ModSeq { return v.rows.ModSeq[i] }

// Index returns the index of the message with the UID u. If there is none, ok
// is false and i is where it would be: the index of the next higher UID.
func (v *View) Index(u UID) (i int, ok bool) { return v.rows.Index(u) }

// newView makes a view of a delta that is the whole mailbox, whose columns
// become the view's.
func newView(d Delta) *View {
	return &View{mailbox: d.Mailbox, rows: d.Changed, spent: new(atomic.Bool)}
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
	if d.Mailbox == v.mailbox && d.Changed.Len() == 0 && len(d.Gone) == 0 {
		return v
	}
	next := *v
	next.mailbox = d.Mailbox
	next.spent = new(atomic.Bool)
	if v.spent.Swap(true) {
		next.rows.clip()
		next.rows.renumberKeywords()
	}
	next.remove(d.Gone)
	fresh := 0 // where in d.Changed the messages begin that v does not have
	if n := next.Len(); n > 0 {
		fresh, _ = d.Changed.Index(next.UID(n-1) + 1)
	}
	if !next.update(&d.Changed, fresh) {
		return nil
	}
	next.rows.appendAll(&d.Changed, fresh)
	next.rows.tidyKeywords()
	if int64(next.Len()) != d.Mailbox.Total {
		return nil
	}
	return &next
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
	if len(keep) > 0 {
		v.rows.keep(append(keep, UIDRange{UID(from), UID(v.Len())}))
	}
}

// update gives messages that are there the flags of the first n rows, in new
// arrays. It tells false if one of them is not there.
func (v *View) update(rows *Rows, n int) bool {
	if n == 0 {
		return true
	}
	r := &v.rows
	r.ModSeq = slices.Clone(r.ModSeq)
	r.System = slices.Clone(r.System)
	ownSets := false
	at := 0
	from, set := uint32(0), uint32(0) // the set before; neighbours mostly have the same
	for k := range n {
		if at == len(r.UID) || r.UID[at] != rows.UID[k] {
			i, ok := slices.BinarySearch(r.UID[at:], rows.UID[k])
			if !ok {
				return false
			}
			at += i
		}
		i := at
		at++ // most likely that is the next
		r.ModSeq[i] = rows.ModSeq[k]
		r.System[i] = rows.System[k]
		if rows.Set[k] != from {
			from = rows.Set[k]
			set = r.Number(rows.Keywords(from))
		}
		if set == r.Set[i] {
			continue
		}
		if !ownSets {
			r.Set, ownSets = slices.Clone(r.Set), true
		}
		r.Set[i] = set
	}
	return true
}

// bytes returns about how much memory the view holds.
func (v *View) bytes() int64 {
	const header = 512
	return header + v.rows.bytes()
}
