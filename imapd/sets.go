package imapd

import (
	"slices"
	"strconv"

	"postrider/imapd/wire"
	"postrider/store"
)

// resolve returns the indices in told, ascending, of the messages that a set
// of UIDs or of sequence numbers names. UIDs that are not there are passed over
// (RFC 9051 §6.4.9); a sequence number that no message has is an error of the
// client's.
func (s *session) resolve(set wire.Set, uid bool) ([]int, error) {
	switch {
	case set.Saved:
		return s.savedIndices(), nil
	case uid:
		return s.box.uidIndices(set), nil
	}
	return s.box.seqIndices(set, true)
}

// savedIndices is what $ stands for: the saved result less what was expunged
// since (RFC 5182 §2.1).
func (s *session) savedIndices() []int {
	var out []int
	for _, u := range s.saved {
		if i, ok := s.box.told.Index(u); ok {
			out = append(out, i)
		}
	}
	return out
}

// seqIndices resolves sequence numbers, of which 0 stands for "*". If strict,
// each has to be one of a message (RFC 9051 §9: seq-number), but for ranges with
// "*" where there is none: clients ask for 1:* of empty mailboxes.
func (v *mailboxView) seqIndices(set wire.Set, strict bool) ([]int, error) {
	n := uint32(v.told.Len())
	var out []int
	for _, r := range set.Ranges {
		lo, hi, star := bounds(r, n)
		if strict && max(r.A, r.B) > n && !(star && n == 0) {
			return nil, errSequence
		}
		out = fill(out, int(max(lo, 1))-1, int(min(hi, n)))
	}
	return ascending(out), nil
}

// uidIndices resolves UIDs.
func (v *mailboxView) uidIndices(set wire.Set) []int {
	var last uint32
	if n := v.told.Len(); n > 0 {
		last = uint32(v.told.UID(n - 1))
	}
	var out []int
	for _, r := range set.Ranges {
		lo, hi, _ := bounds(r, last)
		from, _ := v.told.Index(store.UID(lo))
		to, ok := v.told.Index(store.UID(hi))
		if ok {
			to++
		}
		out = fill(out, from, to)
	}
	return ascending(out)
}

// fill adds the numbers from, up to to, but no more of them than ever make
// sense: a set may name all messages thousands of times.
func fill(out []int, from, to int) []int {
	if n := len(out); n > 1<<16 && n > 4*to {
		out = ascending(out)
	}
	if to > from {
		out = slices.Grow(out, to-from)
	}
	for i := from; i < to; i++ {
		out = append(out, i)
	}
	return out
}

// bounds orders the ends of a range; 0 is "*", the largest number in use.
func bounds(r wire.Range, largest uint32) (lo, hi uint32, star bool) {
	a, b := r.A, r.B
	star = a == 0 || b == 0
	if a == 0 {
		a = largest
	}
	if b == 0 {
		b = largest
	}
	return min(a, b), max(a, b), star
}

// ascending sorts indices and drops doubles, which overlapping ranges make.
func ascending(list []int) []int {
	if !slices.IsSorted(list) {
		slices.Sort(list)
	}
	return slices.Compact(list)
}

// appendUIDs adds a set of UIDs as it stands on the wire.
func appendUIDs(b []byte, set store.UIDSet) []byte {
	for i, r := range set {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(r.Lo), 10)
		if r.Hi != r.Lo {
			b = strconv.AppendUint(append(b, ':'), uint64(r.Hi), 10)
		}
	}
	return b
}

// appendNumbers adds the messages at indices, which ascend, as the command under
// way names messages.
func (s *session) appendNumbers(b []byte, indices []int) []byte {
	if s.byUID() {
		return appendUIDs(b, s.box.uids(indices))
	}
	var set store.UIDSet
	for _, i := range indices {
		n := store.UID(i) + 1
		if k := len(set); k > 0 && set[k-1].Hi+1 == n {
			set[k-1].Hi = n
		} else {
			set = append(set, store.UIDRange{Lo: n, Hi: n})
		}
	}
	return appendUIDs(b, set)
}
