package sqlite

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"

	"postrider/internal/maillog"
	"postrider/mail"
	"postrider/store"
	"postrider/store/blob"
)

// Bounds of one batch of a Fetch. Two are in memory at once: one that is being
// handed out and the next, which is read meanwhile. A large body in a segment
// counts as segmentCost, since it holds a file open.
const (
	batchRows   = 128
	batchBytes  = 256 << 10
	segmentCost = 64 << 10
)

// stored is a message or outgoing row with its body, on its way to a Content.
type stored struct {
	uid    int64
	email  int64
	size   int64
	sum    int64
	prefix []byte
	cut    []byte
	body   int64 // its id

	bodySize  *int64 // nil: the body's row is missing
	place     *int64
	loc       blob.Loc
	hash      []byte
	meta      []byte
	data      []byte // all of it
	whole     bool   // data was verified when it was read
	wrong     error  // what verifying found, if it was done with the batch
	reader    *blob.Reader
	readerErr error
}

// storedColumns are of a row m with its body b, for dest.
const (
	bareColumns   = `m.size, m.sum, m.prefix, m.cut, m.body, b.size, b.place, ifnull(b.seg, 0), ifnull(b.off, 0), b.hash`
	storedColumns = bareColumns + `, b.meta`
)

// dest is for bareColumns.
func (s *stored) dest() []any {
	return []any{&s.size, &s.sum, &s.prefix, &s.cut, &s.body, &s.bodySize, &s.place, &s.loc.Seg, &s.loc.Off, &s.hash}
}

// Fetch calls fn for each message of uids that is there, ascending. While fn
// has one batch, a goroutine reads the next.
func (e *Engine) Fetch(ctx context.Context, box store.MailboxID, uids store.UIDSet, need store.Need, fn func(*store.Content) error) error {
	f := &fetcher{e: e, box: box, left: append(store.UIDSet(nil), uids...), need: need}
	if len(f.left) == 0 {
		return nil
	}
	b := f.batch(ctx)
	for {
		if b.bug != nil {
			panic(b.bug)
		}
		if b.err != nil {
			return b.err
		}
		var next chan batch
		if len(f.left) > 0 {
			next = make(chan batch, 1)
			go func() { next <- f.batch(ctx) }()
		}
		err := f.hand(ctx, b.got, fn)
		if next == nil {
			return err
		}
		b = <-next
		if err != nil {
			closeAll(b.got)
			return err
		}
	}
}

// fetcher is one Fetch under way.
type fetcher struct {
	e    *Engine
	box  store.MailboxID
	left store.UIDSet // what has not been read
	need store.Need
}

// batch is messages as they were read in one snapshot.
type batch struct {
	got []*stored
	err error
	bug any // a panic, for the goroutine of the caller
}

// batch reads the next messages.
func (f *fetcher) batch(ctx context.Context) (b batch) {
	defer func() {
		if b.bug = recover(); b.bug != nil || b.err != nil {
			closeAll(b.got)
			b.got = nil
		}
	}()
	b.err = f.e.read(ctx, "fetch", func(t *tx) error {
		if err := mailboxIsThere(t, "fetch", f.box); err != nil {
			return err
		}
		bytes := int64(0)
		for len(f.left) > 0 && len(b.got) < batchRows && bytes < batchBytes {
			if err := f.rows(t, &b, &bytes); err != nil {
				return err
			}
		}
		if f.need&store.NeedBody == 0 {
			return nil
		}
		whole := f.e.blobs.Whole()
		defer whole.Close()
		for _, s := range b.got {
			if s.fromDatabase() || s.readWhole(whole) {
				continue
			}
			if err := f.e.load(t, s, f.need); err != nil {
				return err
			}
		}
		return nil
	})
	for _, s := range b.got { // while the one before is handed out
		if f.need&store.NeedBody != 0 && s.fromDatabase() {
			s.verify()
		}
	}
	return b
}

// errNotWritten says that a body in the database is damaged.
var errNotWritten = errors.New("it is not what was written")

// verify compares a body from the database with its hash.
func (s *stored) verify() {
	if h := sha256.Sum256(s.data); int64(len(s.data)) != *s.bodySize || !bytes.Equal(h[:], s.hash) {
		s.wrong = errNotWritten
		return
	}
	s.whole = true
}

// fromDatabase tells whether the body came with the row.
func (s *stored) fromDatabase() bool { return s.place != nil && *s.place == placeInline }

// readWhole reads a body that is in a segment, if it is small.
func (s *stored) readWhole(w *blob.Whole) bool {
	if s.place == nil || *s.place != placeSegment || *s.bodySize > blob.WholeMax {
		return false
	}
	data, err := w.Read(s.loc, s.record())
	if err != nil {
		return false
	}
	s.data, s.whole = data, true
	return true
}

