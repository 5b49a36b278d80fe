package search

import (
	"encoding/binary"
	"io"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/transform"
	"golang.org/x/text/unicode/norm"
)

// Limits of folding.
const (
	maxRun    = 16 << 10 // bytes without any ASCII that are folded in one piece
	maxLearnt = 8 << 10  // characters that are kept
)

// folding brings text to the form in which it is compared: without regard to
// case, composed and compatible characters taken apart, as i;unicode-casemap
// has it (RFC 5051 §2). What it has learnt of characters is kept: taking each
// apart anew costs a hundred times as much.
type folding struct{ runes map[rune]folded }

// folded is a character in that form.
type folded struct {
	text string
	// alone tells whether the form does not depend on the characters around
	// it, as that of combining marks does, which are put in order.
	alone bool
}

// Fold brings a text to the form in which texts are compared: one contains
// another if its folded bytes contain the other's. A byte of 0xFF is never in
// it.
func Fold(s string) []byte {
	var f folding
	return f.append(make([]byte, 0, len(s)), []byte(s))
}

// append folds whole text: it ends where a character ends.
func (f *folding) append(dst, src []byte) []byte {
	for len(src) > 0 {
		n := asciiLen(src)
		dst = append(dst, src[:n]...)
		lower(dst[len(dst)-n:])
		wide := n
		for n < len(src) && src[n] >= utf8.RuneSelf {
			n++
		}
		dst = f.appendWide(dst, src[wide:n])
		src = src[n:]
	}
	return dst
}

// appendWide folds text without any ASCII, which ASCII around it cannot
// change.
func (f *folding) appendWide(dst, src []byte) []byte {
	begin := len(dst)
	for rest := src; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest) // what is not UTF-8 becomes U+FFFD
		c := f.rune(r)
		if !c.alone {
			return append(dst[:begin], foldWide(src)...)
		}
		dst, rest = append(dst, c.text...), rest[n:]
	}
	return dst
}

func (f *folding) rune(r rune) folded {
	c, ok := f.runes[r]
	if !ok {
		s := string(r)
		c = folded{text: string(foldWide([]byte(s))), alone: norm.NFKD.PropertiesString(s).CCC() == 0}
		c.alone = c.alone && norm.NFKD.PropertiesString(c.text).CCC() == 0
		if f.runes == nil || len(f.runes) == maxLearnt {
			f.runes = map[rune]folded{}
		}
		f.runes[r] = c
	}
	return c
}

// foldWide is the definition.
func foldWide(b []byte) []byte {
	t := transform.Chain(norm.NFKD, cases.Fold(), norm.NFKD)
	out, _, err := transform.Bytes(t, []byte(string([]rune(string(b))))) // U+FFFD for each byte that is not UTF-8
	if err != nil {
		return b
	}
	return out
}

// asciiLen returns how much at the beginning of b is ASCII.
func asciiLen(b []byte) int {
	i := 0
	for ; i+8 <= len(b) && binary.LittleEndian.Uint64(b[i:])&0x8080808080808080 == 0; i += 8 {
	}
	for ; i < len(b) && b[i] < utf8.RuneSelf; i++ {
	}
	return i
}

// lower makes the ASCII at the beginning of b lower case and returns its
// length. It goes on by eight bytes at a time.
func lower(b []byte) int {
	const ones = 0x0101010101010101
	i := 0
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		if w&(0x80*ones) != 0 {
			break
		}
		// The highest bit of a byte of the sum tells that it is at least 'A',
		// or more than 'Z': no byte carries into the next.
		upper := (w + (0x80-'A')*ones) &^ (w + (0x80-'Z'-1)*ones) & (0x80 * ones)
		if upper != 0 {
			binary.LittleEndian.PutUint64(b[i:], w|upper>>2)
		}
	}
	for ; i < len(b); i++ {
		c := b[i]
		if c >= utf8.RuneSelf {
			return i
		}
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return i
}

// foldReader folds what it reads.
type foldReader struct {
	r    io.Reader
	fold folding
	in   []byte // not folded: what follows may belong to it
	out  []byte // folded, not handed out
	buf  []byte // storage of out
	err  error  // of r
}

func (f *foldReader) Read(p []byte) (int, error) {
	for {
		if len(f.out) > 0 {
			n := copy(p, f.out)
			f.out = f.out[n:]
			return n, nil
		}
		if f.err != nil {
			return 0, f.err
		}
		var n, done int
		n, f.err = f.r.Read(p)
		if len(f.in) == 0 {
			done = lower(p[:n])
		}
		f.in = append(f.in, p[done:n]...)
		f.take()
		if done > 0 {
			return done, nil
		}
	}
}

// take folds what was read, up to where it may go on differently.
func (f *foldReader) take() {
	end := len(f.in)
	for f.err == nil && end > 0 && f.in[end-1] >= utf8.RuneSelf {
		end--
	}
	if end == 0 && len(f.in) > maxRun {
		for end = len(f.in) - 1; end > len(f.in)-utf8.UTFMax && !utf8.RuneStart(f.in[end]); end-- {
		}
	}
	f.buf = f.fold.append(f.buf[:0], f.in[:end])
	f.out = f.buf
	f.in = append(f.in[:0], f.in[end:]...)
}
