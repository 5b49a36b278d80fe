package store

import (
	"sync"
	"sync/atomic"
)

// ChangeKind says what a Change tells of.
type ChangeKind uint8

const (
	MailboxChanged   ChangeKind = iota // messages or flags in Mailbox, now at ModSeq
	MailboxCreated                     // Name
	MailboxDeleted                     // Name
	MailboxRenamed                     // OldName to Name
	Subscribed                         // the account's subscriptions changed
	OutgoingDue                        // Dest has work
	AccountChanged                     // made, disabled, given a password, removed
	DirectoryChanged                   // a domain or an alias came, went or was replaced
	Annotated                          // the annotation Name of Mailbox, or of the server; only Who's if that is not 0
	RightsChanged                      // what Who, or with 0 anyone, may do in Mailbox
)

// Change is one announcement on the feed. It is a hint, never the truth:
// what really is comes from Changes, so a lost hint costs time, not
// correctness.
type Change struct {
	Kind    ChangeKind
	Account AccountID
	Mailbox MailboxID
	ModSeq  ModSeq
	Name    string
	OldName string
	Dest    string
	Who     AccountID
}

// Feed hands changes to whoever subscribed. It never waits for a reader: one
// that is too slow loses its subscription, not the writer its time.
type Feed struct {
	mu      sync.Mutex
	subs    map[*Subscription]struct{}
	watches map[MailboxID]map[*Watch]struct{}

	directory atomic.Uint64 // changes of accounts, domains and aliases so far
}

// NewFeed returns a feed without subscribers.
func NewFeed() *Feed {
	return &Feed{subs: map[*Subscription]struct{}{}, watches: map[MailboxID]map[*Watch]struct{}{}}
}

// Publish announces changes in the order given. The engine calls it after
// each commit, one commit after the other.
func (f *Feed) Publish(changes ...Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range changes {
		if c.Kind == AccountChanged || c.Kind == DirectoryChanged {
			f.directory.Add(1)
		}
		for s := range f.subs {
			if s.match == nil || s.match(c) {
				f.send(s, c)
			}
		}
		for w := range f.watches[c.Mailbox] {
			w.wake()
		}
	}
}

// send gives c to s, or ends s if it has no room. f.mu is held.
func (f *Feed) send(s *Subscription, c Change) {
	select {
	case s.c <- c:
	default:
		s.lost = true
		f.drop(s)
	}
}

// drop ends s once. f.mu is held.
func (f *Feed) drop(s *Subscription) {
	if _, ok := f.subs[s]; ok {
		delete(f.subs, s)
		close(s.c)
	}
}

// Subscription is a reader's place on the feed.
type Subscription struct {
	feed  *Feed
	match func(Change) bool
	c     chan Change
	lost  bool // guarded by feed.mu
}

// Subscribe returns a subscription that holds up to buffer changes for which
// match is true; nil matches all. match is called by the publisher: it must be
// quick and may not use the feed.
func (f *Feed) Subscribe(buffer int, match func(Change) bool) *Subscription {
	s := &Subscription{feed: f, match: match, c: make(chan Change, max(buffer, 1))}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.subs[s] = struct{}{}
	return s
}

// C gives the changes. It is closed when the reader was too slow and by
// Close; what was buffered before can still be read.
func (s *Subscription) C() <-chan Change { return s.c }

// Lost tells whether changes went missing because the reader was too slow.
func (s *Subscription) Lost() bool {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	return s.lost
}

// Close ends the subscription. It may be called more than once.
func (s *Subscription) Close() {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	s.feed.drop(s)
}

// Watch is woken whenever something is announced of one mailbox.
type Watch struct {
	feed *Feed
	id   MailboxID
	c    chan struct{}
}

// Watch returns a watch on the mailbox id. However much happens before it is
// read, it is woken once: whoever is woken asks the store what is new.
func (f *Feed) Watch(id MailboxID) *Watch {
	w := &Watch{feed: f, id: id, c: make(chan struct{}, 1)}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watches[id] == nil {
		f.watches[id] = map[*Watch]struct{}{}
	}
	f.watches[id][w] = struct{}{}
	return w
}

// C is woken by changes; it is never closed.
func (w *Watch) C() <-chan struct{} { return w.c }

// Close ends the watch. It may be called more than once.
func (w *Watch) Close() {
	w.feed.mu.Lock()
	defer w.feed.mu.Unlock()
	delete(w.feed.watches[w.id], w)
	if len(w.feed.watches[w.id]) == 0 {
		delete(w.feed.watches, w.id)
	}
}

func (w *Watch) wake() {
	select {
	case w.c <- struct{}{}:
	default:
	}
}
