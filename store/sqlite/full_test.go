package sqlite

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/mail"
	"postrider/store"
)

// smallDisk returns a directory on a file system of size bytes of its own.
func smallDisk(t *testing.T, size string) (dir string, err error) {
	dir = t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		return "", err
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir, nil
}

// fillUp writes a file until its disk is full.
func fillUp(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := f.Write(block); errors.Is(err, unix.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// On a full disk nothing is taken in, and everything else goes on: reading,
// flags, the queue, deleting. When there is space again, so does mail.
func TestFullDisk(t *testing.T) {
	dir, err := smallDisk(t, "40m")
	if err != nil {
		t.Logf("no file system of our own, so the database has a limit instead: %v", err)
		fullDatabase(t)
		return
	}
	e := openTest(t, dir, Options{Owner: true, Reserve: 6 << 20})
	a, inbox := addAccount(t, e, "bob")
	queueOne(t, e, a.ID)
	once := acceptance(a.ID, text(0, 1000))
	once.Op = "once"
	if _, err := e.Accept(t.Context(), once); err != nil {
		t.Fatal(err)
	}
	n := 1 + fillWithMail(t, e, a.ID, 50000, 1<<20, 2000)
	fillUp(t, filepath.Join(dir, "filler"))
	wantFull(t, e, inbox, 1<<20, 200000)
	if done, err := e.Accept(t.Context(), once); err != nil || !done.Again {
		t.Errorf("what was done before the disk was full: %+v, %v", done, err)
	}
	goesOn(t, e, inbox, n)
	if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
		t.Fatal(err)
	}
	comesBack(t, e, a.ID)
	clean(t, e)
}

// Deleting alone makes room again, though the database's file is as large as
// it was and nothing else on the disk goes.
func TestDeletingMakesRoom(t *testing.T) {
	dir, err := smallDisk(t, "40m")
	if err != nil {
		t.Logf("no file system of our own, so the database has a limit instead: %v", err)
		fullDatabase(t)
		return
	}
	e := openTest(t, dir, Options{Owner: true, Reserve: 6 << 20})
	a, inbox := addAccount(t, e, "bob")
	fillWithMail(t, e, a.ID, 50000, 10000)
	fillUp(t, filepath.Join(dir, "filler"))
	wantFull(t, e, inbox, 200000)
	if _, err := e.Expunge(t.Context(), inbox, store.AllUIDs(), false); err != nil {
		t.Fatal(err)
	}
	comesBack(t, e, a.ID)
	clean(t, e)
}

// The same when SQLite itself runs into a limit in the middle of a
// transaction.
func TestFullDatabase(t *testing.T) { fullDatabase(t) }

func fullDatabase(t *testing.T) {
	e := openTest(t, t.TempDir(), Options{Owner: true, GroupInline: 1 << 40}) // segments have no limit
	limit := func(query string) {
		var pages int
		if err := e.write(t.Context(), "test", func(tx *tx) error { return tx.get(query, nil, &pages) }); err != nil {
			t.Fatal(err)
		}
	}
	limit("PRAGMA max_page_count = 5000")
	a, inbox := addAccount(t, e, "bob")
	queueOne(t, e, a.ID)
	n := fillWithMail(t, e, a.ID, 50000) // unlike a disk, this has no reserve for the outcome
	wantFull(t, e, inbox, 200000, 100000)
	limit("PRAGMA max_page_count = 5010") // what the reserve is on a disk
	goesOn(t, e, inbox, n)
	if _, err := e.Expunge(t.Context(), inbox, store.AllUIDs(), false); err != nil {
		t.Fatal(err)
	}
	comesBack(t, e, a.ID)
	clean(t, e)
}

// queueOne accepts a message for the account and for x@b.test.
func queueOne(t *testing.T, e *Engine, a store.AccountID) {
	t.Helper()
	m := acceptance(a, text(0, 1000))
	m.Outgoing = []store.NewOutgoing{{Account: a, Expires: e.now().Add(time.Hour), Envelope: mail.Envelope{
		Rcpts: []mail.Recipient{{Addr: mail.Address{Local: "x", Domain: "b.test"}}}}}}
	if _, err := e.Accept(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

// fillWithMail accepts messages, of smaller and smaller sizes, until there is
// no room, and returns how many there are.
func fillWithMail(t *testing.T, e *Engine, a store.AccountID, sizes ...int) int {
	t.Helper()
	n := 1
	for i := 0; len(sizes) > 0; i++ {
		_, err := e.Accept(t.Context(), acceptance(a, text(uint64(i), sizes[0])))
		switch {
		case err == nil:
			n++
		case store.KindOf(err) == store.Full:
			sizes = sizes[1:]
		default:
			t.Fatalf("after %d messages: %v", n, err)
		}
	}
	return n
}

func wantFull(t *testing.T, e *Engine, inbox store.MailboxID, sizes ...int) {
	t.Helper()
	for _, size := range sizes {
		if _, err := e.Accept(t.Context(), acceptance(inbox.Account, text(1, size))); store.KindOf(err) != store.Full {
			t.Errorf("accept of %d bytes: %v", size, err)
		}
		if _, err := e.Append(t.Context(), "", inbox, bytes.NewReader(text(1, size)), store.Flags{}, time.Time{}); store.KindOf(err) != store.Full {
			t.Errorf("append of %d bytes: %v", size, err)
		}
	}
}

// goesOn does what must work on a full disk.
func goesOn(t *testing.T, e *Engine, inbox store.MailboxID, n int) {
	t.Helper()
	ctx := context.Background()
	got := 0
	err := e.Fetch(ctx, inbox, store.AllUIDs(), store.NeedBody|store.NeedMeta, func(c *store.Content) error {
		got++
		_, err := io.Copy(io.Discard, io.NewSectionReader(c, 0, c.Size))
		return err
	})
	if err != nil || got != n {
		t.Errorf("read %d of %d messages: %v", got, n, err)
	}
	if _, err := e.SetFlags(ctx, inbox, store.AllUIDs(), store.FlagChange{Mode: store.FlagsAdd, Flags: store.Flags{System: store.Seen}}, store.Unconditional); err != nil {
		t.Errorf("flags: %v", err)
	}
	now := e.now()
	l, err := e.Lease(ctx, "test", "b.test", now, time.Minute, 10)
	if err != nil || l == nil {
		t.Fatalf("lease: %v, %v", l, err)
	}
	notice := acceptance(inbox.Account, text(77, 1000))
	if err := e.Finish(ctx, []store.RcptOutcome{{ID: l.Rcpts[0].ID, Fence: l.Rcpts[0].Fence, Done: true}}, notice); err != nil {
		t.Errorf("finish: %v", err)
	}
	for uid := store.UID(1); uid <= 20; uid++ {
		if _, err := e.Expunge(ctx, inbox, store.UIDSetOf(uid), false); err != nil {
			t.Fatalf("expunge %d: %v", uid, err)
		}
	}
}

// comesBack wants mail to be taken in again soon, by itself.
func comesBack(t *testing.T, e *Engine, a store.AccountID) {
	t.Helper()
	start := time.Now()
	for {
		_, err := e.Accept(t.Context(), acceptance(a, text(1, 200000)))
		if err == nil {
			return
		}
		if store.KindOf(err) != store.Full || time.Since(start) > time.Minute {
			t.Fatalf("after %v: %v", time.Since(start), err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Free pages in the database go back to the file system.
func TestVacuum(t *testing.T) {
	dir := t.TempDir()
	e := openTest(t, dir, Options{})
	a, inbox := addAccount(t, e, "bob")
	for i := range 40 {
		if _, err := e.Accept(t.Context(), acceptance(a.ID, text(uint64(i), 200000))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.Expunge(t.Context(), inbox, store.UIDSet{{Lo: 1, Hi: 39}}, false); err != nil {
		t.Fatal(err)
	}
	err := e.vacuum(t.Context())
	for ; err == nil; err = e.vacuum(t.Context()) {
		clean(t, e)
	}
	if !errors.Is(err, errNothing) {
		t.Fatal(err)
	}
	if err := e.checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, dbName)); err != nil || info.Size() > 1<<20 {
		t.Errorf("the database still has %d bytes, %v", info.Size(), err)
	}
	if _, err := readBody(t, e, inbox, 40); err != nil {
		t.Error(err)
	}
}
