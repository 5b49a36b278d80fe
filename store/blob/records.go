package blob

// Records calls fn for every record whose header stands in segment n, also
// those that no row names any more.
func (d *Dir) Records(n int64, fn func(Record, Loc) error) error {
	f, err := d.fs.Open(d.path(n))
	if err != nil {
		return err
	}
	defer f.Close()
	w := window{f: f}
	for off := int64(0); ; {
		h := w.at(off, headerSize)
		if h == nil {
			return nil
		}
		id, size, ok := parseHeader(h)
		if !ok {
			off += step
			continue
		}
		r := Record{ID: id, Size: size}
		copy(r.Hash[:], h[24:])
		if err := fn(r, Loc{n, off}); err != nil {
			return err
		}
		off += stored(size)
	}
}
