package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"

	"postrider/mail"
	"postrider/store"
	"postrider/store/blob"
)

// Places of a body.
const (
	placeInline  = 0
	placeSegment = 1
)

// newBody is a body on its way in, made ready outside the writer: parsed,
// hashed, and if it is large durable in a segment already. The writer decides
// where the others go.
type newBody struct {
	blob.Record
	served int64 // size less the cuts
	shape  store.Shape
	meta   []byte // encoded
	data   []byte // nil if it is large
	loc    blob.Loc
	place  int
	cut    []byte // encoded
	refs   msgRefs
}

// waits tells whether the writer gives n its place.
func (n *newBody) waits() bool { return n.data != nil && n.Size > 0 }

// inline makes the database n's place, unless it is large.
func (n *newBody) inline() {
	if n.data != nil {
		n.place, n.loc = placeInline, blob.Loc{}
	}
}

// prepareBody reads b and makes it ready. After the transaction that was to
// name it, dropBody must be called.
func (e *Engine) prepareBody(ctx context.Context, op string, b store.Body, cuts []store.Range) (*newBody, error) {
	if e.isClosed() {
		return nil, wrap(op, errClosed)
	}
	size := b.Size()
	if err := checkCuts(op, cuts, size); err != nil {
		return nil, err
	}
	n := &newBody{served: size - cutBytes(cuts), cut: encodeCuts(cuts)}
	n.Size = size
	var src io.ReaderAt = b
	if size <= e.opt.InlineMax {
		e.coming.Add(1)
		defer e.coming.Add(-1)
		n.data = store.InMemory(b)
	}
	if size <= e.opt.InlineMax && n.data == nil {
		n.data = make([]byte, size)
		if got, err := b.ReadAt(n.data, 0); int64(got) < size {
			return nil, wrap(op, fmt.Errorf("reading the body: %w", shortRead(err)))
		}
	}
	if n.data != nil {
		src = bytes.NewReader(n.data)
	}
	if err := n.scan(src, cuts); err != nil {
		return nil, wrap(op, err)
	}
	if err := ctx.Err(); err != nil {
		return nil, wrap(op, err)
	}
	n.ID = e.ids.next(e.now())
	if n.data == nil && size > 0 {
		loc, err := e.blobs.Append(n.Record, b)
		if err != nil {
			return nil, wrap(op, err)
		}
		n.place, n.loc = placeSegment, loc
	}
	return n, nil
}

