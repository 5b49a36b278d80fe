package imapd

import (
	"iter"
	"math"
	"slices"

	"postrider/imapd/criteria"
	"postrider/imapd/wire"
	"postrider/store"
)

// known is what a client knows of a mailbox from an earlier session: the
// parameters of SELECT (RFC 7162 §3.1.8, §3.2.5).
type known struct {
	condstore bool
	given     bool // QRESYNC, with what follows
	validity  uint32
	since     store.ModSeq
	uids      wire.Set // that it has; none is all
	seqs      wire.Set // a sample of sequence numbers,
	seqUIDs   wire.Set // and the UIDs that they had
}

// parseSelectParams reads the parameters of SELECT, if there are any.
func (s *session) parseSelectParams(d *wire.Decoder) (k known) {
	if !d.TrySP() || d.End() {
		return k
	}
	d.List(func() {
		switch d.Keyword() {
		case "CONDSTORE":
			k.condstore = true
		case "QRESYNC":
			if s.enabled&qresync == 0 {
				d.Fail("QRESYNC is not enabled")
			}
			d.SP()
			k.qresync(d)
		default:
			d.Fail("No such parameter")
		}
	})
	return k
}

func (k *known) qresync(d *wire.Decoder) {
	k.given = true
	d.ListOpen()
	k.validity = d.NZNumber()
	d.SP()
	k.since = store.ModSeq(d.Number64())
	if d.TrySP() {
		if d.Peek() != '(' {
			k.uids = d.UIDRanges()
		}
		if k.uids.Ranges == nil || d.TrySP() {
			d.ListOpen()
			k.seqs = d.UIDRanges()
			d.SP()
			k.seqUIDs = d.UIDRanges()
			if !d.ListClose() {
				d.Fail("A list has no end")
			}
		}
	}
	if !d.ListClose() {
		d.Fail("A list has no end")
	}
}

// resync tells what has become of the selected mailbox since the client saw
// it: what has vanished, then which flags have changed.
func (s *session) resync(k *known) error {
	box := s.box
	among := k.uids
	if among.Ranges == nil {
		among = wire.Set{Ranges: []wire.Range{{A: 1, B: 0}}}
	}
	gone, err := s.vanished(k.since, among, box.matched(k.seqs, k.seqUIDs))
	if err != nil {
		return err
	}
	e := newEncoder(s.c)
	tellEarlier(e, gone)
	for _, i := range box.uidIndices(among) {
		if r := box.told.At(i); r.ModSeq > k.since {
			box.writeFlags(e, i, r)
		}
	}
	e.Flush()
	return nil
}

func tellEarlier(e *encoder, gone store.UIDSet) {
	if len(gone) > 0 {
		e.Text("* VANISHED (EARLIER) ")
		e.uidSet(gone)
		e.CRLF()
	}
}

// matched is the UID up to which a sample says that the client knows what is
// gone (RFC 7162 §3.2.5.2): the highest one that still has its number. Both
// ascend; what does not is no sample, and might never end.
func (v *mailboxView) matched(seqs, uids wire.Set) (upTo store.UID) {
	nextUID, stop := iter.Pull(uids.Numbers(math.MaxUint32))
	defer stop()
	for n := range seqs.Numbers(uint32(v.told.Len())) {
		u, ok := nextUID()
		if !ok || v.told.UID(int(n)-1) != store.UID(u) || store.UID(u) <= upTo {
			break
		}
		upTo = store.UID(u)
	}
	return upTo
}

// vanished returns which UIDs of a set, above upTo, were expunged after since.
// If the store cannot tell any more, all that are not there count.
func (s *session) vanished(since store.ModSeq, among wire.Set, upTo store.UID) (store.UIDSet, error) {
	box := s.box
	delta, err := s.srv.o.Store.Changes(s.ctx(), box.id, max(since, 0))
	if err != nil {
		return nil, s.wireError(err, "changes")
	}
	gone := delta.Gone
	last := box.told.Mailbox().UIDNext - 1
	if delta.Full {
		gone = absent(box.told, last)
	}
	named := uidSet(among, last)
	if upTo > 0 {
		named = intersect(named, store.UIDSet{{Lo: upTo + 1, Hi: store.MaxUID}})
	}
	// What the client still sees is told later, in its turn.
	return without(intersect(gone, named), box.told), nil
}

