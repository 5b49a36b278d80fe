package sqlite

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"

	"postrider/mail"
	"postrider/store"
	"postrider/store/blob"
)

// mendBodies leaves the rows of bodies whose every byte is right, with their
// structure, and finds others in segments whose rows are lost.
func (r *repair) mendBodies() error {
	segs, err := r.blobs.Segments()
	if err != nil {
		return err
	}
	for _, n := range segs {
		err := r.blobs.Records(n, func(rec blob.Record, loc blob.Loc) error {
			r.records[rec.ID] = append(r.records[rec.ID], foundRecord{rec, loc})
			return nil
		})
		if err != nil {
			return err
		}
	}
	ids, err := values[int64](r.t, "SELECT id FROM body UNION SELECT body FROM message UNION SELECT body FROM out UNION SELECT id FROM body_data", nil)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := r.mendBody(id); err != nil {
			return err
		}
	}
	return nil
}

// whole is a body whose bytes fit their hash.
type whole struct {
	blob.Record
	place int
	loc   blob.Loc
	data  []byte
	meta  []byte // as it was stored
}

// mendBody writes the row of a body anew, or removes it if its bytes are gone.
func (r *repair) mendBody(id int64) error {
	w, err := r.findBody(id)
	if err != nil {
		return err
	}
	if w == nil {
		_, err := r.t.exec("DELETE FROM body WHERE id = ?1", id)
		if err == nil {
			_, err = r.t.exec("DELETE FROM body_data WHERE id = ?1", id)
		}
		return err
	}
	if _, err := decodeMeta(w.meta); err != nil {
		if w.meta, err = r.parse(w); err != nil {
			return err
		}
	}
	_, err = r.t.exec(`INSERT OR REPLACE INTO body (id, size, place, seg, off, hash, meta) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)`,
		id, w.Size, w.place, w.loc.Seg, w.loc.Off, w.Hash[:], w.meta)
	if err == nil && w.place != placeInline {
		_, err = r.t.exec("DELETE FROM body_data WHERE id = ?1", id)
	}
	return err
}

// findBody looks for a body where its row says, in the database, and in
// segments. What a row that refers to it says of its hash decides, if its own
// row says nothing or is wrong.
func (r *repair) findBody(id int64) (*whole, error) {
	var hash, meta []byte
	var place, size int64
	var loc blob.Loc
	known := r.t.get("SELECT size, place, seg, off, hash, meta FROM body WHERE id = ?1", args(id), &size, &place, &loc.Seg, &loc.Off, &hash, &meta) == nil
	var data []byte
	if r.t.get("SELECT data FROM body_data WHERE id = ?1", args(id), &data) == nil {
		w := &whole{Record: blob.Record{ID: id, Size: int64(len(data)), Hash: sha256.Sum256(data)}, place: placeInline, data: data, meta: meta}
		if known && bytes.Equal(w.Hash[:], hash) {
			return w, nil
		}
		if fits, err := r.fits(w); err != nil || fits {
			return w, err
		}
	}
	found := r.records[id]
	if known && place == placeSegment && len(hash) == sha256.Size {
		found = append([]foundRecord{{blob.Record{ID: id, Size: size, Hash: [sha256.Size]byte(hash)}, loc}}, found...)
	}
	for _, f := range found {
		w := &whole{Record: f.Record, place: placeSegment, loc: f.loc, meta: meta}
		if !r.intact(w) {
			continue
		}
		if known && bytes.Equal(w.Hash[:], hash) {
			return w, nil
		}
		if fits, err := r.fits(w); err != nil || fits {
			return w, err
		}
	}
	if known && place == placeInline && size == 0 && bytes.Equal(hash, emptyHash) {
		return &whole{Record: blob.Record{ID: id, Hash: [sha256.Size]byte(hash)}, place: placeInline, meta: meta}, nil
	}
	return nil, nil
}

var emptyHash = sha256.New().Sum(nil)

// intact reads a body in a segment.
func (r *repair) intact(w *whole) bool {
	in, err := r.blobs.Open(w.loc, w.Record)
	if err != nil {
		return false
	}
	defer in.Close()
	h := sha256.New()
	_, err = io.Copy(h, io.NewSectionReader(in, 0, w.Size))
	return err == nil && bytes.Equal(h.Sum(nil), w.Hash[:])
}

// fits tells whether a row that refers to a body was written for these bytes.
func (r *repair) fits(w *whole) (fits bool, err error) {
	err = r.t.each(`SELECT sum, prefix, cut, size, acct, mbox, uid FROM message WHERE body = ?1
		UNION ALL SELECT sum, prefix, cut, size, 0, 0, 0 FROM out WHERE body = ?1`, args(w.ID), func(scan func(...any) error) error {
		var sum, size, acct, mbox, uid int64
		var prefix, cut []byte
		err := scan(&sum, &prefix, &cut, &size, &acct, &mbox, &uid)
		fits = fits || sum^placeOf(acct, mbox, uid) == sumOf(w.Hash[:], prefix, cut, size)
		return err
	})
	return fits, err
}

