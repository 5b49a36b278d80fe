package imapd

import (
	"strconv"

	"postrider/imapd/wire"
	"postrider/store"
)

// cmdExpunge answers EXPUNGE and UID EXPUNGE (RFC 9051 §6.4.3, §6.4.9). What
// is told afterwards includes what others have expunged.
func (s *session) cmdExpunge(d *wire.Decoder) error {
	set := store.AllUIDs()
	if s.byUID() {
		d.SP()
		named := d.UIDSet()
		d.CRLF()
		if err := d.Err(); err != nil {
			return err
		}
		indices, err := s.resolve(named, true)
		if err != nil {
			return err
		}
		set = s.box.uids(s.deletedWithinLimit(indices))
	} else if d.CRLF(); d.Err() != nil {
		return d.Err()
	}
	if err := s.may(store.RightExpunge); err != nil {
		return err
	}
	if len(set) > 0 {
		if _, err := s.srv.o.Store.Expunge(s.ctx(), s.box.id, set, true); err != nil {
			return s.wireError(err, "expunge")
		}
	}
	before := s.box.told
	if err := s.refresh(true); err != nil {
		return err
	}
	if s.enabled&qresync != 0 && s.box.told != before { // RFC 7162 §3.2.7
		s.ok("HIGHESTMODSEQ "+strconv.FormatInt(int64(s.box.highest()), 10), "")
	}
	return nil
}

// deletedWithinLimit is withinLimit for UID EXPUNGE, in which only messages
// with \Deleted count (RFC 9738 §3.1).
func (s *session) deletedWithinLimit(indices []int) []int {
	if len(indices) <= s.srv.o.MessagesAtOnce {
		return indices
	}
	var deleted []int
	for _, i := range indices {
		if r, there := s.box.row(i); there && r.Flags.System&store.Deleted != 0 {
			deleted = append(deleted, i)
		}
	}
	return s.withinLimit(deleted)
}
