// Package storetest is what every engine of the store must pass. Each case
// opens two handles on the same data, as two processes would, and ends with a
// check of every invariant, before and after everything is opened anew.
package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/mail"
	"postrider/store"
)

// Trimmer is what an engine must have beside store.Engine for one case: to
// forget which messages were expunged from a mailbox, but for the last keep
// runs, as it does by itself when there are many.
type Trimmer interface {
	ForgetExpunged(ctx context.Context, box store.MailboxID, keep int) error
}

// Run runs the suite. open opens a handle on the data in dir, and makes them
// if there are none; opened twice it gives two handles on the same data. The
// suite closes what it opened.
func Run(t *testing.T, open func(t *testing.T, dir string) store.Engine) {
	for _, c := range slices.Concat(directoryCases(), keyCases(), transportCases(), mailboxCases(), acceptCases(), messageCases(), flagCases(),
		copyCases(), sharingCases(), changeCases(), bodyCases(), queueCases(), journeyCases(), raceCases()) {
		t.Run(c.name, func(t *testing.T) {
			s := newSuite(t, open)
			c.run(s)
			s.finish()
		})
	}
}

type testCase struct {
	name string
	run  func(*suite)
}

// suite is one case's data: two handles, and two accounts at a.test.
type suite struct {
	*testing.T
	ctx        context.Context
	dir        string
	open       func(*testing.T, string) store.Engine
	a, b       handle
	alice, bob store.Account
}

// handle is an engine whose methods in lower case end the test when they fail.
// They are for the test's own goroutine.
type handle struct {
	store.Engine
	s *suite
}

func newSuite(t *testing.T, open func(*testing.T, string) store.Engine) *suite {
	s := &suite{T: t, ctx: t.Context(), dir: t.TempDir(), open: open}
	s.a, s.b = handle{open(t, s.dir), s}, handle{open(t, s.dir), s}
	t.Cleanup(func() { // again after finish, for a case that ended early
		s.a.Close()
		s.b.Close()
	})
	_, err := s.a.AddDomain(s.ctx, "a.test")
	s.ok(err)
	s.alice, s.bob = s.account("alice@a.test"), s.account("bob@a.test")
	return s
}

// finish checks everything, through both handles and through a third that
// finds what was made durable.
func (s *suite) finish() {
	s.Helper()
	if s.Failed() {
		return
	}
	s.a.check()
	s.b.check()
	s.reopen()
	s.a.check()
}

// reopen closes both handles and opens them anew.
func (s *suite) reopen() {
	s.Helper()
	s.ok(s.a.Close())
	s.ok(s.b.Close())
	s.a.Engine, s.b.Engine = s.open(s.T, s.dir), s.open(s.T, s.dir)
}

func (h handle) check() {
	h.s.Helper()
	problems, err := h.Check(h.s.ctx, true)
	h.s.ok(err)
	for _, p := range problems {
		h.s.Errorf("check: %s", p)
	}
}

func (s *suite) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// kind wants err to be of a kind.
func (s *suite) kind(err error, want store.Kind) {
	s.Helper()
	if err == nil || store.KindOf(err) != want {
		s.Errorf("got error %v, want kind %v", err, want)
	}
}

// equal wants two values to print alike.
func (s *suite) equal(what string, got, want any) {
	s.Helper()
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		s.Errorf("%s: got %s, want %s", what, g, w)
	}
}

func (s *suite) address(text string) mail.Address {
	s.Helper()
	a, err := mail.ParseAddress(text)
	s.ok(err)
	return a
}

func (s *suite) account(address string) store.Account {
	s.Helper()
	a, err := s.a.AddAccount(s.ctx, store.NewAccount{Address: s.address(address)})
	s.ok(err)
	return a
}

// inbox is the INBOX of an account.
func (h handle) inbox(a store.Account) store.MailboxID { return h.box(a, store.Inbox).ID }

func (h handle) box(a store.Account, name string) store.Mailbox {
	h.s.Helper()
	m, err := h.Mailbox(h.s.ctx, a.ID, name)
	h.s.ok(err)
	return m
}

