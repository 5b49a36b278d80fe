package imapd

import (
	"container/list"
	"sync"

	"postrider/store"
)

const (
	blockShift    = 7
	blockMessages = 1 << blockShift // UIDs that a block spans
	maxBlock      = 512 << 10       // bytes of a block that is kept

	defaultRendered = 32 << 20
)

// rendered remembers how items of messages read in a response: what ENVELOPE,
// BODYSTRUCTURE and HEADER.FIELDS tell of a message never changes, and clients
// ask for it again and again. It holds blocks of messages with neighbouring
// UIDs, the least recently used leaving when there are too many bytes.
//
// What is in it says nothing about which messages there are: that is the
// view's to know.
type rendered struct {
	max int64

	mu     sync.Mutex
	blocks map[blockKey]*list.Element // of *block
	recent list.List                  // most recent first
	bytes  int64
}

// blockKey names a block: one item of the messages whose UIDs begin at
// n << blockShift.
type blockKey struct {
	box      store.MailboxID
	validity uint32
	n        store.UID
	item     string // with what else the text depends on
}

// block is the text of one item of up to blockMessages messages: that of
// message i is text[at[i]:at[i+1]], empty if it is not known. It never
// changes.
type block struct {
	key  blockKey
	text []byte
	at   [blockMessages + 1]uint32
}

func newRendered(max int64) *rendered {
	if max <= 0 {
		max = defaultRendered
	}
	return &rendered{max: max, blocks: map[blockKey]*list.Element{}}
}

// get returns a block, nil if there is none.
func (r *rendered) get(k blockKey) *block {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.blocks[k]
	if e == nil {
		return nil
	}
	r.recent.MoveToFront(e)
	return e.Value.(*block)
}

// put keeps a block in place of the one with the same key, unless it is too
// large.
func (r *rendered) put(b *block) {
	if len(b.text) > maxBlock {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.blocks[b.key]; e != nil {
		r.drop(e)
	}
	r.blocks[b.key] = r.recent.PushFront(b)
	r.bytes += b.size()
	for r.bytes > r.max {
		r.drop(r.recent.Back())
	}
}

// drop lets go of a block; mu is held.
func (r *rendered) drop(e *list.Element) {
	b := r.recent.Remove(e).(*block)
	delete(r.blocks, b.key)
	r.bytes -= b.size()
}

// size is about how much memory a block takes.
func (b *block) size() int64 {
	const entry = 256 // key, list element, the map's share
	return int64(len(b.text)) + 4*(blockMessages+1) + entry
}

// of returns the text of the message at i, empty if it is not known or b is
// nil.
func (b *block) of(i int) []byte {
	if b == nil {
		return nil
	}
	return b.text[b.at[i]:b.at[i+1]]
}

// with returns a block with the texts of b, which may be nil, and those of
// fresh beside them.
func (b *block) with(k blockKey, fresh *freshTexts) *block {
	n := len(fresh.text)
	if b != nil {
		n += len(b.text)
	}
	next := &block{key: k, text: make([]byte, 0, n)}
	for i := range blockMessages {
		text := fresh.of(i)
		if len(text) == 0 {
			text = b.of(i)
		}
		next.text = append(next.text, text...)
		next.at[i+1] = uint32(len(next.text))
	}
	return next
}

// freshTexts are texts of a block in the order in which they were made.
type freshTexts struct {
	text []byte
	at   [blockMessages]struct{ from, to uint32 }
}

func (t *freshTexts) reset() {
	t.text = t.text[:0]
	clear(t.at[:])
}

func (t *freshTexts) of(i int) []byte { return t.text[t.at[i].from:t.at[i].to] }
