package sqlite

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"postrider/store"
)

// flipStore makes a store with messages in both places of a body, moved and
// copied about, and returns what is to be read of them.
func flipStore(t *testing.T) (dir string, want map[store.MailboxID]map[store.UID][]byte) {
	t.Helper()
	dir = t.TempDir()
	e := openTest(t, dir, Options{InlineMax: 6000})
	a, inbox := addAccount(t, e, "bob")
	for i := range 40 {
		if _, err := e.Accept(t.Context(), acceptance(a.ID, text(uint64(i), 500+i%10*1000))); err != nil {
			t.Fatal(err)
		}
	}
	archive, err := e.Mailbox(t.Context(), a.ID, "Archive")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Copy(t.Context(), "", inbox, store.UIDSet{{Lo: 5, Hi: 15}}, archive.ID, false); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Copy(t.Context(), "", inbox, store.UIDSet{{Lo: 20, Hi: 30}}, archive.ID, true); err != nil {
		t.Fatal(err)
	}
	clean(t, e)
	want = map[store.MailboxID]map[store.UID][]byte{inbox: readAllOf(t, e, inbox), archive.ID: readAllOf(t, e, archive.ID)}
	if len(want[inbox]) != 29 || len(want[archive.ID]) != 22 {
		t.Fatalf("%d and %d messages", len(want[inbox]), len(want[archive.ID]))
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, want
}

// readAllOf reads what can be read of a mailbox.
func readAllOf(t *testing.T, e *Engine, box store.MailboxID) map[store.UID][]byte {
	got := map[store.UID][]byte{}
	// A damaged database may end the fetch early.
	_ = e.Fetch(t.Context(), box, store.AllUIDs(), store.NeedBody|store.NeedMeta, func(c *store.Content) error {
		if c.Size < 0 || c.Size > 1<<20 {
			return nil
		}
		b := make([]byte, c.Size)
		if _, err := c.ReadAt(b, 0); err == nil {
			got[c.UID] = b
		}
		return nil
	})
	return got
}

// Whatever bytes the disk changes: no message is ever served under a UID that
// is not its own, or with other bytes.
func TestFlippedBytesAreNeverServed(t *testing.T) {
	dir, want := flipStore(t)
	original := files(t, dir)
	r := rand.New(rand.NewPCG(1, 2))
	refused, lost := 0, 0
	for range 60 {
		damaged := t.TempDir()
		for path, b := range original {
			rel, _ := filepath.Rel(dir, path)
			b = bytes.Clone(b)
			for range min(len(b), 1<<r.IntN(12)) {
				b[r.IntN(len(b))] ^= byte(1 + r.IntN(255))
			}
			os.MkdirAll(filepath.Dir(filepath.Join(damaged, rel)), 0o700)
			if err := os.WriteFile(filepath.Join(damaged, rel), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		e, err := Open(damaged, Options{Reserve: -1})
		if err != nil {
			refused++
			continue
		}
		for box, bodies := range want {
			got := readAllOf(t, e, box)
			for uid, b := range got {
				if !bytes.Equal(b, bodies[uid]) {
					t.Errorf("mailbox %v, uid %d: served %d other bytes", box, uid, len(b))
				}
			}
			lost += len(bodies) - len(got)
		}
		e.Close()
	}
	t.Logf("60 damaged stores: %d refused, %d messages of the others not served", refused, lost)
}
