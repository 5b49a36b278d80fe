package spool

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"
)

func TestBuffer(t *testing.T) {
	for _, size := range []int{0, 1, 99, 100, 101, 5000} {
		dir := t.TempDir()
		b := New(dir, 100)
		want := bytes.Repeat([]byte("0123456"), size/7+1)[:size]
		for rest := want; len(rest) > 0; {
			n := min(len(rest), 33)
			if m, err := b.Write(rest[:n]); m != n || err != nil {
				t.Fatalf("Write = %d, %v", m, err)
			}
			rest = rest[n:]
		}
		if (b.file != nil) != (size > 100) {
			t.Errorf("%d bytes: in a file: %v", size, b.file != nil)
		}
		if names, _ := os.ReadDir(dir); len(names) != 0 {
			t.Errorf("%d bytes: files with a name: %v", size, names)
		}
		if b.Size() != int64(size) {
			t.Errorf("Size = %d, want %d", b.Size(), size)
		}
		if err := iotest.TestReader(b.Reader(), want); err != nil {
			t.Error(err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if err := b.Close(); err != nil {
			t.Error("second Close:", err)
		}
		if _, err := b.Write([]byte("x")); err == nil {
			t.Error("Write after Close: no error")
		}
		if _, err := b.ReadAt(make([]byte, 1), 0); err == nil {
			t.Error("ReadAt after Close: no error")
		}
	}
}

// A failed write must not look like a short message.
func TestWriteError(t *testing.T) {
	b := New(filepath.Join(t.TempDir(), "missing"), 3)
	if _, err := b.Write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write([]byte("d")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Write = %v", err)
	}
	if _, err := b.Write(nil); err == nil {
		t.Error("Write after an error: no error")
	}
	if _, err := b.ReadAt(make([]byte, 1), 0); err == nil || err == io.EOF {
		t.Errorf("ReadAt after an error = %v", err)
	}
	b.Close()
}
