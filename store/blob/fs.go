package blob

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// FS is the file system as segments need it. Disk is the real one; tests put
// faults in between.
type FS interface {
	Create(path string) (File, error) // for reading and writing; fails if it is there
	Open(path string) (File, error)   // for reading and writing
	Remove(path string) error
	List(pattern string) ([]string, error)
	SyncDir(dir string) error
}

// File is an open file of an FS.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	// Space is what the file takes on the disk: holes take nothing.
	Space() (int64, error)
	Truncate(size int64) error
	// Sync makes what was written durable, as fdatasync does.
	Sync() error
	// Hold locks the whole file for its appender: false if another has it.
	Hold() bool
	// Pin keeps a range from being dropped while it is read; it ends with
	// Close.
	Pin(off, n int64) error
	// Drop gives a range's space back, after which it reads as zeros: false
	// if a reader has it pinned.
	Drop(off, n int64) (bool, error)
}

// Disk is the FS of the operating system.
type Disk struct{}

// Create makes a file that was not there.
func (Disk) Create(path string) (File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return diskFile{f}, nil
}

// Open opens a file that is there.
func (Disk) Open(path string) (File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return diskFile{f}, nil
}

// Remove removes a file.
func (Disk) Remove(path string) error { return os.Remove(path) }

// List returns the paths that match pattern.
func (Disk) List(pattern string) ([]string, error) { return filepath.Glob(pattern) }

// SyncDir makes the names in a directory durable.
func (Disk) SyncDir(dir string) error { return SyncDir(dir) }

// SyncDir makes the names in a directory durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

type diskFile struct{ *os.File }

func (f diskFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f diskFile) Space() (int64, error) {
	var st unix.Stat_t
	err := unix.Fstat(int(f.Fd()), &st)
	return st.Blocks * 512, err
}

func (f diskFile) Sync() error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Hold also fails if the file was removed before it was locked: a sweep may
// come between a file's making and its first lock.
func (f diskFile) Hold() bool {
	var st unix.Stat_t
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil && unix.Fstat(int(f.Fd()), &st) == nil && st.Nlink > 0
}

// Pin and Drop use locks of the open file, not of the process, so that they
// also work between handles of one process.
func (f diskFile) Pin(off, n int64) error {
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_RDLCK, Whence: io.SeekStart, Start: off, Len: n})
}

func (f diskFile) Drop(off, n int64) (bool, error) {
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: off, Len: n}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock); err != nil {
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			return false, nil
		}
		return false, err
	}
	defer func() {
		lock.Type = unix.F_UNLCK
		_ = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock) // ends with the file anyway
	}()
	err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return true, nil // the space comes back with the whole file
	}
	return err == nil, err
}
