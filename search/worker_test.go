package search_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/search"
	"postrider/store"
)

// eventually waits for something that happens in the background.
func (w *world) eventually(what string, is func() bool) {
	w.Helper()
	for end := time.Now().Add(60 * time.Second); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("in vain: %s", what)
		}
	}
}

// indexed tells whether the index knows of a word in all or no messages.
func (w *world) indexed(word string) (known int) {
	w.Helper()
	v, err := w.store.View(w.ctx, w.boxes[0])
	w.ok(err)
	got := w.index.Narrow(w.ctx, w.acc.ID, v.EmailIDs(), []search.Term{{Field: "subject", Text: search.Fold(word)}})
	if got == nil {
		return 0
	}
	for _, v := range got[0] {
		if v != search.Maybe {
			known++
		}
	}
	return known
}

// contains tells whether a text stands in a file of the index.
func (w *world) contains(text string) bool {
	w.Helper()
	for _, f := range w.files() {
		raw, err := os.ReadFile(f)
		if err == nil && bytes.Contains(raw, []byte(text)) {
			return true
		}
	}
	return false
}

// TestBackground lets the worker find by itself what there is to do: new mail,
// mail that a search had to read, and an account that is gone.
func TestBackground(t *testing.T) {
	w := newWorld(t, 3)
	w.ok(w.index.Close())
	var err error
	w.index, err = search.Open(w.dir, w.store, search.Options{})
	w.ok(err)
	w.fill(w.boxes[0], 300)
	w.eventually("new mail is indexed", func() bool { return w.indexed("x") >= 256 })
	have := w.indexed("x")
	w.fill(w.boxes[0], 100) // too few to be indexed for nothing; indexed asks
	w.eventually("what a search has to read is indexed", func() bool { return w.indexed("x") >= have+64 })
	if problems, err := search.Check(w.dir); err != nil || problems != nil {
		t.Errorf("check: %v, %v", problems, err)
	}
	w.ok(w.store.RemoveAccount(w.ctx, w.acc.ID))
	w.eventually("the index goes with its account", func() bool {
		_, err := os.Stat(filepath.Join(w.dir, "1"))
		return os.IsNotExist(err)
	})
}

// TestExpungedText looks for the subject of a message that is gone.
func TestExpungedText(t *testing.T) {
	w := newWorld(t, 4)
	filed, err := w.store.Append(w.ctx, "", w.boxes[0], strings.NewReader("Subject: confidential matter\r\n\r\nbody\r\n"), store.Flags{}, time.Unix(1e9, 0))
	w.ok(err)
	w.fill(w.boxes[0], 70)
	w.update()
	if !w.contains("confidential matter") {
		t.Fatal("the test looks in the wrong place")
	}
	_, err = w.store.Expunge(w.ctx, w.boxes[0], store.UIDSetOf(filed.UID), false)
	w.ok(err)
	w.update()
	if w.contains("confidential matter") || len(w.files()) == 0 {
		t.Error("the text of an expunged message stays")
	}
	w.compare()
}

// TestLeftovers puts back what a merge was about to remove when it was killed,
// and a file that was being written.
func TestLeftovers(t *testing.T) {
	w := newWorld(t, 5)
	for len(w.files()) < 2 {
		w.fill(w.boxes[0], 80)
		w.update()
	}
	saved := map[string][]byte{}
	for _, f := range w.files() {
		raw, err := os.ReadFile(f)
		w.ok(err)
		saved[f] = raw
	}
	v, err := w.store.View(w.ctx, w.boxes[0])
	w.ok(err)
	_, err = w.store.Expunge(w.ctx, w.boxes[0], store.UIDSet{{Lo: v.UID(1), Hi: v.UID(60)}, {Lo: v.UID(100), Hi: v.UID(150)}}, false)
	w.ok(err)
	w.update()
	for f, raw := range saved {
		if _, err := os.Stat(f); err == nil {
			t.Fatalf("%s was to be replaced", f)
		}
		w.ok(os.WriteFile(f, raw, 0o600))
		w.ok(os.WriteFile(f+".tmp", raw[:len(raw)/2], 0o600))
	}
	w.reopen()
	w.compare()
	w.update()
	for f := range saved {
		for _, f := range []string{f, f + ".tmp"} {
			if _, err := os.Stat(f); !os.IsNotExist(err) {
				t.Errorf("%s stays: %v", filepath.Base(f), err)
			}
		}
	}
	if w.compare() < 0.5 {
		t.Error("the index knows little")
	}
}

// TestLittleMemory has several accounts' indexes compete for room.
func TestLittleMemory(t *testing.T) {
	w := newWorld(t, 6)
	w.ok(w.index.Close())
	var err error
	w.index, err = search.Open(w.dir, w.store, search.Options{Idle: true, Memory: 1})
	w.ok(err)
	w.fill(w.boxes[0], 100)
	w.update()
	for range 3 {
		w.index.Narrow(w.ctx, w.acc.ID+1, []int64{1}, []search.Term{{In: search.InBody, Text: []byte("x")}})
		if c := w.compare(); c < 0.5 {
			t.Errorf("the index is certain of %.2f", c)
		}
	}
}
