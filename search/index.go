package search

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"postrider/internal/maillog"
	"postrider/store"
)

// Options are the settings of an Index; the zero value is good.
type Options struct {
	// Memory bounds what the open indexes of all accounts take; 0 is 64 MiB.
	// Those that were used longest ago are closed. One account's may exceed
	// it.
	Memory int64
	// Log tells of what an operator should know; nil discards.
	Log *slog.Logger
	// Idle says that the indexer does nothing by itself: for tests, and for
	// who calls Update.
	Idle bool
}

const defaultMemory = 64 << 20

// Index keeps the indexes of all accounts, each in a directory of its own.
type Index struct {
	dir   string
	store *store.Store
	o     Options
	log   *slog.Logger

	mu       sync.Mutex
	accounts map[store.AccountID]*account
	clock    int64 // counts uses

	work worker
}

// Open opens the indexes below dir, which is made if it is missing, and
// starts to keep them up to date with st. Close it before st. dir is nobody
// else's while it is open.
func Open(dir string, st *store.Store, o Options) (*Index, error) {
	if o.Memory == 0 {
		o.Memory = defaultMemory
	}
	if o.Log == nil {
		o.Log = maillog.Discard()
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	x := &Index{dir: dir, store: st, o: o, log: o.Log, accounts: map[store.AccountID]*account{}}
	x.work.init(x)
	if !o.Idle {
		x.work.start()
	}
	return x, nil
}

// Close ends the work under way and closes all files.
func (x *Index) Close() error {
	x.work.stop()
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, a := range x.accounts {
		a.mu.Lock()
		a.unload()
		a.mu.Unlock()
	}
	clear(x.accounts)
	return nil
}

// account returns the index of an account, opened.
func (x *Index) account(id store.AccountID) *account {
	x.mu.Lock()
	a := x.accounts[id]
	if a == nil {
		a = &account{id: id, dir: x.accountDir(id)}
		x.accounts[id] = a
	}
	x.clock++
	a.used = x.clock
	x.mu.Unlock()
	return a
}

func (x *Index) accountDir(id store.AccountID) string {
	return filepath.Join(x.dir, strconv.FormatInt(int64(id), 10))
}

// open opens an account's blocks if that has not been done, and returns with
// a.mu held for reading.
func (x *Index) open(a *account) error {
	a.mu.RLock()
	if a.loaded {
		return nil
	}
	a.mu.RUnlock()
	a.mu.Lock()
	damaged, err := a.load()
	a.mu.Unlock()
	for _, d := range damaged {
		x.complain(a, d)
	}
	if err != nil {
		return err
	}
	x.trim(a)
	a.mu.RLock()
	return nil
}

// trim closes the indexes that were used longest ago, but not that of last.
func (x *Index) trim(last *account) {
	for {
		var sum int64
		var oldest *account
		x.mu.Lock()
		for _, a := range x.accounts {
			a.mu.RLock()
			sum += a.memory
			if a.loaded && a != last && a.pins == 0 && (oldest == nil || a.used < oldest.used) {
				oldest = a
			}
			a.mu.RUnlock()
		}
		x.mu.Unlock()
		if sum <= x.o.Memory || oldest == nil {
			return
		}
		oldest.mu.Lock()
		oldest.unload()
		oldest.mu.Unlock()
	}
}

func (x *Index) complain(a *account, err error) {
	x.log.Warn(maillog.Warning, "doing", "search", "account", int64(a.id), "what", "a part of the search index cannot be used; it is made anew", "err", err)
}

// Narrow tells for each term what is known of each message, whose email ids
// are given in the order of their UIDs. Nothing is known, and nil returned, if
// there is no index; nothing is known of single messages or terms, and Maybe
// said, if they are not indexed. No and Yes are certain.
func (x *Index) Narrow(ctx context.Context, id store.AccountID, emails []int64, terms []Term) [][]Verdict {
	if len(emails) == 0 || len(terms) == 0 {
		return nil
	}
	a := x.account(id)
	if err := x.open(a); err != nil {
		x.complain(a, err)
		return nil
	}
	places, missing := make([]place, len(emails)), 0
	a.locate(emails, func(i int, at place) {
		if places[i] = at; at == nowhere {
			missing++
		}
	})
	known := make([][]Verdict, len(terms))
	bad, err := a.ask(ctx, places, terms, known)
	a.mu.RUnlock()
	if missing >= searchedTail {
		x.work.searched(id)
	}
	if err != nil {
		if ctx.Err() == nil {
			x.complain(a, err)
			a.drop(bad)
		}
		return nil
	}
	return known
}

// ask fills in what the blocks know. On an error it returns the block that
// has it. mu is held.
func (a *account) ask(ctx context.Context, places []place, terms []Term, known [][]Verdict) (*block, error) {
	var q asker
	answers := make([]answer, len(a.blocks))
	for n := range terms {
		t := &terms[n]
		known[n] = make([]Verdict, len(places))
		if t.In != InField && len(t.Text) == 0 { // every text has it
			for i := range known[n] {
				known[n][i] = Yes
			}
			continue
		}
		if t.isOpen() {
			continue
		}
		for i, b := range a.blocks {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			var err error
			if answers[i], err = q.ask(b, t); err != nil {
				return b, err
			}
		}
		for i, at := range places {
			if at != nowhere {
				known[n][i] = answers[at.block()].of(at.doc())
			}
		}
	}
	return nil, nil
}