// What rows asks for. The body comes with the row if the database has it.
const (
	fetchRows = `SELECT m.uid, m.email_id, ` + storedColumns + ` FROM message m LEFT JOIN body b ON b.id = m.body
		WHERE m.acct = ?1 AND m.mbox = ?2 AND m.uid BETWEEN ?3 AND ?4 ORDER BY m.uid LIMIT ?5`
	fetchData = `, d.data FROM message m LEFT JOIN body b ON b.id = m.body
		LEFT JOIN body_data d ON d.id = b.id AND b.place = 0
		WHERE m.acct = ?1 AND m.mbox = ?2 AND m.uid BETWEEN ?3 AND ?4 ORDER BY m.uid LIMIT ?5`
	fetchBodies = `SELECT m.uid, m.email_id, ` + bareColumns + fetchData
	fetchBoth   = `SELECT m.uid, m.email_id, ` + storedColumns + fetchData
)

// rows reads from the first range that is left.
func (f *fetcher) rows(t *tx, b *batch, bytes *int64) error {
	query, meta := fetchRows, true
	switch {
	case f.need&store.NeedBody != 0 && f.need&store.NeedMeta != 0:
		query = fetchBoth
	case f.need&store.NeedBody != 0:
		query, meta = fetchBodies, false
	}
	r := &f.left[0]
	full := false
	var row stored
	dest := append([]any{&row.uid, &row.email}, row.dest()...)
	if meta {
		dest = append(dest, &row.meta)
	}
	if f.need&store.NeedBody != 0 {
		dest = append(dest, &row.data)
	}
	err := t.each(query, args(int64(f.box.Account), f.box.N, int64(r.Lo), int64(r.Hi), batchRows-len(b.got)),
		func(scan func(...any) error) error {
			if err := scan(dest...); err != nil {
				return err
			}
			s := new(stored)
			*s = row
			s.sum ^= placeOf(int64(f.box.Account), f.box.N, s.uid)
			b.got = append(b.got, s)
			if *bytes += s.cost(f.need); *bytes >= batchBytes {
				full = true
				return errEnough
			}
			return nil
		})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	if n := len(b.got); full || n == batchRows {
		if last := store.UID(b.got[n-1].uid); last < r.Hi {
			r.Lo = last + 1
			return nil
		}
	}
	f.left = f.left[1:]
	return nil
}

// cost is about what s takes in memory.
func (s *stored) cost(need store.Need) int64 {
	n := int64(len(s.prefix) + len(s.meta) + 256)
	switch {
	case need&store.NeedBody == 0 || s.place == nil:
	case *s.place == placeInline || *s.bodySize <= blob.WholeMax:
		n += *s.bodySize
	default:
		n += segmentCost
	}
	return n
}

// load reads a body inside the database, or opens its place in a segment, so
// that it stays readable after the transaction.
func (e *Engine) load(t *tx, s *stored, need store.Need) error {
	if need&store.NeedBody == 0 || s.place == nil {
		return nil
	}
	if *s.place == placeInline {
		return t.get("SELECT ifnull((SELECT data FROM body_data WHERE id = ?1), x'')", args(s.body), &s.data)
	}
	s.reader, s.readerErr = e.blobs.Open(s.loc, s.record())
	return nil
}

// close ends what load opened.
func (s *stored) close() {
	if s.reader != nil {
		s.reader.Close()
	}
}

func closeAll(list []*stored) {
	for _, s := range list {
		s.close()
	}
}

// hand gives the messages of a batch to fn.
func (f *fetcher) hand(ctx context.Context, got []*stored, fn func(*store.Content) error) error {
	for i, s := range got {
		if err := ctx.Err(); err != nil {
			closeAll(got[i:])
			return wrap("fetch", err)
		}
		if s.readerErr != nil {
			if gone, err := f.isGone(ctx, s); gone || err != nil {
				if err != nil {
					closeAll(got[i:])
					return err
				}
				continue
			}
		}
		c, err := f.e.content(ctx, s, f.need)
		if err == nil {
			err = fn(c)
		}
		got[i] = nil
		s.close()
		if err != nil {
			closeAll(got[i+1:])
			return err
		}
	}
	return nil
}

