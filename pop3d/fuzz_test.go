package pop3d

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"postrider/internal/wiretest"
	"postrider/store"
)

// FuzzReadLine compares the command reader with a plain cutting of the input.
func FuzzReadLine(f *testing.F) {
	for _, in := range wiretest.Inputs(f, "testdata") {
		f.Add(in, 100)
	}
	s := New(Options{})
	f.Fuzz(func(t *testing.T, in []byte, piece int) {
		c := newConn(context.Background(), s, wiretest.NewTape(in, piece))
		for rest := string(in); ; {
			got, err := c.readLine(maxLine)
			want, after, ok := strings.Cut(rest, "\n")
			rest = after
			switch {
			case errors.Is(err, errEndlessLine):
				if len(want) < maxDiscard {
					t.Fatalf("a line of %d bytes counts as endless", len(want))
				}
				return
			case errors.Is(err, errLost):
				if ok {
					t.Fatalf("line lost: %q", want)
				}
				return
			case errors.Is(err, errLongLine):
				if len(want)+1 <= maxLine {
					t.Fatalf("a line of %d bytes is too long", len(want))
				}
			case err != nil:
				t.Fatal(err)
			case got != strings.TrimSuffix(want, "\r") || len(want)+1 > maxLine:
				t.Fatalf("%q, want %q", got, want)
			}
		}
	})
}

// FuzzSession plays whatever comes to a server with mail in it. It must not
// panic, must answer in lines, free the maildrop, and delete nothing without
// DELE and QUIT.
func FuzzSession(f *testing.F) {
	for _, in := range wiretest.Inputs(f, "testdata") {
		f.Add(in, 1000)
	}
	w := newWorld(f)
	s := w.server(false, true)
	s.o.Auth = anyPassword(w)
	all := func(store.Row) bool { return true }
	f.Fuzz(func(t *testing.T, in []byte, piece int) {
		w.t = t
		for w.list(all) == "none" {
			w.accept(w.inboxes["bob"].Account, bobPrefix, bobs[1])
		}
		before := w.list(all)
		c := newConn(context.Background(), s, wiretest.NewTape(in, piece))
		c.serve()
		out := c.nc.(*wiretest.Tape).Out.Bytes()
		if !bytes.HasPrefix(out, []byte("+OK ")) || !bytes.HasSuffix(out, []byte("\r\n")) {
			t.Errorf("answers %q", out)
		}
		if len(s.held) != 0 {
			t.Error("the maildrop is not free")
		}
		up := bytes.ToUpper(in)
		if after := w.list(all); after != before && !(bytes.Contains(up, []byte("DELE")) && bytes.Contains(up, []byte("QUIT"))) {
			t.Errorf("had %s, has %s", before, after)
		}
	})
}

// TestTruncated cuts a whole session at every byte: nothing is deleted unless
// QUIT is complete.
func TestTruncated(t *testing.T) {
	w := newWorld(t)
	s := w.server(false, true)
	s.o.Auth = anyPassword(w)
	whole := "USER bob@example.org\r\nPASS x\r\nRETR 1\r\nDELE 1\r\nTOP 2 1\r\nQUIT\r\n"
	for n := range len(whole) {
		c := newConn(context.Background(), s, wiretest.NewTape([]byte(whole[:n]), 7))
		c.serve()
		if n == len(whole)-1 {
			break // "QUIT\r" lacks its LF
		}
		if !errors.Is(c.err, errLost) || !errors.Is(c.err, io.EOF) {
			t.Fatalf("cut at %d: ends with %v", n, c.err)
		}
	}
	if got := w.list(func(store.Row) bool { return true }); got != "1 2 3" {
		t.Errorf("left: %s", got)
	}
}
