package sqlite

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"postrider/internal/maillog"
	"postrider/store"
	"postrider/store/blob"
)

// Bodies are moved from one place to another in these steps, each of which
// leaves a store that is whole, so that it may end behind any of them:
//
//  1. they are written to a segment;
//  2. that is synced;
//  3. one transaction changes the places of those that still have a row;
//  4. a segment that no row names any more is removed.
//
// Who has read the old place and opens it too late finds nothing there, and
// reads the row again.

// What the owner does in quiet moments, and what it takes them to be.
const (
	tendEvery    = 5 * time.Second
	quiet        = 250 * time.Millisecond // without a body
	quietMax     = 5 * time.Second        // after which it goes on in the noise
	moveBytes    = 4 << 20                // in one transaction, about
	moveCount    = 512
	moveRate     = 16 << 20 // bytes a second
	outMin       = 256 << 10
	outAge       = 15 * time.Second
	wasteMin     = 1 << 20 // bytes that make compacting a segment worthwhile
	sweepAtStart = 1 << 20 // bytes that a crash may leave for compaction
	sumShare     = 100     // of the time may go into finding out what segments hold
)

// tend moves bodies until the engine is closed: from the database to segments,
// so that it stays small, and out of segments that are mostly garbage.
func (e *Engine) tend() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-e.quit:
			cancel()
		case <-ctx.Done():
		}
	}()
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	var sums spacing
	for first := true; ; first = false {
		var err error
		if e.reserve.intact() && sums.due(time.Now()) { // moving takes space before it gives any
			err = e.compact(ctx, first)
			sums.done(time.Now(), e.summed)
		}
		if err == nil && e.reserve.intact() {
			err = e.moveOut(ctx, outAge)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil && store.KindOf(err) != store.Full {
			e.log.Warn(maillog.Warning, slog.String("what", "moving bodies"), slog.Any("err", err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// spacing keeps work whose cost grows with the store from taking more than one
// part in sumShare of the time.
type spacing struct {
	next time.Time
}

func (s *spacing) due(now time.Time) bool { return !now.Before(s.next) }

func (s *spacing) done(now time.Time, took time.Duration) { s.next = now.Add(sumShare * took) }

// pace waits until nobody brings mail, though not for ever, and so long that n
// bytes keep to the rate.
func (e *Engine) pace(ctx context.Context, n int64) error {
	start, wait := time.Now(), time.Duration(n)*time.Second/moveRate
	for {
		idle := time.Since(time.UnixMicro(e.busy.Load()))
		if left := wait - time.Since(start); left > 0 {
			idle -= left // asked again when that is over
		} else if idle >= quiet || time.Since(start) > quietMax {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(max(quiet-idle, time.Millisecond), quiet)):
		}
	}
}

// compact looks for segments that are mostly garbage, and empties them. The
// first time it also drops what a crash has left in others.
func (e *Engine) compact(ctx context.Context, first bool) error {
	live := map[int64]int64{}
	start := time.Now()
	err := e.read(ctx, "compact", func(t *tx) error {
		return t.each("SELECT seg, sum(size) FROM body INDEXED BY body_segment WHERE place = 1 GROUP BY seg", nil,
			func(scan func(...any) error) error {
				var n, size int64
				err := scan(&n, &size)
				live[n] = size
				return err
			})
	})
	e.summed = time.Since(start)
	if err != nil {
		return err
	}
	segs, err := e.blobs.Segments()
	if err != nil {
		return err
	}
	for _, n := range segs {
		h, err := e.blobs.Hold(n)
		if errors.Is(err, fs.ErrNotExist) || err == nil && h == nil {
			continue
		}
		if err != nil {
			return err
		}
		space, err := h.Space()
		h.Close()
		if err != nil {
			return err
		}
		_, stuck := e.stuck.Load(n)
		switch waste := space - live[n]; {
		case space == 0 || stuck:
		case live[n] == 0, waste > space/2 && waste > wasteMin:
			err = e.compactSegment(ctx, n)
		case first && waste > sweepAtStart:
			err = e.sweepSegment(ctx, n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// compactSegment moves what rows name out of segment n and removes it. Bodies
// that are damaged stay, and the segment with them.
func (e *Engine) compactSegment(ctx context.Context, n int64) error {
	h, err := e.blobs.Hold(n)
	if h == nil || err != nil {
		return err
	}
	last := int64(-1)
	for {
		var got []*stored
		err := e.read(ctx, "compact", func(t *tx) (err error) {
			got, err = e.segmentBodies(t, n, last)
			return err
		})
		if err == nil && len(got) > 0 {
			last = got[len(got)-1].loc.Off
			err = e.move(ctx, got, `UPDATE body SET place = 1, seg = ?2, off = ?3 WHERE id = ?1 AND place = 1 AND seg = ?4 AND off = ?5`)
		}
		if err != nil {
			h.Close()
			return err
		}
		if len(got) == 0 {
			break
		}
	}
	h.Close()
	if err := e.at("moved"); err != nil {
		return err
	}
	e.stuck.Store(n, true) // unless it is removed now, another time would not end better
	return e.sweepSegment(ctx, n)
}

// segmentBodies returns the next bodies of a segment behind off.
func (e *Engine) segmentBodies(t *tx, n, off int64) ([]*stored, error) {
	var got []*stored
	size := int64(0)
	err := t.each(`SELECT id, size, place, seg, off, hash FROM body INDEXED BY body_segment WHERE place = 1 AND seg = ?1 AND off > ?2
		ORDER BY off LIMIT ?3`, args(n, off, moveCount), func(scan func(...any) error) error {
		s := &stored{bodySize: new(int64), place: new(int64)}
		if err := scan(&s.body, s.bodySize, s.place, &s.loc.Seg, &s.loc.Off, &s.hash); err != nil {
			return err
		}
		if got = append(got, s); size+*s.bodySize > moveBytes {
			return errEnough
		}
		size += *s.bodySize
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return got, err
}

// moveOut moves bodies that are older than age from the database to segments,
// when they are enough for a sync.
func (e *Engine) moveOut(ctx context.Context, age time.Duration) error {
	last, upto := int64(-1), e.now().Add(-age).UnixMilli()<<idTimeShift
	for {
		var got []*stored
		size := int64(0)
		err := e.read(ctx, "move out", func(t *tx) error {
			got, size = nil, 0
			err := t.each(`SELECT b.id, b.size, b.place, b.hash, d.data FROM body_data d JOIN body b ON b.id = d.id
				WHERE d.id > ?1 AND d.id < ?2 AND b.place = 0 AND b.size > 0 ORDER BY d.id LIMIT ?3`, args(last, upto, moveCount),
				func(scan func(...any) error) error {
					s := &stored{bodySize: new(int64), place: new(int64)}
					if err := scan(&s.body, s.bodySize, s.place, &s.hash, &s.data); err != nil {
						return err
					}
					got = append(got, s)
					if size += *s.bodySize; size > moveBytes {
						return errEnough
					}
					return nil
				})
			if errors.Is(err, errEnough) {
				err = nil
			}
			return err
		})
		if err != nil || size < min(outMin, e.opt.GroupInline) {
			return err
		}
		last = got[len(got)-1].body
		if err := e.move(ctx, got, `UPDATE body SET place = 1, seg = ?2, off = ?3 WHERE id = ?1 AND place = 0`); err != nil {
			return err
		}
	}
}

// move writes bodies to a segment and changes their places by update, which
// gets id and new place, and the old place if it is in a segment.
func (e *Engine) move(ctx context.Context, bodies []*stored, update string) error {
	var sum int64
	m := mover{e: e}
	for _, s := range bodies {
		if err := m.add(ctx, s); err != nil {
			e.complain("a body that is to be moved cannot be read", s, err)
			continue
		}
		sum += *s.bodySize
	}
	if err := e.pace(ctx, sum); err != nil {
		m.release(false)
		return err
	}
	if err := m.write(); err != nil {
		m.release(false)
		return wrap("move", err)
	}
	if err := e.at("written"); err != nil {
		return err
	}
	err := e.write(ctx, "move", func(t *tx) error { return m.change(t, update) })
	m.release(err == nil || errors.Is(err, store.ErrUnknown))
	if err != nil {
		return err
	}
	return e.at("changed")
}

// at is where a test may end the moving of bodies, as a crash would.
func (e *Engine) at(step string) error {
	if e.step == nil {
		return nil
	}
	return e.step(step)
}

// mover is the moving of some bodies under way.
type mover struct {
	e      *Engine
	small  []*stored // with their data
	large  []*stored // in a segment already
	places map[*stored]blob.Loc
	batch  *blob.Batch
}

// add reads a small body, and copies a large one to a segment.
func (m *mover) add(ctx context.Context, s *stored) error {
	if *s.place == placeSegment {
		err := m.e.read(ctx, "move", func(t *tx) error { return m.e.load(t, s, store.NeedBody) })
		if err == nil {
			err = s.readerErr
		}
		if errors.Is(err, blob.ErrDropped) {
			return nil // its row is gone, or it has been moved
		}
		if err != nil {
			return err
		}
		defer s.close()
		if *s.bodySize > m.e.opt.InlineMax {
			return m.copy(s)
		}
		s.data = make([]byte, *s.bodySize)
		if n, err := s.reader.ReadAt(s.data, 0); n < len(s.data) {
			return err
		}
	}
	if h := sha256.Sum256(s.data); !bytes.Equal(h[:], s.hash) {
		return blob.ErrDamaged
	}
	m.small = append(m.small, s)
	return nil
}

// copy writes a large body to a segment.
func (m *mover) copy(s *stored) error {
	loc, err := m.e.blobs.Append(s.record(), s.reader)
	if err != nil {
		return err
	}
	m.large = append(m.large, s)
	if m.places == nil {
		m.places = map[*stored]blob.Loc{}
	}
	m.places[s] = loc
	return nil
}

func (s *stored) record() blob.Record {
	r := blob.Record{ID: s.body, Size: *s.bodySize}
	copy(r.Hash[:], s.hash)
	return r
}

// write writes the small bodies and makes them durable.
func (m *mover) write() error {
	if len(m.small) == 0 {
		return nil
	}
	var records []blob.Record
	var bodies [][]byte
	for _, s := range m.small {
		records, bodies = append(records, s.record()), append(bodies, s.data)
	}
	var err error
	if m.batch, err = m.e.blobs.Begin(records, bodies); err != nil {
		return err
	}
	if err := m.batch.Wait(); err != nil {
		return err
	}
	if m.places == nil {
		m.places = map[*stored]blob.Loc{}
	}
	for i, s := range m.small {
		m.places[s] = m.batch.Loc(i)
	}
	return nil
}

// release lets what was written go: named is false if no row names it.
func (m *mover) release(named bool) {
	for _, s := range m.large {
		if !named {
			m.e.drop([]deadBody{{m.places[s], *s.bodySize}})
		}
		m.e.blobs.Release(m.places[s])
	}
	if m.batch != nil {
		m.batch.Release(named)
	}
}

// change writes the new places. A body that went meanwhile leaves garbage
// where it was to be.
func (m *mover) change(t *tx, update string) error {
	for s, loc := range m.places {
		in := args(s.body, loc.Seg, loc.Off)
		if *s.place == placeSegment {
			in = append(in, s.loc.Seg, s.loc.Off)
		}
		n, err := t.exec(update, in...)
		if err != nil {
			return err
		}
		if n > 1 {
			return fmt.Errorf("body %d has %d rows", s.body, n)
		}
		if n == 1 && *s.place == placeInline {
			if _, err := t.exec("DELETE FROM body_data WHERE id = ?1", s.body); err != nil {
				return err
			}
		}
	}
	return nil
}
