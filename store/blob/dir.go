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

	mu  sync.Mutex
	cur *segment // nil before the first Append and after a failed sync
}

// Open returns a Dir on a directory that is there.
func Open(dir string, o Options) *Dir {
	d := &Dir{dir: dir, fs: o.FS, max: o.Max}
	if d.fs == nil {
		d.fs = Disk{}
	}
	if d.max <= 0 {
		d.max = defaultMax
	}
	return d
}

// segment is a file that is being appended to.
type segment struct {
	n    int64
	f    File
	end  int64 // where the next record goes; guarded by Dir.mu
	refs int   // appends under way, and 1 while it is current; guarded by Dir.mu

	syncMu  sync.Mutex
	bad     error // a sync failed: nothing in it that is not named yet may be
	written int64 // tickets of records written; guarded by ticketMu
	synced  int64 // the highest that is durable; guarded by syncMu

	ticketMu sync.Mutex
}

// Append writes a record and returns when it is durable. Several may run at
// once; they share a sync.
func (d *Dir) Append(r Record, body io.ReaderAt) (Loc, error) {
	s, off, err := d.take(stored(r.Size))
	if err != nil {
		return Loc{}, err
	}
	err = r.write(s.f, off, body)
	if err == nil {
		err = s.sync()
	}
	d.give(s, off, stored(r.Size), err)
	if err != nil {
		return Loc{}, fmt.Errorf("blob: append: %w", err)
	}
	return Loc{s.n, off}, nil
}

// take reserves room for n bytes in the current segment.
func (d *Dir) take(n int64) (*segment, int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cur != nil && d.cur.end > 0 && d.cur.end+n > d.max {
		d.leave()
	}
	if d.cur == nil {
		s, err := d.create()
		if err != nil {
			return nil, 0, err
		}
		d.cur = s
	}
	off := d.cur.end
	d.cur.end += n
	d.cur.refs++
	return d.cur, off, nil
}

// give ends what take began. Room that got no record is given back.
func (d *Dir) give(s *segment, off, n int64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		if s.end == off+n && s.f.Truncate(off) == nil {
			s.end = off
		} else {
			_, _ = s.f.Drop(off, n) // else at the next start
		}
	}
	if s.failed() != nil && d.cur == s {
		d.leave()
	}
	d.unref(s)
}

// leave makes the next Append begin another segment. d.mu is held.
func (d *Dir) leave() {
	s := d.cur
	d.cur = nil
	d.unref(s)
}

func (d *Dir) unref(s *segment) {
	if s.refs--; s.refs == 0 {
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
	s.ticketMu.Lock()
	s.written++
	mine := s.written
	s.ticketMu.Unlock()
	s.syncMu.Lock()
	defer s.syncMu.Unlock()
	if s.bad != nil {
		return s.bad
	}
	if s.synced >= mine {
		return nil
	}
	s.ticketMu.Lock()
	all := s.written
	s.ticketMu.Unlock()
	if err := s.f.Sync(); err != nil {
		s.bad = err
		return err
	}
	s.synced = all
	return nil
}

func (s *segment) failed() error {
	s.syncMu.Lock()
	defer s.syncMu.Unlock()
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

// Drop gives back the space of a record that no row names: false if it is
// being read.
func (d *Dir) Drop(loc Loc, size int64) (bool, error) {
	f, err := d.fs.Open(d.path(loc.Seg))
	if errors.Is(err, os.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	return f.Drop(loc.Off, stored(size))
}

// Close leaves the segment that is appended to.
func (d *Dir) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cur != nil {
		d.leave()
	}
	return nil
}
