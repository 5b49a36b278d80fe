package faultfs

import (
	"slices"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// valid is how long the kernel may remember names and attributes: nobody else
// changes them.
const valid = time.Hour

// name counts as a change for CutAfter, and is neither write nor sync.
const name Op = "name"

// writeBackOdds is one in how many writes has its page written behind.
const writeBackOdds = 32

// ops answers the kernel.
type ops struct {
	fuse.RawFileSystem
	d *Disk
}

// at locks the disk and finds an inode: false while the power is off.
func (o *ops) at(id uint64) (*inode, bool) {
	o.d.mu.Lock()
	n, ok := o.d.inodes[id]
	return n, ok && !o.d.off
}

func (o *ops) unlock() { o.d.mu.Unlock() }

func (n *inode) attr(out *fuse.Attr) {
	out.Ino, out.Mode, out.Nlink, out.Blksize = n.id, n.mode, uint32(n.links), pageSize
	out.Uid, out.Gid = n.uid, n.gid
	out.SetTimes(&n.changed, &n.changed, &n.changed)
	if n.data != nil {
		out.Size, out.Blocks = uint64(n.data.cache.size), uint64(len(n.data.cache.pages)*pageSize/sectorSize)
	}
}

func (n *inode) entry(out *fuse.EntryOut) {
	out.NodeId, out.Generation = n.id, 1
	out.SetEntryTimeout(valid)
	out.SetAttrTimeout(valid)
	n.attr(&out.Attr)
}

func (o *ops) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	n, ok := o.at(h.NodeId)
	defer o.unlock()
	if !ok || n.dir == nil {
		return fuse.EIO
	}
	c := n.dir.cache[name]
	if c == nil {
		return fuse.ENOENT
	}
	c.entry(out)
	return fuse.OK
}

func (o *ops) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	n, ok := o.at(in.NodeId)
	defer o.unlock()
	if !ok {
		return fuse.EIO
	}
	out.SetTimeout(valid)
	n.attr(&out.Attr)
	return fuse.OK
}

func (o *ops) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	n, ok := o.at(in.NodeId)
	defer o.unlock()
	if !ok {
		return fuse.EIO
	}
	if size, set := in.GetSize(); set && n.data != nil {
		if err := o.d.step(Event{Op: Write, Name: n.name, Off: int64(size)}); err != 0 {
			return fuse.Status(err)
		}
		n.data.truncate(int64(size))
	}
	if mode, set := in.GetMode(); set {
		n.mode = n.mode&syscall.S_IFMT | mode&0o7777
	}
	if uid, set := in.GetUID(); set {
		n.uid = uid
	}
	if gid, set := in.GetGID(); set {
		n.gid = gid
	}
	n.changed = time.Now()
	out.SetTimeout(valid)
	n.attr(&out.Attr)
	return fuse.OK
}

// make puts a new inode in a directory. o.d.mu is held.
func (o *ops) make(h *fuse.InHeader, base string, mode uint32) (*inode, fuse.Status) {
	p := o.d.inodes[h.NodeId]
	if p == nil || p.dir == nil || o.d.off {
		return nil, fuse.EIO
	}
	if p.dir.cache[base] != nil {
		return nil, fuse.Status(syscall.EEXIST)
	}
	if err := o.d.step(Event{Op: name, Name: base}); err != 0 {
		return nil, fuse.Status(err)
	}
	n := o.d.add(&inode{mode: mode, uid: h.Uid, gid: h.Gid, links: 1, changed: time.Now(), name: base})
	switch mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		n.dir = newDir()
	case syscall.S_IFREG:
		n.data = newData()
	}
	p.dir.set(base, n)
	return n, fuse.OK
}

func (o *ops) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, base string, out *fuse.EntryOut) fuse.Status {
	return o.mknod(&in.InHeader, base, syscall.S_IFDIR|in.Mode&0o7777, out)
}

func (o *ops) Mknod(_ <-chan struct{}, in *fuse.MknodIn, base string, out *fuse.EntryOut) fuse.Status {
	return o.mknod(&in.InHeader, base, in.Mode, out)
}

