package imapd

import (
	"cmp"
	"slices"

	"postrider/imapd/wire"
	"postrider/store"
)

// ground is a mailbox that is searched: one state of it.
type ground struct {
	id    store.MailboxID
	view  *store.View  // what sequence numbers mean
	box   *mailboxView // that knows newer flags than view; nil if it is not the selected mailbox
	saved []store.UID  // what $ stands for
}

// selectedGround is the selected mailbox as the client knows it.
func (s *session) selectedGround() *ground {
	return &ground{id: s.box.id, view: s.box.told, box: s.box, saved: s.saved}
}

// row returns what is known of the message at an index.
func (g *ground) row(i int) store.Row {
	if g.box == nil {
		return g.view.At(i)
	}
	r, _ := g.box.row(i)
	return r
}

// uids returns the UIDs of messages at indices, which ascend.
func (g *ground) uids(indices []int) store.UIDSet {
	var set store.UIDSet
	for _, i := range indices {
		set = appendUID(set, g.view.UID(i))
	}
	return set
}

// appendUID adds a UID that is higher than those of the set.
func appendUID(set store.UIDSet, u store.UID) store.UIDSet {
	if n := len(set); n > 0 && set[n-1].Hi+1 == u {
		set[n-1].Hi = u
		return set
	}
	return append(set, store.UIDRange{Lo: u, Hi: u})
}

// resolve returns the UIDs that a set names. Those of messages to come are
// among them if it ends with "*"; sequence numbers mean messages that are here
// now, and those that none has mean nothing (RFC 9051 §6.4.4). It takes memory
// for each range, not for each message.
func (g *ground) resolve(set wire.Set, uid bool) store.UIDSet {
	if set.Saved {
		return store.UIDSetOf(g.saved...)
	}
	n := g.view.Len()
	var last uint32 // what "*" is
	switch {
	case n > 0 && uid:
		last = uint32(g.view.UID(n - 1))
	case n > 0:
		last = uint32(n)
	}
	ranges := make([]store.UIDRange, 0, len(set.Ranges))
	for _, r := range set.Ranges {
		lo, hi, star := bounds(r, last)
		switch {
		case uid && star && max(r.A, r.B) <= last:
			hi = uint32(store.MaxUID) // whatever comes is behind the last one
		case uid:
		case n == 0 || lo > uint32(n): // "*" of no messages, too
			continue
		default:
			lo = uint32(g.view.UID(int(max(lo, 1)) - 1))
			hi = uint32(g.view.UID(int(min(hi, uint32(n))) - 1))
		}
		if hi > 0 {
			ranges = append(ranges, store.UIDRange{Lo: store.UID(lo), Hi: store.UID(hi)})
		}
	}
	return joined(ranges)
}

// joined sorts ranges and joins those that overlap or touch.
func joined(ranges []store.UIDRange) store.UIDSet {
	slices.SortFunc(ranges, func(a, b store.UIDRange) int { return cmp.Compare(a.Lo, b.Lo) })
	var out store.UIDSet
	for _, r := range ranges {
		if n := len(out); n > 0 && (out[n-1].Hi == store.MaxUID || r.Lo <= out[n-1].Hi+1) {
			out[n-1].Hi = max(out[n-1].Hi, r.Hi)
		} else {
			out = append(out, r)
		}
	}
	return out
}
