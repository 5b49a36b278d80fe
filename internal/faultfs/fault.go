package faultfs

import (
	"strings"
	"syscall"
)

// Op is a kind of operation that can be made to fail.
type Op string

// Writes are of data: write, truncate and fallocate. Syncs are of files and of
// directories.
const (
	Write Op = "write"
	Sync  Op = "sync"
	// Change is any operation that changes something, those on names too.
	Change Op = "change"
)

// Fault makes operations fail.
type Fault struct {
	Op    Op
	N     int           // the first one that fails, from 1, over all files
	Times int           // how many fail in a row; 0 is one, negative all
	Err   syscall.Errno // such as EIO or ENOSPC
}

// faults is the fault that is armed, and what it has met. Maps of shared
// memory do not count: their writing is the kernel's affair.
type faults struct {
	armed *Fault
	seen  int
	hits  []Event
}

// Arm makes what follows fail as f says, in place of an earlier fault.
func (d *Disk) Arm(f Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = faults{armed: &f}
}

// Disarm ends the fault and returns the operations that it has hit.
func (d *Disk) Disarm() []Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	hits := d.faults.hits
	d.faults = faults{}
	return hits
}

// Hits returns how many operations the armed fault has hit.
func (d *Disk) Hits() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.faults.hits)
}

// step counts an operation, notes it, and returns how it fails; 0 is not. The
// power may go with it, after which everything fails. d.mu is held.
func (d *Disk) step(e Event) syscall.Errno {
	if d.off {
		return syscall.EIO
	}
	if isMap(e.Name) {
		return 0
	}
	if d.cutIn > 0 {
		if d.cutIn--; d.cutIn == 0 {
			d.cut()
			return syscall.EIO
		}
	}
	e.Err = d.faults.meet(e)
	d.events.add(e)
	return e.Err
}

func (f *faults) meet(e Event) syscall.Errno {
	if f.armed == nil || e.Op != f.armed.Op && f.armed.Op != Change {
		return 0
	}
	f.seen++
	past := f.seen - f.armed.N
	if past < 0 || f.armed.Times >= 0 && past >= max(1, f.armed.Times) {
		return 0
	}
	e.Err = f.armed.Err
	f.hits = append(f.hits, e)
	return e.Err
}

// isMap tells of SQLite's shared memory.
func isMap(name string) bool { return strings.HasSuffix(name, "-shm") }

// keepEvents bounds how many events are remembered.
const keepEvents = 4096

// Event is an operation that changed something, or was to.
type Event struct {
	Op     Op
	Name   string // of the file in its directory
	Off, N int64
	Err    syscall.Errno
}

// events are the last ones.
type events struct {
	ring []Event
	next int
}

func (l *events) add(e Event) {
	if len(l.ring) < keepEvents {
		l.ring = append(l.ring, e)
		return
	}
	l.ring[l.next] = e
	l.next = (l.next + 1) % keepEvents
}

// Events returns the last operations, oldest first.
func (d *Disk) Events() []Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append(append([]Event{}, d.events.ring[d.events.next:]...), d.events.ring[:d.events.next]...)
}
