package search

import (
	"bytes"
	"io"
	"strings"

	"postrider/mail"
	"postrider/store"
)

const (
	// maxHeader is how much of one header is looked through.
	maxHeader = 1 << 20
	// maxWhole is the size up to which a text is read in one piece.
	maxWhole = 128 << 10
)

// A Reader finds the texts of messages, decoded and folded, one message after
// the other. What it hands out is valid until it goes on: its buffers are used
// again.
type Reader struct {
	fold   folding
	raw    []byte // a header or text as it stands
	folded []byte
	plain  bytes.Reader

	msg     *store.Content
	header  []byte // of msg, prefix included
	hasRead bool   // header is read
}

// sink takes the texts of a message.
type sink interface {
	// text takes a text, or as much of one as follows on what was taken;
	// last tells whether the text ends. A text that is sought may lie
	// across pieces of one text, not across texts.
	text(folded []byte, last bool)
	// done tells whether more texts make no difference.
	done() bool
}

// Message makes c the message that the other methods read.
func (r *Reader) Message(c *store.Content) { r.msg, r.hasRead = c, false }

// readHeader returns the message's header, our prefix included.
func (r *Reader) readHeader() ([]byte, error) {
	if r.hasRead {
		return r.header, nil
	}
	h, err := readHeader(r.header, io.NewSectionReader(r.msg, 0, int64(len(r.msg.Prefix))+r.msg.Meta.Root.Header.Size))
	if err != nil {
		return nil, err
	}
	r.header, r.hasRead = h, true
	return h, nil
}

// readHeader reads a header into buf, with a line end that it may lack.
func readHeader(buf []byte, from *io.SectionReader) ([]byte, error) {
	h, err := readUpTo(buf, from, maxHeader)
	return append(h, "\r\n"...), err
}

// readUpTo reads what there is, but not more than max bytes, into buf.
func readUpTo(buf []byte, from *io.SectionReader, max int64) ([]byte, error) {
	size := min(from.Size(), max)
	buf = grow(buf, int(size)+2)[:size]
	n, err := io.ReadFull(from, buf)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return buf[:n], err
}

// grow returns buf, emptied, with room for n bytes.
func grow(buf []byte, n int) []byte {
	if cap(buf) < n {
		return make([]byte, 0, n)
	}
	return buf[:0]
}

// headerField calls fn with the folded texts of every field of a name until it
// returns false; encoded words count decoded (RFC 9051 §6.4.4).
func (r *Reader) headerField(name string, fn func(folded []byte) bool) error {
	h, err := r.readHeader()
	if err != nil {
		return err
	}
	for f := range mail.Fields(h) {
		if f.Is(name) && !r.fieldTexts(fn, mail.DecodeText(f.Value())) {
			break
		}
	}
	return nil
}

// foldText folds a text into the reader's buffer.
func (r *Reader) foldText(parts ...string) []byte {
	r.raw = r.raw[:0]
	for _, p := range parts {
		r.raw = append(r.raw, p...)
	}
	r.folded = r.fold.append(r.folded[:0], r.raw)
	return r.folded
}

// fieldTexts calls fn with the folded text of a field and, if that differs,
// with one where each run of white space is a space, which is what it means
// (RFC 5322 §3.2.2): a field may be folded by a tab. It tells whether fn wants
// more.
func (r *Reader) fieldTexts(fn func(folded []byte) bool, parts ...string) bool {
	folded := r.foldText(parts...)
	if !fn(folded) {
		return false
	}
	spaced := oneSpace(folded)
	return len(spaced) == 0 || fn(spaced)
}

// oneSpace makes a space of each run of white space, in place. It returns
// nothing if there is nothing to do.
func oneSpace(b []byte) []byte {
	if !bytes.ContainsAny(b, "\t\r\n") && !bytes.Contains(b, []byte("  ")) {
		return nil
	}
	out := b[:0]
	for _, c := range b {
		if c == '\t' || c == '\r' || c == '\n' {
			c = ' '
		}
		if c != ' ' || len(out) == 0 || out[len(out)-1] != ' ' {
			out = append(out, c)
		}
	}
	return out
}

