package smtpd

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// referenceDots is copyDotted written to be obviously right: the whole input
// at once, byte by byte. ok is false if the end is missing.
func referenceDots(in []byte) (text []byte, n int, ok bool) {
	bol := true
	for i := 0; i < len(in); i++ {
		if bol && in[i] == '.' {
			if bytes.HasPrefix(in[i:], []byte(".\r\n")) {
				return text, i + 3, true
			}
			bol = false
			continue
		}
		text = append(text, in[i])
		bol = bytes.HasSuffix(in[:i+1], []byte("\r\n"))
	}
	return text, len(in), false
}

// readDots runs copyDotted over a reader and returns what is left behind it.
func readDots(r io.Reader) (text, rest []byte, err error) {
	br := bufio.NewReaderSize(r, 16)
	err = copyDotted(br, func(p []byte) error {
		text = append(text, p...)
		return nil
	})
	rest, _ = io.ReadAll(br)
	return text, rest, err
}

func checkDots(t *testing.T, in []byte) {
	t.Helper()
	want, n, ok := referenceDots(in)
	for name, r := range map[string]io.Reader{
		"whole": bytes.NewReader(in), "bytes": iotest.OneByteReader(bytes.NewReader(in)), "halves": iotest.HalfReader(bytes.NewReader(in)),
	} {
		text, rest, err := readDots(r)
		if ok != (err == nil) {
			t.Fatalf("%s: %q: error %v, want end found %v", name, in, err, ok)
		}
		if ok && (!bytes.Equal(text, want) || !bytes.Equal(rest, in[n:])) {
			t.Fatalf("%s: %q:\n got %q and %q\nwant %q and %q", name, in, text, rest, want, in[n:])
		}
	}
}

func TestDots(t *testing.T) {
	for _, in := range []string{
		".\r\n", "\r\n.\r\n", "a\r\n.\r\nb", "..\r\n.\r\n", ".\r.\r\n\r\n.\r\n", ".\r\r\n.\r\n",
		"a\n.\r\n\r\n.\r\n", "a\r.\r\n\r\n.\r\n", "", ".", ".\r", "a\r\n.", "a\r\n.\r",
		strings.Repeat("x", 40) + "\r\n.\r\n", strings.Repeat("..\r\n", 20) + ".\r\n",
	} {
		checkDots(t, []byte(in))
	}
}

// TestDotsExhaustive tries every string of up to 8 of the bytes that matter.
func TestDotsExhaustive(t *testing.T) {
	alphabet := []byte("\r\n.x")
	in := make([]byte, 0, 16)
	var walk func(depth int)
	walk = func(depth int) {
		all := append(in, "\r\n.\r\n"...)
		want, n, _ := referenceDots(all)
		text, rest, err := readDots(bytes.NewReader(all))
		if err != nil || !bytes.Equal(text, want) || !bytes.Equal(rest, all[n:]) {
			t.Fatalf("%q: got %q and %q, %v, want %q and %q", all, text, rest, err, want, all[n:])
		}
		if depth == 0 {
			return
		}
		for _, b := range alphabet {
			in = append(in, b)
			walk(depth - 1)
			in = in[:len(in)-1]
		}
	}
	walk(7)
}

// TestDotsInPieces makes sure that a text of nothing but dots is handed over in
// pieces as large as any other: each costs a write to the spool.
func TestDotsInPieces(t *testing.T) {
	pieces, size := 0, 0
	br := bufio.NewReaderSize(strings.NewReader(strings.Repeat("..\r\n", 50000)+".\r\n"), readBuffer)
	err := copyDotted(br, func(p []byte) error {
		pieces++
		size += len(p)
		return nil
	})
	if err != nil || size != 150000 || pieces > 20 {
		t.Errorf("%d bytes in %d pieces, %v", size, pieces, err)
	}
}

func FuzzDots(f *testing.F) {
	for _, s := range []string{".\r\n", "a\r\n..\r\n.\r\nQUIT\r\n", "\r\n.\r\r\n.\r\n", "\x00.\n.\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) { checkDots(t, in) })
}

func BenchmarkDots(b *testing.B) {
	text := strings.Repeat("The quick brown fox jumps over the lazy dog, and the dog sleeps on it all..\r\n", 14000) + ".\r\n"
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		br := bufio.NewReaderSize(strings.NewReader(text), readBuffer)
		if err := copyDotted(br, func([]byte) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
