package search

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"postrider/store"
)

// fetchBatch is how many messages are indexed between two rests.
const fetchBatch = 64

// maxSmall is how many blocks an account may have that are less than half
// full; when there are more they are made one.
const maxSmall = 8

// maxMissing is how many messages are added before what is there is compared
// anew.
const maxMissing = 1 << 16

// Update brings an account's index up to date: it adds what is missing and
// takes out what was expunged. Searches go on meanwhile.
func (x *Index) Update(ctx context.Context, id store.AccountID) error {
	return x.update(ctx, id, true)
}

// update adds the messages that are missing and rewrites blocks that have too
// many which are gone; if whole, any that has one.
func (x *Index) update(ctx context.Context, id store.AccountID, whole bool) error {
	x.work.update.Lock()
	defer x.work.update.Unlock()
	a := x.account(id)
	x.pin(a, 1)
	defer x.pin(a, -1)
	for damaged := 0; ; {
		u := &updating{x: x, ctx: ctx, a: a, st: x.work.state(id), whole: whole}
		err := u.run()
		switch {
		case errors.Is(err, errDamaged) || errors.Is(err, os.ErrClosed): // the block is dropped
			if damaged++; damaged > maxDamaged || ctx.Err() != nil {
				return err
			}
		case err != nil:
			return err
		case !u.more:
			u.st.rows = u.rows
			if whole {
				u.st.cleaned = time.Now()
			}
			return nil
		}
	}
}

// maxDamaged is how many blocks of an account may turn out to be damaged
// during one update.
const maxDamaged = 100

// pin keeps an account's index open.
func (x *Index) pin(a *account, n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	a.pins += n
}

