package imapd

import (
	"strconv"

	"postrider/imapd/wire"
	"postrider/store"
)

// cmdCopy answers COPY (RFC 9051 §6.4.7).
func (s *session) cmdCopy(d *wire.Decoder) error {
	res, err := s.transfer(d, false)
	if err == nil && len(res.Source) > 0 {
		s.ok(copyUID(res), "")
	}
	return err
}

// cmdMove answers MOVE (RFC 9051 §6.4.8): COPYUID stands before the EXPUNGEs,
// and those before the tagged response.
func (s *session) cmdMove(d *wire.Decoder) error {
	res, err := s.transfer(d, true)
	if err != nil {
		return err
	}
	if len(res.Source) > 0 {
		e := newEncoder(s.c)
		e.okCode(copyUID(res), "Moved")
		e.Flush()
	}
	if err := s.refresh(true); err != nil {
		return err
	}
	if s.enabled&qresync != 0 && len(res.Source) > 0 { // RFC 7162 §3.2.7, for MOVE as well (RFC 6851 §4.2)
		s.ok("HIGHESTMODSEQ "+strconv.FormatInt(int64(s.box.highest()), 10), "")
	}
	return nil
}

// transfer copies or moves the messages of a set. Messages that others have
// expunged are passed over, as they would be if the command had come later.
func (s *session) transfer(d *wire.Decoder, move bool) (store.CopyResult, error) {
	var none store.CopyResult
	d.SP()
	set := d.SeqSet()
	d.SP()
	dest := d.Mailbox()
	d.CRLF()
	if err := d.Err(); err != nil {
		return none, err
	}
	if move { // RFC 6851 §4.2
		if err := s.may(store.RightDeleteMessages | store.RightExpunge); err != nil {
			return none, err
		}
	}
	p, err := s.target(dest, "copy")
	if err != nil {
		return none, err
	}
	indices, err := s.resolve(set, s.byUID())
	if err != nil || len(indices) == 0 {
		return none, err
	}
	if move {
		indices = s.withinLimit(indices)
	} else if err := s.refuseBeyondLimit(indices); err != nil {
		return none, err
	}
	res, err := s.srv.o.Store.CopyWithout(s.ctx(), "", s.box.id, s.box.uids(indices), p.ID, move, flagMask(p.rights))
	if err != nil {
		return res, s.intoMailbox(err, "copy")
	}
	if len(res.Source) == 0 {
		return res, s.expunged()
	}
	return res, nil
}

// copyUID is the response code COPYUID (RFC 4315 §3).
func copyUID(r store.CopyResult) string {
	b := append([]byte("COPYUID "), strconv.FormatUint(uint64(r.UIDValidity), 10)...)
	b = appendUIDs(append(b, ' '), store.UIDSetOf(r.Source...))
	return string(appendUIDs(append(b, ' '), store.UIDSetOf(r.Dest...)))
}
