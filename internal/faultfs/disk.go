package faultfs

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// inode is a file, a directory, or something without contents. Its mode and
// owner are on the platter at once.
type inode struct {
	id       uint64
	mode     uint32
	uid, gid uint32
	links    int
	opens    int
	lasting  bool // a sync of its directory made a name of it lasting
	changed  time.Time
	name     string // the last one, for faults and events
	data     *data  // of a file
	dir      *dir   // of a directory
}

// Disk is a mounted file system. Its methods may be called at any time.
type Disk struct {
	mu     sync.Mutex
	inodes map[uint64]*inode
	nextID uint64
	rand   *rand.Rand
	off    bool // the power is off
	lying  bool
	torn   *rand.Rand // of the next cut; nil drops all that is not synced
	left   *inode     // the root after the cut
	cutIn  int        // changes until the power goes; 0 is never
	gone   chan struct{}
	faults faults
	events events

	mount  string
	server *fuse.Server
}

// Mount makes an empty disk and mounts it on dir. What is random comes from
// seed.
//
// The process that mounts must not map files of the disk, as opening a SQLite
// database in WAL mode does: a page that it waits for is served by itself,
// which needs memory of its own, and both wait for ever.
func Mount(dir string, seed uint64) (*Disk, error) {
	d := &Disk{rand: rand.New(rand.NewPCG(seed, 1)), mount: dir, gone: make(chan struct{})}
	d.reset(&inode{mode: syscall.S_IFDIR | 0o700, dir: newDir()})
	return d, d.attach()
}

// reset begins with what is reachable from root.
func (d *Disk) reset(root *inode) {
	d.inodes, d.nextID = map[uint64]*inode{}, fuse.FUSE_ROOT_ID
	seen := map[*inode]bool{}
	var walk func(n *inode)
	walk = func(n *inode) {
		n.links++
		if seen[n] {
			return
		}
		seen[n] = true
		d.add(n)
		n.lasting, n.changed = true, time.Now()
		if n.dir != nil {
			for _, c := range n.dir.cache {
				walk(c)
			}
		}
	}
	walk(root)
}

// add gives n a number.
func (d *Disk) add(n *inode) *inode {
	n.id = d.nextID
	d.nextID++
	d.inodes[n.id] = n
	return n
}

func (d *Disk) attach() error {
	s, err := fuse.NewServer(&ops{RawFileSystem: fuse.NewDefaultRawFileSystem(), d: d}, d.mount, &fuse.MountOptions{
		FsName: "faultfs", Name: "faultfs", DirectMount: true, DisableXAttrs: true, MaxWrite: 1 << 20, DisableReadDirPlus: true,
	})
	if err != nil {
		return fmt.Errorf("faultfs: cannot mount on %s (root and /dev/fuse are needed): %w", d.mount, err)
	}
	d.server = s
	go s.Serve()
	if err := s.WaitMount(); err != nil {
		return fmt.Errorf("faultfs: %w", err)
	}
	return nil
}

// unmountTime bounds how long Restore and Close wait for what is still open.
const unmountTime = 10 * time.Second

func (d *Disk) detach() error {
	var err error
	for end := time.Now().Add(unmountTime); ; time.Sleep(10 * time.Millisecond) {
		if err = syscall.Unmount(d.mount, 0); err == nil || time.Now().After(end) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("faultfs: unmount %s: %w", d.mount, err)
	}
	d.server.Wait()
	return nil
}

// Close unmounts the disk. Nothing may be open on it any more.
func (d *Disk) Close() error { return d.detach() }

// Lie makes every sync that comes answer that it was done without doing it,
// as some disks do.
func (d *Disk) Lie(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lying = on
}

// Cut takes the power away. What was not synced is lost; with torn, a random
// part of it survives.
func (d *Disk) Cut(torn bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.plan(torn)
	d.cut()
}

// CutAfter is Cut at the n-th change from now on: a write, a sync, or a change
// of a name. The channel is closed when the power goes.
func (d *Disk) CutAfter(n int, torn bool) <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.plan(torn)
	d.cutIn = n
	return d.gone
}

func (d *Disk) plan(torn bool) {
	if d.torn = nil; torn {
		d.torn = d.rand
	}
}

// cut works out what is left. d.mu is held.
func (d *Disk) cut() {
	if d.off {
		return
	}
	d.off, d.cutIn = true, 0
	d.left = leave(d.inodes[fuse.FUSE_ROOT_ID], d.torn, map[*inode]*inode{})
	close(d.gone)
}

// leave copies what a loss of power leaves of n and of all below it.
func leave(n *inode, r *rand.Rand, done map[*inode]*inode) *inode {
	if c := done[n]; c != nil {
		return c
	}
	c := &inode{mode: n.mode, uid: n.uid, gid: n.gid, name: n.name}
	done[n] = c
	switch {
	case n.dir != nil:
		c.dir = newDir()
		for name, child := range n.dir.cut(r) {
			c.dir.cache[name] = leave(child, r, done)
		}
		c.dir.sync()
	case n.data != nil:
		c.data = n.data.cut(r)
	}
	return c
}

// Restore gives the power back and mounts the disk anew with what is left on
// it. What was open before must be closed. Faults are disarmed.
func (d *Disk) Restore() error {
	if err := d.detach(); err != nil {
		return err
	}
	d.mu.Lock()
	d.off, d.gone, d.faults, d.lying = false, make(chan struct{}), faults{}, false
	d.reset(d.left)
	d.left = nil
	d.mu.Unlock()
	return d.attach()
}
