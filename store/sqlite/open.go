package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/maillog"
	"postrider/store"
	"postrider/store/blob"
)

// Names in the data directory.
const (
	dbName      = "mail.db"
	bodiesDir   = "bodies"
	handlesDir  = "handles"
	reserveName = "reserve"
)

// Options are the settings of an engine; the zero value is good.
type Options struct {
	// Feed gets the changes; nil makes one.
	Feed *store.Feed
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Log tells of what an operator should know; nil discards.
	Log *slog.Logger
	// Owner says that the caller holds the lock on the directory: this handle
	// removes what a crash left behind. Others must not be Owner meanwhile.
	Owner bool
	// Readers is the number of reading connections; 0 chooses.
	Readers int
	// InlineMax is the size up to which a body is in memory when the writer
	// gets it, which then decides where it goes; larger ones are in a segment
	// before. 0 is 256 KiB.
	InlineMax int64
	// GroupInline is how many bytes of bodies, less one, writes that share a
	// commit may put into the database; with more they go to a segment. 0 is
	// 64 KiB.
	GroupInline int64
	// Reserve is the disk space kept for deleting when the disk is full; 0 is
	// 24 MiB, negative is none. The log is moved at half of it at the latest, so
	// that there is room for what it holds and for deleting beside that.
	Reserve int64
	// SegmentMax is the size at which a segment is left for a new one; 0 is
	// 128 MiB.
	SegmentMax int64
	// KeepJourneys is how long journeys are kept; 0 is 30 days, negative is
	// for ever.
	KeepJourneys time.Duration
	// FS is where segments are kept; nil is the disk.
	FS blob.FS
}

const (
	defaultInlineMax   = 256 << 10
	defaultGroupInline = 64 << 10
	defaultReserve     = 24 << 20
)

// Engine is an open store: see the package's comment.
type Engine struct {
	dir  string
	opt  Options
	feed *store.Feed
	log  *slog.Logger
	now  func() time.Time

	wdb, rdb *sql.DB
	requests chan *request
	coming   atomic.Int32       // bodies that are being read for the writer
	busy     atomic.Int64       // when bodies last came, in microseconds
	stuck    sync.Map           // segments that cannot be emptied
	summed   time.Duration      // what finding out took what segments hold; tend's
	step     func(string) error // a test's, between the steps of moving bodies
	readers  chan *conn         // nil: not opened yet
	quit     chan struct{}      // closed by Close: no more reads
	stopped  chan struct{}      // the writer has ended
	tending  sync.WaitGroup     // what the owner does in the background
	closing  sync.RWMutex
	closed   bool

	ids     idMaker
	handle  *os.File // its lock makes ids.node ours
	reserve *reserve

	blobs     *blob.Dir
	dropMu    sync.Mutex
	undropped []blob.Run // were being read when their last row went

	fresh fresh

	shrinkMu sync.Mutex
	shrunk   time.Time // when free pages were last given back
}

// Open opens the store in dir and makes it if there is none. A database that
// is damaged, or written by a newer version, is refused and left as it is.
func Open(dir string, o Options) (*Engine, error) {
	e := newEngine(dir, o)
	if err := e.open(); err != nil {
		e.release()
		return nil, wrap("open", err)
	}
	go (&writer{e: e}).run()
	if o.Owner {
		e.tending.Go(e.tidy)
		e.tending.Go(e.tend)
	}
	return e, nil
}