func (o *ops) mknod(h *fuse.InHeader, base string, mode uint32, out *fuse.EntryOut) fuse.Status {
	o.d.mu.Lock()
	defer o.unlock()
	n, status := o.make(h, base, mode)
	if status.Ok() {
		n.entry(out)
	}
	return status
}

func (o *ops) Create(_ <-chan struct{}, in *fuse.CreateIn, base string, out *fuse.CreateOut) fuse.Status {
	o.d.mu.Lock()
	defer o.unlock()
	n, status := o.make(&in.InHeader, base, syscall.S_IFREG|in.Mode&0o7777)
	if status.Ok() {
		n.entry(&out.EntryOut)
		n.open(&out.OpenOut)
	}
	return status
}

func (o *ops) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	n, ok := o.at(in.NodeId)
	defer o.unlock()
	if !ok || n.data == nil {
		return fuse.EIO
	}
	n.open(out)
	return fuse.OK
}

// open lets the kernel cache only what is mapped.
func (n *inode) open(out *fuse.OpenOut) {
	n.opens++
	if out.OpenFlags = fuse.FOPEN_DIRECT_IO; isMap(n.name) {
		out.OpenFlags = fuse.FOPEN_KEEP_CACHE
	}
}

func (o *ops) Release(_ <-chan struct{}, in *fuse.ReleaseIn) {
	o.d.mu.Lock()
	defer o.unlock()
	if n := o.d.inodes[in.NodeId]; n != nil {
		n.opens--
		o.d.drop(n)
	}
}

// drop frees what nobody can reach again, before a cut or after it.
func (d *Disk) drop(n *inode) {
	if n.links == 0 && n.opens == 0 && !n.lasting && n.data != nil {
		n.data = newData()
	}
}

func (o *ops) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	n, ok := o.at(in.NodeId)
	defer o.unlock()
	if !ok || n.data == nil {
		return nil, fuse.EIO
	}
	return fuse.ReadResultData(buf[:n.data.read(buf[:min(len(buf), int(in.Size))], int64(in.Offset))]), fuse.OK
}

func (o *ops) Write(_ <-chan struct{}, in *fuse.WriteIn, p []byte) (uint32, fuse.Status) {
	n, ok := o.at(in.NodeId)
	defer o.unlock()
	if !ok || n.data == nil {
		return 0, fuse.EIO
	}
	off := int64(in.Offset)
	if err := o.d.step(Event{Op: Write, Name: n.name, Off: off, N: int64(len(p))}); err != 0 {
		return 0, fuse.Status(err)
	}
	n.data.write(p, off)
	n.changed = time.Now()
	if o.d.rand.IntN(writeBackOdds) == 0 {
		n.data.writeBack(off / pageSize)
	}
	return uint32(len(p)), fuse.OK
}

func (o *ops) Fallocate(_ <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	n, ok := o.at(in.NodeId)
	defer o.unlock()
	if !ok || n.data == nil {
		return fuse.EIO
	}
	off, size := int64(in.Offset), int64(in.Length)
	if err := o.d.step(Event{Op: Write, Name: n.name, Off: off, N: size}); err != 0 {
		return fuse.Status(err)
	}
	switch in.Mode {
	case 0:
		n.data.cache.size = max(n.data.cache.size, off+size)
	case unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE:
		n.data.zero(off, size)
	default:
		return fuse.Status(syscall.EOPNOTSUPP)
	}
	return fuse.OK
}

func (o *ops) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }

// Fsync also serves fdatasync: size and pages are all that there is.
func (o *ops) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	n, ok := o.at(in.NodeId)
	defer o.unlock()
	if !ok || n.data == nil {
		return fuse.EIO
	}
	err := o.d.step(Event{Op: Sync, Name: n.name})
	switch {
	case err != 0 && !o.d.off:
		n.data.forget()
	case err == 0 && !o.d.lying:
		n.data.sync()
	}
	return fuse.Status(err)
}

