package imapd

import (
	"slices"

	"github.com/emersion/go-imap/v2"

	"postrider/store"
)

// resolve returns the indices in told, ascending, of the messages that a set
// names. UIDs that are not there are passed over (RFC 9051 §6.4.9); a
// sequence number that no message has is an error of the client's.
func (s *session) resolve(set imap.NumSet) ([]int, error) {
	if imap.IsSearchRes(set) {
		return s.savedIndices(), nil
	}
	switch set := set.(type) {
	case imap.SeqSet:
		return s.box.seqIndices(set, true)
	case imap.UIDSet:
		return s.box.uidIndices(set), nil
	}
	return nil, nil
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

// seqIndices resolves sequence numbers, of which 0 stands for "*".
func (v *mailboxView) seqIndices(set imap.SeqSet, strict bool) ([]int, error) {
	n := uint32(v.told.Len())
	var out []int
	for _, r := range set {
		lo, hi, star := bounds(r.Start, r.Stop, n)
		if strict && !star && lo > n {
			return nil, errSequence
		}
		for i := max(lo, 1); i <= min(hi, n); i++ {
			out = append(out, int(i)-1)
		}
	}
	return ascending(out), nil
}

// uidIndices resolves UIDs.
func (v *mailboxView) uidIndices(set imap.UIDSet) []int {
	var last uint32
	if n := v.told.Len(); n > 0 {
		last = uint32(v.told.UID(n - 1))
	}
	var out []int
	for _, r := range set {
		lo, hi, _ := bounds(uint32(r.Start), uint32(r.Stop), last)
		for i, _ := v.told.Index(store.UID(lo)); i < v.told.Len() && uint32(v.told.UID(i)) <= hi; i++ {
			out = append(out, i)
		}
	}
	return ascending(out)
}

// bounds orders the ends of a range; 0 is "*", the largest number in use.
func bounds(a, b, largest uint32) (lo, hi uint32, star bool) {
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

// toUIDSet turns UIDs of the store into those of the wire.
func toUIDSet(uids []store.UID) imap.UIDSet {
	var set imap.UIDSet
	for _, r := range store.UIDSetOf(uids...) {
		set = append(set, imap.UIDRange{Start: imap.UID(r.Lo), Stop: imap.UID(r.Hi)})
	}
	return set
}
