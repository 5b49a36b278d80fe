package store

import "slices"

// Changes is what a session that has shown one view has to tell to show
// another. It is told in the order of its fields.
type Changes struct {
	// Expunged holds indices in the old view, descending, so that each
	// index plus one is the right sequence number for "* n EXPUNGE" (RFC
	// 9051 §7.5.1) when told one after the other.
	Expunged []int
	// Gone is the same messages by UID, for those who want VANISHED (RFC
	// 7162 §3.2.10) or keep UIDs.
	Gone UIDSet
	// Added is how many messages at the end of the new view are new. The
	// new number of messages is to be told if there are any.
	Added int
	// Updated holds indices in the new view, ascending, of messages that
	// the old view had and whose flags or ModSeq have changed.
	Updated []int
}

// Empty tells whether there is nothing to tell.
func (c *Changes) Empty() bool {
	return len(c.Expunged) == 0 && c.Added == 0 && len(c.Updated) == 0
}

// Diff compares two views of one mailbox, the older first. If the mailbox is
// not the same, or its UIDs were given anew, all old messages are expunged and
// all new ones added. Views that share what did not change, as those of a
// Store do, are compared quickly.
func Diff(old, new *View) Changes {
	if old == new {
		return Changes{}
	}
	if old.mailbox.ID != new.mailbox.ID || old.mailbox.UIDValidity != new.mailbox.UIDValidity {
		return replaced(old, new)
	}
	if sameStart(old.rows.UID, new.rows.UID) {
		c := Changes{Added: len(new.rows.UID) - len(old.rows.UID)}
		if !sameStart(old.rows.ModSeq, new.rows.ModSeq) {
			c.Updated = updated(old.rows.ModSeq, new.rows.ModSeq)
		}
		return c
	}
	return merge(old, new)
}

// sameStart tells whether b begins with all of a because both lie in one array.
func sameStart[T any](a, b []T) bool {
	return len(a) <= len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// updated returns where b differs from a, which is not longer.
func updated(a, b []ModSeq) []int {
	n := 0
	for i, m := range a {
		if b[i] != m {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	out := make([]int, 0, n)
	for i, m := range a {
		if b[i] != m {
			out = append(out, i)
		}
	}
	return out
}

// replaced is the difference between views that have nothing in common.
func replaced(old, new *View) Changes {
	c := Changes{Added: new.Len(), Gone: UIDSetOf(old.rows.UID...)}
	for i := range old.rows.UID {
		c.Expunged = append(c.Expunged, i)
	}
	slices.Reverse(c.Expunged)
	return c
}

// merge walks both views once.
func merge(old, new *View) Changes {
	var c Changes
	var gone []UID
	j := 0
	for i, u := range old.rows.UID {
		if j < len(new.rows.UID) && new.rows.UID[j] == u {
			if new.rows.ModSeq[j] != old.rows.ModSeq[i] {
				c.Updated = append(c.Updated, j)
			}
			j++
			continue
		}
		c.Expunged = append(c.Expunged, i)
		gone = append(gone, u)
	}
	c.Added = len(new.rows.UID) - j
	c.Gone = UIDSetOf(gone...)
	slices.Reverse(c.Expunged)
	return c
}