func (o *ops) FsyncDir(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	n, ok := o.at(in.NodeId)
	defer o.unlock()
	if !ok || n.dir == nil {
		return fuse.EIO
	}
	err := o.d.step(Event{Op: Sync, Name: n.name})
	if err == 0 && !o.d.lying {
		n.dir.sync()
		for _, c := range n.dir.platter {
			c.lasting = true
		}
	}
	return fuse.Status(err)
}

func (o *ops) Unlink(_ <-chan struct{}, h *fuse.InHeader, base string) fuse.Status {
	return o.remove(h, base, false)
}

func (o *ops) Rmdir(_ <-chan struct{}, h *fuse.InHeader, base string) fuse.Status {
	return o.remove(h, base, true)
}

func (o *ops) remove(h *fuse.InHeader, base string, isDir bool) fuse.Status {
	p, ok := o.at(h.NodeId)
	defer o.unlock()
	if !ok || p.dir == nil {
		return fuse.EIO
	}
	c := p.dir.cache[base]
	switch {
	case c == nil:
		return fuse.ENOENT
	case isDir != (c.dir != nil):
		return fuse.Status(syscall.ENOTDIR)
	case isDir && len(c.dir.cache) > 0:
		return fuse.Status(syscall.ENOTEMPTY)
	}
	if err := o.d.step(Event{Op: name, Name: base}); err != 0 {
		return fuse.Status(err)
	}
	p.dir.set(base, nil)
	c.links--
	o.d.drop(c)
	return fuse.OK
}

func (o *ops) Rename(_ <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	p, ok := o.at(in.NodeId)
	defer o.unlock()
	q := o.d.inodes[in.Newdir]
	if !ok || p.dir == nil || q == nil || q.dir == nil {
		return fuse.EIO
	}
	c := p.dir.cache[from]
	if c == nil {
		return fuse.ENOENT
	}
	old := q.dir.cache[to]
	if in.Flags == unix.RENAME_NOREPLACE && old != nil {
		return fuse.Status(syscall.EEXIST)
	}
	if err := o.d.step(Event{Op: name, Name: to}); err != 0 {
		return fuse.Status(err)
	}
	if old == c {
		return fuse.OK
	}
	q.dir.set(to, c)
	p.dir.set(from, nil)
	c.name = to
	if old != nil {
		old.links--
		o.d.drop(old)
	}
	return fuse.OK
}

func (o *ops) Link(_ <-chan struct{}, in *fuse.LinkIn, base string, out *fuse.EntryOut) fuse.Status {
	p, ok := o.at(in.NodeId)
	defer o.unlock()
	c := o.d.inodes[in.Oldnodeid]
	if !ok || p.dir == nil || c == nil {
		return fuse.EIO
	}
	if p.dir.cache[base] != nil {
		return fuse.Status(syscall.EEXIST)
	}
	if err := o.d.step(Event{Op: name, Name: base}); err != 0 {
		return fuse.Status(err)
	}
	p.dir.set(base, c)
	c.links++
	c.entry(out)
	return fuse.OK
}

func (o *ops) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, _ *fuse.OpenOut) fuse.Status {
	n, ok := o.at(in.NodeId)
	defer o.unlock()
	if !ok || n.dir == nil {
		return fuse.EIO
	}
	return fuse.OK
}

func (o *ops) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	n, ok := o.at(in.NodeId)
	defer o.unlock()
	if !ok || n.dir == nil {
		return fuse.EIO
	}
	names := make([]string, 0, len(n.dir.cache))
	for base := range n.dir.cache {
		names = append(names, base)
	}
	slices.Sort(names)
	for i := int(in.Offset); i < len(names); i++ {
		c := n.dir.cache[names[i]]
		if !out.AddDirEntry(fuse.DirEntry{Name: names[i], Ino: c.id, Mode: c.mode, Off: uint64(i + 1)}) {
			break
		}
	}
	return fuse.OK
}

func (o *ops) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	const blocks = 16 << 30 / pageSize
	out.Bsize, out.Frsize, out.NameLen = pageSize, pageSize, 255
	out.Blocks, out.Bfree, out.Bavail = blocks, blocks, blocks
	out.Files, out.Ffree = 1<<20, 1<<20
	return fuse.OK
}
