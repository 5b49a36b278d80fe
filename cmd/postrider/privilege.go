package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// identity is a user and group of the system.
type identity struct{ uid, gid int }

// lookupIdentity finds "name", "name:group" or their numbers.
func lookupIdentity(s string) (identity, error) {
	name, group, hasGroup := strings.Cut(s, ":")
	var id identity
	u, err := user.Lookup(name)
	if err != nil {
		u, err = user.LookupId(name)
	}
	switch {
	case err == nil:
		id.uid, _ = strconv.Atoi(u.Uid)
		id.gid, _ = strconv.Atoi(u.Gid)
	case isNumber(name): // a number needs no entry
		id.uid, _ = strconv.Atoi(name)
		id.gid = id.uid
	default:
		return id, fmt.Errorf("there is no user %q; make it with: useradd --system %s", name, name)
	}
	if !hasGroup {
		return id, nil
	}
	if g, err := user.LookupGroup(group); err == nil {
		id.gid, _ = strconv.Atoi(g.Gid)
	} else if id.gid, err = strconv.Atoi(group); err != nil {
		return id, fmt.Errorf("there is no group %q", group)
	}
	return id, nil
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 31)
	return err == nil
}

// target finds the identity that the server is to have, nil if it is to stay
// as it is.
func target(who string) (*identity, error) {
	if who == "" {
		return nil, nil
	}
	id, err := lookupIdentity(who)
	switch {
	case err != nil:
		return nil, err
	case os.Getuid() == id.uid:
		return nil, nil
	case os.Getuid() != 0:
		return nil, fmt.Errorf("only root can become the user %q; start it as root or as that user, or take user out of the configuration", who)
	}
	return &id, nil
}

// become changes all of the process's identities; it cannot be undone.
func become(id identity) error {
	if err := syscall.Setgroups([]int{id.gid}); err != nil {
		return fmt.Errorf("setgroups: %w", err)
	}
	if err := syscall.Setgid(id.gid); err != nil {
		return fmt.Errorf("setgid: %w", err)
	}
	if err := syscall.Setuid(id.uid); err != nil {
		return fmt.Errorf("setuid: %w", err)
	}
	if syscall.Setuid(0) == nil && id.uid != 0 {
		return fmt.Errorf("could become root again after setuid %d", id.uid)
	}
	return nil
}

// giveAway makes id the owner of dir and everything in it. A directory that is
// its own already is left alone: its owner could have put links there that
// lead to what is not ours to give.
func giveAway(dir string, id identity) error {
	if uid, gid, err := ownerOf(dir); err != nil || uid == id.uid && gid == id.gid {
		return err
	}
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, id.uid, id.gid)
	})
}

func ownerOf(path string) (uid, gid int, err error) {
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		return 0, 0, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	return int(st.Uid), int(st.Gid), nil
}

// actAsOwner makes root the owner of the data directory, so that a command
// leaves no files behind that the server cannot read. For others it does
// nothing.
func actAsOwner(dir string) error {
	if os.Getuid() != 0 {
		return nil
	}
	uid, gid, err := ownerOf(dir)
	if err != nil || uid == 0 {
		return err
	}
	return become(identity{uid, gid})
}
