package deflate

import (
	"bytes"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

const (
	remember = 4 << 10  // of what was written last: responses resemble each other
	keptBuf  = 64 << 10 // a larger buffer is not used again
)

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// Writer deflates. Each Write is flushed, so that the peer can inflate all of
// it.
type Writer struct {
	out  io.Writer
	last []byte
}

// NewWriter makes a Writer to out.
func NewWriter(out io.Writer) *Writer { return &Writer{out: out} }

// Write writes p in one piece.
func (w *Writer) Write(p []byte) (int, error) {
	b := buffers.Get().(*bytes.Buffer)
	defer func() {
		if b.Cap() <= keptBuf {
			b.Reset()
			buffers.Put(b)
		}
	}()
	if err := flate.StatelessDeflate(b, p, false, w.last); err != nil {
		return 0, err
	}
	w.last = append(w.last, p[max(0, len(p)-remember):]...)
	if n := len(w.last) - remember; n > 0 {
		w.last = append(w.last[:0], w.last[n:]...)
	}
	if _, err := w.out.Write(b.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}
