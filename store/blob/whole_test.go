package blob

import (
	"bytes"
	"errors"
	"os"
	"testing"
)

// TestWhole reads small bodies of several segments in one go, and none that is
// damaged, another's, dropped, large or gone.
func TestWhole(t *testing.T) {
	d := Open(t.TempDir(), Options{Max: 128 << 10})
	defer d.Close()
	w := d.Whole()
	defer w.Close()
	sizes := []int{0, 1, 5000, WholeMax, WholeMax - 1, 10000, WholeMax + 1}
	locs := make([]Loc, len(sizes))
	for i, size := range sizes {
		locs[i] = add(t, d, int64(i), body(uint64(i), size))
	}
	if locs[0].Seg == locs[5].Seg {
		t.Fatal("all in one segment")
	}
	for i, size := range sizes {
		b := body(uint64(i), size)
		got, err := w.Read(locs[i], record(int64(i), b))
		if size > WholeMax {
			if err == nil {
				t.Errorf("read %d bytes", size)
			}
		} else if err != nil || !bytes.Equal(got, b) {
			t.Errorf("body of %d bytes: read %d, %v", size, len(got), err)
		}
	}

	b := body(2, 5000)
	if _, err := w.Read(locs[2], record(9, b)); !errors.Is(err, ErrDamaged) {
		t.Errorf("another body's record: %v", err)
	}
	f, err := os.OpenFile(d.path(locs[2].Seg), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for off := locs[2].Off; off < locs[2].Off+headerSize+5000+sumSize; off += 37 {
		var c [1]byte
		f.ReadAt(c[:], off)
		f.WriteAt([]byte{c[0] ^ 1}, off)
		if _, err := w.Read(locs[2], record(2, b)); !errors.Is(err, ErrDamaged) {
			t.Errorf("flip at %d: %v", off-locs[2].Off, err)
		}
		f.WriteAt(c[:], off)
	}
	f.WriteAt(make([]byte, headerSize+5000), locs[2].Off)
	if _, err := w.Read(locs[2], record(2, b)); !errors.Is(err, ErrDropped) {
		t.Errorf("dropped: %v", err)
	}
	w.Close()
	if _, err := w.Read(Loc{Seg: 99}, record(2, b)); !errors.Is(err, ErrDropped) {
		t.Errorf("no segment: %v", err)
	}
}
