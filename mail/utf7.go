package mail

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// utf7 is UTF-7 (RFC 2152), which is only read.
type utf7 struct{}

func (utf7) NewDecoder() *encoding.Decoder {
	return &encoding.Decoder{Transformer: new(utf7Decoder)}
}

func (utf7) NewEncoder() *encoding.Encoder { return unicode.UTF8.NewEncoder() }

// utf7Decoder has what it knows between two pieces of text.
type utf7Decoder struct {
	shifted bool   // behind a "+"
	empty   bool   // and nothing came yet
	bits    uint32 // of base64 that make no unit of UTF-16 yet
	n       int    // how many
	high    rune   // the first half of a character; 0 if none is open
}

func (d *utf7Decoder) Reset() { *d = utf7Decoder{} }

// maxUTF7 is how many bytes one byte of input may become: what was open, and a
// character.
const maxUTF7 = 2 * utf8.UTFMax

const base64Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

func (d *utf7Decoder) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for _, c := range src {
		if len(dst)-nDst < maxUTF7 {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += len(d.take(dst[nDst:nDst], c))
		nSrc++
	}
	if atEOF && d.high != 0 {
		if len(dst)-nDst < maxUTF7 {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += len(d.end(dst[nDst:nDst]))
	}
	return nDst, nSrc, nil
}

// take appends what one byte completes.
func (d *utf7Decoder) take(out []byte, c byte) []byte {
	if d.shifted {
		if digit := strings.IndexByte(base64Digits, c); digit >= 0 {
			return d.digit(out, uint32(digit))
		}
		out = d.end(out)
		if c == '-' {
			if d.empty {
				out = append(out, '+')
			}
			return out
		}
	}
	switch {
	case c == '+':
		*d = utf7Decoder{shifted: true, empty: true}
		return out
	case c >= utf8.RuneSelf:
		return utf8.AppendRune(out, utf8.RuneError)
	}
	return append(out, c)
}

// digit takes six bits of UTF-16.
func (d *utf7Decoder) digit(out []byte, digit uint32) []byte {
	d.empty = false
	d.bits, d.n = d.bits<<6|digit, d.n+6
	if d.n < 16 {
		return out
	}
	d.n -= 16
	unit := rune(d.bits >> d.n)
	d.bits &= 1<<d.n - 1
	if d.high != 0 {
		if r := utf16.DecodeRune(d.high, unit); r != utf8.RuneError {
			d.high = 0
			return utf8.AppendRune(out, r)
		}
		out = utf8.AppendRune(out, utf8.RuneError)
		d.high = 0
	}
	if 0xd800 <= unit && unit < 0xdc00 {
		d.high = unit
		return out
	}
	return utf8.AppendRune(out, unit) // U+FFFD for a second half alone
}

// end ends what is shifted.
func (d *utf7Decoder) end(out []byte) []byte {
	if d.high != 0 {
		out = utf8.AppendRune(out, utf8.RuneError)
	}
	d.shifted, d.high = false, 0
	return out
}