func shortRead(err error) error {
	if err == nil || err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// scan parses what readers will see and hashes all of it.
func (n *newBody) scan(src io.ReaderAt, cuts []store.Range) error {
	if n.data != nil && len(cuts) == 0 {
		n.Hash = sha256.Sum256(n.data)
		n.shape = shapeOfBytes(n.data)
		meta := mail.ParseBytes(n.data)
		n.meta, n.refs = encodeMeta(meta), refsOf(&meta.Envelope)
		return nil
	}
	h := sha256.New()
	served := &view{parts: segments(nil, src, n.Size, cuts)}
	var view io.Reader = served
	if len(cuts) == 0 {
		view = io.TeeReader(view, h)
	} else if _, err := io.Copy(h, io.NewSectionReader(src, 0, n.Size)); err != nil {
		return fmt.Errorf("reading the body: %w", err)
	}
	meta, err := mail.Parse(view)
	if err != nil {
		return fmt.Errorf("reading the body: %w", err)
	}
	if _, err := io.Copy(io.Discard, view); err != nil { // what the parser had no need of
		return fmt.Errorf("reading the body: %w", err)
	}
	h.Sum(n.Hash[:0])
	if n.shape, err = shapeOf(served, n.served); err != nil {
		return fmt.Errorf("reading the body: %w", err)
	}
	n.meta, n.refs = encodeMeta(meta), refsOf(&meta.Envelope)
	return nil
}

// dropBody ends what prepareBody began, after the transaction that was to name
// the body ended with err. It gives back the space of a large one if that
// failed for sure; the writer does so for the others.
func (e *Engine) dropBody(n *newBody, err error) {
	if n.data != nil || n.place != placeSegment {
		return
	}
	if err != nil && !errors.Is(err, store.ErrUnknown) {
		e.drop([]deadBody{{n.loc, n.Size}})
	}
	e.blobs.Release(n.loc)
}

// deadBody is space in a segment that no row names any more.
type deadBody struct {
	loc  blob.Loc
	size int64
}

// unrefBody takes n references from a body and removes it with the last one.
// Space in a segment is added to dead, to be dropped after the commit.
func unrefBody(t *tx, id int64, n int, dead *[]deadBody) error {
	var refs, size, place int64
	var loc blob.Loc
	err := t.get("SELECT size, place, seg, off, ifnull((SELECT refs FROM body_ref WHERE id = ?1), 1) FROM body WHERE id = ?1",
		args(id), &size, &place, &loc.Seg, &loc.Off, &refs)
	if err != nil {
		return fmt.Errorf("body %d: %w", id, err)
	}
	if refs > 1 {
		if err := countRefs(t, id, refs-int64(n)); err != nil || refs > int64(n) {
			return err
		}
	}
	if err := t.run("DELETE FROM body WHERE id = ?1", id); err != nil {
		return err
	}
	if place == placeSegment {
		*dead = append(*dead, deadBody{loc, size})
		return nil
	}
	err = t.run("DELETE FROM body_data WHERE id = ?1", id)
	return err
}

// countRefs notes how many references a body has that had several.
func countRefs(t *tx, id, refs int64) error {
	if refs > 1 {
		err := t.run("UPDATE body_ref SET refs = ?2 WHERE id = ?1", id, refs)
		return err
	}
	err := t.run("DELETE FROM body_ref WHERE id = ?1", id)
	return err
}

// drop gives space in segments back, as far as that pays: neighbours together,
// and small ones by themselves not at all, which is left to compaction. What
// is being read just now is tried again with the next call.
func (e *Engine) drop(dead []deadBody) {
	e.dropMu.Lock()
	defer e.dropMu.Unlock()
	if len(dead) == 0 && len(e.undropped) == 0 {
		return
	}
	var later []blob.Run
	for _, r := range append(e.undropped, runsOf(dead)...) {
		if ok, err := e.blobs.Drop(r); err == nil && !ok {
			later = append(later, r)
		}
	}
	e.undropped = later
}

// runsOf joins what is dead to runs that are worth dropping.
func runsOf(dead []deadBody) []blob.Run {
	slices.SortFunc(dead, func(a, b deadBody) int {
		return cmp.Or(cmp.Compare(a.loc.Seg, b.loc.Seg), cmp.Compare(a.loc.Off, b.loc.Off))
	})
	var runs []blob.Run
	for _, d := range dead {
		if n := len(runs); n == 0 || !runs[n-1].Join(d.loc, d.size) {
			runs = append(runs, blob.RunOf(d.loc, d.size))
		}
	}
	return slices.DeleteFunc(runs, func(r blob.Run) bool { return r.N < blob.DropMin })
}

// checkCuts refuses cuts that do not ascend within the body.
func checkCuts(op string, cuts []store.Range, size int64) error {
	end := int64(0)
	for _, c := range cuts {
		if c.From < end || c.To < c.From || c.To > size {
			return store.Errorf(store.Invalid, op, "cut %d-%d of a body of %d bytes", c.From, c.To, size)
		}
		end = c.To
	}
	return nil
}

func cutBytes(cuts []store.Range) (n int64) {
	for _, c := range cuts {
		n += c.To - c.From
	}
	return n
}

// encodeCuts writes cuts as distances in uvarints; nil for none.
func encodeCuts(cuts []store.Range) []byte {
	var b []byte
	at := int64(0)
	for _, c := range cuts {
		b = binary.AppendUvarint(b, uint64(c.From-at))
		b = binary.AppendUvarint(b, uint64(c.To-c.From))
		at = c.To
	}
	return b
}

func decodeCuts(b []byte) ([]store.Range, error) {
	var cuts []store.Range
	at := int64(0)
	for len(b) > 0 {
		skip, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, errors.New("damaged cuts")
		}
		size, m := binary.Uvarint(b[n:])
		if m <= 0 || skip > 1<<50 || size > 1<<50 {
			return nil, errors.New("damaged cuts")
		}
		from := at + int64(skip)
		at = from + int64(size)
		cuts, b = append(cuts, store.Range{From: from, To: at}), b[n+m:]
	}
	return cuts, nil
}

// placeOf is where a message stands, as a number to be joined by XOR with its
// sum: a row that damage moved to another UID does not fit any more.
func placeOf(acct, mbox, uid int64) int64 { return uid ^ mbox<<32 ^ acct<<44 }

// sumOf ties a row to its body: see message.sum in the schema.
func sumOf(hash, prefix, cut []byte, size int64) int64 {
	var room [512]byte // so that nothing is allocated, mostly
	b := append(room[:0], hash...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(prefix)))
	b = append(b, prefix...)
	b = append(b, cut...)
	b = binary.BigEndian.AppendUint64(b, uint64(size))
	h := sha256.Sum256(b)
	return int64(binary.BigEndian.Uint64(h[:]))
}

// part is a stretch of what is served, from at on.
type part struct {
	at, n int64
	src   io.ReaderAt
	off   int64 // in src
}

// segments lays out prefix, then the body less the cuts.
func segments(prefix []byte, body io.ReaderAt, size int64, cuts []store.Range) []part {
	var ps []part
	at := int64(0)
	add := func(src io.ReaderAt, from, to int64) {
		if to > from {
			ps = append(ps, part{at, to - from, src, from})
			at += to - from
		}
	}
	add(bytes.NewReader(prefix), 0, int64(len(prefix)))
	from := int64(0)
	for _, c := range cuts {
		add(body, from, c.From)
		from = c.To
	}
	add(body, from, size)
	return ps
}

// view reads parts as one.
type view struct {
	parts []part
	pos   int64 // of Read
}

// ReadAt reads as io.ReaderAt says.
func (v *view) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	i := sort.Search(len(v.parts), func(i int) bool { return v.parts[i].at+v.parts[i].n > off })
	for ; i < len(v.parts) && done < len(p); i++ {
		s := v.parts[i]
		skip := off + int64(done) - s.at
		want := min(int64(len(p)-done), s.n-skip)
		n, err := s.src.ReadAt(p[done:done+int(want)], s.off+skip)
		if done += n; int64(n) < want {
			return done, shortRead(err)
		}
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

// Read reads on from where the last Read ended.
func (v *view) Read(p []byte) (int, error) {
	n, err := v.ReadAt(p, v.pos)
	v.pos += int64(n)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}
