package soak

import (
	"os"
	"testing"
	"time"

	"postrider/internal/faultfs"
	"postrider/internal/lab"
	"postrider/internal/needs"
)

// rig is a server on a disk with faults.
type rig struct {
	t    *testing.T
	disk *faultfs.Disk
	conf lab.Config
	site *lab.Site
	l    *ledger
}

func newRig(t *testing.T, seed uint64) *rig {
	t.Helper()
	needs.Fuse(t)
	r := &rig{t: t, conf: siteConfig(t.TempDir()), l: newLedger(seed)}
	if err := os.Mkdir(r.conf.DataDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	var err error
	if r.disk, err = faultfs.Mount(r.conf.DataDir(), seed); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	return r
}

func (r *rig) close() {
	if r.site != nil {
		r.site.Kill()
	}
	if err := r.disk.Close(); err != nil {
		r.t.Error(err)
	}
}

func (r *rig) start() {
	r.t.Helper()
	s, err := lab.Start(r.t.Context(), r.conf)
	if err != nil {
		r.t.Fatal(err)
	}
	r.site = s
}

// cutAt lets the server work until the n-th change of its disk and takes the
// power away.
func (r *rig) cutAt(n int, torn bool) {
	r.t.Helper()
	gone := r.disk.CutAfter(n, torn)
	d := startLoad(r.t, r.l, r.site)
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		r.t.Errorf("the server does not change its disk: %v", r.l.refusals())
		r.disk.Cut(torn)
	}
	time.Sleep(20 * time.Millisecond) // for replies that must not come
	r.dark(d)
}

// dark ends a server without power, and gives the power back.
func (r *rig) dark(d *load) {
	r.t.Helper()
	r.site.Kill()
	if d != nil {
		d.end()
	}
	r.site = nil
	if err := r.disk.Restore(); err != nil {
		r.t.Fatal(err)
	}
}

// TestPowerCut takes the power away at a random write or sync, and drops all
// that was not synced, or a random part of it: whatever was acknowledged is
// there afterwards.
func TestPowerCut(t *testing.T) {
	random, seed := seeded(t)
	begin := time.Now()
	cuts, perStore := pick("powercut", 6, 200), 20
	acked, done := 0, 0
	for store := range (cuts + perStore - 1) / perStore {
		r := newRig(t, seed+uint64(store)<<32)
		for round := range min(perStore, cuts-done) {
			r.birth(random.IntN(3) == 0, 1+random.IntN(120))
			r.cutAt(1+random.IntN(1500), random.IntN(2) == 0)
			r.start()
			verify(t, r.site, r.l, false)
			checkClean(t, r.site)
			if t.Failed() {
				t.Fatalf("store %d, round %d", store, round)
			}
			done++
		}
		verify(t, r.site, r.l, true)
		acked += r.l.ackedNow()
	}
	report(t, "power cuts under load", begin, "%d cuts, %d acknowledged, 0 lost, 0 altered", done, acked)
}

// birth starts the server if it does not run; if early is true, it loses its
// power once while it starts.
func (r *rig) birth(early bool, n int) {
	r.t.Helper()
	if early {
		if r.site != nil {
			r.site.Kill()
			r.site = nil
		}
		r.disk.CutAfter(n, true)
		s, err := lab.Start(r.t.Context(), r.conf)
		r.disk.Cut(true)
		if err == nil {
			s.Kill()
		}
		if err := r.disk.Restore(); err != nil {
			r.t.Fatal(err)
		}
	}
	if r.site == nil {
		r.start()
	}
}

// TestPowerCutCanFail shows that a loss would be seen: on a disk that says it
// has synced and has not, mail is lost.
func TestPowerCutCanFail(t *testing.T) {
	_, seed := seeded(t)
	r := newRig(t, seed)
	r.start()
	r.disk.Lie(true)
	gone := r.disk.CutAfter(3000, false)
	d := startLoad(t, r.l, r.site)
	<-gone
	acked := r.l.ackedNow()
	r.dark(d)
	if acked == 0 {
		t.Fatal("nothing was acknowledged")
	}
	// The store may not even open: that is a loss too.
	s, err := lab.Start(t.Context(), r.conf)
	if err != nil {
		t.Logf("the store does not open: %v", err)
		return
	}
	r.site = s
	quiet := &quietT{TB: t}
	lost := verify(quiet, s, r.l, true)
	if lost == 0 && quiet.errors == 0 {
		t.Fatalf("%d messages were acknowledged on a disk that lies, and none is lost", acked)
	}
	t.Logf("%d messages were acknowledged on a disk that lies; %d copies are lost, as they must be", acked, lost)
}

// quietT counts errors that are wanted.
type quietT struct {
	testing.TB
	errors int
}

func (q *quietT) Helper()               {}
func (q *quietT) Error(...any)          { q.errors++ }
func (q *quietT) Errorf(string, ...any) { q.errors++ }
