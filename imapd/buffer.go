package imapd

import (
	"bufio"
	"io"
	"sync"
)

const writeBuffer = 32 << 10

var writeBuffers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, writeBuffer) }}

// buffer gathers what is written to a connection until Flush. It has memory
// only while it holds something: most connections wait for most of the time.
type buffer struct {
	dst io.Writer
	w   *bufio.Writer // nil while there is nothing
	err error         // of the first write that failed; nothing is written after it
}

func (b *buffer) writer() *bufio.Writer {
	if b.w == nil {
		b.w = writeBuffers.Get().(*bufio.Writer)
		b.w.Reset(b.dst)
	}
	return b.w
}

func (b *buffer) Write(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.writer().Write(p)
	b.err = err
	return n, err
}

func (b *buffer) WriteString(s string) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.writer().WriteString(s)
	b.err = err
	return n, err
}

// Flush sends what was written.
func (b *buffer) Flush() error {
	if b.w == nil {
		return b.err
	}
	if err := b.w.Flush(); b.err == nil {
		b.err = err
	}
	b.w.Reset(nil)
	writeBuffers.Put(b.w)
	b.w = nil
	return b.err
}
