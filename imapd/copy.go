package imapd

import (
	"github.com/emersion/go-imap/v2"

	"postrider/store"
)

// copyMessages answers COPY (RFC 9051 §6.4.7).
func (s *session) copyMessages(set imap.NumSet, dest string) (*imap.CopyData, error) {
	res, err := s.transfer(set, dest, false)
	if err != nil || len(res.Source) == 0 {
		return nil, err
	}
	return copyData(res), nil
}

// moveMessages answers MOVE (RFC 9051 §6.4.8): COPYUID stands before the
// EXPUNGEs, and those before the tagged response.
func (s *session) moveMessages(set imap.NumSet, dest string) error {
	res, err := s.transfer(set, dest, true)
	if err != nil {
		return err
	}
	if len(res.Source) > 0 {
		d := copyData(res)
		e := newEncoder(s.c)
		e.atom("* OK [COPYUID ")
		e.num(int64(d.UIDValidity))
		e.atom(" " + d.SourceUIDs.String() + " " + d.DestUIDs.String() + "] Moved")
		e.end()
		e.flush()
	}
	return s.refresh(true)
}

// transfer copies or moves the messages of a set. Messages that others have
// expunged are passed over, as they would be if the command had come later.
func (s *session) transfer(set imap.NumSet, dest string, move bool) (store.CopyResult, error) {
	m, err := s.mailbox(dest)
	if err != nil {
		return store.CopyResult{}, s.intoMailbox(err, "copy")
	}
	indices, err := s.resolve(set)
	if err != nil || len(indices) == 0 {
		return store.CopyResult{}, err
	}
	res, err := s.srv.o.Store.Copy(s.c.ctx, "", s.box.id, s.box.uids(indices), m.ID, move)
	if err != nil {
		return res, s.intoMailbox(err, "copy")
	}
	if len(res.Source) == 0 {
		return res, errExpunged
	}
	return res, nil
}

func copyData(r store.CopyResult) *imap.CopyData {
	return &imap.CopyData{UIDValidity: r.UIDValidity, SourceUIDs: toUIDSet(r.Source), DestUIDs: toUIDSet(r.Dest)}
}
