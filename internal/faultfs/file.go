package faultfs

import (
	"maps"
	"math/rand/v2"
)

const (
	pageSize   = 4096
	sectorSize = 512
)

type page [pageSize]byte

// image is what a file contains: a page that is not there is zeros.
type image struct {
	size  int64
	pages map[int64]*page
}

// data is a file's contents. A page that cache and platter share is clean and
// is copied before it is changed.
type data struct {
	cache, platter image
	dirty          map[int64]bool // pages that a sync would write
}

func newData() *data {
	return &data{cache: image{pages: map[int64]*page{}}, platter: image{pages: map[int64]*page{}}, dirty: map[int64]bool{}}
}

func (d *data) read(p []byte, off int64) int {
	if off >= d.cache.size {
		return 0
	}
	p = p[:min(int64(len(p)), d.cache.size-off)]
	for done := 0; done < len(p); {
		at := off + int64(done)
		n := min(len(p)-done, pageSize-int(at%pageSize))
		if pg := d.cache.pages[at/pageSize]; pg != nil {
			copy(p[done:done+n], pg[at%pageSize:])
		} else {
			clear(p[done : done+n])
		}
		done += n
	}
	return len(p)
}

func (d *data) write(p []byte, off int64) {
	for done := 0; done < len(p); {
		at := off + int64(done)
		n := copy(d.change(at / pageSize)[at%pageSize:], p[done:])
		done += n
	}
	d.cache.size = max(d.cache.size, off+int64(len(p)))
}

// change returns a page to be written to.
func (d *data) change(i int64) *page {
	old := d.cache.pages[i]
	if old == nil || old == d.platter.pages[i] {
		pg := new(page)
		if old != nil {
			*pg = *old
		}
		d.cache.pages[i] = pg
	}
	d.dirty[i] = true
	return d.cache.pages[i]
}

// zero clears a range; it does not change the size.
func (d *data) zero(off, n int64) {
	for end := off + n; off < end; {
		i, at := off/pageSize, off%pageSize
		step := min(end-off, pageSize-at)
		switch {
		case d.cache.pages[i] == nil:
		case step == pageSize:
			delete(d.cache.pages, i)
			d.dirty[i] = true
		default:
			clear(d.change(i)[at : at+step])
		}
		off += step
	}
}

func (d *data) truncate(size int64) {
	if size < d.cache.size {
		for i := range d.cache.pages {
			if i*pageSize >= size {
				delete(d.cache.pages, i)
				d.dirty[i] = true
			}
		}
		if size%pageSize != 0 {
			d.zero(size, pageSize-size%pageSize)
		}
	}
	d.cache.size = size
}

// sync moves the cache to the platter.
func (d *data) sync() {
	for i := range d.dirty {
		d.settle(i)
	}
	d.platter.size = d.cache.size
}

// settle moves one page to the platter.
func (d *data) settle(i int64) {
	if pg := d.cache.pages[i]; pg != nil {
		d.platter.pages[i] = pg
	} else {
		delete(d.platter.pages, i)
	}
	delete(d.dirty, i)
}

// writeBack moves a page to the platter as a kernel does that has nothing
// better to do.
func (d *data) writeBack(i int64) {
	d.settle(i)
	d.platter.size = max(d.platter.size, min(d.cache.size, (i+1)*pageSize))
}

// forget is what a failed sync does: what was to be written counts as clean.
func (d *data) forget() { clear(d.dirty) }

// cut is what a loss of power leaves: what the platter has and, if r is not
// nil, a random part of what else was written.
func (d *data) cut(r *rand.Rand) *data {
	left := image{size: d.platter.size, pages: maps.Clone(d.platter.pages)}
	if r != nil {
		for i := range d.dirty {
			if pg := tear(r, d.platter.pages[i], d.cache.pages[i]); pg != nil {
				left.pages[i] = pg
			} else {
				delete(left.pages, i)
			}
		}
		if r.IntN(2) == 0 {
			left.size = d.cache.size
		}
	}
	// What stands behind the end must read as zeros if the file grows.
	n := newData()
	n.cache, n.platter = left, image{pages: map[int64]*page{}}
	n.truncate(left.size)
	clear(n.dirty)
	for i := range n.cache.pages {
		if i*pageSize >= left.size {
			delete(n.cache.pages, i)
		}
	}
	n.platter = image{size: left.size, pages: maps.Clone(n.cache.pages)}
	return n
}

// tear returns the old page, the new one, or some sectors of each.
func tear(r *rand.Rand, old, new *page) *page {
	switch r.IntN(3) {
	case 0:
		return old
	case 1:
		return new
	}
	mixed := copyOf(old)
	src := copyOf(new)
	for at := 0; at < pageSize; at += sectorSize {
		if r.IntN(2) == 0 {
			copy(mixed[at:at+sectorSize], src[at:])
		}
	}
	return mixed
}

// copyOf is a copy of a page, zeros for one that is not there.
func copyOf(p *page) *page {
	c := new(page)
	if p != nil {
		*c = *p
	}
	return c
}
