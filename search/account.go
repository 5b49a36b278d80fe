package search

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"postrider/store"
)

const (
	blockSuffix = ".idx"
	tmpSuffix   = ".tmp"
)

// account is the index of one account: its blocks.
type account struct {
	id  store.AccountID
	dir string

	// mu is held for reading by searches. The indexer alone changes what it
	// guards, but for drop.
	mu     sync.RWMutex
	loaded bool
	blocks []*block
	emails []int64 // of all blocks, ascending
	places []place // of emails
	memory int64
	next   int // number of the next block's file

	used int64 // when, by Index.clock; guarded by Index.mu, as is pins
	pins int   // who needs it open
}

// place is where a message is: the number of its block, and its number there.
type place uint32

const nowhere place = 1<<32 - 1

func placeOf(block, doc int) place { return place(block*blockDocs + doc) }

func (p place) block() int { return int(p / blockDocs) }

func (p place) doc() int { return int(p % blockDocs) }

// blockName is a block's file: its number, and how many messages it has for
// who only lists the directory.
func blockName(n, docs int) string { return fmt.Sprintf("%08d-%d%s", n, docs, blockSuffix) }

func parseBlockName(name string) (n, docs int, ok bool) {
	a, b, found := strings.Cut(strings.TrimSuffix(name, blockSuffix), "-")
	n, err := strconv.Atoi(a)
	docs, err2 := strconv.Atoi(b)
	return n, docs, found && strings.HasSuffix(name, blockSuffix) && err == nil && err2 == nil && n >= 0
}

// blockFiles lists an account's blocks in the order in which they were made,
// and what a crash left half-written.
func blockFiles(dir string) (blocks, leftovers []string, err error) {
	entries, err := os.ReadDir(dir) // by name
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	for _, e := range entries {
		if _, _, ok := parseBlockName(e.Name()); ok {
			blocks = append(blocks, e.Name())
		} else if strings.HasSuffix(e.Name(), tmpSuffix) {
			leftovers = append(leftovers, e.Name())
		}
	}
	return blocks, leftovers, err
}

// load opens the blocks. Those that are damaged go. mu is held.
func (a *account) load() (damaged []error, err error) {
	if a.loaded {
		return nil, nil
	}
	names, _, err := blockFiles(a.dir)
	if err != nil {
		return nil, err
	}
	var blocks []*block
	for _, name := range names {
		n, _, _ := parseBlockName(name)
		a.next = max(a.next, n+1)
		b, err := openBlock(filepath.Join(a.dir, name))
		if err != nil {
			damaged = append(damaged, err)
			os.Remove(filepath.Join(a.dir, name))
			continue
		}
		blocks = append(blocks, b)
	}
	a.loaded = true
	a.set(blocks)
	return damaged, nil
}

// located is a message of a block.
type located struct {
	email int64
	at    place
}

// messagesOf returns the messages of blocks, the first of which has the number
// first, ascending. What several blocks have is there only as in the last.
func messagesOf(blocks []*block, first int) []located {
	n := 0
	for _, b := range blocks {
		n += len(b.emails)
	}
	all := make([]located, 0, n)
	for i, b := range blocks {
		for doc, e := range b.emails {
			all = append(all, located{e, placeOf(first+i, doc)})
		}
	}
	slices.SortFunc(all, func(x, y located) int {
		return cmp.Or(cmp.Compare(x.email, y.email), -cmp.Compare(x.at, y.at))
	})
	return slices.CompactFunc(all, func(x, y located) bool { return x.email == y.email })
}

// set makes blocks the index. A message that several blocks have, which a
// crash between two steps of a merge leaves, counts with the last; one all of
// whose messages are in others is as good as gone, and goes with the next
// merge. Blocks behind those that are there are merged in, since sorting
// all messages with each new block would make each message dearer the more
// there are. mu is held.
func (a *account) set(blocks []*block) {
	had := len(a.blocks)
	if had > len(blocks) || !slices.Equal(a.blocks, blocks[:had]) {
		had, a.emails, a.places = 0, nil, nil
	}
	more := messagesOf(blocks[had:], had)
	emails := make([]int64, 0, len(a.emails)+len(more))
	places := make([]place, 0, cap(emails))
	from := 0 // in what is there already
	for _, m := range more {
		n, again := slices.BinarySearch(a.emails[from:], m.email)
		emails = append(append(emails, a.emails[from:from+n]...), m.email)
		places = append(append(places, a.places[from:from+n]...), m.at)
		if from += n; again {
			from++
		}
	}
	a.emails = append(emails, a.emails[from:]...)
	a.places = append(places, a.places[from:]...)
	a.blocks, a.memory = blocks, int64(cap(a.emails))*12
	for _, b := range blocks {
		a.memory += b.memory()
	}
}

// unload closes the blocks. mu is held.
func (a *account) unload() {
	for _, b := range a.blocks {
		b.f.Close()
	}
	a.blocks, a.emails, a.places, a.memory, a.loaded = nil, nil, nil, 0, false
}

// drop removes a block that turned out to be damaged.
func (a *account) drop(bad *block) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.Index(a.blocks, bad)
	if i < 0 {
		return
	}
	os.Remove(bad.path)
	bad.f.Close()
	a.set(slices.Concat(a.blocks[:i], a.blocks[i+1:]))
}

// locate calls fn with the place of each of the messages, nowhere for those
// that are not indexed. It is quickest where they ascend. mu is held.
func (a *account) locate(emails []int64, fn func(i int, at place)) {
	next := 0
	for i, e := range emails {
		if next >= len(a.emails) || a.emails[next] != e {
			var found bool
			if next, found = slices.BinarySearch(a.emails, e); !found {
				fn(i, nowhere)
				continue
			}
		}
		fn(i, a.places[next])
		next++
	}
}
