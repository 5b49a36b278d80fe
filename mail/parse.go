package mail

import (
	"bytes"
	"encoding/binary"
	"io"
)

// Limits of Parse. What is beyond them is counted and stays readable as
// bytes, and is not looked into.
const (
	maxDepth    = 100       // multiparts and messages inside each other
	maxParts    = 10_000    // of a message, at all depths
	maxBoundary = 2048      // bytes of a boundary
	maxHeader   = 256 << 10 // bytes kept of the fields of one header
	maxKept     = 1 << 20   // bytes kept of all fields of a message
	maxParams   = 128       // of one field
)

// Parse reads a message and returns what it is made of (RFC 2045, 2046). It
// needs one pass, and memory that does not depend on the size of the message.
// There is no message that it refuses; err is the reader's.
//
// Broken structure is read as other servers do: a multipart without a
// boundary or without parts has one part, which is empty; a part ends where
// the delimiter of any multipart around it stands, in its header too; a
// delimiter is a line that begins with "--" and the boundary, whatever
// follows (RFC 2046 §5.1.1). Every multipart has at least one part and every
// message/rfc822 a Message, also beyond the limits.
func Parse(r io.Reader) (*Meta, error) {
	return parse(newWindow(r))
}

// ParseBytes is Parse for a message in memory, which it does not copy.
func ParseBytes(b []byte) *Meta {
	m, _ := parse(window{buf: b, end: len(b), err: io.EOF})
	return m
}

func parse(w window) (*Meta, error) {
	p := parser{w: w, kept: maxKept}
	p.push(true)
	for p.toDelimiter() {
		i, final := p.delimiter()
		if i >= 0 {
			p.closeTo(i)
		}
		p.w.takeLine()
		if i >= 0 {
			p.text = p.w.off
		}
		switch {
		case i < 0:
		case final:
			p.stack[i].open = false
			p.open--
		case p.parts < maxParts && (p.w.last == '\n'):
			p.push(false)
		}
	}
	if p.w.err != io.EOF {
		return nil, p.w.err
	}
	for len(p.stack) > 1 {
		p.pop(p.w.off, p.w.lines)
	}
	root := &p.stack[0]
	root.end(p.w.off, p.w.lines)
	return &Meta{Size: p.w.off, Envelope: root.info, Root: root.part}, nil
}

// parser is the state of Parse: the parts that the current position is in,
// the outermost first.
type parser struct {
	w      window
	stack  []frame
	open   int // frames whose boundary is awaited
	parts  int
	text   int64 // where the last header or delimiter ended
	kept   int   // bytes of fields that may still be kept
	fields fieldSet
}

// frame is a part whose end has not been seen.
type frame struct {
	part    Part
	info    HeaderInfo // of a message
	message bool       // the message inside the frame below
	lines   int64      // before the body

	bodyless bool // a delimiter cut the header short

	open     bool   // a multipart before its final delimiter
	boundary []byte // with the "--" before it
	key      uint64 // the first 8 bytes of boundary, compared under mask
	mask     uint64
}

// push begins a part, or the message as a whole, at the current position: it
// reads the header, and that of the message inside if it is one.
func (p *parser) push(message bool) {
	for first := len(p.stack) == 0; ; first, message = false, true {
		f := frame{message: message}
		start := p.w.off
		cut := p.readHeader(first)
		p.parts++
		end := p.w.off
		if cut && end > start {
			end -= p.w.lineEnd() // which belongs to the delimiter
		} else if n := len(p.stack); cut && n > 0 && p.stack[n-1].bodyless {
			start = p.stack[n-1].part.Body.Offset // a message where its part is cut
			end = start
		}
		f.part.Header.Offset = start
		f.part.Header.Size = end - f.part.Header.Offset
		f.part.Body.Offset, p.text = end, p.w.off
		f.bodyless = cut
		f.lines = p.w.lines
		if message {
			f.info = p.fields.info()
		}
		digest := len(p.stack) > 0 && !message && p.stack[len(p.stack)-1].part.is("multipart", "digest")
		p.fields.describe(&f.part, digest)
		p.kept -= len(p.fields.text)
		if f.part.Type == "multipart" && len(p.stack) < maxDepth && !cut {
			p.open += f.await()
		}
		p.stack = append(p.stack, f)
		if !f.part.isMessage() || len(p.stack) > maxDepth || p.parts >= maxParts {
			return
		}
	}
}

// readHeader reads a header with its blank line. If a delimiter of a part
// around it cuts it short, it stops there and returns true. The header of the
// message as a whole may be missing: see HeaderSize.
func (p *parser) readHeader(first bool) (cut bool) {
	p.fields.reset(min(maxHeader, p.kept))
	if first {
		for !p.twoLines() && p.w.more() {
		}
		if !startsHeader(p.w.rest()) {
			return false
		}
	}
	for start := true; ; {
		b := p.w.line()
		if len(b) == 0 {
			return false
		}
		ended := b[len(b)-1] == '\n'
		if start {
			if bytes.HasPrefix(b, []byte("--")) {
				if i, _ := p.delimiter(); i >= 0 {
					return true
				}
				b = p.w.line() // looking ahead may have moved it
			} else if isBlankLine(b) {
				p.w.take(len(b))
				return false
			}
		}
		p.fields.add(b, start)
		p.w.take(len(b))
		start = ended
	}
}

