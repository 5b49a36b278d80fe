package search

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/maillog"
	"postrider/store"
)

const (
	// An account is indexed when this many messages have come or gone, or
	// when a search has met so many that are not indexed.
	changedTail  = 256
	searchedTail = 64

	lookEvery  = time.Second      // at what has changed
	settle     = 2 * time.Second  // after the last change, an account is looked at
	settleMax  = 2 * time.Minute  // or after the first
	cleanEvery = 24 * time.Hour   // after which the last trace of an expunged message goes
	fullPause  = 10 * time.Minute // after a failure, such as a full disk
	minFree    = 128 << 20        // bytes of the disk that are left to others
	followed   = 1024             // announcements that may wait to be read

	// How long the indexer rests, in hundredths of what it worked: while mail
	// comes in or changes, at once after that, and when it has been quiet.
	restBusy  = 1900
	restSoon  = 100
	restQuiet = 25
	quiet     = 3 * time.Second
)

// worker keeps the indexes up to date in the background. It is one goroutine
// with one account at a time; it rests after each batch, longer while the
// store is being written to.
type worker struct {
	x      *Index
	ctx    context.Context
	cancel context.CancelFunc
	ended  sync.WaitGroup
	busy   atomic.Int64 // changes announced

	mu    sync.Mutex
	wants map[store.AccountID]bool // that a search found far behind
	wake  chan struct{}

	update sync.Mutex // one update at a time
	states map[store.AccountID]*state

	seen    int64     // of busy, at the last rest
	changed time.Time // when it had changed
}

// state is what is remembered of an account between two updates. It is a hint:
// what is indexed is in the blocks.
type state struct {
	rows    int64 // that the account had when it was indexed
	cleaned time.Time
	skip    map[int64]struct{} // messages that could not be read
}

func (w *worker) init(x *Index) {
	w.x = x
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.wants, w.wake, w.states = map[store.AccountID]bool{}, make(chan struct{}, 1), map[store.AccountID]*state{}
}

func (w *worker) start() {
	w.ended.Add(1)
	go func() {
		defer w.ended.Done()
		w.run()
	}()
}

func (w *worker) stop() {
	w.cancel()
	w.ended.Wait()
}

// searched notes that a search has read many messages of an account.
func (w *worker) searched(id store.AccountID) {
	w.mu.Lock()
	w.wants[id] = true
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *worker) wanted() map[store.AccountID]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	wants := w.wants
	w.wants = map[store.AccountID]bool{}
	return wants
}

// isMail lets changes to mail and accounts by.
func isMail(c store.Change) bool {
	return c.Kind == store.MailboxChanged || c.Kind == store.MailboxDeleted || c.Kind == store.AccountChanged
}

// count counts changes to mail and accounts and lets nothing by, so that its
// subscription lasts, however long an update goes without reading.
func (w *worker) count(c store.Change) bool {
	if isMail(c) {
		w.busy.Add(1)
	}
	return false
}

// run looks after accounts until it is stopped: all of them at first and
// whenever changes have been missed, then those that are announced.
func (w *worker) run() {
	defer w.x.store.Feed().Subscribe(1, w.count).Close()
	for w.ctx.Err() == nil {
		sub := w.x.store.Feed().Subscribe(followed, isMail)
		w.all()
		w.follow(sub)
		sub.Close()
	}
}

// follow returns when changes have been missed, or the end has come.
func (w *worker) follow(sub *store.Subscription) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	type since struct{ first, last time.Time }
	changed := map[store.AccountID]since{}
	for {
		select {
		case <-w.ctx.Done():
			return
		case c, open := <-sub.C():
			if !open {
				return
			}
			if c.Account == 0 {
				c.Account = c.Mailbox.Account
			}
			now := time.Now()
			s, known := changed[c.Account]
			if !known {
				s.first = now
			}
			s.last = now
			changed[c.Account] = s
			continue
		case <-w.wake:
		case <-tick.C:
		}
		for id := range w.wanted() {
			w.try(id, true)
		}
		for id, s := range changed {
			if w.ctx.Err() != nil {
				return
			}
			if time.Since(s.last) > settle || time.Since(s.first) > settleMax {
				delete(changed, id)
				w.look(id)
			}
		}
	}
}

// all looks at every account, and removes what is there of others.
func (w *worker) all() {
	accounts, err := w.x.store.Accounts(w.ctx)
	if err != nil {
		w.fail(0, err)
		return
	}
	there := map[string]bool{}
	for _, a := range accounts {
		there[strconv.FormatInt(int64(a.ID), 10)] = true
	}
	entries, _ := os.ReadDir(w.x.dir)
	for _, e := range entries {
		if id, err := strconv.ParseInt(e.Name(), 10, 64); err == nil && !there[e.Name()] {
			w.x.remove(store.AccountID(id))
		}
	}
	for _, a := range accounts {
		if w.ctx.Err() != nil {
			return
		}
		w.compare(a)
	}
}

// look looks at an account of which something was announced.
func (w *worker) look(id store.AccountID) {
	if id == 0 {
		return
	}
	a, err := w.x.store.Account(w.ctx, id)
	switch {
	case err == nil:
		w.compare(a)
	case store.KindOf(err) == store.NotFound:
		w.x.remove(id)
	default:
		w.fail(id, err)
	}
}

// compare updates an account's index if so much has changed that it pays.
func (w *worker) compare(a store.Account) {
	w.update.Lock()
	st := w.state(a.ID)
	w.update.Unlock()
	n := a.Count - st.rows
	old := time.Since(st.cleaned) > cleanEvery
	if n >= changedTail || -n >= changedTail || old {
		w.try(a.ID, old)
	}
}

// state returns what is remembered of an account; at first, what the names of
// its blocks tell. w.update is held.
func (w *worker) state(id store.AccountID) *state {
	st := w.states[id]
	if st == nil {
		st = &state{cleaned: time.Now(), skip: map[int64]struct{}{}}
		names, leftovers, _ := blockFiles(w.x.accountDir(id))
		for _, name := range names {
			_, docs, _ := parseBlockName(name)
			st.rows += int64(docs)
		}
		for _, name := range leftovers {
			os.Remove(filepath.Join(w.x.accountDir(id), name))
		}
		w.states[id] = st
	}
	return st
}

func (w *worker) try(id store.AccountID, whole bool) {
	if err := w.x.update(w.ctx, id, whole); err != nil {
		w.fail(id, err)
	}
}

// fail says what went wrong, and rests: mail goes on without.
func (w *worker) fail(id store.AccountID, err error) {
	if w.ctx.Err() != nil || store.KindOf(err) == store.NotFound {
		return
	}
	w.x.log.Warn(maillog.Warning, "doing", "search index", "account", int64(id), "err", err)
	select {
	case <-w.ctx.Done():
	case <-time.After(fullPause):
	}
}

// rest pauses after work of a duration.
func (w *worker) rest(ctx context.Context, worked time.Duration) error {
	part := time.Duration(restSoon)
	switch now := w.busy.Load(); {
	case now != w.seen:
		w.seen, w.changed, part = now, time.Now(), restBusy
	case time.Since(w.changed) > quiet:
		part = restQuiet
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(worked * part / 100):
		return nil
	}
}

var errNoRoom = errors.New("the disk is too full for a search index")

// room tells whether the disk has space for what is only a help.
func (x *Index) room() error {
	var s unix.Statfs_t
	if err := unix.Statfs(x.dir, &s); err != nil {
		return err
	}
	if int64(s.Bavail)*s.Bsize < minFree {
		return errNoRoom
	}
	return nil
}
