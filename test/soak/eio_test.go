package soak

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postrider/internal/faultfs"
)

// resumes bounds how long after a fault the service may be away.
const resumes = 5 * time.Second

// errorLog counts what a server logs at the level ERROR.
type errorLog struct {
	mu    sync.Mutex
	lines []string
}

func (e *errorLog) line(b []byte) {
	if bytes.Contains(b, []byte(`"level":"ERROR"`)) {
		e.mu.Lock()
		e.lines = append(e.lines, string(b))
		e.mu.Unlock()
	}
}

// waited returns what was logged, and waits a little for it: a server writes
// its log behind its replies.
func (e *errorLog) waited() []string {
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if lines := e.take(); len(lines) > 0 || time.Now().After(end) {
			return lines
		}
	}
}

func (e *errorLog) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.lines
	e.lines = nil
	return l
}

// TestDiskError fails the n-th write or sync of the whole store, for n from 1
// to 50: clients get temporary errors, the log tells, service goes on, and
// nothing that was acknowledged, before or after, is lost when the power goes:
// what a failed sync did not write is not taken for written.
func TestDiskError(t *testing.T) {
	random, seed := seeded(t)
	begin := time.Now()
	const perStore = 10
	last, step := 50, pick("eio", 24, 1)
	var rounds, refusals, acked int
	hit := map[string]int{}
	for _, op := range []faultfs.Op{faultfs.Write, faultfs.Sync} {
		var r *rig
		var log errorLog
		for i, n := 0, 1; n <= last; i, n = i+1, n+step {
			if i%perStore == 0 {
				if r != nil {
					r.dispose()
				}
				r = newRig(t, seed+uint64(n)<<32)
				r.conf.Log = log.line
				r.start()
			}
			log.take()
			time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
			refused := r.fail(faultfs.Fault{Op: op, N: n, Err: syscall.EIO}, hit)
			refusals += len(refused)
			if len(refused) > 0 && len(log.waited()) == 0 {
				t.Errorf("the log has no error, and clients got %q", refused)
			}
			if i%2 == 1 { // what the failed sync left in the cache is read as if it were safe
				r.site.Kill()
				r.start()
			}
			r.cutAt(1+random.IntN(300), random.IntN(2) == 0)
			r.start()
			verify(t, r.site, r.l, false)
			checkClean(t, r.site)
			if t.Failed() {
				t.Fatalf("%s %d", op, n)
			}
			rounds++
		}
		verify(t, r.site, r.l, true)
		acked += r.l.ackedNow()
		r.dispose()
	}
	t.Logf("files hit: %v", hit)
	report(t, "EIO in the n-th write and sync", begin, "%d faults, %d refused with 451 or NO, %d acknowledged, 0 lost", rounds, refusals, acked)
}

// dispose ends a rig before its test does.
func (r *rig) dispose() {
	r.site.Kill()
	r.site = nil
}

// fail runs a load that meets a fault, and wants the service to go on after
// it. It returns what clients were refused with.
func (r *rig) fail(f faultfs.Fault, hit map[string]int) []string {
	r.t.Helper()
	r.l.refusals() // those of an earlier cut
	d := startLoad(r.t, r.l, r.site)
	r.disk.Arm(f)
	r.until("the fault", func() bool { return r.disk.Hits() > 0 })
	time.Sleep(10 * time.Millisecond)
	r.worksAgain()
	d.end()
	for _, e := range r.disk.Disarm() {
		name := e.Name
		if strings.HasSuffix(name, ".seg") {
			name = "a segment"
		}
		hit[fmt.Sprintf("%s of %s", e.Op, name)]++
	}
	refused := r.l.refusals()
	for _, reply := range refused {
		if !strings.HasPrefix(reply, "451 ") && !strings.HasPrefix(reply, "NO ") {
			r.t.Errorf("%v: a client got %q", f, reply)
		}
	}
	return refused
}

// worksAgain wants messages to be taken in on every way.
func (r *rig) worksAgain() {
	r.t.Helper()
	end := time.Now().Add(resumes)
	d := &load{t: r.t, l: r.l, addr: r.site.Addr, ctx: r.t.Context(), perSession: 1}
	for name, session := range map[string]func(*load) error{
		"smtp": (*load).smtp, "submission": (*load).submission, "lmtp": (*load).lmtp, "append": (*load).append, "shuffle": (*load).shuffle,
	} {
		for err := session(d); err != nil; err = session(d) {
			r.l.failed(err)
			if time.Now().After(end) {
				r.t.Fatalf("%s does not work again: %v\n%s", name, err, r.site.LogTail())
			}
		}
	}
}

func (r *rig) until(what string, done func() bool) {
	r.t.Helper()
	for end := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("waited in vain for %s\n%s", what, r.site.LogTail())
		}
	}
}
