package sqlite

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"postrider/store"
	"postrider/store/blob"
)

// Repaired tells what Repair has done.
type Repaired struct {
	Messages int64    // that are in the new database
	Lost     int64    // that were there and are not any more
	Notes    []string // what was lost, set aside or changed, for people
	Old      string   // where the damaged database was put
	Aside    string   // where bodies were put that belong to no message any more; "" if none
}

// repair is one Repair under way.
type repair struct {
	dir, work string
	blobs     *blob.Dir
	fresh     *conn // the new database
	t         *tx   // a transaction on it
	records   map[int64][]foundRecord
	rows      map[store.MailboxID]map[store.UID]store.Row // of the old pages
	doubt     map[store.MailboxID]bool                    // mailboxes that get a new UIDVALIDITY
	out       *Repaired
}

// foundRecord is a body in a segment, whether a row names it or not.
type foundRecord struct {
	blob.Record
	loc blob.Loc
}

func (r *repair) say(format string, args ...any) {
	r.out.Notes = append(r.out.Notes, fmt.Sprintf(format, args...))
}

// Repair makes a new database of what can be read of the one in dir, and puts
// it in its place; the damaged one is kept beside. All messages are kept whose
// row and body are whole. Counters, indexes and structures are made anew; a
// mailbox gets a new UIDVALIDITY if its numbers are in doubt. Nobody else may
// have the store open. If it fails, nothing was changed.
func Repair(dir string, now time.Time) (*Repaired, error) {
	r := &repair{dir: dir, work: filepath.Join(dir, "repair"), out: &Repaired{},
		blobs:   blob.Open(filepath.Join(dir, bodiesDir), blob.Options{}),
		records: map[int64][]foundRecord{}, rows: map[store.MailboxID]map[store.UID]store.Row{}, doubt: map[store.MailboxID]bool{}}
	defer os.RemoveAll(r.work)
	defer r.blobs.Close()
	if err := r.run(now); err != nil {
		return nil, wrap("repair", err)
	}
	return r.out, nil
}

func (r *repair) run(now time.Time) error {
	if err := os.RemoveAll(r.work); err != nil {
		return err
	}
	if err := os.MkdirAll(r.work, 0o700); err != nil {
		return err
	}
	for _, name := range []string{dbName, dbName + "-wal"} {
		if err := copyFile(filepath.Join(r.dir, name), filepath.Join(r.work, "old-"+name)); err != nil {
			return err
		}
	}
	db, err := r.makeFresh()
	if err != nil {
		return err
	}
	defer db.Close()
	defer r.fresh.close()
	if err := r.fresh.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	r.t = &tx{conn: r.fresh, now: micros(now)}
	if err := r.salvage(); err != nil {
		return err
	}
	if err := r.mend(); err != nil {
		return err
	}
	var accounts int
	if err := r.t.get("SELECT count(*) FROM account", nil, &accounts); err != nil || accounts == 0 {
		return errors.Join(err, errors.New("no account is left in it: restore a backup"))
	}
	if err := r.fresh.exec("COMMIT"); err != nil {
		return err
	}
	if err := r.t.get("PRAGMA wal_checkpoint(TRUNCATE)", nil, new(int), new(int), new(int)); err != nil {
		return err
	}
	return r.swap(now)
}

// copyFile copies a file; one that is not there is left out.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	_, err = io.Copy(out, in)
	return err
}

// makeFresh makes the new database, empty.
func (r *repair) makeFresh() (*sql.DB, error) {
	path := filepath.Join(r.work, dbName)
	db, err := sql.Open("sqlite3", dsn(path, "_txlock=immediate"))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	ctx := context.Background()
	if r.fresh, err = newConn(ctx, db); err != nil {
		db.Close()
		return nil, err
	}
	if err = migrate(ctx, r.fresh); err == nil {
		// Rows come in any order; what they refer to is looked at in the end.
		_, err = r.fresh.c.ExecContext(ctx, "PRAGMA foreign_keys = OFF; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA cache_size = -65536")
	}
	if err != nil {
		r.fresh.close()
		db.Close()
		return nil, err
	}
	return db, nil
}

