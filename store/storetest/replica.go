package storetest

import (
	"postrider/store"
)

// replica is a copy of a mailbox that is kept by Changes alone, as a client
// that reconnects keeps its own. Each delta is one snapshot, so after each the
// copy must agree with the mailbox's counters.
type replica struct {
	known    store.ModSeq
	validity uint32
	last     store.UID // the highest ever seen
	rows     map[store.UID]store.Row
}

// apply brings the replica up to date and returns what is wrong with d.
func (r *replica) apply(d store.Delta) []string {
	var wrong []string
	bad := func(if_ bool, what string) {
		if if_ {
			wrong = append(wrong, what)
		}
	}
	m := d.Mailbox
	bad(m.ModSeq < r.known, "the mailbox's ModSeq went back")
	bad(r.validity != 0 && m.UIDValidity != r.validity, "UIDVALIDITY changed")
	full := d.Full || r.rows == nil
	if full {
		r.rows = map[store.UID]store.Row{}
	}
	for _, g := range d.Gone {
		for u := range r.rows {
			if g.Lo <= u && u <= g.Hi {
				delete(r.rows, u)
			}
		}
	}
	before, last := r.last, store.UID(0)
	for _, x := range d.Changed.All() {
		_, have := r.rows[x.UID]
		bad(x.UID <= last, "rows do not ascend by UID")
		bad(!full && x.ModSeq <= r.known, "a row that is not new")
		bad(x.ModSeq > m.ModSeq, "a row beyond the mailbox's ModSeq")
		bad(!full && !have && x.UID <= before, "a new message with an old UID")
		bad(x.UID >= m.UIDNext, "a UID at or above UIDNEXT")
		last, r.last = x.UID, max(r.last, x.UID)
		r.rows[x.UID] = x
	}
	r.known, r.validity = m.ModSeq, m.UIDValidity
	return append(wrong, r.compare(m)...)
}

// compare holds the replica against the mailbox's counters.
func (r *replica) compare(m store.Mailbox) []string {
	var n store.Mailbox
	for _, x := range r.rows {
		n.Total++
		n.Bytes += x.Size
		if x.Flags.System&store.Seen == 0 {
			n.Unseen++
		}
		if x.Flags.System&store.Deleted != 0 {
			n.Deleted++
			n.DeletedBytes += x.Size
		}
	}
	var wrong []string
	if n.Total != m.Total || n.Unseen != m.Unseen || n.Bytes != m.Bytes {
		wrong = append(wrong, "total, unseen or bytes do not agree with the messages")
	}
	if n.Deleted != m.Deleted || n.DeletedBytes != m.DeletedBytes {
		wrong = append(wrong, "deleted messages or bytes do not agree with the messages")
	}
	return wrong
}

// follow applies what changed in box since the replica's last look.
func (s *suite) follow(h handle, r *replica, box store.MailboxID) {
	s.Helper()
	since := r.known
	for _, w := range r.apply(h.changes(box, since)) {
		s.Errorf("changes since %d: %s", since, w)
	}
}
