package blob

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// defaultMax is the size at which a segment is left for a new one.
const defaultMax = 128 << 20

// Options are the settings of a Dir; the zero value is good.
type Options struct {
	FS  FS    // nil is Disk
	Max int64 // size at which a segment is left for a new one; 0 is 128 MiB
}

// Loc is where a record begins.
type Loc struct {
	Seg int64 // number of the segment, from 1
	Off int64
}

// Dir is a directory of segments. What it appends goes to segments of its
// own; it reads all of them.
type Dir struct {
	dir string
	fs  FS
	max int64

	mu   sync.Mutex
	cur  [lanes]*segment    // nil before the first record and after a failed sync
	open map[int64]*segment // those with refs
}

// Large records and those of batches have segments of their own, so that the
// sync of a batch does not have to write out a large body too.
const (
	large = iota
	grouped
	lanes
)

// Open returns a Dir on a directory that is there.
func Open(dir string, o Options) *Dir {
	d := &Dir{dir: dir, fs: o.FS, max: o.Max, open: map[int64]*segment{}}
	if d.fs == nil {
		d.fs = Disk{}
	}
	if d.max <= 0 {
		d.max = defaultMax
	}
	return d
}

// segment is a file that is being appended to. While it has refs it is
// locked, and nobody sweeps it.
type segment struct {
	n    int64
	f    File
	end  int64 // where the next record goes; guarded by Dir.mu
	refs int   // records whose rows are not committed yet, and 1 while it is current; guarded by Dir.mu

	syncMu sync.Mutex
	synced int64 // the highest ticket that is durable; guarded by syncMu

	mu      sync.Mutex
	written int64 // tickets of records written
	bad     error // a sync failed: nothing in it that is not named yet may be
}

// Append writes a record and returns when it is durable. Several may run at
// once; they share a sync. The segment is kept from being swept until Release.
func (d *Dir) Append(r Record, body io.ReaderAt) (Loc, error) {
	n := roundUp(stored(r.Size), align)
	s, off, err := d.take(large, n)
	if err != nil {
		return Loc{}, err
	}
	err = r.write(s.f, off, body)
	if err == nil {
		err = s.sync()
	}
	if err != nil {
		d.give(s, off, n, err)
		return Loc{}, fmt.Errorf("blob: append: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.retire(s)
	return Loc{s.n, off}, nil
}

// Release ends what a successful Append began, after the transaction that was
// to name its record.
func (d *Dir) Release(loc Loc) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unref(d.open[loc.Seg])
}

// take reserves room for n bytes in a lane's current segment. What has been
// synced is never written again: room begins and ends at a multiple of align.
func (d *Dir) take(lane int, n int64) (*segment, int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.cur[lane]; s != nil && s.end > 0 && s.end+n > d.max {
		d.leave(lane)
	}
	if d.cur[lane] == nil {
		s, err := d.create()
		if err != nil {
			return nil, 0, err
		}
		d.cur[lane], d.open[s.n] = s, s
	}
	s := d.cur[lane]
	off := s.end
	s.end += n
	s.refs++
	return s, off, nil
}

// errUnwanted is why room is given back that has records in it.
var errUnwanted = errors.New("blob: nothing names it")

// give ends what take began. With an error, the room is given back.
func (d *Dir) give(s *segment, off, n int64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		if s.end == off+n && s.f.Truncate(off) == nil {
			s.end = off
		} else {
			_, _ = s.f.Drop(off, n) // else by a sweep
		}
	}
	d.retire(s)
	d.unref(s)
}

// retire leaves s if its sync has failed. d.mu is held.
func (d *Dir) retire(s *segment) {
	if s.failed() == nil {
		return
	}
	for lane, cur := range d.cur {
		if cur == s {
			d.leave(lane)
		}
	}
}

// leave makes the next record of a lane begin another segment. d.mu is held.
func (d *Dir) leave(lane int) {
	s := d.cur[lane]
	d.cur[lane] = nil
	d.unref(s)
}

func (d *Dir) unref(s *segment) {
	if s == nil || d.open[s.n] != s {
		return // the directory was closed
	}
	if s.refs--; s.refs == 0 {
		delete(d.open, s.n)
		s.f.Close()
	}
}

