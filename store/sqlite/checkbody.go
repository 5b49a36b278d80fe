package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strings"

	"postrider/store"
	"postrider/store/blob"
)

// checkBatch is how many rows are verified on one snapshot.
const checkBatch = 200

// bodies verifies what every body says of itself, in batches: structure,
// place in its segment, and if deep every byte.
func (k *checker) bodies(ctx context.Context) error {
	last, more := int64(-1), true
	tell := store.Progress(ctx)
	err := k.e.read(ctx, "check", func(t *tx) error { return t.get("SELECT ifnull(sum(size), 0) FROM body", nil, &k.total) })
	if err != nil {
		return err
	}
	for more {
		var got []*stored
		err := k.e.read(ctx, "check", func(t *tx) error {
			err := t.each(`SELECT id, size, place, seg, off, hash, meta FROM body WHERE id > ?1 ORDER BY id LIMIT ?2`, args(last, checkBatch),
				func(scan func(...any) error) error {
					s := &stored{bodySize: new(int64), place: new(int64)}
					err := scan(&s.body, s.bodySize, s.place, &s.loc.Seg, &s.loc.Off, &s.hash, &s.meta)
					got = append(got, s)
					return err
				})
			if err != nil {
				return err
			}
			for _, s := range got {
				if err := k.body(t, s); err != nil {
					return err
				}
				k.done += *s.bodySize
				tell(min(k.done, k.total), k.total)
			}
			return nil
		})
		if err == nil {
			err = k.dropped(ctx)
		}
		if err != nil {
			return err
		}
		if more = len(got) == checkBatch; more {
			last = got[len(got)-1].body
		}
	}
	return nil
}

// body verifies one body.
func (k *checker) body(t *tx, s *stored) error {
	if _, err := decodeMeta(s.meta); err != nil {
		k.say("body %d: %v", s.body, err)
	}
	if len(s.hash) != 32 || *s.place != placeSegment && !k.deep || *s.place > placeSegment {
		if len(s.hash) != 32 {
			k.say("body %d has a hash of %d bytes", s.body, len(s.hash))
		}
		return nil
	}
	if err := k.e.load(t, s, store.NeedBody); err != nil {
		return err
	}
	defer func() { s.close(); s.data = nil }() // the batch is kept, what was read is not
	// As a message with nothing before or cut from the body.
	s.size, s.sum = *s.bodySize, sumOf(s.hash, nil, nil, *s.bodySize)
	r, err := s.open()
	if err == nil && k.deep && s.reader != nil {
		err = readAll(r, s)
	}
	switch {
	case errors.Is(err, blob.ErrDropped):
		k.gone = append(k.gone, s)
	case errors.Is(err, blob.ErrDamaged) && *s.place == placeSegment:
		k.sayOf(s.body, "its record in segment %d at %d is damaged", s.loc.Seg, s.loc.Off)
	case err != nil:
		k.sayOf(s.body, "%v", err)
	}
	return nil
}

// sayOf tells of a body that cannot be read; rows adds whose it is.
func (k *checker) sayOf(body int64, format string, args ...any) {
	if k.lost == nil {
		k.lost = map[int64]int{}
	}
	k.lost[body] = len(k.found)
	k.say("body %d: %s", body, fmt.Sprintf(format, args...))
}

// maxWhose bounds how many messages are named that have one body.
const maxWhose = 3

// whose adds to what was said of a body which message it is, for people.
func (k *checker) whose(t *tx, at lostMessage) error {
	said := &k.found[k.lost[at.body]]
	if strings.Count(*said, "; it is message ") == maxWhose {
		return nil
	}
	box, err := t.boxName(at.box)
	if err != nil {
		return err
	}
	*said += fmt.Sprintf("; it is message %d of %s", at.uid, box)
	return nil
}

// lostMessage is a message whose body cannot be read.
type lostMessage struct {
	box       store.MailboxID
	uid, body int64
}

// dropped tells of bodies whose space was given back, unless their last
// message went, or they were moved, while the batch was read.
func (k *checker) dropped(ctx context.Context) error {
	gone := k.gone
	k.gone = nil
	if len(gone) == 0 {
		return nil
	}
	return k.e.read(ctx, "check", func(t *tx) error {
		for _, s := range gone {
			was := s.loc
			err := t.get("SELECT place, seg, off FROM body WHERE id = ?1", args(s.body), s.place, &s.loc.Seg, &s.loc.Off)
			switch {
			case errors.Is(err, sql.ErrNoRows):
			case err != nil:
				return err
			case s.loc == was:
				k.sayOf(s.body, "%v", s.readerErr)
			default:
				if err := k.body(t, s); err != nil {
					return err
				}
			}
		}
		for _, s := range k.gone { // moved, and not there either
			k.sayOf(s.body, "%v", s.readerErr)
		}
		k.gone = nil
		return nil
	})
}

// readAll reads a whole body and compares its hash.
func readAll(r io.ReaderAt, s *stored) error {
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(r, 0, *s.bodySize)); err != nil {
		return err
	}
	if string(h.Sum(nil)) != string(s.hash) {
		return blob.ErrDamaged
	}
	return nil
}

// rows verifies that messages and outgoing rows fit their bodies, and names
// the messages whose bodies do not.
func (k *checker) rows(ctx context.Context) error {
	for _, q := range []string{
		`SELECT printf('message %d/%d/%d', m.acct, m.mbox, m.uid), m.acct, m.mbox, m.uid, m.body, m.size, m.sum, m.prefix, m.cut, b.size, b.hash
			FROM message m JOIN body b ON b.id = m.body`,
		`SELECT printf('outgoing message %d', m.id), 0, 0, 0, m.body, m.size, m.sum, m.prefix, m.cut, b.size, b.hash FROM out m JOIN body b ON b.id = m.body`,
	} {
		err := k.e.read(ctx, "check", func(t *tx) error {
			var lost []lostMessage
			err := t.each(q, nil, func(scan func(...any) error) error {
				var name string
				var s stored
				var acct, mbox, uid, body, size int64
				if err := scan(&name, &acct, &mbox, &uid, &body, &s.size, &s.sum, &s.prefix, &s.cut, &size, &s.hash); err != nil {
					return err
				}
				cuts, err := decodeCuts(s.cut)
				if err != nil || s.size != int64(len(s.prefix))+size-cutBytes(cuts) || s.sum^placeOf(acct, mbox, uid) != sumOf(s.hash, s.prefix, s.cut, s.size) {
					k.say("%s does not fit its body", name)
				}
				if _, ok := k.lost[body]; ok && uid > 0 {
					lost = append(lost, lostMessage{store.MailboxID{Account: store.AccountID(acct), N: mbox}, uid, body})
				}
				return nil
			})
			for _, at := range lost {
				err = errors.Join(err, k.whose(t, at))
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
