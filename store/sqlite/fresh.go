package sqlite

import (
	"bytes"
	"sync"
	"time"
)

// Limits of what is remembered of messages that are about to be sent.
const (
	freshBytes = 16 << 20
	freshTime  = 10 * time.Second // then it is read from the disk like others
)

// fresh remembers messages that were accepted for the queue a moment ago, so
// that who sends them at once need not read them back. What it has is what was
// hashed and written; a lease, which proves that the row is there, hands it
// out.
type fresh struct {
	mu    sync.Mutex
	byID  map[int64]*freshOut
	order []int64 // ids by age; some may have gone
	bytes int64
}

type freshOut struct {
	stored
	left int // destinations that will lease it
	size int64
	at   time.Time
}

// add remembers the outgoing messages of p, whose rows are about to be written.
func (f *fresh) add(p *prepared, now time.Time) {
	if len(p.out) == 0 || p.body.data == nil {
		return
	}
	size := p.body.Size + int64(len(p.body.meta))
	f.mu.Lock()
	room := f.room(size, now)
	f.mu.Unlock()
	if !room {
		return
	}
	place, bodySize := int64(placeInline), p.body.Size
	data := bytes.Clone(p.body.data) // its memory is used again
	for i := range p.out {
		o := &p.out[i]
		m := &freshOut{size: size, at: now, stored: stored{
			size: o.size, sum: o.sum, prefix: p.Outgoing[i].Prefix, cut: p.body.cut, body: p.body.ID,
			bodySize: &bodySize, place: &place, hash: p.body.Hash[:], meta: p.body.meta, data: data, whole: true,
		}}
		dests := map[string]bool{}
		for _, r := range o.rcpts {
			dests[r.dest] = true
		}
		m.left = len(dests)
		f.put(o.id, m)
	}
}

func (f *fresh) put(id int64, m *freshOut) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byID == nil {
		f.byID = map[int64]*freshOut{}
	}
	f.byID[id] = m
	f.order = append(f.order, id)
	f.bytes += m.size
}

// room forgets what is old and tells whether there is room for size bytes. What
// waits for its turn is not driven out by what comes after it.
func (f *fresh) room(size int64, now time.Time) bool {
	for len(f.order) > 0 {
		if m := f.byID[f.order[0]]; m != nil && now.Sub(m.at) < freshTime {
			break
		}
		f.remove(f.order[0])
		f.order = f.order[1:]
	}
	return f.bytes+size <= freshBytes
}

func (f *fresh) remove(id int64) {
	if m := f.byID[id]; m != nil {
		f.bytes -= m.size
		delete(f.byID, id)
	}
}

// drop forgets the messages of p, whose rows were not written.
func (f *fresh) drop(p *prepared) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range p.out {
		f.remove(p.out[i].id)
	}
}

// take returns a message that was leased, and counts that; nil if it is not
// there.
func (f *fresh) take(id int64) *stored {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.byID[id]
	if m == nil {
		return nil
	}
	if m.left--; m.left <= 0 {
		f.remove(id)
	}
	s := m.stored // the caller's own
	return &s
}