// Exists tells whether there is a store in dir, damaged or not. An error says
// that it cannot be told, as when dir itself is not there or is closed to us.
func Exists(dir string) (bool, error) {
	if _, err := os.Stat(dir); err != nil {
		return false, err
	}
	_, err := os.Stat(filepath.Join(dir, dbName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func newEngine(dir string, o Options) *Engine {
	e := &Engine{dir: dir, opt: o, feed: o.Feed, log: o.Log, now: o.Now}
	if e.feed == nil {
		e.feed = store.NewFeed()
	}
	if e.log == nil {
		e.log = maillog.Discard()
	}
	if e.now == nil {
		e.now = time.Now
	}
	if e.opt.Readers <= 0 {
		e.opt.Readers = max(4, 2*runtime.GOMAXPROCS(0))
	}
	if e.opt.InlineMax == 0 {
		e.opt.InlineMax = defaultInlineMax
	}
	if e.opt.GroupInline == 0 {
		e.opt.GroupInline = defaultGroupInline
	}
	if e.opt.Reserve == 0 {
		e.opt.Reserve = defaultReserve
	}
	e.reserve = &reserve{path: filepath.Join(dir, reserveName), size: max(0, e.opt.Reserve)}
	e.blobs = blob.Open(filepath.Join(dir, bodiesDir), blob.Options{FS: o.FS, Max: o.SegmentMax})
	e.requests = make(chan *request, groupWrites)
	e.readers = make(chan *conn, e.opt.Readers)
	for range e.opt.Readers {
		e.readers <- nil
	}
	e.quit, e.stopped = make(chan struct{}), make(chan struct{})
	return e
}

func (e *Engine) open() error {
	path, err := e.prepareDir()
	if err != nil {
		return err
	}
	if e.wdb, err = sql.Open("sqlite3", dsn(path, "_txlock=immediate")); err != nil {
		return err
	}
	e.wdb.SetMaxOpenConns(1)
	if e.rdb, err = sql.Open("sqlite3", dsn(path, "_query_only=1")); err != nil {
		return err
	}
	e.rdb.SetMaxOpenConns(e.opt.Readers)
	ctx := context.Background()
	c, err := newConn(ctx, e.wdb)
	if err != nil {
		return err
	}
	defer c.close()
	if err := migrate(ctx, c); err != nil {
		return err
	}
	if err := blob.SyncDir(e.dir); err != nil { // the names of a new database's files
		return err
	}
	if err := e.takeHandle(); err != nil {
		return err
	}
	if err := e.floorIDs(c); err != nil {
		return err
	}
	e.reserve.restore() // if it cannot be had now, it is tried again later
	return nil
}

// prepareDir makes the directories and refuses a database that must not be
// opened.
func (e *Engine) prepareDir() (string, error) {
	path, err := filepath.Abs(filepath.Join(e.dir, dbName))
	if err != nil {
		return "", err
	}
	for _, d := range []string{e.dir, filepath.Join(e.dir, bodiesDir), filepath.Join(e.dir, handlesDir)} {
		if err := makeDir(d); err != nil {
			return "", err
		}
	}
	texts, err := migrations()
	if err != nil {
		return "", err
	}
	if err := undoCreation(path); err != nil {
		return "", err
	}
	if err := inspect(path, len(texts)); err != nil {
		return "", err
	}
	if err := probe(path, len(texts)); err != nil {
		return "", err
	}
	// SQLite would let others read it.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", err
	}
	return path, f.Close()
}

// makeDir makes a directory whose name survives a loss of power.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return blob.SyncDir(filepath.Dir(dir))
}

// readOnly opens the database without changing anything.
const readOnly = "mode=ro&_query_only=1"

// dsn names the database with the pragmas of every connection: set here, and
// not by a statement, so that no connection of a pool is without them. SQLite
// needs no lock around a connection: one goroutine uses it at a time.
func dsn(path, more string) string {
	u := url.URL{Scheme: "file", Path: path, RawQuery: "_mutex=no&_foreign_keys=1&_busy_timeout=10000&" + more}
	if !strings.HasPrefix(more, readOnly) {
		u.RawQuery += "&_journal_mode=WAL&_synchronous=FULL&_auto_vacuum=incremental"
	}
	return u.String()
}

// takeHandle finds a number that no other open handle has: it is part of the
// ids that this one makes.
func (e *Engine) takeHandle() error {
	for n := range maxNode + 1 {
		f, err := os.OpenFile(filepath.Join(e.dir, handlesDir, fmt.Sprintf("%02x", n)), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
			e.handle, e.ids.node = f, int64(n)
			return nil
		}
		f.Close()
	}
	return errors.New("too many open handles on this store")
}

// floorIDs makes new ids rise above those in the database, whatever the clock
// says.
func (e *Engine) floorIDs(c *conn) error {
	t := &tx{conn: c}
	for _, q := range []string{
		"SELECT ifnull(max(id), 0) FROM body",
		"SELECT ifnull(max(id), 0) FROM out",
		"SELECT ifnull(max(id), 0) FROM out_rcpt",
	} {
		var id int64
		if err := t.get(q, nil, &id); err != nil {
			return err
		}
		e.ids.floor(id)
	}
	return nil
}

// Feed returns the feed that this engine publishes on.
func (e *Engine) Feed() *store.Feed { return e.feed }

// Close waits for writes under way, then releases everything. Operations
// that come later fail.
func (e *Engine) Close() error {
	e.closing.Lock()
	if e.closed {
		e.closing.Unlock()
		return nil
	}
	e.closed = true
	close(e.requests)
	close(e.quit)
	e.closing.Unlock()
	<-e.stopped
	e.tending.Wait()
	return wrap("close", e.release())
}

// release closes what is open; it waits for reads under way.
func (e *Engine) release() error {
	var errs []error
	if e.rdb != nil {
		for range e.opt.Readers {
			if c := <-e.readers; c != nil {
				c.close()
			}
		}
		errs = append(errs, e.rdb.Close())
	}
	if e.wdb != nil {
		errs = append(errs, e.wdb.Close()) // the last one closed checkpoints
	}
	errs = append(errs, e.blobs.Close())
	if e.handle != nil {
		errs = append(errs, e.handle.Close())
	}
	return errors.Join(errs...)
}
