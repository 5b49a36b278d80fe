package imapd

import (
	"github.com/emersion/go-imap/v2"

	"postrider/store"
)

// expunge answers EXPUNGE and, with uids, UID EXPUNGE (RFC 9051 §6.4.3,
// §6.4.9). What is told afterwards includes what others have expunged.
func (s *session) expunge(uids *imap.UIDSet) error {
	set := store.AllUIDs()
	if uids != nil {
		indices, err := s.resolve(*uids)
		if err != nil {
			return err
		}
		set = s.box.uids(indices)
	}
	if len(set) > 0 {
		if _, err := s.srv.o.Store.Expunge(s.c.ctx, s.box.id, set, true); err != nil {
			return s.wireError(err, "expunge")
		}
	}
	return s.refresh(true)
}

// expungeSilently is CLOSE, which tells nothing and, in a mailbox opened by
// EXAMINE, removes nothing (RFC 9051 §6.4.1).
func (s *session) expungeSilently() error {
	if s.box.readOnly {
		return nil
	}
	_, err := s.srv.o.Store.Expunge(s.c.ctx, s.box.id, store.AllUIDs(), true)
	if err != nil && store.KindOf(err) == store.NotFound {
		return nil // the mailbox is gone, and all in it
	}
	return s.wireError(err, "expunge")
}
