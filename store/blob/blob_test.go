package blob

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"testing/iotest"
)

// body makes size bytes that differ for each seed.
func body(seed uint64, size int) []byte {
	b := make([]byte, size)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func record(id int64, b []byte) Record {
	return Record{ID: id, Size: int64(len(b)), Hash: sha256.Sum256(b)}
}

func add(t *testing.T, d *Dir, id int64, b []byte) Loc {
	t.Helper()
	loc, err := d.Append(record(id, b), bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	d.Release(loc)
	return loc
}

func want(t *testing.T, d *Dir, loc Loc, id int64, b []byte) {
	t.Helper()
	r, err := d.Open(loc, record(id, b))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := iotest.TestReader(io.NewSectionReader(r, 0, r.Size()), b); err != nil {
		t.Errorf("body %d: %v", id, err)
	}
}

func TestReadBack(t *testing.T) {
	d := Open(t.TempDir(), Options{})
	defer d.Close()
	for i, size := range []int{0, 1, 100, blockSize - 1, blockSize, blockSize + 1, 3 * blockSize, 20*blockSize + 17} {
		b := body(uint64(i), size)
		want(t, d, add(t, d, int64(i), b), int64(i), b)
	}
}

func TestAppendAtOnceAndInSegments(t *testing.T) {
	d := Open(t.TempDir(), Options{Max: 1 << 20})
	defer d.Close()
	const n = 20
	locs := make([]Loc, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { locs[i] = add(t, d, int64(i), body(uint64(i), 100000+i)) })
	}
	wg.Wait()
	for i := range n {
		want(t, d, locs[i], int64(i), body(uint64(i), 100000+i))
	}
	segs, err := d.Segments()
	if err != nil || len(segs) < 2 {
		t.Errorf("segments %v, %v: want several", segs, err)
	}
}

func TestTwoHandlesUseTheirOwnSegments(t *testing.T) {
	dir := t.TempDir()
	a, b := Open(dir, Options{}), Open(dir, Options{})
	defer a.Close()
	defer b.Close()
	x, y := body(1, 5000), body(2, 5000)
	la, lb := add(t, a, 1, x), add(t, b, 2, y)
	if la.Seg == lb.Seg {
		t.Fatalf("both in segment %d", la.Seg)
	}
	want(t, b, la, 1, x)
	want(t, a, lb, 2, y)
	// Neither sweeps what the other appends to.
	if err := sweep(a, lb.Seg, nil, nobody); err != nil {
		t.Fatal(err)
	}
	want(t, a, lb, 2, y)
}

// A flipped bit anywhere in a record is an error and never other bytes.
func TestDamageIsFound(t *testing.T) {
	d := Open(t.TempDir(), Options{})
	defer d.Close()
	b := body(1, 2*blockSize+100)
	loc := add(t, d, 1, b)
	f, err := os.OpenFile(d.path(loc.Seg), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for off := int64(0); off < headerSize+int64(len(b))+3*sumSize; off += 701 {
		var c [1]byte
		f.ReadAt(c[:], off)
		f.WriteAt([]byte{c[0] ^ 4}, off)
		if err := readAll(d, loc, record(1, b)); !errors.Is(err, ErrDamaged) {
			t.Errorf("flip at %d: %v", off, err)
		}
		f.WriteAt(c[:], off)
	}
	if err := readAll(d, loc, record(1, b)); err != nil {
		t.Error(err)
	}
	if err := readAll(d, loc, record(2, b)); !errors.Is(err, ErrDamaged) {
		t.Errorf("another body's record: %v", err)
	}
	if err := f.Truncate(int64(len(b)) / 2); err != nil {
		t.Fatal(err)
	}
	if err := readAll(d, loc, record(1, b)); !errors.Is(err, ErrDamaged) {
		t.Errorf("cut segment: %v", err)
	}
}

func readAll(d *Dir, loc Loc, rec Record) error {
	r, err := d.Open(loc, rec)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, io.NewSectionReader(r, 0, r.Size()))
	return err
}

func TestDropWaitsForReaders(t *testing.T) {
	d := Open(t.TempDir(), Options{})
	defer d.Close()
	x, y := body(1, 300000), body(2, 300000)
	lx, ly := add(t, d, 1, x), add(t, d, 2, y)
	r, err := d.Open(lx, record(1, x))
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := d.Drop(RunOf(lx, int64(len(x)))); ok || err != nil {
		t.Fatalf("dropped under a reader: %v %v", ok, err)
	}
	got, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	if err != nil || !bytes.Equal(got, x) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	r.Close()
	if ok, err := d.Drop(RunOf(lx, int64(len(x)))); !ok || err != nil {
		t.Fatalf("not dropped: %v %v", ok, err)
	}
	if _, err := d.Open(lx, record(1, x)); !errors.Is(err, ErrDropped) {
		t.Errorf("opened what was dropped: %v", err)
	}
	want(t, d, ly, 2, y)
}

func nobody(int64) (bool, error) { return false, nil }

// sweep sweeps a segment unless somebody appends to it.
func sweep(d *Dir, n int64, live []Live, known func(int64) (bool, error)) error {
	h, err := d.Hold(n)
	if err != nil || h == nil {
		return err
	}
	defer h.Close()
	return h.Sweep(live, known)
}

func TestSweepKeepsWhatIsLive(t *testing.T) {
	dir := t.TempDir()
	d := Open(dir, Options{})
	var locs []Loc
	for i := range 5 {
		locs = append(locs, add(t, d, int64(i), body(uint64(i), 100000)))
	}
	d.Close()
	d = Open(dir, Options{})
	if err := sweep(d, 1, []Live{{locs[1].Off, 100000}, {locs[3].Off, 100000}}, nobody); err != nil {
		t.Fatal(err)
	}
	for i, loc := range locs {
		if i%2 == 1 {
			want(t, d, loc, int64(i), body(uint64(i), 100000))
		} else if _, err := d.Open(loc, record(int64(i), body(uint64(i), 100000))); !errors.Is(err, ErrDropped) {
			t.Errorf("record %d: %v", i, err)
		}
	}
	// A row that names another place than where its body is must not cost the body.
	if err := sweep(d, 1, []Live{{locs[1].Off, 100000}}, func(id int64) (bool, error) { return id == 3, nil }); err == nil {
		t.Error("dropped a body that is known")
	}
	want(t, d, locs[3], 3, body(3, 100000))
	if err := sweep(d, 1, nil, nobody); err != nil {
		t.Fatal(err)
	}
	// The newest keeps its name, so that its number is not given again.
	if info, err := os.Stat(d.path(1)); err != nil || info.Size() != 0 {
		t.Errorf("the newest segment: %v, %v", info, err)
	}
	add(t, d, 9, body(9, 100))
	if err := sweep(d, 1, nil, nobody); err != nil {
		t.Fatal(err)
	}
	if segs, _ := d.Segments(); len(segs) != 1 || segs[0] != 2 {
		t.Errorf("segments %v are left", segs)
	}
}

// A segment that a sweep removed before it was locked is not appended to.
func TestRemovedFileIsNotHeld(t *testing.T) {
	dir := t.TempDir()
	f, err := Disk{}.Create(dir + "/x.seg")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Remove(dir + "/x.seg"); err != nil {
		t.Fatal(err)
	}
	if f.Hold() {
		t.Error("held a file without a name")
	}
}

// faulty is a disk whose writes or syncs fail on demand.
type faulty struct {
	Disk
	writes, syncs *error
}

type faultyFile struct {
	File
	fs *faulty
}

func (f *faulty) Create(path string) (File, error) {
	file, err := f.Disk.Create(path)
	return &faultyFile{file, f}, err
}

func (f *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	if *f.fs.writes != nil && off > 0 {
		return 0, *f.fs.writes
	}
	return f.File.WriteAt(p, off)
}

func (f *faultyFile) Sync() error {
	if *f.fs.syncs != nil {
		return *f.fs.syncs
	}
	return f.File.Sync()
}

func TestFailures(t *testing.T) {
	var writes, syncs error
	d := Open(t.TempDir(), Options{FS: &faulty{writes: &writes, syncs: &syncs}})
	defer d.Close()
	x := body(1, 200000)
	first := add(t, d, 1, x)

	writes = errors.New("no space")
	if _, err := d.Append(record(2, x), bytes.NewReader(x)); !errors.Is(err, writes) {
		t.Errorf("failed write: %v", err)
	}
	writes = nil
	second := add(t, d, 3, x)
	if second.Seg != first.Seg || second.Off != first.Off+stored(int64(len(x))) {
		t.Errorf("after a failed write at %v, first at %v: its room is lost", second, first)
	}

	syncs = errors.New("i/o error")
	if _, err := d.Append(record(4, x), bytes.NewReader(x)); !errors.Is(err, syncs) {
		t.Errorf("failed sync: %v", err)
	}
	syncs = nil
	if third := add(t, d, 5, x); third.Seg == first.Seg {
		t.Error("a segment whose sync failed is trusted again")
	}
	want(t, d, first, 1, x)

	if _, err := d.Append(Record{ID: 6, Size: int64(len(x)) + 1}, bytes.NewReader(x)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a body shorter than it says: %v", err)
	}
}

// addBatch writes bodies as one batch and returns where they are.
func addBatch(t *testing.T, d *Dir, bodies ...[]byte) *Batch {
	t.Helper()
	var rs []Record
	for i, b := range bodies {
		rs = append(rs, record(int64(i), b))
	}
	g, err := d.Begin(rs, bodies)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestBatch(t *testing.T) {
	dir := t.TempDir()
	d := Open(dir, Options{Max: 1 << 20})
	defer d.Close()
	var bodies [][]byte
	for i, size := range []int{1, 100, 10000, blockSize - 1, blockSize, 3*blockSize + 5, 0, 777} {
		bodies = append(bodies, body(uint64(i), size))
	}
	for range 4 {
		g := addBatch(t, d, bodies...)
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		if g.Loc(0).Off%align != 0 {
			t.Errorf("begins at %d, in a block that has been synced", g.Loc(0).Off)
		}
		// Nobody sweeps what no transaction has named yet.
		if err := sweep(Open(dir, Options{}), g.Loc(0).Seg, nil, nobody); err != nil {
			t.Error(err)
		}
		g.Release(true)
		for i, b := range bodies {
			want(t, d, g.Loc(i), int64(i), b)
		}
	}
	if segs, err := d.Segments(); err != nil || len(segs) < 2 {
		t.Errorf("segments %v, %v: want several", segs, err)
	}
}

// Room that nothing names is used again.
func TestUnwantedBatch(t *testing.T) {
	d := Open(t.TempDir(), Options{})
	defer d.Close()
	b := body(1, 5000)
	first := addBatch(t, d, b, b)
	second := addBatch(t, d, b)
	third := addBatch(t, d, b)
	second.Release(false) // in the middle: a hole
	third.Release(false)
	first.Release(true)
	want(t, d, first.Loc(1), 1, b)
	if _, err := d.Open(second.Loc(0), record(0, b)); !errors.Is(err, ErrDropped) {
		t.Errorf("in the hole: %v", err)
	}
	again := addBatch(t, d, b)
	if again.Loc(0) != third.Loc(0) {
		t.Errorf("at %v, the last one was at %v", again.Loc(0), third.Loc(0))
	}
	again.Release(true)
}

func TestBatchFails(t *testing.T) {
	var writes, syncs error
	d := Open(t.TempDir(), Options{FS: &faulty{writes: &writes, syncs: &syncs}})
	defer d.Close()
	b := body(1, 5000)
	first := addBatch(t, d, b)
	first.Release(true)
	writes = errors.New("no space")
	if g := addBatch(t, d, b); !errors.Is(g.Wait(), writes) {
		t.Errorf("failed write: %v", g.Wait())
	} else {
		g.Release(false)
	}
	writes, syncs = nil, errors.New("i/o error")
	if g := addBatch(t, d, b); !errors.Is(g.Wait(), syncs) {
		t.Errorf("failed sync: %v", g.Wait())
	} else {
		g.Release(false)
	}
	syncs = nil
	again := addBatch(t, d, b)
	again.Release(true)
	if again.Loc(0).Seg == first.Loc(0).Seg {
		t.Error("a segment whose sync failed is trusted again")
	}
	want(t, d, again.Loc(0), 0, b)
	want(t, d, first.Loc(0), 0, b)
}