// twoLines tells whether enough of the message is in the window to see
// whether it has a header.
func (p *parser) twoLines() bool {
	return bytes.Count(p.w.rest(), []byte{'\n'}) >= 2
}

// toDelimiter goes on to the next line that may be a delimiter. The position
// is at the beginning of a line.
func (p *parser) toDelimiter() bool {
	if p.open == 0 {
		p.w.toEnd()
		return false
	}
	for len(p.w.rest()) < 2 && p.w.more() {
	}
	return bytes.HasPrefix(p.w.rest(), []byte("--")) || p.w.toDelimiter()
}

// delimiter finds the multipart that the current line, which begins with
// "--", is a delimiter of: the innermost whose delimiter it is exactly (RFC
// 2046 §5.1.1), or else the one with the longest boundary. It returns -1 if
// there is none.
func (p *parser) delimiter() (i int, final bool) {
	if p.open == 0 {
		return -1, false
	}
	for len(p.w.rest()) < maxBoundary+4 && bytes.IndexByte(p.w.rest(), '\n') < 0 && p.w.more() {
	}
	line := p.w.rest()
	var head [8]byte
	copy(head[:], line)
	key := binary.LittleEndian.Uint64(head[:])
	best, size := -1, 0
	for i := len(p.stack) - 1; i >= 0; i-- {
		f := &p.stack[i]
		if f.open && (key^f.key)&f.mask == 0 && len(f.boundary) > size && bytes.HasPrefix(line, f.boundary) {
			best, size = i, len(f.boundary)
			if onlyDelimiter(line[size:]) {
				break
			}
		}
	}
	return best, best >= 0 && bytes.HasPrefix(line[size:], []byte("--"))
}

// onlyDelimiter tells whether what follows a boundary in its line leaves no
// doubt that the line is its delimiter: nothing but the dashes of the last one
// and white space.
func onlyDelimiter(rest []byte) bool {
	rest, _, _ = bytes.Cut(rest, []byte{'\n'})
	rest = bytes.TrimRight(rest, " \t\r")
	return len(rest) == 0 || string(rest) == "--"
}

// closeTo ends the parts inside of stack[i] before the current line. The line
// end before a delimiter belongs to it (RFC 2046 §5.1.1), unless that is the
// end of a header or of another delimiter, as Cyrus and Dovecot count, too.
func (p *parser) closeTo(i int) {
	end, lines := p.w.off, p.w.lines
	if p.text < end {
		end -= p.w.lineEnd()
		lines--
	}
	for len(p.stack)-1 > i {
		p.pop(end, lines)
	}
}

// pop ends the innermost part and puts it into the one around it.
func (p *parser) pop(end, lines int64) {
	f := &p.stack[len(p.stack)-1]
	f.end(end, lines)
	if f.open {
		p.open--
	}
	around := &p.stack[len(p.stack)-2].part
	if f.message {
		around.Message = &Message{Envelope: f.info, Root: f.part}
	} else {
		around.Parts = append(around.Parts, f.part)
	}
	*f = frame{}
	p.stack = p.stack[:len(p.stack)-1]
}

// end completes a part.
func (f *frame) end(end, lines int64) {
	if !f.bodyless {
		f.part.Body.Size = end - f.part.Body.Offset
		f.part.Lines = lines - f.lines
	}
	end = f.part.Body.Offset + f.part.Body.Size
	switch {
	case f.part.Type == "multipart" && len(f.part.Parts) == 0:
		f.part.Parts = []Part{emptyPart(end)}
	case f.part.isMessage() && f.part.Message == nil:
		f.part.Message = &Message{Root: emptyPart(end)}
	}
}

// await prepares a multipart for its delimiters, if it has a boundary.
func (f *frame) await() int {
	for _, param := range f.part.Params {
		if param.Name != "boundary" {
			continue
		}
		boundary := []byte("--" + param.Value)
		if len(boundary) > maxBoundary {
			return 0
		}
		f.boundary, f.open = boundary, true
		var head, mask [8]byte
		for i := range copy(head[:], boundary) {
			mask[i] = 0xff
		}
		f.key = binary.LittleEndian.Uint64(head[:])
		f.mask = binary.LittleEndian.Uint64(mask[:])
		return 1
	}
	return 0
}

// emptyPart stands for the content of a container in which there is none.
func emptyPart(at int64) Part {
	p := Part{Header: Extent{Offset: at}, Body: Extent{Offset: at}}
	p.setDefaults(false)
	return p
}
