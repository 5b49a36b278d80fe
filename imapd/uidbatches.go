package imapd

import (
	"strconv"

	"github.com/emersion/go-imap/v2"

	"postrider/imapd/wire"
)

const (
	minBatch   = 500    // messages (RFC 10022 §3.1.3.2)
	maxBatches = 100000 // messages that a range of batches may span (§3.1.5)
)

// cmdUIDBatches answers UIDBATCHES (RFC 10022 §3.1): ranges of UIDs that have
// as many messages each as the client asks for, the newest first. A range
// begins where the one before it ends, and the last one ends with 1.
func (s *session) cmdUIDBatches(d *wire.Decoder) error {
	d.SP()
	size := int64(d.NZNumber())
	first, last, limited := int64(1), int64(1)<<32, false
	if d.TrySP() && !d.End() {
		first = int64(d.NZNumber())
		d.Special(':')
		last, limited = int64(d.NZNumber()), true
	}
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	switch {
	case first > last:
		return &imap.Error{Type: imap.StatusResponseTypeBad, Code: imap.ResponseCodeClientBug, Text: "The range of batches is not ascending"}
	case size < minBatch:
		return no("TOOFEW", "A batch has at least "+strconv.Itoa(minBatch)+" messages")
	case limited && (last-first+1)*size > maxBatches:
		return no("TOOMANY", "The batches span more than "+strconv.Itoa(maxBatches)+" messages")
	}
	if err := s.refresh(true); err != nil {
		return err
	}
	v := s.box.told
	e := newEncoder(s.c)
	e.Text("* UIDBATCHES (TAG " + quoted(s.c.req.tag) + ")")
	separator := " "
	n := int64(v.Len())
	for k := first; k <= last && (k-1)*size < n; k++ {
		hi := uint32(v.UID(int(n - 1)))
		if k > 1 {
			hi = uint32(v.UID(int(n-(k-1)*size))) - 1
		}
		lo := uint32(1)
		if k*size < n {
			lo = uint32(v.UID(int(n - k*size)))
		}
		e.Text(separator)
		separator = ","
		e.Number(int64(hi))
		e.Special(':')
		e.Number(int64(lo))
	}
	e.CRLF()
	e.Flush()
	return nil
}
