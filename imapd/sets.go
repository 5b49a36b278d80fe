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
	return s.box.seqIndices(set)
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

// seqIndices resolves sequence numbers, of which 0 stands for "*". Each has to
// be one of a message (RFC 9051 §9: seq-number), but for ranges with "*" where
// there is none: clients ask for 1:* of empty mailboxes.
func (v *mailboxView) seqIndices(set wire.Set) ([]int, error) {
	n := uint32(v.told.Len())
	for _, r := range set.Ranges {
		if _, _, star := bounds(r, n); max(r.A, r.B) > n && !(star && n == 0) {
			return nil, errSequence
		}
	}
	var out []int
	for _, r := range uidSet(set, store.UID(n)) {
		out = fill(out, int(r.Lo)-1, int(min(uint32(r.Hi), n)))
	}
	return out, nil
}

// uidIndices resolves UIDs.
func (v *mailboxView) uidIndices(set wire.Set) []int {
	var last store.UID
	if n := v.told.Len(); n > 0 {
		last = v.told.UID(n - 1)
	}
	var out []int
	for _, r := range uidSet(set, last) {
		from, _ := v.told.Index(r.Lo)
		to, ok := v.told.Index(r.Hi)
		if ok {
			to++
		}
		out = fill(out, from, to)
	}
	return out
}

// fill adds the numbers from, up to to.
func fill(out []int, from, to int) []int {
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

// uidSet is a set of the wire, of UIDs or of sequence numbers, as one of the
// store: sorted and disjoint, however often it names the same. "*" is last.
func uidSet(set wire.Set, last store.UID) store.UIDSet {
	all := make([]store.UIDRange, len(set.Ranges))
	for i, r := range set.Ranges {
		lo, hi, _ := bounds(r, uint32(last))
		all[i] = store.UIDRange{Lo: store.UID(max(lo, 1)), Hi: store.UID(hi)}
	}
	return store.UIDSetOfRanges(all)
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