// isGone tells whether a message was expunged after the batch was read: then
// its body may have been dropped already.
func (f *fetcher) isGone(ctx context.Context, s *stored) (gone bool, err error) {
	if !errors.Is(s.readerErr, blob.ErrDropped) {
		return false, nil
	}
	err = f.e.read(ctx, "fetch", func(t *tx) error {
		return t.get("SELECT NOT EXISTS (SELECT 1 FROM message WHERE acct = ?1 AND mbox = ?2 AND uid = ?3)",
			args(int64(f.box.Account), f.box.N, s.uid), &gone)
	})
	return gone, err
}

// content makes a Content of what was loaded. A damaged body is an error when
// it is read, and a damaged structure is made anew, so that one bad message
// does not hide others.
func (e *Engine) content(ctx context.Context, s *stored, need store.Need) (*store.Content, error) {
	c := &store.Content{UID: store.UID(s.uid), Prefix: s.prefix, Size: s.size, EmailID: s.email, ReaderAt: noBody{}}
	if need&store.NeedBody != 0 {
		if err := e.follow(ctx, s); err != nil {
			return nil, err
		}
		r, err := s.open()
		if err != nil {
			e.complain("a body cannot be read", s, err)
			r = failing{wrap("fetch", err)}
		}
		c.ReaderAt = r
	}
	if need&store.NeedMeta == 0 {
		return c, nil
	}
	var err error
	if c.Meta, err = decodeMeta(s.meta); err != nil {
		e.complain("a message's structure is damaged", s, err)
		c.Meta, err = e.reparse(ctx, s)
	}
	return c, wrap("fetch", err)
}

// follow opens a body again that was moved after its row was read.
func (e *Engine) follow(ctx context.Context, s *stored) error {
	for try := 0; errors.Is(s.readerErr, blob.ErrDropped) && try < 3; try++ {
		err := e.read(ctx, "fetch", func(t *tx) error {
			err := t.get("SELECT seg, off FROM body WHERE id = ?1 AND place = 1", args(s.body), &s.loc.Seg, &s.loc.Off)
			if errors.Is(err, sql.ErrNoRows) {
				return nil
			}
			if err == nil {
				err = e.load(t, s, store.NeedBody)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) complain(what string, s *stored, err error) {
	e.log.Error(maillog.Failed, slog.String("what", what), slog.Int64("body", s.body), slog.Any("err", err))
}

// reparse makes the structure of a message from its body; an empty one if that
// cannot be read either.
func (e *Engine) reparse(ctx context.Context, s *stored) (*mail.Meta, error) {
	if s.data == nil && s.reader == nil {
		if err := e.read(ctx, "fetch", func(t *tx) error { return e.load(t, s, store.NeedBody) }); err != nil {
			return nil, err
		}
	}
	size := s.size - int64(len(s.prefix))
	r, err := s.open()
	if err != nil {
		return &mail.Meta{Size: size, Root: mail.Part{Type: "text", Subtype: "plain", Encoding: "7bit"}}, nil
	}
	return mail.Parse(io.NewSectionReader(r, int64(len(s.prefix)), size))
}

// open verifies what can be verified at once and lays out what is served.
func (s *stored) open() (io.ReaderAt, error) {
	cuts, err := decodeCuts(s.cut)
	switch {
	case err != nil:
		return nil, err
	case s.place == nil:
		return nil, fmt.Errorf("body %d is missing", s.body)
	case s.readerErr != nil:
		return nil, s.readerErr
	case s.sum != sumOf(s.hash, s.prefix, s.cut, s.size):
		return nil, fmt.Errorf("the row does not belong to body %d", s.body)
	case s.size != int64(len(s.prefix))+*s.bodySize-cutBytes(cuts):
		return nil, fmt.Errorf("the row's size does not fit body %d", s.body)
	}
	if s.reader != nil {
		return &view{parts: segments(s.prefix, s.reader, *s.bodySize, cuts)}, nil
	}
	if !s.whole && s.wrong == nil {
		s.verify()
	}
	if s.wrong != nil {
		return nil, s.wrong
	}
	return &view{parts: segments(s.prefix, bytes.NewReader(s.data), *s.bodySize, cuts)}, nil
}

type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

// noBody is the reader of a Content fetched without NeedBody.
type noBody struct{}

func (noBody) ReadAt([]byte, int64) (int, error) {
	return 0, store.Errorf(store.Internal, "fetch", "the body was not asked for")
}

// encodeMeta is a Meta as it is stored: with a checksum in front.
func encodeMeta(m *mail.Meta) []byte {
	b := m.Encode()
	return append(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(b)), b...)
}

func decodeMeta(b []byte) (*mail.Meta, error) {
	if len(b) < 4 || binary.BigEndian.Uint32(b) != crc32.ChecksumIEEE(b[4:]) {
		return nil, errors.New("structure is not what was written")
	}
	return mail.DecodeMeta(b[4:])
}
