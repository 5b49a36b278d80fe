package blob

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Live is a record that a row names.
type Live struct{ Off, Size int64 }

// Sweep drops everything in segment n except live, which ascends: the whole
// file if that is empty. It leaves a segment alone that a handle appends to.
// If it meets a record whose id is known, the rows and the segment contradict
// each other: then it drops nothing and says so.
func (d *Dir) Sweep(n int64, live []Live, known func(id int64) (bool, error)) error {
	f, err := d.fs.Open(d.path(n))
	if err != nil {
		return err
	}
	defer f.Close()
	if !f.Hold() {
		return nil
	}
	size, err := f.Size()
	if err != nil {
		return err
	}
	gaps := gapsOf(live, size)
	for _, g := range gaps {
		if err := g.refuseKnown(f, known); err != nil {
			return fmt.Errorf("blob: segment %d: %w", n, err)
		}
	}
	if len(live) == 0 {
		return d.fs.Remove(d.path(n))
	}
	for _, g := range gaps {
		if g.to == size {
			return f.Truncate(g.from)
		}
		if _, err := f.Drop(g.from, g.to-g.from); err != nil {
			return err
		}
	}
	return nil
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

// refuseKnown is an error if a record with a known id begins in g.
func (g gap) refuseKnown(f File, known func(id int64) (bool, error)) error {
	h := make([]byte, headerSize)
	for off := g.from; off < g.to; off += align {
		if n, _ := f.ReadAt(h, off); n < headerSize {
			return nil
		}
		if string(h[:4]) != magic || binary.BigEndian.Uint32(h[60:]) != crc32.Checksum(h[:60], castagnoli) {
			continue
		}
		id := int64(binary.BigEndian.Uint64(h[8:]))
		if there, err := known(id); err != nil || there {
			if err == nil {
				err = fmt.Errorf("body %d stands at %d, where no row has it", id, off)
			}
			return err
		}
	}
	return nil
}
