package delivery

import (
	"bytes"
	"io"
	"iter"
	"strings"

	"postrider/mail"
	"postrider/store"
)

// maxHeader bounds how much of a header is looked at.
const maxHeader = 1 << 20

// firstRead is enough for nearly every header.
const firstRead = 16 << 10

// header is the beginning of a message up to its blank line, as it came.
type header struct {
	raw   []byte // with the blank line; empty if the message has no header
	whole bool   // raw is all of it
}

// readHeader reads the header of body, growing what it reads until the blank
// line is there.
func readHeader(body store.Body) (*header, error) {
	if b := store.InMemory(body); b != nil && len(b) <= maxHeader {
		return &header{raw: b[:mail.HeaderSize(b)], whole: true}, nil
	}
	size := min(body.Size(), maxHeader)
	for n := min(size, firstRead); ; n = min(2*n, size) {
		b := make([]byte, n)
		if got, err := body.ReadAt(b, 0); int64(got) < n {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, store.Errorf(store.Internal, "read header", "%w", err)
		}
		h := b[:mail.HeaderSize(b)]
		blank := len(h) == 0 || bytes.HasSuffix(h, []byte("\n\r\n")) || bytes.Equal(h, []byte("\r\n"))
		if blank && int64(len(h)) < n || n == body.Size() {
			return &header{raw: h, whole: true}, nil
		}
		if n == size {
			return &header{raw: h, whole: blank}, nil
		}
	}
}

// fields yields the header's fields in order.
func (h *header) fields() iter.Seq[mail.Field] { return mail.Fields(h.raw) }

// count returns how many fields have this name.
func (h *header) count(name string) int {
	n := 0
	for f := range h.fields() {
		if f.Is(name) {
			n++
		}
	}
	return n
}

// received counts the servers that the message has been through, and how often
// that was host (RFC 5321 §4.4).
func (h *header) received(host string) (all, by int) {
	for f := range h.fields() {
		if !f.Is("Received") {
			continue
		}
		all++
		words := strings.Fields(f.Value())
		for i, w := range words[:max(len(words)-1, 0)] {
			if strings.EqualFold(w, "by") && strings.EqualFold(strings.TrimRight(words[i+1], ";"), host) {
				by++
				break
			}
		}
	}
	return all, by
}

// ranges returns where the fields lie that which chooses, neighbours joined.
func (h *header) ranges(which func(mail.Field) bool) []store.Range {
	var out []store.Range
	at := int64(0)
	for f := range h.fields() {
		end := at + int64(len(f.Raw))
		if which(f) {
			if n := len(out); n > 0 && out[n-1].To == at {
				out[n-1].To = end
			} else {
				out = append(out, store.Range{From: at, To: end})
			}
		}
		at = end
	}
	return out
}

// without is the header less the cuts.
func (h *header) without(cut []store.Range) []byte {
	if len(cut) == 0 {
		return h.raw
	}
	var out []byte
	at := int64(0)
	for _, r := range cut {
		out = append(out, h.raw[at:r.From]...)
		at = r.To
	}
	return append(out, h.raw[at:]...)
}

// empty tells whether nothing of the header is left after the cuts, not even
// its blank line, so that a prefix would run into the text.
func (h *header) empty(cut []store.Range) bool {
	left := int64(len(h.raw))
	for _, r := range cut {
		left -= r.To - r.From
	}
	return left == 0
}