// absent is the UIDs up to last that no message has.
func absent(v *store.View, last store.UID) (out store.UIDSet) {
	next := store.UID(1)
	for i := range v.Len() {
		if u := v.UID(i); u > next {
			out = append(out, store.UIDRange{Lo: next, Hi: u - 1})
			next = u + 1
		} else {
			next = u + 1
		}
	}
	if next <= last {
		out = append(out, store.UIDRange{Lo: next, Hi: last})
	}
	return out
}

// intersect is what two sets have in common.
func intersect(a, b store.UIDSet) (out store.UIDSet) {
	for i, j := 0, 0; i < len(a) && j < len(b); {
		lo, hi := max(a[i].Lo, b[j].Lo), min(a[i].Hi, b[j].Hi)
		if lo <= hi {
			out = append(out, store.UIDRange{Lo: lo, Hi: hi})
		}
		if a[i].Hi < b[j].Hi {
			i++
		} else {
			j++
		}
	}
	return out
}

// without is a less what is in the view.
func without(a store.UIDSet, v *store.View) (out store.UIDSet) {
	for _, r := range a {
		lo := int64(r.Lo)
		from, _ := v.Index(r.Lo)
		for i := from; i < v.Len() && v.UID(i) <= r.Hi; i++ {
			if u := int64(v.UID(i)); u > lo {
				out = append(out, store.UIDRange{Lo: store.UID(lo), Hi: store.UID(u - 1)})
			}
			lo = int64(v.UID(i)) + 1
		}
		if lo <= int64(r.Hi) {
			out = append(out, store.UIDRange{Lo: store.UID(lo), Hi: r.Hi})
		}
	}
	return out
}

// fetchModifiers are what may stand behind the items of a FETCH (RFC 7162
// §3.1.4.1, §3.2.6; RFC 9394 §3.3).
type fetchModifiers struct {
	changed  bool // CHANGEDSINCE
	since    store.ModSeq
	vanished bool
	partial  criteria.Partial
	isPart   bool
}

func (s *session) parseFetchModifiers(d *wire.Decoder) (m fetchModifiers) {
	if !d.TrySP() || d.End() {
		return m
	}
	d.List(func() {
		switch d.Keyword() {
		case "CHANGEDSINCE":
			d.SP()
			m.changed, m.since = true, store.ModSeq(d.Number64())
		case "VANISHED":
			m.vanished = true
			if s.enabled&qresync == 0 || !s.byUID() {
				d.Fail("VANISHED is for UID FETCH once QRESYNC is enabled")
			}
		case "PARTIAL":
			d.SP()
			m.isPart, m.partial = true, criteria.ParsePartial(d)
			if !s.byUID() {
				d.Fail("PARTIAL is for UID FETCH")
			}
		default:
			d.Fail("No such modifier")
		}
	})
	if m.vanished && !m.changed {
		d.Fail("VANISHED needs CHANGEDSINCE")
	}
	return m
}

// modify applies the modifiers of a FETCH of a set to the indices that it
// stands for; what has vanished is told.
func (s *session) modify(indices []int, set wire.Set, m fetchModifiers) ([]int, error) {
	if m.isPart {
		from, to := m.partial.Cut(len(indices))
		indices = indices[from:to]
	}
	if m.vanished {
		gone, err := s.vanished(m.since, set, 0)
		if err != nil {
			return nil, err
		}
		e := newEncoder(s.c)
		tellEarlier(e, gone)
		e.Flush()
	}
	if m.changed {
		indices = slices.DeleteFunc(indices, func(i int) bool {
			r, _ := s.box.row(i)
			return r.ModSeq <= m.since
		})
	}
	return indices, nil
}
