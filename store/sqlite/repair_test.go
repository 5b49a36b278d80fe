package sqlite

import (
	"bytes"
	"database/sql"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/store"
)

// copyDamaged copies a store with some bytes of its database, of its segments
// or of both changed.
func copyDamaged(t *testing.T, dir string, r *rand.Rand, flips int) string {
	t.Helper()
	to := t.TempDir()
	where := r.IntN(3)
	for path, b := range files(t, dir) {
		rel, _ := filepath.Rel(dir, path)
		isDB := rel == dbName
		isSegment := filepath.Ext(rel) == ".seg"
		b = bytes.Clone(b)
		if flips > 0 && (isDB && where != 0 || isSegment && where != 1) {
			for range 1 + r.IntN(flips) {
				b[r.IntN(len(b))] ^= byte(1 + r.IntN(255))
			}
		}
		os.MkdirAll(filepath.Dir(filepath.Join(to, rel)), 0o700)
		if err := os.WriteFile(filepath.Join(to, rel), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// A store without damage comes out of a repair as it was.
func TestRepairOfWholeStore(t *testing.T) {
	dir, want := flipStore(t)
	e := openTest(t, dir, Options{Owner: true})
	a, err := e.Accounts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	inbox, err := e.Mailbox(t.Context(), a[0].ID, store.Inbox)
	if err != nil {
		t.Fatal(err)
	}
	flags := store.FlagChange{Mode: store.FlagsAdd, Flags: store.Flags{System: store.Flagged, Keywords: "a b"}}
	if _, err := e.SetFlags(t.Context(), inbox.ID, store.UIDSet{{Lo: 3, Hi: 9}}, flags, store.Unconditional); err != nil {
		t.Fatal(err)
	}
	before, err := e.List(t.Context(), a[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	queueOne(t, e, a[0].ID)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	done, err := Repair(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if done.Lost != 0 || len(done.Notes) != 0 || done.Aside != "" || done.Messages != 52 {
		t.Errorf("%+v", done)
	}
	e = openTest(t, dir, Options{Owner: true})
	clean(t, e)
	after, err := e.List(t.Context(), a[0].ID)
	if err != nil || len(after) != len(before) {
		t.Fatalf("%d mailboxes, %v", len(after), err)
	}
	for i, m := range after {
		if b := before[i]; m.Name != b.Name || m.UIDValidity != b.UIDValidity || m.UIDNext < b.UIDNext || m.ModSeq < b.ModSeq {
			t.Errorf("%+v was %+v", m, b)
		}
	}
	for box, bodies := range want {
		got := readAllOf(t, e, box)
		for uid, b := range bodies {
			if !bytes.Equal(got[uid], b) {
				t.Errorf("%v, uid %d: %d bytes, want %d", box, uid, len(got[uid]), len(b))
			}
		}
	}
	v, err := store.New(e, store.Options{}).View(t.Context(), inbox.ID)
	if err != nil {
		t.Fatal(err)
	}
	i, _ := v.Index(5)
	if f := v.At(i).Flags; f.System&store.Flagged == 0 || f.Keywords != "a b" {
		t.Errorf("flags: %+v", f)
	}
	if q, err := e.Outgoing(t.Context(), store.OutFilter{}); err != nil || len(q) != 1 {
		t.Errorf("%d messages in the queue, %v", len(q), err)
	}
}

// Whatever was damaged: what could be read before a repair can be read after
// it, unchanged, and check finds nothing more to complain of.
func TestRepair(t *testing.T) {
	dir, want := flipStore(t)
	r := rand.New(rand.NewPCG(3, 4))
	const runs = 60
	kept, lost, refused, renumbered := 0, 0, 0, 0
	for run := range runs {
		damaged := copyDamaged(t, dir, r, []int{2, 20, 300}[run%3])
		readable := map[store.MailboxID]map[store.UID][]byte{}
		if e, err := Open(damaged, Options{Reserve: -1}); err == nil {
			for box := range want {
				readable[box] = readAllOf(t, e, box)
			}
			e.Close()
		}
		done, err := Repair(damaged, time.Now())
		if err != nil {
			refused++
			if len(readable) > 0 {
				t.Errorf("run %d: not repaired: %v", run, err)
			}
			continue
		}
		e := openTest(t, damaged, Options{Owner: true})
		if found, err := e.Check(t.Context(), true); err != nil || len(found) > 0 {
			t.Errorf("run %d: %v, %q\nafter %q", run, err, found, done.Notes)
		}
		if done.Lost > 0 && len(done.Notes) == 0 {
			t.Errorf("run %d: %d lost, and nothing is told", run, done.Lost)
		}
		var all [][]byte // in whatever mailbox
		accounts, err := e.Accounts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range accounts {
			boxes, err := e.List(t.Context(), a.ID)
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range boxes {
				for uid, body := range readAllOf(t, e, b.ID) {
					all = append(all, body)
					if was, ok := want[b.ID][uid]; ok && !bytes.Equal(was, body) {
						t.Errorf("run %d: mailbox %v, uid %d has other bytes", run, b.ID, uid)
					}
				}
			}
		}
		for box, bodies := range readable {
			for uid, body := range bodies {
				if !slices.ContainsFunc(all, func(b []byte) bool { return bytes.Equal(b, body) }) {
					t.Errorf("run %d: mailbox %v, uid %d could be read, and is not kept: %q", run, box, uid, done.Notes)
				}
			}
		}
		kept += len(all)
		lost += int(done.Lost)
		if slices.ContainsFunc(done.Notes, func(n string) bool { return bytes.Contains([]byte(n), []byte("UIDVALIDITY")) }) {
			renumbered++
		}
		e.Close()
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("%d damaged stores: %d past repair, %d messages kept, %d lost, %d with new UIDVALIDITYs", runs, refused, kept, lost, renumbered)
	if kept == 0 || lost == 0 {
		t.Error("this shows nothing")
	}
}

// firstVersion makes a store of the first version with this many settings.
func firstVersion(t *testing.T, dir string, settings int) {
	t.Helper()
	texts, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite3", dsn(filepath.Join(dir, dbName), "_txlock=immediate"))
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{texts[0], "PRAGMA user_version = 1"} {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	for i := range settings { // pages that have to make room for what comes later
		if _, err := db.Exec("INSERT INTO setting (acct, name, value) VALUES (0, ?, zeroblob(2000))", i); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// upgradedStore is a store that was filled under the first version and then
// brought to the newest.
func upgradedStore(t *testing.T, dir string, settings int) (*Engine, store.Account, store.MailboxID) {
	t.Helper()
	firstVersion(t, dir, settings)
	e := openTest(t, dir, Options{})
	a, inbox := addAccount(t, e, "bob")
	return e, a, inbox
}

// A store that came from an older version has the tables of later ones, which
// SQLite puts where a new store has them, and their rows are carried over.
func TestRepairOfUpgradedStore(t *testing.T) {
	dir := t.TempDir()
	e, a, inbox := upgradedStore(t, dir, 50)
	if err := e.SetACL(t.Context(), inbox, store.Anyone, false, store.FlagsSet, store.RightLookup); err != nil {
		t.Fatal(err)
	}
	if err := e.Annotate(t.Context(), inbox, []store.Annotation{{Who: a.ID, Name: "/comment", Value: []byte("mine")}}); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	done, err := Repair(dir, time.Now())
	if err != nil || len(done.Notes) > 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	e = openTest(t, dir, Options{})
	clean(t, e)
	if r, err := e.Rights(t.Context(), inbox, 77); err != nil || r != store.RightLookup {
		t.Errorf("rights %v, %v", r, err)
	}
	if all, err := e.Annotations(t.Context(), inbox, a.ID); err != nil || len(all) != 1 {
		t.Errorf("annotations %v, %v", all, err)
	}
}

// The schema of an upgraded store lies on other pages than that of a new one.
// What lies where a new store has it is not lost when a damaged one is
// replaced.
func TestRepairOfUpgradedSchema(t *testing.T) {
	const settings = 300
	dir := t.TempDir()
	e, a, inbox := upgradedStore(t, dir, settings)
	for i := range 40 {
		if _, err := e.Accept(t.Context(), acceptance(a.ID, text(uint64(i), 3000))); err != nil {
			t.Fatal(err)
		}
	}
	want := readAllOf(t, e, inbox)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	wipeSchema(t, dir)
	done, err := Repair(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if len(done.Notes) != 1 || done.Lost != 0 || done.Messages != 40 {
		t.Errorf("%+v", done)
	}
	e = openTest(t, dir, Options{})
	clean(t, e)
	got := readAllOf(t, e, inbox)
	for uid, body := range want {
		if !bytes.Equal(got[uid], body) {
			t.Errorf("uid %d: %d bytes, want %d", uid, len(got[uid]), len(body))
		}
	}
	var n int
	err = e.read(t.Context(), "count", func(t *tx) error {
		return t.get("SELECT count(*) FROM setting WHERE length(value) = 2000", nil, &n)
	})
	if err != nil || n != settings {
		t.Errorf("%d settings, %v", n, err)
	}
}

// wipeSchema zeroes the pages that hold the schema, but for the header of the
// file.
func wipeSchema(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, dbName)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pages, err := schemaPages(b)
	if err != nil || len(pages) < 2 {
		t.Fatalf("schema on pages %v, %v", pages, err)
	}
	for _, n := range pages {
		from := (n - 1) * dbPage
		if n == 1 {
			from += 100
		}
		clear(b[from : n*dbPage])
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A damaged store of an older version is left alone: its tables are not where
// the newest schema has them.
func TestRepairOfOlderVersion(t *testing.T) {
	dir := t.TempDir()
	firstVersion(t, dir, 10)
	wipeSchema(t, dir)
	before := files(t, dir)
	if _, err := Repair(dir, time.Now()); store.KindOf(err) != store.Invalid || !strings.Contains(err.Error(), "version 1") {
		t.Errorf("%v", err)
	}
	for path, b := range files(t, dir) {
		if !bytes.Equal(b, before[path]) {
			t.Errorf("%s was changed", path)
		}
	}
}
