package sqlite

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"postrider/store"
)

func logSize(t *testing.T, dir string) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, dbName+"-wal"))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// The log does not grow with the mail, also while readers come and go, each of
// which sees it; one that stays lets it grow, and holds up no delivery.
func TestLogIsBounded(t *testing.T) {
	const bound = (logMax + 1000) * (4096 + 24)
	dir := t.TempDir()
	e := openTest(t, dir, Options{GroupInline: 1 << 40})
	a, inbox := addAccount(t, e, "bob")
	deliver := func(n int) (slowest time.Duration) {
		var took []time.Duration
		for i := range n {
			start := time.Now()
			if _, err := e.Accept(t.Context(), acceptance(a.ID, text(uint64(i), 240000))); err != nil {
				t.Fatal(err)
			}
			took = append(took, time.Since(start))
		}
		return slices.Max(took)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { // there is always one that reads
			for {
				err := e.read(t.Context(), "test", func(tx *tx) error {
					var n int
					err := tx.get("SELECT count(*) FROM body", nil, &n)
					time.Sleep(3 * time.Millisecond)
					return err
				})
				if err != nil {
					t.Error(err)
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	deliver(300)
	close(stop)
	wg.Wait()
	if n := logSize(t, dir); n > bound {
		t.Errorf("the log has %d bytes after 300 deliveries, want at most %d", n, bound)
	}
	var slowest time.Duration
	err := e.read(t.Context(), "test", func(tx *tx) error {
		var n int
		if err := tx.get("SELECT count(*) FROM body", nil, &n); err != nil {
			return err
		}
		slowest = deliver(300)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	long := logSize(t, dir)
	if long <= bound {
		t.Errorf("the log has %d bytes under a long reader: the test shows nothing", long)
	}
	t.Logf("under a long reader the slowest delivery took %v, and the log has %d MiB", slowest, long>>20)
	if slowest > 5*time.Second { // a checkpoint would wait 10 s for the reader
		t.Errorf("a delivery took %v under a long reader", slowest)
	}
	deliver(30)
	if n := logSize(t, dir); n > bound {
		t.Errorf("the log has %d bytes after the reader has gone, want at most %d", n, bound)
	}
	if m, err := e.Mailbox(t.Context(), a.ID, store.Inbox); err != nil || m.ID != inbox || m.Total != 630 {
		t.Errorf("%+v, %v", m, err)
	}
}

// A large write leaves its log to a quiet moment, which comes.
func TestLogIsMovedInQuiet(t *testing.T) {
	e := openTest(t, t.TempDir(), Options{GroupInline: 1 << 40})
	a, _ := addAccount(t, e, "bob")
	frames := func() (n, done int) {
		c, err := newConn(t.Context(), e.rdb)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		if n, done, err = checkpoint(c, "PRAGMA wal_checkpoint(NOOP)"); err != nil {
			t.Fatal(err)
		}
		return n, done
	}
	for n := 0; n < logFrames; n, _ = frames() {
		if _, err := e.Accept(t.Context(), acceptance(a.ID, text(1, 240000))); err != nil {
			t.Fatal(err)
		}
	}
	for n, done := frames(); done < n; n, done = frames() { // for ever, if it does not
		time.Sleep(time.Millisecond)
	}
}

// The log must fit into the reserve twice: into the database that takes it in,
// and beside it what is written in the meantime.
func TestLongLogFitsReserve(t *testing.T) {
	for _, c := range []struct {
		reserve int64
		want    int
	}{{-1, logLong}, {defaultReserve, logLong}, {6 << 20, 768}, {1 << 20, 128}} {
		e := &Engine{reserve: &reserve{size: max(0, c.reserve)}}
		if got := e.longLog(); got != c.want {
			t.Errorf("with a reserve of %d: %d frames, want %d", c.reserve, got, c.want)
		}
	}
}