// headerTexts hands out the fields of the message's header, each as its name
// and its decoded text.
func (r *Reader) headerTexts(to sink) error {
	h, err := r.readHeader()
	if err != nil {
		return err
	}
	r.fields(h, to)
	return nil
}

func (r *Reader) fields(header []byte, to sink) {
	take := func(folded []byte) bool {
		to.text(folded, true)
		return !to.done()
	}
	for f := range mail.Fields(header) {
		if to.done() {
			return
		}
		text := mail.DecodeText(f.Value())
		if f.Name != "" {
			r.fieldTexts(take, f.Name, ": ", text)
		} else {
			r.fieldTexts(take, text)
		}
	}
}

// bodyTexts hands out the texts of the body: in every encoding and charset,
// and the headers of the parts and messages inside. What is of type message and
// no message, as a delivery status, is text, too. The contents of other types
// mean nothing as text.
func (r *Reader) bodyTexts(to sink) error { return r.part(&r.msg.Meta.Root, false, to) }

func (r *Reader) part(p *mail.Part, withHeader bool, to sink) error {
	if to.done() {
		return nil
	}
	if withHeader {
		h, err := readHeader(nil, r.extent(p.Header))
		if err != nil {
			return err
		}
		r.fields(h, to)
	}
	switch {
	case len(p.Parts) > 0:
		for i := range p.Parts {
			if err := r.part(&p.Parts[i], true, to); err != nil {
				return err
			}
		}
	case p.Message != nil:
		return r.part(&p.Message.Root, true, to)
	case p.Type == "text" || p.Type == "message":
		return r.content(p, to)
	}
	return nil
}

// extent reads a range of the parsed message as it is served.
func (r *Reader) extent(x mail.Extent) *io.SectionReader {
	return io.NewSectionReader(r.msg, int64(len(r.msg.Prefix))+x.Offset, x.Size)
}

// content hands out the text of a part.
func (r *Reader) content(p *mail.Part, to sink) error {
	if p.Body.Size > maxWhole {
		return r.stream(mail.DecodeCharset(p.Param("charset"), mail.DecodeBody(r.extent(p.Body), p.Encoding)), to)
	}
	var err error
	if r.raw, err = readUpTo(r.raw, r.extent(p.Body), maxWhole); err != nil {
		return err
	}
	if !isEncoded(p.Encoding) && hasASCII(p.Param("charset")) && asciiLen(r.raw) == len(r.raw) {
		lower(r.raw)
		to.text(r.raw, true) // most mail: nothing to decode
		return nil
	}
	r.plain.Reset(r.raw)
	return r.stream(mail.DecodeCharset(p.Param("charset"), mail.DecodeBody(&r.plain, p.Encoding)), to)
}

// isEncoded tells whether mail.DecodeBody changes anything.
func isEncoded(encoding string) bool {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "base64", "quoted-printable":
		return true
	}
	return false
}

// hasASCII tells whether ASCII bytes are known to mean ASCII in a charset,
// wherever they stand.
func hasASCII(charset string) bool {
	c := strings.ToLower(strings.TrimSpace(charset))
	switch c {
	case "", "us-ascii", "ascii", "utf-8", "utf8":
		return true
	}
	return strings.HasPrefix(c, "iso-8859-") || strings.HasPrefix(c, "windows-125")
}

// stream hands out text of any length in pieces.
func (r *Reader) stream(from io.Reader, to sink) error {
	f := &foldReader{r: from, fold: r.fold}
	defer func() { r.fold = f.fold }() // with what it has learnt
	const piece = 32 << 10
	r.folded = grow(r.folded, piece)[:piece]
	for !to.done() {
		n, err := io.ReadFull(f, r.folded)
		end := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !end {
			return err
		}
		to.text(r.folded[:n], end)
		if end {
			return nil
		}
	}
	return nil
}
