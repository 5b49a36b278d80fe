package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"postrider/mail"
)

// people is an engine of which only Domain and Lookup are there.
type people struct {
	Engine
	feed    *Feed
	entries map[string]Entry
	fail    error
	asked   int
	during  func() // while it is asked
}

func (p *people) Feed() *Feed { return p.feed }

func (p *people) Lookup(_ context.Context, a mail.Address) (Entry, error) {
	p.asked++
	e, ok := p.entries[a.Key()]
	if p.during != nil {
		p.during()
	}
	if p.fail != nil {
		return Entry{}, p.fail
	}
	if !ok {
		return Entry{}, Errorf(NotFound, "lookup", "%s", a.Key())
	}
	return e, nil
}

func (p *people) Domain(_ context.Context, name string) (Domain, error) {
	_, err := p.Lookup(context.Background(), mail.Address{Domain: name})
	return Domain{Name: name}, err
}

func newPeople() (*people, *Store) {
	p := &people{feed: NewFeed(), entries: map[string]Entry{
		"bob@b.test":  {Account: &Account{ID: 1}},
		"full@b.test": {Account: &Account{ID: 2, Quota: 5}},
		"team@b.test": {Alias: &Alias{Targets: make([]mail.Address, 3)}},
		"list@b.test": {Alias: &Alias{Targets: make([]mail.Address, directoryTargets+1)}},
		"@b.test":     {},
	}}
	return p, New(p, Options{})
}

// TestRecipient counts how often the engine is asked.
func TestRecipient(t *testing.T) {
	p, s := newPeople()
	now := time.Unix(1e9, 0)
	s.known.now = func() time.Time { return now }
	ask := func(key string, asked int) {
		t.Helper()
		before := p.asked
		a, _ := mail.ParseAddress(key)
		e, err := s.Recipient(t.Context(), a)
		want, there := p.entries[key]
		if e != want || there != (err == nil) || !there && KindOf(err) != NotFound {
			t.Errorf("%s: %+v, %v", key, e, err)
		}
		if p.asked-before != asked {
			t.Errorf("%s: the engine was asked %d times", key, p.asked-before)
		}
	}
	for _, key := range []string{"bob@b.test", "team@b.test", "nobody@b.test"} {
		ask(key, 1)
		ask(key, 0)
	}
	for range 2 {
		ask("full@b.test", 1) // whether it takes mail depends on what it holds
		ask("list@b.test", 1)
	}
	p.entries["nobody@b.test"] = Entry{Account: &Account{ID: 3}}
	p.feed.Publish(Change{Kind: AccountChanged, Account: 3})
	ask("nobody@b.test", 1)
	ask("bob@b.test", 1)
	p.feed.Publish(Change{Kind: MailboxChanged}, Change{Kind: OutgoingDue})
	ask("bob@b.test", 0)
	p.feed.Publish(Change{Kind: DirectoryChanged})
	ask("bob@b.test", 1)
	now = now.Add(directoryAge)
	ask("bob@b.test", 1)

	// What is announced while the engine is asked may not be in its answer.
	now = now.Add(directoryAge)
	p.during = func() { p.feed.Publish(Change{Kind: DirectoryChanged}) }
	ask("bob@b.test", 1)
	p.during = nil
	ask("bob@b.test", 1)
	ask("bob@b.test", 0)

	p.fail = errors.New("disk on fire")
	if _, err := s.Recipient(t.Context(), mail.Address{Local: "new", Domain: "b.test"}); !errors.Is(err, p.fail) {
		t.Errorf("a failure became %v", err)
	}
	p.fail = nil
	ask("new@b.test", 1)
}

func TestOurs(t *testing.T) {
	p, s := newPeople()
	for range 2 {
		if ok, err := s.Ours(t.Context(), "b.test"); !ok || err != nil {
			t.Errorf("b.test: %v, %v", ok, err)
		}
		if ok, err := s.Ours(t.Context(), "c.test"); ok || err != nil {
			t.Errorf("c.test: %v, %v", ok, err)
		}
	}
	if p.asked != 2 {
		t.Errorf("the engine was asked %d times", p.asked)
	}
	p.fail = errors.New("disk on fire")
	if ok, err := s.Ours(t.Context(), "d.test"); ok || !errors.Is(err, p.fail) {
		t.Errorf("a failure became %v, %v", ok, err)
	}
}

// A peer that asks for ever new names does not make the memory grow.
func TestRecipientIsBounded(t *testing.T) {
	_, s := newPeople()
	for i := range directoryEntries + directoryEntries/2 {
		s.Recipient(t.Context(), mail.Address{Local: fmt.Sprint("u", i), Domain: "b.test"})
	}
	if n := len(s.known.answers); n > directoryEntries {
		t.Errorf("%d entries", n)
	}
}
