package imapd

import (
	"bytes"
	"io"

	"postrider/mail"
)

// maxSearchHeader is how much of one header SEARCH looks through.
const maxSearchHeader = 1 << 20

// readHeader returns the message's header, our prefix included.
func (c *candidate) readHeader() []byte {
	if c.header == nil {
		b, err := io.ReadAll(io.LimitReader(header(c.content).reader(), maxSearchHeader))
		c.fail(err)
		c.header = append(b, "\r\n"...)
	}
	return c.header
}

func (c *candidate) fail(err error) {
	if err != nil && c.err == nil {
		c.err = err
	}
}

// hasHeader tells whether a field of this name has the text (RFC 9051
// §6.4.4); encoded words count decoded.
func (c *candidate) hasHeader(h headerKey) bool {
	for f := range mail.Fields(c.readHeader()) {
		if f.Is(h.name) && bytes.Contains(fold(mail.DecodeText(f.Value())), h.value) {
			return true
		}
	}
	return false
}

// matchSent compares the date of the Date field, as it stands there, without
// its time and zone. A message without a date that can be read does not match.
func (m *matcher) matchSent(c *candidate) bool {
	if m.sentSince == 0 && m.sentBefore == 0 {
		return true
	}
	t, err := mail.ParseDate(envelopeOf(c.content).Date)
	if err != nil {
		return false
	}
	d := dayOf(t)
	return (m.sentSince == 0 || d >= m.sentSince) && (m.sentBefore == 0 || d < m.sentBefore)
}

// hasTexts tells whether the body has all texts of body, and header or body
// all of text.
func (c *candidate) hasTexts(body, text [][]byte) bool {
	open := searchFor(body)
	var anywhere finder
	for _, t := range text {
		anywhere = append(anywhere, &needle{text: t, found: len(t) == 0})
	}
	if len(anywhere) > 0 {
		c.feedHeader(anywhere, c.readHeader())
	}
	open = append(open, anywhere...)
	if !open.done() {
		c.feedPart(open, &c.content.Meta.Root, false)
	}
	return open.done()
}

// feedHeader searches a header: each field as its name and its decoded text.
func (c *candidate) feedHeader(f finder, raw []byte) {
	for field := range mail.Fields(raw) {
		text := mail.DecodeText(field.Value())
		if field.Name != "" {
			text = field.Name + ": " + text
		}
		f.search(fold(text))
	}
}

// feedPart searches a part: texts in every encoding and charset, and the
// headers of the parts and messages inside. The contents of other types mean
// nothing as text.
func (c *candidate) feedPart(f finder, p *mail.Part, withHeader bool) {
	if f.done() || c.err != nil {
		return
	}
	if withHeader {
		raw, err := io.ReadAll(io.LimitReader(extent(c.content, p.Header).reader(), maxSearchHeader))
		c.fail(err)
		c.feedHeader(f, raw)
	}
	switch {
	case len(p.Parts) > 0:
		for i := range p.Parts {
			c.feedPart(f, &p.Parts[i], true)
		}
	case p.Message != nil:
		c.feedPart(f, &p.Message.Root, true)
	case p.Type == "text":
		body := mail.DecodeBody(extent(c.content, p.Body).reader(), p.Encoding)
		c.fail(f.stream(mail.DecodeCharset(p.Param("charset"), body)))
	}
}

// needle is a folded text that is sought.
type needle struct {
	text  []byte
	found bool
}

// finder seeks several texts at once.
type finder []*needle

func searchFor(texts [][]byte) finder {
	var f finder
	for _, t := range texts {
		f = append(f, &needle{text: t, found: len(t) == 0})
	}
	return f
}

// done tells whether all are found.
func (f finder) done() bool {
	for _, n := range f {
		if !n.found {
			return false
		}
	}
	return true
}

func (f finder) search(folded []byte) {
	for _, n := range f {
		n.found = n.found || bytes.Contains(folded, n.text)
	}
}

// longest is the length of the longest text that is not found.
func (f finder) longest() int {
	l := 0
	for _, n := range f {
		if !n.found {
			l = max(l, len(n.text))
		}
	}
	return l
}

// stream searches text of any length. The end of each piece is looked at again
// with the next one, for what lies across.
func (f finder) stream(r io.Reader) error {
	r = &foldReader{r: r}
	buf := make([]byte, 0, 64<<10+f.longest())
	for !f.done() {
		n, err := io.ReadFull(r, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		f.search(buf)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		if err != nil {
			return err
		}
		keep := min(len(buf), max(f.longest()-1, 0))
		buf = append(buf[:0], buf[len(buf)-keep:]...)
	}
	return nil
}
