package blob

import (
	"encoding/binary"
	"fmt"
)

// Batch is records that are written in one piece and made durable by one
// sync, while its caller does other work. It keeps its segment from being
// swept until Release.
type Batch struct {
	d    *Dir
	s    *segment
	off  int64
	n    int64
	locs []Loc
	done chan struct{}
	err  error // valid after done
}

// Begin reserves room for records and begins to write them. The bodies must
// not be changed before Wait has returned.
func (d *Dir) Begin(records []Record, bodies [][]byte) (*Batch, error) {
	b := &Batch{d: d, locs: make([]Loc, len(records)), done: make(chan struct{})}
	for i, r := range records {
		b.n = roundUp(b.n, alignOf(r.Size))
		b.locs[i].Off = b.n
		b.n += stored(r.Size)
	}
	b.n = roundUp(b.n, align)
	s, off, err := d.take(grouped, b.n)
	if err != nil {
		return nil, err
	}
	b.s, b.off = s, off
	for i := range b.locs {
		b.locs[i] = Loc{s.n, off + b.locs[i].Off}
	}
	go b.write(records, bodies)
	return b, nil
}

// Loc returns where record i stands, or is going to.
func (b *Batch) Loc(i int) Loc { return b.locs[i] }

func (b *Batch) write(records []Record, bodies [][]byte) {
	defer close(b.done)
	buf := make([]byte, 0, b.n)
	for i, r := range records {
		buf = buf[:b.locs[i].Off-b.off] // what is between two records is zeros
		buf = r.append(buf, bodies[i])
	}
	_, err := b.s.f.WriteAt(buf, b.off)
	if err == nil {
		err = b.s.sync()
	}
	if err != nil {
		b.err = fmt.Errorf("blob: append: %w", err)
	}
}

// Wait returns when all records are durable, or an error if they may not be.
func (b *Batch) Wait() error {
	<-b.done
	return b.err
}

// Release ends the batch after the transaction that was to name its records:
// keep is false if nothing names them for sure, so that their room is free.
func (b *Batch) Release(keep bool) {
	<-b.done
	err := b.err
	if err == nil && !keep {
		err = errUnwanted
	}
	b.d.give(b.s, b.off, b.n, err)
}

// append adds the record of body, which has r.Size bytes.
func (r Record) append(buf, body []byte) []byte {
	buf = append(buf, r.header()...)
	for n := int64(0); n*blockSize < r.Size; n++ {
		block := body[n*blockSize : min(r.Size, (n+1)*blockSize)]
		buf = append(buf, block...)
		buf = binary.BigEndian.AppendUint32(buf, blockSum(r.ID, n, block))
	}
	return buf
}
