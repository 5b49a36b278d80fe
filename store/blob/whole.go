package blob

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// WholeMax is the size up to which Whole reads a body.
const WholeMax = blockSize

// Whole reads small bodies, each in one piece. It keeps the segment open that
// it read from last. One goroutine uses it at a time.
//
// It does not keep a record from being dropped: if that happens meanwhile,
// Read fails. Whatever its error, Open tells better what is wrong.
type Whole struct {
	d   *Dir
	seg int64
	f   File
}

// Whole returns a reader of small bodies, which must be closed.
func (d *Dir) Whole() *Whole { return &Whole{d: d} }

// Read returns the body of the record at loc, verified, in memory of its own.
func (w *Whole) Read(loc Loc, r Record) ([]byte, error) {
	if r.Size > WholeMax || r.Size < 0 {
		return nil, errors.New("blob: body too large")
	}
	if w.f == nil || w.seg != loc.Seg {
		w.Close()
		f, err := w.d.fs.Open(w.d.path(loc.Seg))
		if errors.Is(err, os.ErrNotExist) {
			err = ErrDropped
		}
		if err != nil {
			return nil, fmt.Errorf("blob: segment %d: %w", loc.Seg, err)
		}
		w.f, w.seg = f, loc.Seg
	}
	end := headerSize + r.Size
	b := make([]byte, end+sumSize)
	if r.Size == 0 {
		b = b[:headerSize]
	}
	if n, err := w.f.ReadAt(b, loc.Off); n < len(b) {
		if err == io.EOF {
			err = ErrDamaged
		}
		return nil, fmt.Errorf("blob: body %d: %w", r.ID, err)
	}
	if err := r.checkHeader(b[:headerSize]); err != nil {
		return nil, fmt.Errorf("blob: segment %d at %d, body %d: %w", loc.Seg, loc.Off, r.ID, err)
	}
	body := b[headerSize:end:end]
	if r.Size > 0 && binary.BigEndian.Uint32(b[end:]) != blockSum(r.ID, 0, body) {
		return nil, fmt.Errorf("blob: body %d: %w", r.ID, ErrDamaged)
	}
	return body, nil
}

// Close ends reading; what was read stays valid.
func (w *Whole) Close() {
	if w.f != nil {
		w.f.Close()
		w.f = nil
	}
}
