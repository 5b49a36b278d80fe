package sqlite

import (
	"bufio"
	"bytes"
	"io"

	"postrider/store"
)

// shapeOf finds the shape of a message of size bytes.
func shapeOf(r io.ReaderAt, size int64) (store.Shape, error) {
	if size == 0 {
		return 0, nil
	}
	var s store.Shape
	end := make([]byte, min(size, 2))
	if n, err := r.ReadAt(end, size-int64(len(end))); n < len(end) {
		return 0, shortRead(err)
	}
	if string(end) != "\r\n" {
		s |= store.ShapeOpen
	}
	high, err := hasHighHeader(io.NewSectionReader(r, 0, size))
	if high {
		s |= store.ShapeHighHeader
	}
	return s, err
}

// hasHighHeader tells whether a byte above 127 comes before the first blank
// line.
func hasHighHeader(r io.Reader) (bool, error) {
	br := bufio.NewReader(r)
	h := headerScan{blank: true}
	for {
		c, err := br.ReadByte()
		if err == io.EOF {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if h.ends(c) {
			return h.high, nil
		}
	}
}

// headerScan is the search for a byte above 127 in a header.
type headerScan struct {
	blank bool // the line, up to here
	high  bool
}

// ends takes a byte and tells whether more would change nothing.
func (h *headerScan) ends(c byte) bool {
	switch {
	case c == '\n' && h.blank:
		return true
	case c >= 0x80:
		h.high = true
		return true
	}
	h.blank = c == '\n' || h.blank && c == '\r'
	return false
}

// shapeOfBytes is shapeOf for a message in memory.
func shapeOfBytes(b []byte) store.Shape {
	var s store.Shape
	if len(b) > 0 && !bytes.HasSuffix(b, []byte("\r\n")) {
		s |= store.ShapeOpen
	}
	h := headerScan{blank: true}
	for _, c := range b {
		if h.ends(c) {
			break
		}
	}
	if h.high {
		s |= store.ShapeHighHeader
	}
	return s
}

// shapeBehind is the shape of a message of shape s with a prefix before it.
// A prefix is whole lines, so that it changes nothing of the end.
func shapeBehind(prefix []byte, s store.Shape) store.Shape {
	for _, c := range prefix {
		if c >= 0x80 {
			return s | store.ShapeHighHeader
		}
	}
	return s
}