// open reads a whole body.
func (r *repair) open(w *whole) (io.ReaderAt, func(), error) {
	if w.place == placeInline {
		return bytes.NewReader(w.data), func() {}, nil
	}
	in, err := r.blobs.Open(w.loc, w.Record)
	if err != nil {
		return nil, nil, err
	}
	return in, func() { in.Close() }, nil
}

// parse works out the structure of a body, less the cuts that its messages
// have.
func (r *repair) parse(w *whole) ([]byte, error) {
	in, end, err := r.open(w)
	if err != nil {
		return nil, err
	}
	defer end()
	var cut []byte
	_ = r.t.get("SELECT cut FROM message WHERE body = ?1 UNION ALL SELECT cut FROM out WHERE body = ?1 LIMIT 1", args(w.ID), &cut)
	cuts, err := decodeCuts(cut)
	if err != nil || checkCuts("repair", cuts, w.Size) != nil {
		cuts = nil
	}
	meta, err := mail.Parse(&view{parts: segments(nil, in, w.Size, cuts)})
	if err != nil {
		return nil, err
	}
	return encodeMeta(meta), nil
}

// badMessage is a message that cannot be kept.
type badMessage struct {
	box  store.MailboxID
	uid  int64
	body int64
	why  string
}

// mendMessages removes messages whose body is gone or that do not fit it, and
// outgoing rows likewise.
func (r *repair) mendMessages() error {
	var bad []badMessage
	err := r.t.each(`SELECT m.acct, m.mbox, m.uid, m.body, m.size, m.sum, m.prefix, m.cut, b.hash, b.size FROM message m LEFT JOIN body b ON b.id = m.body`, nil,
		func(scan func(...any) error) error {
			var m badMessage
			var size, sum int64
			var prefix, cut, hash []byte
			var bodySize *int64
			if err := scan(&m.box.Account, &m.box.N, &m.uid, &m.body, &size, &sum, &prefix, &cut, &hash, &bodySize); err != nil {
				return err
			}
			cuts, cutErr := decodeCuts(cut)
			switch {
			case bodySize == nil:
				m.why = "its text is damaged"
			case m.uid < 1 || m.uid > int64(store.MaxUID), cutErr != nil, size != int64(len(prefix))+*bodySize-cutBytes(cuts),
				sum^placeOf(int64(m.box.Account), m.box.N, m.uid) != sumOf(hash, prefix, cut, size):
				m.why = "what is known of it is damaged"
			default:
				return nil
			}
			bad = append(bad, m)
			return nil
		})
	if err != nil {
		return err
	}
	for _, m := range bad {
		box, err := r.t.boxName(m.box)
		if err != nil {
			return err
		}
		r.say("message %d of %s is lost: %s", m.uid, box, m.why)
		r.out.Lost++
		if _, err := r.t.exec("DELETE FROM message WHERE acct = ?1 AND mbox = ?2 AND uid = ?3", int64(m.box.Account), m.box.N, m.uid); err != nil {
			return err
		}
		if m.uid < 1 || m.uid > int64(store.MaxUID) {
			r.doubt[m.box] = true
		}
	}
	var wrong []int64
	err = r.t.each("SELECT o.id, o.sum, o.prefix, o.cut, o.size, b.hash FROM out o JOIN body b ON b.id = o.body", nil, func(scan func(...any) error) error {
		var id, sum, size int64
		var prefix, cut, hash []byte
		err := scan(&id, &sum, &prefix, &cut, &size, &hash)
		if sum != sumOf(hash, prefix, cut, size) {
			wrong = append(wrong, id)
		}
		return err
	})
	for _, id := range wrong {
		if err == nil {
			_, err = r.t.exec("UPDATE out SET body = -1 WHERE id = ?1", id) // mendQueue tells of it
		}
	}
	return err
}

// asideBodies writes whole bodies that no message names any more to files:
// their rows were lost, and with them whose they were.
func (r *repair) asideBodies() error {
	ids, err := values[int64](r.t, "SELECT id FROM body WHERE id NOT IN (SELECT body FROM message) AND id NOT IN (SELECT body FROM out)", nil)
	if err != nil {
		return err
	}
	for _, id := range ids {
		w, err := r.findBody(id)
		if err != nil {
			return err
		}
		if w != nil {
			in, end, err := r.open(w)
			if err != nil {
				return err
			}
			err = r.aside(fmt.Sprintf("body-%d", id), io.NewSectionReader(in, 0, w.Size))
			end()
			if err != nil {
				return err
			}
			r.say("body %d belongs to no message any more: it is in %s", id, r.out.Aside)
		}
	}
	return r.all(`DELETE FROM body WHERE id NOT IN (SELECT body FROM message) AND id NOT IN (SELECT body FROM out)`,
		`DELETE FROM body_data WHERE id NOT IN (SELECT id FROM body WHERE place = 0)`)
}
