package mail

import (
	"bytes"
	"io"
)

// How much of a message Parse looks at at a time. Even the least is more than
// the longest boundary and the longest field name.
const (
	windowSize = 32 << 10
	minWindow  = 4 << 10
)

// window is the part of the input that is being looked at.
type window struct {
	r        io.Reader
	buf      []byte
	pos, end int   // not yet taken: buf[pos:end]
	off      int64 // of buf[pos] in the message
	lines    int64 // line ends taken
	last     byte  // the byte before buf[pos], and whether
	crlf     bool  // the last line end taken was CRLF
	err      error // why no more can be read
}

// newWindow returns a window on r, a small one if r says that it is small.
func newWindow(r io.Reader) window {
	size := int64(windowSize)
	if r, ok := r.(interface{ Size() int64 }); ok {
		size = max(minWindow, min(size, r.Size()+1))
	}
	return window{r: r, buf: make([]byte, size)}
}

// rest returns what has been read and not taken.
func (w *window) rest() []byte { return w.buf[w.pos:w.end] }

// more reads on, and tells whether there is more in the window than before.
func (w *window) more() bool {
	if w.err != nil || w.end-w.pos == len(w.buf) {
		return false
	}
	if w.pos > 0 && w.end == len(w.buf) {
		w.end = copy(w.buf, w.rest())
		w.pos = 0
	}
	for range 100 {
		n, err := w.r.Read(w.buf[w.end:])
		w.end += n
		w.err = err
		if n > 0 {
			return true
		}
		if err != nil {
			return false
		}
	}
	w.err = io.ErrNoProgress
	return false
}

// line returns the rest of the current line with its end, or as much of it as
// the window can hold; nothing at the end of the message.
func (w *window) line() []byte {
	seen := 0
	for {
		b := w.rest()
		if i := bytes.IndexByte(b[seen:], '\n'); i >= 0 {
			return b[:seen+i+1]
		}
		seen = len(b)
		if !w.more() {
			return b
		}
	}
}

// take goes on by n bytes, of which the last may be the only line end.
func (w *window) take(n int) {
	if n == 0 {
		return
	}
	if w.buf[w.pos+n-1] == '\n' {
		w.lines++
		if n > 1 {
			w.last = w.buf[w.pos+n-2]
		}
		w.crlf = w.last == '\r'
	}
	w.last = w.buf[w.pos+n-1]
	w.pos += n
	w.off += int64(n)
}

// takeText goes on by n bytes with any number of line ends in them, the last
// of which is at their end or does not matter.
func (w *window) takeText(n int) {
	if n > 1 {
		w.lines += int64(bytes.Count(w.buf[w.pos:w.pos+n-1], []byte{'\n'}))
		w.last = w.buf[w.pos+n-2]
		w.pos += n - 1
		w.off += int64(n - 1)
		n = 1
	}
	w.take(n)
}

// takeLine goes on to the next line, however long this one is.
func (w *window) takeLine() {
	for {
		b := w.line()
		w.take(len(b))
		if len(b) == 0 || b[len(b)-1] == '\n' {
			return
		}
	}
}

// lineEnd returns the length of the line end that was taken last.
func (w *window) lineEnd() int64 {
	if w.crlf {
		return 2
	}
	return 1
}

// toDelimiter goes on until a line that begins with "--" follows, or to the
// end of the message, and tells which. The window begins with that line.
func (w *window) toDelimiter() bool {
	for {
		b := w.rest()
		i := bytes.Index(b, []byte("\n--"))
		if i >= 0 {
			w.takeText(i + 1)
			return true
		}
		if keep := 2; len(b) > keep {
			w.takeText(len(b) - keep)
		}
		if !w.more() {
			w.takeText(len(w.rest()))
			return false
		}
	}
}

// toEnd goes on to the end of the message.
func (w *window) toEnd() {
	for {
		w.takeText(len(w.rest()))
		if !w.more() {
			return
		}
	}
}
