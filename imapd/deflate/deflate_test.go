package deflate

import (
	"bufio"
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// partial is what zlib writes for "a1 NOOP\r\n" with Z_PARTIAL_FLUSH: a block
// with the fixed code, then an empty one of 10 bits, and nothing more.
func partial(text string) []byte {
	var b bitWriter
	b.write(0b010, 3)
	for i := range len(text) {
		b.code(48+int(text[i]), 8)
	}
	b.write(0, 7)
	b.write(0b010, 3)
	b.write(0, 7)
	return b.out // zlib keeps what is no whole byte
}

type bitWriter struct {
	out  []byte
	acc  uint64
	bits uint
}

func (b *bitWriter) write(v, n int) {
	b.acc |= uint64(v) << b.bits
	b.bits += uint(n)
	for b.bits >= 8 {
		b.out = append(b.out, byte(b.acc))
		b.acc >>= 8
		b.bits -= 8
	}
}

// code writes a code, whose highest bit comes first.
func (b *bitWriter) code(v, n int) {
	for n--; n >= 0; n-- {
		b.write(v>>n&1, 1)
	}
}

// TestPartialFlush shows that a command is handed out that was flushed only
// so far as it must be.
func TestPartialFlush(t *testing.T) {
	const text = "a1 NOOP\r\n"
	pr, pw := io.Pipe()
	defer pw.Close()
	r := NewReader(bufio.NewReader(pr))
	go pw.Write(partial(text))
	p := make([]byte, 100)
	n, err := r.Read(p)
	if err != nil || string(p[:n]) != text {
		t.Fatalf("%q, %v", p[:n], err)
	}
}

// texts are of all kinds: of no block, of one, of many, and with matches near
// and far.
func texts() []string {
	rnd := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 200<<10)
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	far := string(noise[:window-300])
	return []string{"", "x", "a1 NOOP\r\n", strings.Repeat("x", 100000), string(noise), far + "abcdef" + far[:500],
		strings.Repeat("* 1 FETCH (UID 1 FLAGS (\\Seen))\r\n", 5000)}
}

func TestReader(t *testing.T) {
	for _, level := range []int{flate.NoCompression, flate.BestSpeed, flate.BestCompression, flate.HuffmanOnly} {
		for i, text := range texts() {
			var b bytes.Buffer
			w, _ := flate.NewWriter(&b, level)
			io.WriteString(w, text[:len(text)/2])
			w.Flush()
			io.WriteString(w, text[len(text)/2:])
			w.Close()
			got, err := io.ReadAll(NewReader(bufio.NewReaderSize(&b, 16)))
			if err != nil || string(got) != text {
				t.Errorf("level %d, text %d: %d bytes of %d, %v", level, i, len(got), len(text), err)
			}
		}
	}
}

func TestWriter(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b)
	r := flate.NewReader(&b)
	for i := range 3 {
		for _, text := range texts() {
			if _, err := io.WriteString(w, text); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(text))
			if _, err := io.ReadFull(r, got); err != nil || string(got) != text {
				t.Fatalf("round %d: %v", i, err)
			}
		}
	}
	b.Reset()
	w.Write([]byte(strings.Repeat("* 1 FETCH (UID 1 FLAGS (\\Seen))\r\n", 100)))
	b.Reset()
	if w.Write([]byte("* 1 FETCH (UID 2 FLAGS (\\Seen))\r\n")); b.Len() > 20 {
		t.Errorf("a response like the last one takes %d bytes", b.Len())
	}
}

// TestCorrupt shows that what is no deflate is refused.
func TestCorrupt(t *testing.T) {
	for _, in := range []string{"\x07", "\x01\x01\x00\x01\x00", "\x03\x02", "\x05\xff\xff\xff\xff", "a1 NOOP\r\n"} {
		if _, err := io.ReadAll(NewReader(bufio.NewReader(strings.NewReader(in)))); err == nil {
			t.Errorf("%q is taken", in)
		}
	}
	if _, err := io.ReadAll(NewReader(bufio.NewReader(strings.NewReader("\x00\x05\x00\xfa\xffab")))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}

// FuzzReader compares with the library's inflater, which takes and refuses the
// same.
func FuzzReader(f *testing.F) {
	for _, text := range texts() {
		var b bytes.Buffer
		w, _ := flate.NewWriter(&b, 6)
		io.WriteString(w, text[:min(len(text), 2000)])
		w.Close()
		f.Add(b.Bytes())
	}
	f.Add(partial("a1 NOOP\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		const most = 1 << 20
		want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(in)), most))
		got, err := io.ReadAll(io.LimitReader(NewReader(bufio.NewReaderSize(bytes.NewReader(in), 16)), most))
		if wantErr == nil && (err != nil || !bytes.Equal(got, want)) {
			t.Fatalf("%d bytes and %v, want %d", len(got), err, len(want))
		}
		if wantErr != nil && len(want) < most && err == nil && len(got) < most && !errors.Is(wantErr, io.ErrUnexpectedEOF) {
			t.Fatalf("taken, where the library says %v", wantErr)
		}
	})
}

// TestEnd shows that what follows a stream in clear is left alone, in whichever
// way its last line was flushed.
func TestEnd(t *testing.T) {
	const line, clear = "a1 UNAUTHENTICATE\r\n", "a2 LOGIN alice secret\r\n"
	streams := map[string][]byte{"partial": partial(line)}
	for _, level := range []int{flate.NoCompression, flate.BestSpeed, flate.BestCompression, flate.HuffmanOnly} {
		for _, how := range []string{"flush", "close"} {
			var b bytes.Buffer
			w, err := flate.NewWriter(&b, level)
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(w, line)
			if how == "close" {
				err = w.Close()
			} else {
				err = w.Flush()
			}
			if err != nil {
				t.Fatal(err)
			}
			streams[fmt.Sprint(how, level)] = b.Bytes()
		}
	}
	for name, stream := range streams {
		in := bufio.NewReader(strings.NewReader(string(stream) + clear))
		r := NewReader(in)
		p := make([]byte, 100)
		n, err := r.Read(p)
		if err != nil || string(p[:n]) != line {
			t.Fatalf("%s: %q, %v", name, p[:n], err)
		}
		rest, err := r.End()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		behind, _ := io.ReadAll(in)
		if got := string(rest) + string(behind); got != clear {
			t.Errorf("%s: %q is left", name, got)
		}
	}
}
