package imapd

import (
	"bytes"
	"io"

	"github.com/emersion/go-imap/v2"

	"postrider/mail"
	"postrider/store"
)

// errUnknownCTE is for parts whose encoding we do not know (RFC 3516 §4.3).
var errUnknownCTE = no(imap.ResponseCodeUnknownCTE, "The part's encoding is unknown")

// decoded is a part with its transfer encoding undone (RFC 3516 §4.2), read
// anew by each call of open. Its size is known only after a pass.
type decoded struct {
	open func() io.Reader
	size int64
	nul  bool // it has a NUL, so that it must be a literal8
}

// decodedPart finds what BINARY[...] asks for. Multiparts and messages have
// no encoding of their own to undo.
func decodedPart(c *store.Content, path []int) (decoded, error) {
	var d decoded
	if len(path) == 0 {
		d.open = served{at: c, size: c.Size}.reader
		return d, d.measure()
	}
	p, ok := c.Meta.Part(path)
	switch {
	case !ok:
		d.open = served{}.reader
		return d, nil
	case len(p.Parts) > 0 || p.Message != nil:
		d.open = extent(c, p.Body).reader
		return d, d.measure()
	}
	switch p.Encoding {
	case "7bit", "8bit", "binary", "base64", "quoted-printable":
	default:
		return d, errUnknownCTE
	}
	d.open = func() io.Reader { return mail.DecodeBody(extent(c, p.Body).reader(), p.Encoding) }
	return d, d.measure()
}

func (d *decoded) measure() error {
	var m measure
	_, err := io.Copy(&m, d.open())
	d.size, d.nul = m.size, m.nul
	return err
}

// measure counts what is written to it.
type measure struct {
	size int64
	nul  bool
}

func (m *measure) Write(p []byte) (int, error) {
	m.size += int64(len(p))
	m.nul = m.nul || bytes.IndexByte(p, 0) >= 0
	return len(p), nil
}

// cut returns what a partial asks for, as a reader of n bytes.
func (d decoded) cut(partial *imap.SectionPartial) (r io.Reader, n int64, err error) {
	r = d.open()
	if partial == nil {
		return r, d.size, nil
	}
	from := min(max(partial.Offset, 0), d.size)
	n = min(max(partial.Size, 0), d.size-from)
	_, err = io.CopyN(io.Discard, r, from)
	return io.LimitReader(r, n), n, err
}
