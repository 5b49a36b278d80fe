package sqlite

import (
	"context"
	"strings"
	"testing"
	"time"

	"postrider/mail"
	"postrider/store"
)

// Removing an account leaves nothing of it in any table, and gives back the
// bodies that nobody else has. What it has in the queue stays.
func TestRemoveAccountLeavesNothing(t *testing.T) {
	ctx := context.Background()
	e := openTest(t, t.TempDir(), Options{Reserve: -1})
	before := map[string]int{}
	tables := []string{"account", "acct", "address", "alias_target", "credential", "mailbox", "message", "gone", "gone_mbox",
		"subscription", "msgref", "op", "body", "body_data"}
	if _, err := e.AddDomain(ctx, "a.test"); err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		before[table] = rowCount(t, e, table)
	}
	a, err := e.AddAccount(ctx, store.NewAccount{Address: mail.Address{Local: "alice", Domain: "a.test"}})
	if err != nil {
		t.Fatal(err)
	}
	fillAccount(t, e, a)
	sub := e.Feed().Subscribe(100, func(c store.Change) bool { return c.Kind == store.MailboxDeleted })
	if err := e.RemoveAccount(ctx, a.ID); err != nil {
		t.Fatal(err)
	}
	if n := len(sub.C()); n != 6 {
		t.Errorf("the end of %d mailboxes was announced, want 6", n)
	}
	l, err := e.Lease(ctx, "w", "b.test", time.Now(), time.Minute, 1)
	if err != nil || l == nil {
		t.Fatalf("what was in the queue is gone: %v", err)
	}
	if err := e.Finish(ctx, []store.RcptOutcome{{ID: l.Rcpts[0].ID, Fence: l.Rcpts[0].Fence, Done: true}}); err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		if n := rowCount(t, e, table); n != before[table] {
			t.Errorf("%s has %d rows, had %d", table, n, before[table])
		}
	}
}

// fillAccount gives an account some of everything.
func fillAccount(t *testing.T, e *Engine, a store.Account) {
	t.Helper()
	ctx := context.Background()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	in, err := e.Mailbox(ctx, a.ID, store.Inbox)
	ok(err)
	for _, size := range []int{10, 1000, 400_000} {
		_, err = e.Append(ctx, store.OpID(strings.Repeat("o", size%7)), in.ID,
			strings.NewReader("Message-ID: <1@a.test>\r\n\r\n"+strings.Repeat("x", size)), store.Flags{}, time.Now())
		ok(err)
	}
	_, err = e.Expunge(ctx, in.ID, store.UIDSetOf(2), false)
	ok(err)
	_, err = e.Accept(ctx, &store.Acceptance{ID: mail.NewID(time.Now()), Body: strings.NewReader("x\r\n"),
		Local: []store.LocalRcpt{{Account: a.ID}},
		Outgoing: []store.NewOutgoing{{Account: a.ID, Expires: time.Now().Add(time.Hour), Envelope: mail.Envelope{From: a.Address,
			Rcpts: []mail.Recipient{{Addr: mail.Address{Local: "x", Domain: "b.test"}}}}}}})
	ok(err)
	_, err = e.Create(ctx, a.ID, "Gone", store.UseNone)
	ok(err)
	ok(e.Delete(ctx, a.ID, "Gone"))
	ok(e.Subscribe(ctx, a.ID, "Not here", true))
}

// A mailbox with too many runs of expunged UIDs forgets the oldest.
func TestTrimGone(t *testing.T) {
	ctx := context.Background()
	e := openTest(t, t.TempDir(), Options{Reserve: -1})
	_, in := addAccount(t, e, "alice")
	const runs = maxRuns + 10
	err := e.write(ctx, "many expunges", func(x *tx) error {
		for n := range runs {
			_, err := x.exec("INSERT INTO gone (acct, mbox, modseq, uid_lo, uid_hi) VALUES (?1, ?2, ?3, ?4, ?4)",
				int64(in.Account), in.N, 100+n, 2*n+1)
			if err != nil {
				return err
			}
		}
		_, err := x.exec("UPDATE mailbox SET modseq = ?3, uidnext = ?4 WHERE acct = ?1 AND id = ?2", int64(in.Account), in.N, 100+runs, 2*runs)
		if err == nil {
			_, err = x.exec("UPDATE acct SET modseq = ?2 WHERE id = ?1", int64(in.Account), 100+runs)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing to do
		if err := e.trimGone(ctx); err != nil {
			t.Fatal(err)
		}
		if n := rowCount(t, e, "gone"); n != keepRuns {
			t.Errorf("%d runs are left, want %d", n, keepRuns)
		}
	}
	const floor = 100 + runs - keepRuns - 1
	for since, full := range map[store.ModSeq]bool{floor - 1: true, floor: false, floor + 1: false} {
		d, err := e.Changes(ctx, in, since)
		if err != nil || d.Full != full {
			t.Errorf("changes since %d: full is %v, %v", since, d.Full, err)
		}
	}
}
