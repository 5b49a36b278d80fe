package faultfs

import (
	"maps"
	"math/rand/v2"
)

// dir is a directory's names: those that programs see, those on the platter,
// and what was done since the last sync, in order.
type dir struct {
	cache, platter map[string]*inode
	log            []dirOp
}

// dirOp sets a name, or removes it if ino is nil.
type dirOp struct {
	name string
	ino  *inode
}

func newDir() *dir { return &dir{cache: map[string]*inode{}, platter: map[string]*inode{}} }

func (d *dir) set(name string, ino *inode) {
	d.log = append(d.log, dirOp{name, ino})
	apply(d.cache, d.log[len(d.log)-1])
}

func apply(names map[string]*inode, op dirOp) {
	if op.ino == nil {
		delete(names, op.name)
	} else {
		names[op.name] = op.ino
	}
}

func (d *dir) sync() {
	d.platter, d.log = maps.Clone(d.cache), nil
}

// cut is what a loss of power leaves: if r is not nil, with the first of the
// changes since the last sync.
func (d *dir) cut(r *rand.Rand) map[string]*inode {
	left := maps.Clone(d.platter)
	if r != nil && len(d.log) > 0 {
		for _, op := range d.log[:r.IntN(len(d.log)+1)] {
			apply(left, op)
		}
	}
	return left
}
