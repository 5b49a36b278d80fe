package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postrider/store"
)

// openTest opens an engine in dir and closes it when the test ends.
func openTest(t testing.TB, dir string, o Options) *Engine {
	t.Helper()
	if o.Reserve == 0 {
		o.Reserve = -1
	}
	e, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func TestPragmasOnEveryConnection(t *testing.T) {
	e := openTest(t, t.TempDir(), Options{Readers: 5})
	want := map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "10000", "auto_vacuum": "2"}
	check := func(c *sql.Conn, who string) {
		for name, v := range want {
			var got string
			if err := c.QueryRowContext(t.Context(), "PRAGMA "+name).Scan(&got); err != nil || got != v {
				t.Errorf("%s: %s = %q, %v, want %q", who, name, got, err, v)
			}
		}
	}
	// All reading connections at once, so that they are different ones.
	for i := range 5 {
		c, err := e.reader(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		check(c.c, "reader")
		if _, err := c.c.ExecContext(t.Context(), "DELETE FROM acct"); err == nil {
			t.Errorf("reader %d may write", i)
		}
		defer func() { e.readers <- c }()
	}
	if err := e.write(t.Context(), "test", func(tx *tx) error { check(tx.c, "writer"); return nil }); err != nil {
		t.Fatal(err)
	}
}

// files reads all files of dir.
func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	m := map[string][]byte{}
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			m[p], err = os.ReadFile(p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// refused opens dir, wants it to fail with words, and wants the database to
// be as it was.
func refused(t *testing.T, dir, words string) {
	t.Helper()
	before := files(t, dir)
	e, err := Open(dir, Options{Owner: true, Reserve: -1})
	if err == nil {
		e.Close()
		t.Fatal("opened")
	}
	if store.KindOf(err) != store.Invalid || !strings.Contains(err.Error(), words) {
		t.Errorf("error %q, want %q", err, words)
	}
	after := files(t, dir)
	for p, b := range before {
		if !strings.HasSuffix(p, "-shm") && !bytes.Equal(after[p], b) {
			t.Errorf("%s was changed", p)
		}
	}
	for p := range after {
		if _, ok := before[p]; !ok && !strings.HasSuffix(p, "-shm") {
			t.Errorf("%s was made", p)
		}
	}
}

func made(t *testing.T) (dir, db string) {
	t.Helper()
	dir = t.TempDir()
	e, err := Open(dir, Options{Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, filepath.Join(dir, dbName)
}

func TestOpenRefusesNewer(t *testing.T) {
	dir, path := made(t)
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("PRAGMA user_version = 1000"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	refused(t, dir, "version 1000")
}

// A version that is newer only in the log, as after a crash, counts as well.
func TestOpenRefusesNewerInLog(t *testing.T) {
	dir, path := made(t)
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("PRAGMA user_version = 1000"); err != nil {
		t.Fatal(err)
	}
	crash := t.TempDir()
	for p, b := range files(t, dir) {
		rel, _ := filepath.Rel(dir, p)
		os.MkdirAll(filepath.Dir(filepath.Join(crash, rel)), 0o700)
		if err := os.WriteFile(filepath.Join(crash, rel), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, crash, "version 1000")
}

func TestOpenRefusesDamaged(t *testing.T) {
	damage := map[string]func(b []byte) []byte{
		"garbage":        func(b []byte) []byte { return bytes.Repeat([]byte("not a database. "), 1000) },
		"magic":          func(b []byte) []byte { b[3] ^= 0x20; return b },
		"short":          func(b []byte) []byte { return b[:50] },
		"cut in a page":  func(b []byte) []byte { return b[:len(b)-100] },
		"cut":            func(b []byte) []byte { return b[:3*4096] },
		"schema zeroed":  func(b []byte) []byte { clear(b[100:4096]); return b },
		"other program":  func(b []byte) []byte { b[68]++; return b },
		"schema garbage": func(b []byte) []byte { copy(b[100:], bytes.Repeat([]byte{0xa5}, 500)); return b },
	}
	for name, f := range damage {
		t.Run(name, func(t *testing.T) {
			dir, path := made(t)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, f(b), 0o600); err != nil {
				t.Fatal(err)
			}
			refused(t, dir, "damaged")
		})
	}
}

// Without its database a store's bodies must not count as garbage.
func TestOpenRefusesBodiesWithoutDatabase(t *testing.T) {
	dir := t.TempDir()
	os.MkdirAll(filepath.Join(dir, bodiesDir), 0o700)
	if err := os.WriteFile(filepath.Join(dir, bodiesDir, "00000001.seg"), []byte("body"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, dir, "missing or empty")
}

func TestTwoHandlesMakeOneStore(t *testing.T) {
	dir := t.TempDir()
	type result struct {
		e   *Engine
		err error
	}
	c := make(chan result)
	for range 2 {
		go func() {
			e, err := Open(dir, Options{Reserve: -1})
			c <- result{e, err}
		}()
	}
	a, b := <-c, <-c
	if a.err != nil || b.err != nil {
		t.Fatal(a.err, b.err)
	}
	if a.e.ids.node == b.e.ids.node {
		t.Errorf("both handles have number %d", a.e.ids.node)
	}
	a.e.Close()
	b.e.Close()
	if err := a.e.read(context.Background(), "test", nil); store.KindOf(err) != store.Busy {
		t.Errorf("read after Close: %v", err)
	}
}

// A loss of power while the database is made leaves a journal; the store is
// made again.
func TestHalfMadeDatabase(t *testing.T) {
	made, dir := t.TempDir(), t.TempDir()
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(made, dbName)+"?_journal_mode=DELETE")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, q := range []string{"PRAGMA cache_size = 1", "BEGIN", "CREATE TABLE t (x)",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100) INSERT INTO t SELECT randomblob(3000) FROM n"} {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{dbName, dbName + "-journal"} {
		b, err := os.ReadFile(filepath.Join(made, name))
		if err == nil && len(b) == 0 {
			t.Fatalf("%s is empty", name)
		}
		if err == nil && name == dbName {
			clear(b[:4096]) // the page was not written
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	e := openTest(t, dir, Options{Owner: true})
	addAccount(t, e, "bob")
	clean(t, e)
}