// salvage copies what can be read.
func (r *repair) salvage() error {
	path := filepath.Join(r.work, "old-"+dbName)
	old, conn, err := r.openOld(path)
	if err != nil {
		return err
	}
	defer old.Close()
	defer conn.Close()
	tables, err := values[string](r.t, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid", nil)
	if err != nil {
		return err
	}
	s := &salvage{old: conn, new: r.t, holes: map[string]int{}, lost: map[string]int{}}
	for _, name := range tables {
		if err := s.table(name); err != nil {
			return err
		}
		if n := s.holes[name] + s.lost[name]; n > 0 {
			r.say("table %s could not be read in %d places", name, n)
		}
	}
	if err := s.missingMessages(); err != nil {
		return err
	}
	if err := s.missing(); err != nil {
		return err
	}
	return r.sequences(conn)
}

// openOld opens the copy of the damaged database, with the schema that it must
// have if it has another.
func (r *repair) openOld(path string) (*sql.DB, *sql.Conn, error) {
	want, err := schemaText(r.fresh.c)
	if err != nil {
		return nil, nil, err
	}
	for tried := false; ; tried = true {
		db, err := sql.Open("sqlite3", "file:"+path+"?_busy_timeout=1000")
		if err != nil {
			return nil, nil, err
		}
		db.SetMaxOpenConns(1)
		conn, err := db.Conn(context.Background())
		if err == nil {
			var got string
			if got, err = schemaText(conn); err == nil && got == want {
				return db, conn, nil
			}
			err = errors.Join(err, otherVersion(conn))
			conn.Close()
		}
		db.Close()
		err = errors.Join(err, olderVersion(path))
		if store.KindOf(err) == store.Invalid {
			return nil, nil, err
		}
		if tried {
			return nil, nil, fmt.Errorf("its schema cannot be made out: %v", err)
		}
		r.say("the schema is damaged: a new one was put in its place")
		if err := graftSchema(path, filepath.Join(r.work, dbName)); err != nil {
			return nil, nil, err
		}
	}
}

// otherVersion refuses a database whose schema is whole and not of this
// program's version.
func otherVersion(c *sql.Conn) error {
	texts, err := migrations()
	if err != nil {
		return err
	}
	var version int
	var verdict string
	ctx := context.Background()
	if err := c.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if err := c.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict == "ok" && version != len(texts) {
		return store.Errorf(store.Invalid, "repair", "the database has schema version %d, this program repairs version %d", version, len(texts))
	}
	return nil
}

// olderVersion refuses a damaged database of an older version, by its header,
// which can be read without a schema. It has its tables elsewhere, and with
// other columns, so that the newest schema would have its rows misread. With
// a log beside it the header may be older than the database.
func olderVersion(path string) error {
	texts, err := migrations()
	if err != nil {
		return err
	}
	if info, err := os.Stat(path + "-wal"); err == nil && info.Size() > 0 {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var h [100]byte
	if _, err := io.ReadFull(f, h[:]); err != nil {
		return nil // that too is damage
	}
	version := int(binary.BigEndian.Uint32(h[60:]))
	if version > 0 && version < len(texts) {
		return store.Errorf(store.Invalid, "repair", "the database has schema version %d, this program repairs version %d: repair it with the program that wrote it", version, len(texts))
	}
	return nil
}

func schemaText(c *sql.Conn) (string, error) {
	rows, err := c.QueryContext(context.Background(), "SELECT type || name || tbl_name || rootpage || ifnull(sql, '') FROM sqlite_schema ORDER BY rowid")
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var all strings.Builder
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return "", err
		}
		all.WriteString(s + "\n")
	}
	return all.String(), rows.Err()
}

// sequences keeps the numbers that must not be given again.
func (r *repair) sequences(old *sql.Conn) error {
	rows, err := old.QueryContext(context.Background(), "SELECT name, seq FROM sqlite_sequence")
	if err != nil {
		return nil // then the rows that are there say which numbers were given
	}
	defer rows.Close()
	const most = 1 << 40
	for rows.Next() {
		var name string
		var seq int64
		if rows.Scan(&name, &seq) != nil || seq > most {
			continue
		}
		if _, err := r.t.exec("UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1", name, seq); err != nil {
			return err
		}
	}
	return nil
}

// swap puts the new database in the place of the old one, which it keeps.
func (r *repair) swap(now time.Time) error {
	path := filepath.Join(r.dir, dbName)
	r.out.Old = path + now.UTC().Format(".damaged-20060102-150405")
	if err := os.Link(path, r.out.Old); err != nil {
		return err
	}
	if err := os.Rename(path+"-wal", r.out.Old+"-wal"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Remove(path + "-shm"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.Open(filepath.Join(r.work, dbName))
	if err != nil {
		return err
	}
	err = f.Sync()
	f.Close()
	if err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(r.work, dbName), path); err != nil {
		return err
	}
	return blob.SyncDir(r.dir)
}

// aside writes a body that belongs to no message any more to a file of its
// own.
func (r *repair) aside(name string, body io.Reader) error {
	if r.out.Aside == "" {
		r.out.Aside = filepath.Join(r.dir, "aside-"+time.UnixMicro(r.t.now).UTC().Format("20060102-150405"))
		if err := os.MkdirAll(r.out.Aside, 0o700); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(filepath.Join(r.out.Aside, name+".eml"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, body); err != nil {
		f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// sortedBoxes returns the keys of a set of mailboxes in order.
func sortedBoxes[V any](m map[store.MailboxID]V) []store.MailboxID {
	var all []store.MailboxID
	for b := range m {
		all = append(all, b)
	}
	sort.Slice(all, func(i, j int) bool {
		return all[i].Account < all[j].Account || all[i].Account == all[j].Account && all[i].N < all[j].N
	})
	return all
}
