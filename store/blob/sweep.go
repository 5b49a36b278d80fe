package blob

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Live is a record that a row names.
type Live struct{ Off, Size int64 }

// Held is a segment that nobody appends to and nobody else sweeps.
type Held struct {
	d *Dir
	n int64
	f File
}

// Hold takes a segment for its holder alone: nil if a handle appends to it, or
// has written to it what no transaction has named yet. Rows must be read after
// it, not before.
func (d *Dir) Hold(n int64) (*Held, error) {
	f, err := d.fs.Open(d.path(n))
	if err != nil {
		return nil, err
	}
	if !f.Hold() {
		f.Close()
		return nil, nil
	}
	return &Held{d, n, f}, nil
}

// Close lets the segment go.
func (h *Held) Close() error { return h.f.Close() }

// Space returns how many bytes the segment takes on the disk.
func (h *Held) Space() (int64, error) { return h.f.Space() }

// Sweep drops everything in the segment except live, which ascends: the whole
// file if that is empty. If it meets a record that is known, the rows and the
// segment contradict each other: then it drops nothing and says so.
func (h *Held) Sweep(live []Live, known func(id int64) (bool, error)) error {
	size, err := h.f.Size()
	if err != nil {
		return err
	}
	gaps := gapsOf(live, size)
	for _, g := range gaps {
		if err := g.refuseKnown(h.f, known); err != nil {
			return fmt.Errorf("blob: segment %d: %w", h.n, err)
		}
	}
	if len(live) == 0 {
		return h.remove()
	}
	for _, g := range gaps {
		if g.to == size {
			return h.f.Truncate(g.from)
		}
		if g.to-g.from < align {
			continue
		}
		if _, err := h.f.Drop(g.from, g.to-g.from); err != nil {
			return err
		}
	}
	return nil
}

// remove removes the file. The newest one is only emptied, so that its number
// is not given to another: who knows an old place must never find new bytes
// there.
func (h *Held) remove() error {
	last, err := h.d.last()
	if err != nil {
		return err
	}
	if h.n == last {
		return h.f.Truncate(0)
	}
	return h.d.fs.Remove(h.d.path(h.n))
}

// gap is a stretch of a segment that no row names.
type gap struct{ from, to int64 }

func gapsOf(live []Live, size int64) []gap {
	var gaps []gap
	end := int64(0)
	for _, l := range live {
		if l.Off > end {
			gaps = append(gaps, gap{end, min(l.Off, size)})
		}
		end = max(end, l.Off+stored(l.Size))
	}
	if size > end {
		gaps = append(gaps, gap{end, size})
	}
	return gaps
}

// refuseKnown is an error if a record with a known id begins in g. Records
// that it meets are passed over whole, since their bytes may be anything.
func (g gap) refuseKnown(f File, known func(id int64) (bool, error)) error {
	w := window{f: f}
	for off := g.from; off < g.to; {
		h := w.at(off, headerSize)
		if h == nil {
			return nil
		}
		id, size, ok := parseHeader(h)
		if !ok {
			off += step
			continue
		}
		if there, err := known(id); err != nil || there {
			if err == nil {
				err = fmt.Errorf("body %d stands at %d, where no row has it", id, off)
			}
			return err
		}
		off += stored(size)
	}
	return nil
}

// parseHeader returns what a header says, ok if it is one.
func parseHeader(h []byte) (id, size int64, ok bool) {
	if string(h[:4]) != magic || binary.BigEndian.Uint32(h[60:]) != crc32.Checksum(h[:60], castagnoli) {
		return 0, 0, false
	}
	size = int64(binary.BigEndian.Uint64(h[16:]))
	return int64(binary.BigEndian.Uint64(h[8:])), size, size >= 0 && size < 1<<50
}

// window reads a file in large pieces for who looks at small ones, ascending.
type window struct {
	f   File
	buf []byte
	off int64
}

// at returns n bytes at off, nil if they are not all there.
func (w *window) at(off, n int64) []byte {
	if off < w.off || off+n > w.off+int64(len(w.buf)) {
		if w.buf == nil {
			w.buf = make([]byte, 256<<10)
		}
		got, _ := w.f.ReadAt(w.buf[:cap(w.buf)], off) // what cannot be read is not there
		w.buf, w.off = w.buf[:got], off
		if int64(got) < n {
			return nil
		}
	}
	return w.buf[off-w.off:][:n]
}
