package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/mattn/go-sqlite3"

	"postrider/store"
)

func addRow(n int64) func(*tx) error {
	return func(t *tx) error {
		t.publish(store.Change{Account: store.AccountID(n)})
		_, err := t.exec("INSERT INTO acct (id) VALUES (?1)", n)
		return err
	}
}

func countRows(t testing.TB, e *Engine) (n int) {
	t.Helper()
	if err := e.read(context.Background(), "count", func(tx *tx) error {
		return tx.get("SELECT count(*) FROM acct", nil, &n)
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// hold keeps the writer busy until release is called, so that what is written
// meanwhile forms one group.
func hold(e *Engine) (release func()) {
	started, stop, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		e.write(context.Background(), "hold", func(*tx) error {
			close(started)
			<-stop
			return errors.New("undone")
		})
	}()
	<-started
	return func() { close(stop); <-done }
}

func TestFailureInGroupFailsAlone(t *testing.T) {
	e := openTest(t, t.TempDir(), Options{})
	sub := e.Feed().Subscribe(100, nil)
	release := hold(e)
	boom := errors.New("boom")
	var wg sync.WaitGroup
	errs := make([]error, 30)
	for i := range errs {
		wg.Go(func() {
			errs[i] = e.write(context.Background(), "add", func(tx *tx) error {
				if err := addRow(int64(i + 1))(tx); err != nil {
					return err
				}
				if i%3 == 0 {
					return boom
				}
				return nil
			})
		})
	}
	release()
	wg.Wait()
	for i, err := range errs {
		if want := i%3 == 0; errors.Is(err, boom) != want {
			t.Errorf("write %d: %v", i, err)
		}
	}
	if n := countRows(t, e); n != 20 {
		t.Errorf("%d rows, want 20", n)
	}
	sub.Close()
	seen := 0
	for c := range sub.C() {
		if seen++; int(c.Account-1)%3 == 0 {
			t.Errorf("announced what was undone: %d", c.Account)
		}
	}
	if seen != 20 {
		t.Errorf("%d changes announced, want 20", seen)
	}
}

func TestPanicGoesBackToItsCaller(t *testing.T) {
	e := openTest(t, t.TempDir(), Options{})
	func() {
		defer func() {
			if p := recover(); fmt.Sprint(p) != "oops" {
				t.Errorf("recovered %v", p)
			}
		}()
		e.write(t.Context(), "panic", func(tx *tx) error { addRow(1)(tx); panic("oops") })
	}()
	if err := e.write(t.Context(), "add", addRow(2)); err != nil {
		t.Fatal(err)
	}
	if n := countRows(t, e); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

func TestCancelledBeforeItStarts(t *testing.T) {
	e := openTest(t, t.TempDir(), Options{})
	release := hold(e)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- e.write(ctx, "add", addRow(1)) }()
	for len(e.requests) == 0 { // until it waits behind the one that is held
	}
	cancel()
	if err := <-done; store.KindOf(err) != store.Busy || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	release()
	if err := e.write(context.Background(), "add", addRow(2)); err != nil {
		t.Fatal(err)
	}
	if n := countRows(t, e); n != 1 {
		t.Errorf("%d rows, want 1: the cancelled write took place", n)
	}
}

// A write that is cut off from its connection does not stop those after it.
func TestConnectionIsReplaced(t *testing.T) {
	e := openTest(t, t.TempDir(), Options{})
	err := e.write(t.Context(), "break", func(tx *tx) error {
		addRow(1)(tx)
		_, err := tx.exec("ROLLBACK") // as SQLite does by itself after some errors
		return errors.Join(err, errors.New("broken"))
	})
	if err == nil {
		t.Error("no error")
	}
	if err := e.write(t.Context(), "add", addRow(2)); err != nil {
		t.Fatal(err)
	}
	w := &writer{e: e}
	w.distrust() // nothing to give up yet
	if n := countRows(t, e); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

// When the commit itself fails nobody can say whether it took place: that is
// ErrUnknown, and the connection is not used again.
func TestCommitFails(t *testing.T) {
	e := openTest(t, t.TempDir(), Options{})
	var first, second *sql.Conn
	err := e.write(t.Context(), "add", func(tx *tx) error {
		first = tx.c
		if err := addRow(1)(tx); err != nil {
			return err
		}
		return tx.c.Raw(func(d any) error { // the group's own COMMIT finds no transaction
			_, err := d.(*sqlite3.SQLiteConn).Exec("COMMIT", nil)
			return err
		})
	})
	if !errors.Is(err, store.ErrUnknown) || store.KindOf(err) != store.Busy {
		t.Errorf("got %v", err)
	}
	if err := e.write(t.Context(), "add", func(tx *tx) error { second = tx.c; return addRow(2)(tx) }); err != nil {
		t.Fatal(err)
	}
	if first == second {
		t.Error("the connection is used again")
	}
}

// A connection that cannot begin a transaction is given up as well.
func TestBeginFails(t *testing.T) {
	e := openTest(t, t.TempDir(), Options{})
	var c *conn
	if err := e.write(t.Context(), "add", func(tx *tx) error { c = tx.conn; return addRow(1)(tx) }); err != nil {
		t.Fatal(err)
	}
	if _, err := c.c.ExecContext(t.Context(), "BEGIN"); err != nil { // the writer's own finds it open
		t.Fatal(err)
	}
	if err := e.write(t.Context(), "add", addRow(2)); err == nil {
		t.Error("no error")
	}
	if err := e.write(t.Context(), "add", addRow(3)); err != nil {
		t.Errorf("after the failure: %v", err)
	}
}

func TestTwoHandlesWriteInTurn(t *testing.T) {
	dir := t.TempDir()
	engines := []*Engine{openTest(t, dir, Options{}), openTest(t, dir, Options{})}
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			if err := engines[i%2].write(context.Background(), "add", addRow(int64(i+1))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := countRows(t, engines[0]); n != 200 {
		t.Errorf("%d rows, want 200", n)
	}
}

func TestIDsRise(t *testing.T) {
	var m idMaker
	m.node = 7
	last := int64(0)
	now := openTest(t, t.TempDir(), Options{}).now()
	for range 50000 { // more than one millisecond holds
		id := m.next(now)
		if id <= last {
			t.Fatalf("%d after %d", id, last)
		}
		last = id
	}
	m = idMaker{node: 7}
	m.floor(last)
	if id := m.next(now.AddDate(-1, 0, 0)); id <= last {
		t.Errorf("%d after %d: the clock was followed back", id, last)
	}
}

// An acceptance whose commit failed is tried once more, and takes place once,
// whether the commit did or not.
func TestAcceptAfterUnknownCommit(t *testing.T) {
	for _, end := range []string{"COMMIT", "ROLLBACK"} {
		e := openTest(t, t.TempDir(), Options{})
		a, inbox := addAccount(t, e, "bob")
		release := hold(e)
		accepted, cut := make(chan error), make(chan error)
		go func() {
			_, err := e.Accept(t.Context(), acceptance(a.ID, text(1, 1000)))
			accepted <- err
		}()
		for len(e.requests) == 0 {
		}
		go func() {
			cut <- e.write(t.Context(), "cut", func(tx *tx) error {
				return tx.c.Raw(func(d any) error { // the group's own COMMIT finds no transaction
					_, err := d.(*sqlite3.SQLiteConn).Exec(end, nil)
					return err
				})
			})
		}()
		for len(e.requests) < 2 {
		}
		release()
		if err := <-accepted; err != nil {
			t.Errorf("%s: %v", end, err)
		}
		if err := <-cut; !errors.Is(err, store.ErrUnknown) {
			t.Errorf("%s: %v", end, err)
		}
		if m, err := e.Mailbox(t.Context(), a.ID, store.Inbox); err != nil || m.ID != inbox || m.Total != 1 {
			t.Errorf("%s: %+v, %v", end, m, err)
		}
		clean(t, e)
	}
}