func (u *updating) run() error {
	for _, step := range []func() error{u.survey, u.clean, u.add} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// updating is one update of one account.
type updating struct {
	x     *Index
	ctx   context.Context
	a     *account
	st    *state
	whole bool

	rows    int64
	used    map[*block]*docSet // what is still there of each block
	missing []missing
	more    bool // more than maxMissing
}

// missing is messages of a mailbox that are not indexed.
type missing struct {
	box  store.MailboxID
	uids []store.UID
}

// survey compares all mailboxes of the account with its index. What is moved
// meanwhile may be missed or found twice; that costs time, and nothing else.
func (u *updating) survey() error {
	boxes, err := u.x.store.List(u.ctx, u.a.id)
	if err != nil {
		return err
	}
	if err := u.x.open(u.a); err != nil {
		return err
	}
	u.used = map[*block]*docSet{}
	for _, b := range u.a.blocks {
		u.used[b] = new(docSet)
	}
	u.a.mu.RUnlock()
	found := map[int64]struct{}{}
	for _, box := range boxes {
		v, err := u.x.store.View(u.ctx, box.ID)
		if store.KindOf(err) == store.NotFound && err != nil {
			continue
		}
		if err != nil {
			return err
		}
		if err := u.compare(v, found); err != nil {
			return err
		}
	}
	return nil
}

// compare compares one mailbox with the index; found is what is missing
// anywhere.
func (u *updating) compare(v *store.View, found map[int64]struct{}) error {
	if err := u.x.open(u.a); err != nil {
		return err
	}
	defer u.a.mu.RUnlock()
	u.rows += int64(v.Len())
	m := missing{box: v.Mailbox().ID}
	emails := v.EmailIDs()
	u.a.locate(emails, func(i int, at place) {
		if at != nowhere {
			if s := u.used[u.a.blocks[at.block()]]; s != nil {
				s.add(at.doc())
			}
			return
		}
		email := emails[i]
		_, skip := u.st.skip[email]
		_, twice := found[email]
		if !skip && !twice && len(found) == maxMissing {
			u.more = true
		} else if !skip && !twice {
			found[email] = struct{}{}
			m.uids = append(m.uids, v.UID(i))
		}
	})
	if len(m.uids) > 0 {
		u.missing = append(u.missing, m)
	}
	return nil
}

// clean makes new blocks of those that have too much that is gone, and of
// small ones if there are many.
func (u *updating) clean() error {
	var stale, small []*block
	for b := range u.used {
		gone := len(b.emails) - u.used[b].len()
		switch {
		case gone*8 >= len(b.emails) || u.whole && gone > 0:
			stale = append(stale, b)
		case b.isSmall():
			small = append(small, b)
		}
	}
	if len(small) > maxSmall {
		stale = append(stale, small...)
	}
	if len(stale) == 0 {
		return nil
	}
	slices.SortFunc(stale, func(x, y *block) int { return cmp.Compare(x.path, y.path) })
	w := u.newWriter()
	for _, b := range stale {
		start := time.Now()
		if w.b.bytes > 0 && (len(w.b.emails)+u.used[b].len() > blockDocs || w.b.bytes > blockBytes/2) {
			if err := w.flush(); err != nil {
				return errors.Join(err, w.undo())
			}
		}
		if err := w.b.merge(b, u.used[b]); err != nil {
			u.x.complain(u.a, err)
			u.a.drop(b)
			return errors.Join(err, errDamaged, w.undo())
		}
		if err := u.x.work.rest(u.ctx, time.Since(start)); err != nil {
			return errors.Join(err, w.undo())
		}
	}
	if err := w.flush(); err != nil {
		return errors.Join(err, w.undo())
	}
	return w.commit(stale)
}

func (b *block) isSmall() bool { return len(b.emails) < blockDocs/2 }

func (s *docSet) len() int {
	n := 0
	for doc := range blockDocs {
		if s.has(doc) {
			n++
		}
	}
	return n
}

// add indexes what is missing.
func (u *updating) add() error {
	n := 0
	for _, m := range u.missing {
		n += len(m.uids)
	}
	if n < searchedTail || n < changedTail && !u.whole {
		return nil
	}
	w := u.newWriter()
	for _, m := range u.missing {
		for uids := range slices.Chunk(m.uids, fetchBatch) {
			if err := u.batch(w, m.box, uids); err != nil {
				return errors.Join(err, w.undo())
			}
		}
	}
	if err := w.flush(); err != nil {
		return errors.Join(err, w.undo())
	}
	return w.commit(nil)
}

// batch indexes some messages of a mailbox, and rests.
func (u *updating) batch(w *blockWriter, box store.MailboxID, uids []store.UID) error {
	start := time.Now()
	err := u.x.store.Fetch(u.ctx, box, store.UIDSetOf(uids...), store.NeedMeta|store.NeedBody, func(c *store.Content) error {
		w.r.Message(c)
		if err := w.b.message(&w.r, &w.grams); err != nil {
			u.st.skip[c.EmailID] = struct{}{} // searches read it, and say so
		}
		if w.b.isFull() {
			if err := w.flush(); err != nil {
				return err
			}
			return w.commit(nil)
		}
		return nil
	})
	if err != nil && store.KindOf(err) != store.NotFound {
		return err
	}
	return u.x.work.rest(u.ctx, time.Since(start))
}

// blockWriter makes blocks, and puts them in place of others.
type blockWriter struct {
	u     *updating
	b     *builder
	r     Reader
	grams gramSet
	made  []*block // written, not committed
}

func (u *updating) newWriter() *blockWriter { return &blockWriter{u: u, b: newBuilder()} }

// flush writes what the builder has, if anything.
func (w *blockWriter) flush() error {
	if w.b.isEmpty() {
		return nil
	}
	a := w.u.a
	if err := errors.Join(w.u.x.room(), os.MkdirAll(a.dir, 0o700)); err != nil {
		return err
	}
	name := blockName(a.next, len(w.b.emails))
	a.next++
	if err := w.b.write(a.dir, name); err != nil {
		return err
	}
	b, err := openBlock(filepath.Join(a.dir, name))
	if err != nil {
		return err
	}
	w.made = append(w.made, b)
	w.b = newBuilder()
	return nil
}

// undo removes what was not committed.
func (w *blockWriter) undo() error {
	for _, b := range w.made {
		b.f.Close()
		os.Remove(b.path)
	}
	w.made = nil
	return nil
}

// commit makes the blocks that were written part of the index, in place of
// old. If a crash comes between, both are there, which does no harm.
func (w *blockWriter) commit(old []*block) error {
	a := w.u.a
	a.mu.Lock()
	if !a.loaded { // it was closed for want of memory: the files are there
		a.mu.Unlock()
		for _, b := range w.made {
			b.f.Close()
		}
		w.made = nil
		return w.removeFiles(old)
	}
	var keep []*block
	for _, b := range a.blocks {
		if slices.Contains(old, b) {
			b.f.Close()
		} else {
			keep = append(keep, b)
		}
	}
	a.set(append(keep, w.made...))
	w.made = nil
	a.mu.Unlock()
	return w.removeFiles(old)
}

func (w *blockWriter) removeFiles(old []*block) error {
	var errs []error
	for _, b := range old {
		errs = append(errs, os.Remove(b.path))
	}
	return errors.Join(errs...)
}

// remove removes an account's index.
func (x *Index) remove(id store.AccountID) {
	x.work.update.Lock()
	defer x.work.update.Unlock()
	delete(x.work.states, id)
	a := x.account(id)
	a.mu.Lock()
	a.unload()
	err := os.RemoveAll(a.dir)
	a.mu.Unlock()
	if err != nil {
		x.complain(a, err)
	}
	x.mu.Lock()
	delete(x.accounts, id)
	x.mu.Unlock()
}
