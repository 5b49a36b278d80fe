package imapd

import (
	"bytes"
	"io"

	"github.com/emersion/go-imap/v2"

	"postrider/mail"
	"postrider/store"
)

// maxFilterHeader is how much of a header HEADER.FIELDS looks through; the
// fields behind it are as good as absent.
const maxFilterHeader = 4 << 20

// served is a part of a message as it is served: bytes of memory, then a
// range of the content. The header of a whole message is our prefix and then
// its own.
type served struct {
	at    io.ReaderAt
	from  int64
	size  int64
	bytes []byte // instead, if at is nil
}

func (p served) length() int64 {
	if p.at == nil {
		return int64(len(p.bytes))
	}
	return p.size
}

func (p served) reader() io.Reader {
	if p.at == nil {
		return bytes.NewReader(p.bytes)
	}
	return io.NewSectionReader(p.at, p.from, p.size)
}

// cut returns the bytes that a partial asks for (RFC 9051 §6.4.5): fewer where
// there are no more.
func (p served) cut(partial *imap.SectionPartial) served {
	if partial == nil {
		return p
	}
	from := min(max(partial.Offset, 0), p.length())
	n := min(max(partial.Size, 0), p.length()-from)
	if p.at == nil {
		return served{bytes: p.bytes[from : from+n]}
	}
	return served{at: p.at, from: p.from + from, size: n}
}

// extent returns a range of the parsed message as it is served.
func extent(c *store.Content, x mail.Extent) served {
	return served{at: c, from: int64(len(c.Prefix)) + x.Offset, size: x.Size}
}

// isWhole tells whether an item is BODY[], which no structure is needed for.
func isWhole(item *imap.FetchItemBodySection) bool {
	return item.Specifier == imap.PartSpecifierNone && len(item.Part) == 0
}

// section finds what BODY[...] asks for; a section that does not exist is
// empty.
func section(c *store.Content, item *imap.FetchItemBodySection) (served, error) {
	if isWhole(item) {
		return served{at: c, size: c.Size}, nil
	}
	x, ok := c.Meta.SectionAfter(int64(len(c.Prefix)), item.Part, string(item.Specifier))
	if !ok {
		return served{}, nil
	}
	s := served{at: c, from: x.Offset, size: x.Size}
	if item.Specifier == imap.PartSpecifierHeader {
		return filtered(s, item)
	}
	return s, nil
}

// filtered is a header, or the fields of it that HEADER.FIELDS and
// HEADER.FIELDS.NOT leave, with the blank line.
func filtered(h served, item *imap.FetchItemBodySection) (served, error) {
	names, not := item.HeaderFields, false
	if len(names) == 0 {
		names, not = item.HeaderFieldsNot, true
	}
	if len(names) == 0 {
		return h, nil
	}
	raw, err := io.ReadAll(io.LimitReader(h.reader(), maxFilterHeader))
	if err != nil {
		return served{}, err
	}
	return served{bytes: mail.FilterHeader(raw, names, not)}, nil
}
