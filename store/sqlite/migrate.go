package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"postrider/store"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// appID marks a database as ours (PRAGMA application_id, "Post").
const appID = 0x506f7374

// migrations returns the texts of the numbered migrations; the first has
// number 1. They are never edited, only added to.
func migrations() ([]string, error) {
	names, err := migrationFiles.ReadDir("migrations")
	if err != nil {
		return nil, err
	}
	sort.Slice(names, func(i, j int) bool { return names[i].Name() < names[j].Name() })
	var texts []string
	for i, n := range names {
		if !strings.HasPrefix(n.Name(), fmt.Sprintf("%04d_", i+1)) {
			return nil, fmt.Errorf("migration %s is not number %d", n.Name(), i+1)
		}
		b, err := migrationFiles.ReadFile("migrations/" + n.Name())
		if err != nil {
			return nil, err
		}
		texts = append(texts, string(b))
	}
	return texts, nil
}

// undoCreation lets SQLite roll back what a loss of power left half done while
// the database was made: until it is in WAL mode it has a journal, and nothing
// in it yet. What does not work out, inspect and probe tell of.
func undoCreation(path string) error {
	if info, err := os.Stat(path + "-journal"); err != nil || info.Size() == 0 {
		return nil
	}
	u := url.URL{Scheme: "file", Path: path, RawQuery: "_busy_timeout=10000"}
	db, err := sql.Open("sqlite3", u.String())
	if err != nil {
		return err
	}
	var tables int
	_ = db.QueryRow("SELECT count(*) FROM sqlite_schema").Scan(&tables)
	return db.Close()
}

// inspect reads the header of the database file without SQLite, which would
// write to it: a file that is damaged, not ours or newer is left as it is. A
// file that is not there or empty is a new store, unless there are bodies.
func inspect(path string, newest int) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return inspectMissing(path)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() == 0 {
		return inspectMissing(path)
	}
	var h [100]byte
	if _, err := io.ReadFull(f, h[:]); err != nil {
		return damaged(path, "it is shorter than a database's header")
	}
	if string(h[:16]) != "SQLite format 3\x00" {
		return damaged(path, "it does not begin as a database")
	}
	page := int64(binary.BigEndian.Uint16(h[16:]))
	if page == 1 {
		page = 65536
	}
	if page < 512 || page&(page-1) != 0 || info.Size()%page != 0 {
		return damaged(path, "its size is not a number of whole pages")
	}
	version, app := int(binary.BigEndian.Uint32(h[60:])), binary.BigEndian.Uint32(h[68:])
	if app != appID && !(app == 0 && version == 0) {
		return damaged(path, "it belongs to another program")
	}
	return checkVersion(path, version, newest)
}

func checkVersion(path string, version, newest int) error {
	if version > newest {
		return store.Errorf(store.Invalid, "open", "%s has schema version %d, this program knows versions up to %d: use the newer program", path, version, newest)
	}
	return nil
}

func inspectMissing(path string) error {
	segs, err := filepath.Glob(filepath.Join(filepath.Dir(path), bodiesDir, "*"))
	if err != nil {
		return err
	}
	if len(segs) > 0 {
		return damaged(path, "it is missing or empty, and there are bodies of messages")
	}
	return nil
}

func damaged(path, why string) error {
	return store.Errorf(store.Invalid, "open", "%s is damaged: %s; nothing was changed, restore it from a backup", path, why)
}

// probe opens an existing database for reading only and makes SQLite read its
// schema, so that damage that shows there is found before anything writes.
func probe(path string, newest int) error {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	more := readOnly
	if alone(path) {
		more += "&immutable=1" // no log to read, and none is left behind
	}
	db, err := sql.Open("sqlite3", dsn(path, more))
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	var version, tables int
	if err := db.QueryRow("PRAGMA user_version").Scan(&version); err != nil {
		return probeError(path, err)
	}
	if err := db.QueryRow("SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return probeError(path, err)
	}
	if version > 0 {
		if err := db.QueryRow("SELECT count(*) FROM (SELECT 1 FROM acct LIMIT 1)").Scan(&tables); err != nil {
			return probeError(path, err)
		}
	}
	return checkVersion(path, version, newest)
}

// alone tells whether a database has neither log nor journal beside it: then
// nobody has it open, nor has a crash left something to recover.
func alone(path string) bool {
	for _, more := range []string{"-wal", "-journal"} {
		if _, err := os.Stat(path + more); !errors.Is(err, os.ErrNotExist) {
			return false
		}
	}
	return true
}

func probeError(path string, err error) error {
	if isBusy(err) {
		return wrap("open", err)
	}
	return damaged(path, err.Error())
}

// migrate brings the database to the newest version, each step in one
// transaction, so that a crash leaves the old or the new schema.
func migrate(ctx context.Context, c *conn) error {
	texts, err := migrations()
	if err != nil {
		return err
	}
	for {
		more, err := migrateOne(ctx, c.c, texts)
		if err != nil || !more {
			return err
		}
	}
}

// migrateOne does the next step if there is one. The version is read under
// the write lock: another handle may have come first.
func migrateOne(ctx context.Context, c *sql.Conn, texts []string) (bool, error) {
	var version int
	if err := c.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return false, err
	}
	if version >= len(texts) {
		return false, nil
	}
	t, err := c.BeginTx(ctx, nil) // immediate, by the DSN
	if err != nil {
		return false, err
	}
	defer t.Rollback()
	if err := t.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return false, err
	}
	if version >= len(texts) {
		return true, nil
	}
	if _, err := t.ExecContext(ctx, texts[version]); err != nil {
		return false, fmt.Errorf("migration %d: %w", version+1, err)
	}
	if _, err := t.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", version+1)); err != nil {
		return false, err
	}
	return true, t.Commit()
}
