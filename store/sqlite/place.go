package sqlite

import (
	"log/slog"
	"time"

	"postrider/internal/maillog"
	"postrider/store/blob"
)

// bodyPlacer decides where a group's bodies go. A segment takes a sync of its
// own, which is worth it from some bytes on: the database writes a body twice,
// to its log and from there to its file.
type bodyPlacer struct {
	e       *Engine
	batches []*blob.Batch // of the group
}

// place gives the bodies of a batch of writes their places, and begins to
// write those that go to a segment.
func (p *bodyPlacer) place(batch []*request) {
	total := int64(0)
	for _, r := range batch {
		total += r.bytes()
		for _, b := range r.bodies {
			b.inline()
		}
	}
	if total > 0 {
		p.e.busy.Store(time.Now().UnixMicro())
	}
	if total < p.e.opt.GroupInline {
		return
	}
	var records []blob.Record
	var bodies [][]byte
	for _, r := range batch {
		for _, b := range r.bodies {
			if b.waits() {
				records, bodies = append(records, b.Record), append(bodies, b.data)
			}
		}
	}
	g, err := p.e.blobs.Begin(records, bodies)
	if err != nil {
		p.e.log.Error(maillog.Failed, slog.String("what", "segment"), slog.Any("err", err))
		return // the database takes them
	}
	p.batches = append(p.batches, g)
	i := 0
	for _, r := range batch {
		for _, b := range r.bodies {
			if b.waits() {
				b.place, b.loc = placeSegment, g.Loc(i)
				i++
			}
		}
	}
}

// wait returns when the group's bodies are durable.
func (p *bodyPlacer) wait() error {
	for _, g := range p.batches {
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// settle ends the group's writing after its transaction: named is false if
// that is undone for sure.
func (p *bodyPlacer) settle(named bool) {
	for _, g := range p.batches {
		g.Release(named)
	}
	p.batches = p.batches[:0]
}

// refuse answers those of members whose bodies could not be made durable, and
// returns the others. If the disk is full it returns all: the database may
// have room.
func (p *bodyPlacer) refuse(members []*request, err error) []*request {
	if isFull(err) {
		return members
	}
	p.e.log.Error(maillog.Failed, slog.String("what", "segment"), slog.Any("err", err))
	var others []*request
	for _, r := range members {
		if !r.placed() {
			others = append(others, r)
			continue
		}
		r.err = err
		close(r.done)
	}
	return others
}

// bytes is what the bodies that wait for a place take.
func (r *request) bytes() (n int64) {
	for _, b := range r.bodies {
		if b.waits() {
			n += b.Size
		}
	}
	return n
}

// placed tells whether a body of r went to a segment with the group.
func (r *request) placed() bool {
	for _, b := range r.bodies {
		if b.waits() && b.place == placeSegment {
			return true
		}
	}
	return false
}
