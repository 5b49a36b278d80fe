package wire

import (
	"iter"
	"strconv"
)

// Range is the numbers between two, which may stand in either order. 0 is "*",
// the largest number in use (RFC 9051 §9: seq-range).
type Range struct{ A, B uint32 }

// Set is a sequence-set, of sequence numbers or of UIDs as the command has it.
type Set struct {
	Ranges []Range
	Saved  bool // "$": the saved result of a search (RFC 5182)
}

// SeqSet reads a sequence-set.
func (d *Decoder) SeqSet() Set { return d.set(true, true) }

// UIDSet reads a sequence-set of UIDs; it reads as one of sequence numbers.
func (d *Decoder) UIDSet() Set { return d.set(true, true) }

// UIDRanges reads a uid-set or known-uids, which names UIDs one by one or by
// ranges: neither "$" nor "*" (RFC 4315 §4, RFC 7162 §7).
func (d *Decoder) UIDRanges() Set { return d.set(false, false) }

// StartsSet tells whether a sequence-set may begin here: what a search key has
// that is no word.
func (d *Decoder) StartsSet() bool {
	c := d.Peek()
	return c >= '0' && c <= '9' || c == '*' || c == '$'
}

func (d *Decoder) set(saved, star bool) (s Set) {
	if saved && d.TrySpecial('$') {
		s.Saved = true
		return s
	}
	for d.err == nil {
		r := Range{A: d.setNumber(star)}
		r.B = r.A
		if d.TrySpecial(':') {
			r.B = d.setNumber(star)
		}
		if len(s.Ranges) >= MaxSet {
			d.fail(&LimitError{"LIMIT", "The set has too many elements"})
		}
		s.Ranges = append(s.Ranges, r)
		if !d.TrySpecial(',') {
			break
		}
	}
	if d.err != nil {
		return Set{}
	}
	return s
}

func (d *Decoder) setNumber(star bool) uint32 {
	if star && d.TrySpecial('*') {
		return 0
	}
	return d.NZNumber()
}

// String is the set as it stands on the wire.
func (s Set) String() string {
	if s.Saved {
		return "$"
	}
	var b []byte
	for i, r := range s.Ranges {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendSetNumber(b, r.A)
		if r.B != r.A {
			b = appendSetNumber(append(b, ':'), r.B)
		}
	}
	return string(b)
}

func appendSetNumber(b []byte, n uint32) []byte {
	if n == 0 {
		return append(b, '*')
	}
	return strconv.AppendUint(b, uint64(n), 10)
}

// Numbers yields the numbers of a set without "*", range by range in the order
// in which they stand, up to limit; it ends at the first one above that.
func (s Set) Numbers(limit uint32) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for _, r := range s.Ranges {
			for n := uint64(min(r.A, r.B)); n <= uint64(max(r.A, r.B)); n++ {
				if n > uint64(limit) || !yield(uint32(n)) {
					return
				}
			}
		}
	}
}
