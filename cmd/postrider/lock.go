package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// dirLock is the exclusive right to a data directory. It ends with the
// process, however that ends.
type dirLock struct{ f *os.File }

// lockHolder is what the lock's file tells others.
type lockHolder struct {
	PID   int       `json:"pid"`
	Host  string    `json:"host"`
	Since time.Time `json:"since"`
}

// lockedError is a data directory that somebody else has.
type lockedError struct {
	dir    string
	holder lockHolder
}

func (e *lockedError) Error() string {
	who := "another postrider"
	if e.holder.PID != 0 {
		who = fmt.Sprintf("process %d on %s, running since %s,", e.holder.PID, e.holder.Host, e.holder.Since.Format(time.DateTime))
	}
	return fmt.Sprintf("%s uses the data directory %s; stop it first, or name another directory", who, e.dir)
}

// lockDir takes the exclusive lock on dir, which must exist, or fails at once
// with a *lockedError.
func lockDir(dir string) (*dirLock, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot write to the data directory, which must belong to the server's user: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("cannot lock %s: %w", path, err)
		}
		e := &lockedError{dir: dir}
		json.NewDecoder(f).Decode(&e.holder)
		return nil, e
	}
	host, _ := os.Hostname()
	text, err := json.Marshal(lockHolder{os.Getpid(), host, time.Now().Truncate(time.Second)})
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt(append(text, '\n'), 0)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot write %s: %w", path, err)
	}
	return &dirLock{f}, nil
}

// release gives the lock back. The file stays: taking it away would let two
// processes lock two files of one name.
func (l *dirLock) release() { l.f.Close() }

// makeDataDir makes the data directory, or narrows its mode to its owner.
func makeDataDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot make the data directory: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(dir, 0o700); err != nil {
			return fmt.Errorf("the data directory %s is open to others and cannot be closed: %w", dir, err)
		}
	}
	return nil
}
