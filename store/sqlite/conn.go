package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strings"
	"time"

	"github.com/mattn/go-sqlite3"

	"postrider/store"
)

// conn is one connection with its prepared statements. One goroutine uses it
// at a time.
type conn struct {
	c       *sql.Conn
	raw     *sqlite3.SQLiteConn // what c holds
	stmts   map[string]*stmt
	inserts map[insertText]string // texts of insertRows
}

// newConn takes a connection of db for good.
func newConn(ctx context.Context, db *sql.DB) (*conn, error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	opened := &conn{c: c, stmts: map[string]*stmt{}}
	err = c.Raw(func(d any) error {
		var ok bool
		if opened.raw, ok = d.(*sqlite3.SQLiteConn); !ok {
			return errNotOurs
		}
		return nil
	})
	if err != nil {
		c.Close()
		return nil, err
	}
	return opened, nil
}

// writerPragmas speed up the writer; nothing depends on them. What a savepoint
// keeps for undoing it stays in memory (in a file it was a quarter of all that
// was written), the log gives its space back after a large transaction, and
// its checkpoints are logKeeper's. The table is for unrefMessages, and empty
// between operations.
const writerPragmas = `PRAGMA wal_autocheckpoint = 0; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384; PRAGMA journal_size_limit = 33554432;
	CREATE TEMP TABLE unref (body INTEGER PRIMARY KEY, left INTEGER, place INTEGER)`

// newWriterConn takes the connection that writes.
func (e *Engine) newWriterConn(ctx context.Context) (*conn, error) {
	c, err := newConn(ctx, e.wdb)
	if err != nil {
		return nil, err
	}
	if _, err := c.c.ExecContext(ctx, writerPragmas); err != nil {
		c.discard()
		return nil, err
	}
	return c, nil
}

// prepare returns the statement of a query text. Texts are constants, so the
// cache is as large as our code.
func (c *conn) prepare(query string) (*stmt, error) {
	if s, ok := c.stmts[query]; ok {
		return s, nil
	}
	p, err := c.raw.Prepare(compiledOnce.Replace(query))
	if err != nil {
		return nil, fmt.Errorf("prepare %q: %w", query, err)
	}
	s := newStmt(p.(*sqlite3.SQLiteStmt))
	c.stmts[query] = s
	return s, nil
}

// compiledOnce keeps SQLite from looking at the values of parameters when it
// plans (sqlite3ExprIsInteger): a statement for which it did is compiled anew
// each time that its parameters are set, which takes longer than running it.
// With a sign, which changes no value, it does not look.
var compiledOnce = strings.NewReplacer("= ?", "= +?", "IS ?", "IS +?", "LIMIT ?", "LIMIT +?")

func (c *conn) exec(query string) error {
	s, err := c.prepare(query)
	if err != nil {
		return err
	}
	return s.run(nil)
}

// inTx tells whether a transaction is open: SQLite ends one by itself after
// some errors.
func (c *conn) inTx() bool {
	return !c.raw.AutoCommit()
}

func (c *conn) close() {
	for _, s := range c.stmts {
		s.s.Close()
	}
	c.c.Close()
}

// discard closes the connection itself, so that its pool opens a new one.
func (c *conn) discard() {
	for _, s := range c.stmts {
		s.s.Close()
	}
	_ = c.c.Raw(func(any) error { return driver.ErrBadConn })
	c.c.Close()
}

// tx is an open transaction, or one write's savepoint inside the group's. It
// is valid until the function that got it returns. Query texts must be
// constants: they are prepared once and kept. Statements are not interrupted
// when a context ends; they are short.
type tx struct {
	*conn
	now     int64 // of the operation, in microseconds
	changes []store.Change
	filing  *filing // of the writer

	// An operation that shares its transaction with others is nested: its
	// savepoint begins with its first statement that writes.
	nested, wrote bool
}

// begin prepares for the statement query.
func (t *tx) begin(query string) (*stmt, error) {
	if !t.wrote && !strings.HasPrefix(query, "SELECT ") {
		if t.nested {
			if err := t.conn.exec("SAVEPOINT w"); err != nil {
				return nil, err
			}
		}
		t.wrote = true
	}
	return t.prepare(query)
}

// run runs a statement. It is exec for who does not ask how many rows it
// changed, and takes less time.
func (t *tx) run(query string, args ...any) error {
	s, err := t.begin(query)
	if err != nil {
		return err
	}
	return s.run(args)
}

// exec runs a statement and returns how many rows it changed.
func (t *tx) exec(query string, args ...any) (int64, error) {
	s, err := t.begin(query)
	if err != nil {
		return 0, err
	}
	r, err := s.exec(args)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// insert runs an INSERT and returns the rowid.
func (t *tx) insert(query string, args ...any) (int64, error) {
	s, err := t.begin(query)
	if err != nil {
		return 0, err
	}
	r, err := s.exec(args)
	if err != nil {
		return 0, err
	}
	return r.LastInsertId()
}

// get reads the only row of a query into dest: sql.ErrNoRows if there is none.
func (t *tx) get(query string, args []any, dest ...any) error {
	s, err := t.begin(query)
	if err != nil {
		return err
	}
	return s.get(args, dest)
}

// each calls fn for every row of a query. Rows must not be changed by fn, nor
// the same query be asked. What scan puts into a sql.RawBytes stays valid.
func (t *tx) each(query string, args []any, fn func(scan func(dest ...any) error) error) error {
	s, err := t.begin(query)
	if err != nil {
		return err
	}
	return s.each(args, fn)
}

// values reads the only column of a query.
func values[T any](t *tx, query string, args []any) (list []T, err error) {
	err = t.each(query, args, func(scan func(...any) error) error {
		var v T
		err := scan(&v)
		list = append(list, v)
		return err
	})
	return list, err
}

// publish announces c if the transaction is committed.
func (t *tx) publish(c store.Change) { t.changes = append(t.changes, c) }

// args makes a parameter list.
func args(a ...any) []any { return a }

func micros(t time.Time) int64 { return t.UnixMicro() }

func fromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }
