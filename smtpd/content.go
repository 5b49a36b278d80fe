package smtpd

import (
	"bytes"
	"encoding/binary"

	"postrider/internal/spool"
	"postrider/mailauth"
)

// spoolMemory is how much of a message is kept in memory before it moves to
// an unlinked file.
const spoolMemory = 256 << 10

// skipAllowance is how much is read beyond the largest message, to find the
// end of one that is too big and answer it, before the peer is cut off.
const skipAllowance = 64 << 20

var (
	// A bare CR or LF is what some servers take for a line's end, so that one
	// message for us is two for them.
	errBareCRLF = refuse(550, 5, 6, 11, "Message contains a bare CR or LF")
	// Neither 7bit nor 8bit data may hold NUL (RFC 2045 §2.7, §2.8; RFC 6152
	// §3), nor can an IMAP literal (RFC 9051 §4.3), and without BINARYMIME
	// nothing else is sent: it is an error or an attack.
	errNUL     = refuse(550, 5, 6, 0, "Message contains a NUL byte")
	errEndless = hangUp{errTooBig}
)

// content collects the text of one message and what has to be known of it.
type content struct {
	spool *spool.Buffer
	check *mailauth.Check // nil if there is none
	limit int64
	size  int64

	crs, lfs, pairs int64 // CR, LF, CR LF
	lastCR          bool
	nul             bool
	high            bool  // a byte above 127
	err             error // of the spool
}

func (c *conn) newContent() *content {
	return &content{spool: spool.New(c.o.SpoolDir, spoolMemory), check: c.tx.check, limit: c.o.MaxMessageBytes}
}

func (t *content) close() { t.spool.Close() }

// write takes the next piece. Once the message cannot be accepted any more,
// it is only counted.
func (t *content) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	t.size += int64(len(p))
	if t.size > t.limit {
		if t.size > t.limit+skipAllowance {
			return errEndless
		}
		return nil
	}
	if t.lastCR && p[0] == '\n' {
		t.pairs++
	}
	t.lastCR = p[len(p)-1] == '\r'
	t.pairs += int64(bytes.Count(p, []byte("\r\n")))
	t.crs += int64(bytes.Count(p, []byte{'\r'}))
	t.lfs += int64(bytes.Count(p, []byte{'\n'}))
	t.nul = t.nul || bytes.IndexByte(p, 0) >= 0
	t.high = t.high || hasHigh(p)
	if t.err == nil {
		_, t.err = t.spool.Write(p)
	}
	if t.check != nil {
		t.check.Write(p)
	}
	return nil
}

// verdict tells whether the message can be accepted as far as its bytes go.
func (t *content) verdict() error {
	switch {
	case t.size > t.limit:
		return errTooBig
	case t.crs != t.pairs || t.lfs != t.pairs:
		return errBareCRLF
	case t.nul:
		return errNUL
	}
	return t.err
}

// hasHigh tells whether p has a byte above 127, eight at a time.
func hasHigh(p []byte) bool {
	for ; len(p) >= 8; p = p[8:] {
		if binary.NativeEndian.Uint64(p)&0x8080808080808080 != 0 {
			return true
		}
	}
	for _, b := range p {
		if b >= 0x80 {
			return true
		}
	}
	return false
}
