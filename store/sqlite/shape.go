package sqlite

import (
	"bufio"
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
	blank := true // the line, up to here
	for {
		c, err := br.ReadByte()
		switch {
		case err == io.EOF, c == '\n' && blank:
			return false, nil
		case err != nil:
			return false, err
		case c >= 0x80:
			return true, nil
		}
		blank = c == '\n' || blank && c == '\r'
	}
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