// create makes a segment with the next free number. d.mu is held.
func (d *Dir) create() (*segment, error) {
	n, err := d.last()
	if err != nil {
		return nil, err
	}
	for {
		n++
		f, err := d.fs.Create(d.path(n))
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !f.Hold() {
			f.Close() // somebody looks at it: take another
			continue
		}
		if err := d.fs.SyncDir(d.dir); err != nil {
			f.Close()
			return nil, err
		}
		return &segment{n: n, f: f, refs: 1}, nil
	}
}

// sync returns when all that was written before it is durable. Whoever waits
// for a sync under way shares the next one. After a failure the segment is
// never trusted again: what the kernel dropped, a second sync would not tell.
func (s *segment) sync() error {
	s.mu.Lock()
	s.written++
	mine := s.written
	s.mu.Unlock()
	s.syncMu.Lock()
	defer s.syncMu.Unlock()
	s.mu.Lock()
	all, bad := s.written, s.bad
	s.mu.Unlock()
	if bad != nil || s.synced >= mine {
		return bad
	}
	if err := s.f.Sync(); err != nil {
		s.mu.Lock()
		s.bad = err
		s.mu.Unlock()
		return err
	}
	s.synced = all
	return nil
}

func (s *segment) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bad
}

func (d *Dir) path(n int64) string { return filepath.Join(d.dir, fmt.Sprintf("%010d.seg", n)) }

// Segments returns the numbers of all segments, ascending.
func (d *Dir) Segments() ([]int64, error) {
	names, err := d.fs.List(filepath.Join(d.dir, "*.seg"))
	if err != nil {
		return nil, err
	}
	var ns []int64
	for _, name := range names {
		var n int64
		if _, err := fmt.Sscanf(filepath.Base(name), "%d.seg", &n); err == nil {
			ns = append(ns, n)
		}
	}
	return ns, nil
}

func (d *Dir) last() (int64, error) {
	ns, err := d.Segments()
	if err != nil || len(ns) == 0 {
		return 0, err
	}
	return ns[len(ns)-1], nil
}

// Open opens the record at loc after checking its header, and keeps its space
// from being dropped until Close.
func (d *Dir) Open(loc Loc, r Record) (*Reader, error) {
	f, err := d.fs.Open(d.path(loc.Seg))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("blob: segment %d: %w", loc.Seg, ErrDropped)
	}
	if err != nil {
		return nil, err
	}
	if err := f.Pin(loc.Off, stored(r.Size)); err != nil {
		f.Close()
		return nil, fmt.Errorf("blob: segment %d at %d: %w", loc.Seg, loc.Off, ErrDropped)
	}
	h := make([]byte, headerSize)
	if n, err := f.ReadAt(h, loc.Off); n < headerSize && err != io.EOF {
		f.Close()
		return nil, err
	}
	if err := r.checkHeader(h); err != nil {
		f.Close()
		return nil, fmt.Errorf("blob: segment %d at %d, body %d: %w", loc.Seg, loc.Off, r.ID, err)
	}
	return &Reader{rec: r, f: f, off: loc.Off + headerSize, have: -1}, nil
}

// Run is a stretch of a segment that no row names any more.
type Run struct {
	Seg, Off, N int64
}

// RunOf is what the record of a body of size bytes takes.
func RunOf(loc Loc, size int64) Run { return Run{loc.Seg, loc.Off, stored(size)} }

// Join adds the record of a body that stands behind r, with no other between:
// false if it is elsewhere.
func (r *Run) Join(loc Loc, size int64) bool {
	if loc.Seg != r.Seg || loc.Off != r.Off+r.N {
		return false
	}
	r.N += stored(size)
	return true
}

// Drop gives back the space of a run: false if something in it is being read.
func (d *Dir) Drop(r Run) (bool, error) {
	f, err := d.fs.Open(d.path(r.Seg))
	if errors.Is(err, os.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	return f.Drop(r.Off, r.N)
}

// Close leaves all segments, also those whose records have not been released:
// there will be no transaction to name these.
func (d *Dir) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for n, s := range d.open {
		delete(d.open, n)
		s.f.Close()
	}
	d.cur = [lanes]*segment{}
	return nil
}
