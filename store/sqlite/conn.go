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
	stmts   map[string]*sql.Stmt
	inserts map[insertText]string // texts of insertRows
}

// newConn takes a connection of db for good.
func newConn(ctx context.Context, db *sql.DB) (*conn, error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{c: c, stmts: map[string]*sql.Stmt{}}, nil
}

// writerPragmas speed up the writer; nothing depends on them. What a savepoint
// keeps for undoing it stays in memory (in a file it was a quarter of all that
// was written), the log gives its space back after a large transaction, and
// its checkpoints are logKeeper's. The table is for unrefMessages, and empty
// between operations.
const writerPragmas = `PRAGMA wal_autocheckpoint = 0; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384; PRAGMA journal_size_limit = 33554432;
	CREATE TEMP TABLE unref (body INTEGER PRIMARY KEY, n INTEGER, dead INTEGER)`

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
func (c *conn) prepare(query string) (*sql.Stmt, error) {
	if s, ok := c.stmts[query]; ok {
		return s, nil
	}
	s, err := c.c.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, fmt.Errorf("prepare %q: %w", query, err)
	}
	c.stmts[query] = s
	return s, nil
}

func (c *conn) exec(query string) error {
	s, err := c.prepare(query)
	if err != nil {
		return err
	}
	_, err = s.Exec()
	return err
}

// inTx tells whether a transaction is open: SQLite ends one by itself after
// some errors.
func (c *conn) inTx() bool {
	open := false
	_ = c.c.Raw(func(d any) error { // a connection that cannot say has none
		open = !d.(*sqlite3.SQLiteConn).AutoCommit()
		return nil
	})
	return open
}

func (c *conn) close() {
	for _, s := range c.stmts {
		s.Close()
	}
	c.c.Close()
}

// discard closes the connection itself, so that its pool opens a new one.
func (c *conn) discard() {
	for _, s := range c.stmts {
		s.Close()
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
func (t *tx) begin(query string) (*sql.Stmt, error) {
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

// exec runs a statement and returns how many rows it changed.
func (t *tx) exec(query string, args ...any) (int64, error) {
	s, err := t.begin(query)
	if err != nil {
		return 0, err
	}
	r, err := s.Exec(args...)
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
	r, err := s.Exec(args...)
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
	return s.QueryRow(args...).Scan(dest...)
}

// each calls fn for every row of a query. Rows must not be changed by fn.
func (t *tx) each(query string, args []any, fn func(scan func(dest ...any) error) error) error {
	s, err := t.begin(query)
	if err != nil {
		return err
	}
	rows, err := s.Query(args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// publish announces c if the transaction is committed.
func (t *tx) publish(c store.Change) { t.changes = append(t.changes, c) }

// args makes a parameter list.
func args(a ...any) []any { return a }

func micros(t time.Time) int64 { return t.UnixMicro() }

func fromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }
