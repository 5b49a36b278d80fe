package pop3d

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"postrider/internal/wiretest"
	"postrider/store"
)

// tape is a connection whose peer says what is written down and takes
// everything.
type tape struct {
	in    *bytes.Reader
	piece int // bytes that one Read returns
	out   bytes.Buffer
}

func (t *tape) Read(b []byte) (int, error)       { return t.in.Read(b[:min(len(b), t.piece)]) }
func (t *tape) Write(b []byte) (int, error)      { return t.out.Write(b) }
func (t *tape) Close() error                     { return nil }
func (t *tape) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 110} }
func (t *tape) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1110} }
func (t *tape) SetDeadline(time.Time) error      { return nil }
func (t *tape) SetReadDeadline(time.Time) error  { return nil }
func (t *tape) SetWriteDeadline(time.Time) error { return nil }

// FuzzReadLine compares the command reader with a plain cutting of the input.
func FuzzReadLine(f *testing.F) {
	for _, in := range wiretest.Inputs(f, "testdata") {
		f.Add(in, 100)
	}
	s := New(Options{})
	f.Fuzz(func(t *testing.T, in []byte, piece int) {
		c := newConn(context.Background(), s, &tape{in: bytes.NewReader(in), piece: max(1, piece)})
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
		c := newConn(context.Background(), s, &tape{in: bytes.NewReader(in), piece: max(1, piece)})
		c.serve()
		out := c.nc.(*tape).out.Bytes()
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
		c := newConn(context.Background(), s, &tape{in: bytes.NewReader([]byte(whole[:n])), piece: 7})
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
