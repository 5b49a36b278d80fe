package faultfs

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"postrider/internal/needs"
)

func mountTest(t *testing.T) (*Disk, string) {
	t.Helper()
	needs.Fuse(t)
	dir := t.TempDir()
	d, err := Mount(dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d, dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// put writes a file, and syncs it and its directory if told to.
func put(t *testing.T, path, text string, syncFile, syncDir bool) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	must(t, err)
	_, err = f.WriteAt([]byte(text), 0)
	must(t, err)
	if syncFile {
		must(t, f.Sync())
	}
	must(t, f.Close())
	if syncDir {
		fsyncDir(t, filepath.Dir(path))
	}
}

func fsyncDir(t *testing.T, path string) {
	t.Helper()
	dir, err := os.Open(path)
	must(t, err)
	must(t, dir.Sync())
	must(t, dir.Close())
}

// cutTest takes the power away and gives it back.
func cutTest(t *testing.T, d *Disk, dir string) {
	t.Helper()
	d.Cut(false)
	if err := os.WriteFile(filepath.Join(dir, "late"), nil, 0o600); !errors.Is(err, syscall.EIO) {
		t.Errorf("a write without power: %v", err)
	}
	must(t, d.Restore())
}

func want(t *testing.T, path, text string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != text {
		t.Errorf("%s: %q, %v, want %q", filepath.Base(path), got, err, text)
	}
}

func wantNone(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is there: %v", filepath.Base(path), err)
	}
}

func TestCutDropsWhatIsNotSynced(t *testing.T) {
	d, dir := mountTest(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.Mkdir(at("sub"), 0o700))
	put(t, at("sub/kept"), "kept", true, true)
	put(t, at("sub/changed"), "before", true, true)
	put(t, at("sub/removed"), "removed", true, true)
	put(t, at("sub/renamed"), "renamed", true, true)
	fsyncDir(t, dir)

	put(t, at("sub/changed"), "after!", false, false)
	put(t, at("sub/nameless"), "its name is not synced", true, false)
	must(t, os.Remove(at("sub/removed")))
	must(t, os.Rename(at("sub/renamed"), at("sub/other")))
	want(t, at("sub/changed"), "after!")
	cutTest(t, d, dir)
	want(t, at("sub/kept"), "kept")
	want(t, at("sub/changed"), "before")
	want(t, at("sub/removed"), "removed")
	want(t, at("sub/renamed"), "renamed")
	wantNone(t, at("sub/nameless"))
	wantNone(t, at("sub/other"))

	put(t, at("sub/empty"), "its contents are not synced", false, true)
	must(t, os.Remove(at("sub/removed")))
	fsyncDir(t, at("sub"))
	cutTest(t, d, dir)
	want(t, at("sub/empty"), "")
	wantNone(t, at("sub/removed"))
}

// What a truncation removes comes back unless it was synced, and what grows
// afterwards reads as zeros.
func TestCutAndSizes(t *testing.T) {
	d, dir := mountTest(t)
	path := filepath.Join(dir, "f")
	long := string(bytes.Repeat([]byte("0123456789abcdef"), 1000))
	put(t, path, long, true, true)
	must(t, os.Truncate(path, 5))
	want(t, path, "01234")
	cutTest(t, d, dir)
	want(t, path, long)
	must(t, os.Truncate(path, 5))
	put(t, path, "x", true, false)
	must(t, os.Truncate(path, 8))
	cutTest(t, d, dir)
	want(t, path, "x1234")
	must(t, os.Truncate(path, 8))
	want(t, path, "x1234\x00\x00\x00")
}

// A torn cut leaves each sector old or new.
func TestTorn(t *testing.T) {
	d, dir := mountTest(t)
	path := filepath.Join(dir, "f")
	const pages = 60
	old, new := bytes.Repeat([]byte("o"), pages*pageSize), bytes.Repeat([]byte("n"), pages*pageSize)
	put(t, path, string(old), true, true)
	put(t, path, string(new), false, false)
	d.Cut(true)
	must(t, d.Restore())
	got, err := os.ReadFile(path)
	must(t, err)
	count := map[byte]int{}
	for at := 0; at < len(got); at += sectorSize {
		if !bytes.Equal(got[at:at+sectorSize], bytes.Repeat(got[at:at+1], sectorSize)) {
			t.Fatalf("the sector at %d is mixed", at)
		}
		count[got[at]]++
	}
	if len(got) != len(old) || count['o'] < pages || count['n'] < pages {
		t.Errorf("%d bytes, sectors %v", len(got), count)
	}
}

func TestFaults(t *testing.T) {
	d, dir := mountTest(t)
	path := filepath.Join(dir, "f")
	put(t, path, "before", true, true)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	write := func(text string) error { _, err := f.WriteAt([]byte(text), 0); return err }

	d.Arm(Fault{Op: Write, N: 2, Err: syscall.ENOSPC})
	must(t, write("first!"))
	if err := write("second"); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("the second write: %v", err)
	}
	want(t, path, "first!")
	must(t, f.Sync())
	if hits := d.Disarm(); len(hits) != 1 || hits[0].Name != "f" {
		t.Errorf("hits: %v", hits)
	}

	// Whoever syncs again after a failure is told that all is well.
	must(t, write("third!"))
	d.Arm(Fault{Op: Sync, N: 1, Err: syscall.EIO})
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("the sync: %v", err)
	}
	must(t, f.Sync())
	want(t, path, "third!")
	must(t, f.Close())
	cutTest(t, d, dir)
	want(t, path, "first!")

	d.Lie(true)
	put(t, path, "fourth", true, true)
	cutTest(t, d, dir)
	want(t, path, "first!")
}

func TestCutAfter(t *testing.T) {
	d, dir := mountTest(t)
	gone := d.CutAfter(3, false)
	put(t, filepath.Join(dir, "f"), "x", false, false) // a name and a write
	select {
	case <-gone:
		t.Fatal("the power went too early")
	default:
	}
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o700); !errors.Is(err, syscall.EIO) {
		t.Errorf("mkdir: %v", err)
	}
	<-gone
	must(t, d.Restore())
	wantNone(t, filepath.Join(dir, "f"))
}