func (h handle) create(a store.Account, name string) store.Mailbox {
	h.s.Helper()
	m, err := h.Create(h.s.ctx, a.ID, name, store.UseNone)
	h.s.ok(err)
	return m
}

// names returns the names of an account's mailboxes.
func (h handle) names(a store.Account) []string {
	h.s.Helper()
	list, err := h.List(h.s.ctx, a.ID)
	h.s.ok(err)
	var names []string
	for _, m := range list {
		names = append(names, m.Name)
	}
	return names
}

// put appends a message with flags and returns its UID.
func (h handle) put(box store.MailboxID, text string, f store.Flags) store.UID {
	h.s.Helper()
	filed, err := h.Append(h.s.ctx, "", box, strings.NewReader(text), f, time.Unix(1e9, 0))
	h.s.ok(err)
	if filed.Mailbox != box || filed.UID == 0 || filed.UIDValidity == 0 {
		h.s.Fatalf("appended as %+v", filed)
	}
	return filed.UID
}

// fill appends n messages without flags.
func (h handle) fill(box store.MailboxID, n int) []store.UID {
	h.s.Helper()
	var uids []store.UID
	for i := range n {
		uids = append(uids, h.put(box, letter(fmt.Sprint("number ", i)), store.Flags{}))
	}
	return uids
}

func (h handle) changes(box store.MailboxID, since store.ModSeq) store.Delta {
	h.s.Helper()
	d, err := h.Changes(h.s.ctx, box, since)
	h.s.ok(err)
	return d
}

// rows returns all messages of a mailbox.
func (h handle) rows(box store.MailboxID) []store.Row {
	h.s.Helper()
	var rows []store.Row
	d := h.changes(box, 0)
	for _, r := range d.Changed.All() {
		rows = append(rows, r)
	}
	return rows
}

// row returns one message of a mailbox.
func (h handle) row(box store.MailboxID, uid store.UID) store.Row {
	h.s.Helper()
	for _, r := range h.rows(box) {
		if r.UID == uid {
			return r
		}
	}
	h.s.Fatalf("no message %d", uid)
	return store.Row{}
}

// uids returns the UIDs of a mailbox.
func (h handle) uids(box store.MailboxID) []store.UID {
	h.s.Helper()
	var uids []store.UID
	for _, r := range h.rows(box) {
		uids = append(uids, r.UID)
	}
	return uids
}

// text reads a whole message.
func (h handle) text(box store.MailboxID, uid store.UID) string {
	h.s.Helper()
	var text string
	n := 0
	err := h.Fetch(h.s.ctx, box, store.UIDSetOf(uid), store.NeedBody, func(c *store.Content) error {
		n++
		text = whole(h.s, c)
		return nil
	})
	h.s.ok(err)
	if n != 1 {
		h.s.Fatalf("fetching message %d gave %d messages", uid, n)
	}
	return text
}

// texts reads all messages of a mailbox.
func (h handle) texts(box store.MailboxID) []string {
	h.s.Helper()
	var all []string
	err := h.Fetch(h.s.ctx, box, store.AllUIDs(), store.NeedBody, func(c *store.Content) error {
		all = append(all, whole(h.s, c))
		return nil
	})
	h.s.ok(err)
	return all
}

// expunge removes messages and returns which went.
func (h handle) expunge(box store.MailboxID, uids ...store.UID) store.UIDSet {
	h.s.Helper()
	gone, err := h.Expunge(h.s.ctx, box, store.UIDSetOf(uids...), false)
	h.s.ok(err)
	return gone
}

// again reads an account anew.
func (h handle) again(a store.Account) store.Account {
	h.s.Helper()
	now, err := h.Account(h.s.ctx, a.ID)
	h.s.ok(err)
	return now
}

// letter is a small message.
func letter(subject string) string {
	return "From: Alice <alice@a.test>\r\nTo: bob@a.test\r\nSubject: " + subject + "\r\n\r\nDear Bob,\r\n\r\nyours\r\n"
}
