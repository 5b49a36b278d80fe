package store

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"postrider/mail"
)

// noted is an engine that keeps what it is told in the background.
type noted struct {
	Engine
	mu      sync.Mutex
	untaken []mail.ID
	fetched []Fetch
}

func (n *noted) NoteUntaken(_ context.Context, us []Untaken) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, u := range us {
		n.untaken = append(n.untaken, u.ID)
	}
	return nil
}

func (n *noted) NoteFetched(_ context.Context, fs []Fetch) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fetched = append(n.fetched, fs...)
	return nil
}

func (n *noted) Close() error { return nil }
func (n *noted) Feed() *Feed  { return NewFeed() }

// Readings are noted once each, refusals until there are too many, and what
// waits is written when the store is closed.
func TestNotes(t *testing.T) {
	e := &noted{}
	s := &Store{Engine: e, notes: newNotes(e)}
	box := MailboxID{Account: 1, N: 2}
	s.WasRead(box, UIDSet{{1, 5}}, "imap")
	s.WasRead(box, UIDSet{{3, 7}}, "pop3")
	s.WasRead(box, UIDSet{{2, 6}}, "imap")
	taken := 0
	for range 2 * maxUntaken {
		if s.Refused(Untaken{ID: "x"}) {
			taken++
		}
	}
	if taken < maxUntaken || taken > maxUntaken+100 {
		t.Errorf("%d refusals noted", taken)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s.Refused(Untaken{ID: "y"}) {
		t.Error("noted after the end")
	}
	s.WasRead(box, UIDSet{{100, 100}}, "imap")
	var got []string
	for _, f := range e.fetched {
		got = append(got, fmt.Sprint(f.UIDs, f.How))
	}
	if fmt.Sprint(got) != "[[{1 5}]imap [{6 7}]pop3]" || len(e.untaken) != taken {
		t.Errorf("noted %v and %d refusals of %d", got, len(e.untaken), taken)
	}
}
