// Package spool holds a message on its way in: in memory while it is small,
// in a temporary file that has no name once it is not.
package spool

import (
	"errors"
	"io"
	"os"
	"sync"
)

// Memory comes in pieces of these sizes, and is used again by the next Buffer:
// what one message took would else be the collector's work for each.
var pieces = [...]struct {
	size int
	free *sync.Pool // of *[]byte
}{{16 << 10, new(sync.Pool)}, {64 << 10, new(sync.Pool)}, {256 << 10, new(sync.Pool)}}

var errClosed = errors.New("spool: closed")

// Buffer takes bytes by Write and gives them back by ReadAt. It is used by one
// goroutine while it is written; after that ReadAt may be called by many.
type Buffer struct {
	dir   string
	mem   int64
	buf   []byte
	piece *[]byte // that buf is of; nil if it is of none
	file  *os.File
	size  int64
	err   error // a failed Write: what is held is not what was written
}

// New returns an empty Buffer that keeps up to mem bytes in memory and moves
// to a file in dir, which nobody else can open, when it holds more.
func New(dir string, mem int64) *Buffer { return &Buffer{dir: dir, mem: mem} }

// Write appends p. Once it has failed, as on a full disk, it always fails.
func (b *Buffer) Write(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.file == nil && b.size+int64(len(p)) > b.mem {
		if b.err = b.spill(); b.err != nil {
			return 0, b.err
		}
	}
	if b.file == nil {
		if len(p) > cap(b.buf)-len(b.buf) {
			b.grow(len(p))
		}
		b.buf = append(b.buf, p...)
		b.size += int64(len(p))
		return len(p), nil
	}
	n, err := b.file.WriteAt(p, b.size)
	b.size += int64(n)
	b.err = err
	return n, err
}

// grow makes room for n bytes more.
func (b *Buffer) grow(n int) {
	need := len(b.buf) + n
	for _, p := range pieces {
		if p.size < need {
			continue
		}
		piece, ok := p.free.Get().(*[]byte)
		if !ok {
			m := make([]byte, p.size)
			piece = &m
		}
		buf := append((*piece)[:0], b.buf...)
		b.release()
		b.buf, b.piece = buf, piece
		return
	}
	buf := append(make([]byte, 0, max(need, 2*cap(b.buf))), b.buf...)
	b.release()
	b.buf = buf
}

// release lets the memory go.
func (b *Buffer) release() {
	for _, p := range pieces {
		if b.piece != nil && len(*b.piece) == p.size {
			p.free.Put(b.piece)
		}
	}
	b.buf, b.piece = nil, nil
}

// spill moves what is in memory to a file. The file is removed at once, so
// that nothing of it is left when this process ends, however it ends.
func (b *Buffer) spill() error {
	f, err := os.CreateTemp(b.dir, "spool-*")
	if err != nil {
		return err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return err
	}
	if _, err := f.WriteAt(b.buf, 0); err != nil {
		f.Close()
		return err
	}
	b.file = f
	b.release()
	return nil
}

// Size returns how many bytes were written.
func (b *Buffer) Size() int64 { return b.size }

// ReadAt reads what was written, as io.ReaderAt has it.
func (b *Buffer) ReadAt(p []byte, off int64) (int, error) {
	switch {
	case b.err != nil:
		return 0, b.err
	case off < 0:
		return 0, errors.New("spool: negative offset")
	case off >= b.size:
		return 0, io.EOF
	case b.file != nil:
		return b.file.ReadAt(p, off)
	}
	n := copy(p, b.buf[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Bytes returns all that was written if it is in memory, else nil. It is not to
// be changed, and valid until Close.
func (b *Buffer) Bytes() []byte {
	if b.err != nil || b.file != nil {
		return nil
	}
	return b.buf
}

// Reader returns a reader of all that was written, from its beginning.
func (b *Buffer) Reader() *io.SectionReader { return io.NewSectionReader(b, 0, b.size) }

// Close frees the memory and the file; reading and writing fail from then on.
// Nobody may be reading while it is called.
func (b *Buffer) Close() error {
	if errors.Is(b.err, errClosed) {
		return nil
	}
	b.err = errClosed
	b.release()
	if b.file == nil {
		return nil
	}
	return b.file.Close()
}
