package mail

import (
	"bufio"
	"bytes"
	"io"
	"strings"
)

// DecodeBody returns the content of a body, given its
// Content-Transfer-Encoding (RFC 2045 §6). It is tolerant: what does not
// belong into base64 is passed over, what is no quoted-printable stays as it
// is, and an encoding that is unknown is taken for none.
func DecodeBody(r io.Reader, encoding string) io.Reader {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "base64":
		return &base64Reader{src: r}
	case "quoted-printable":
		return &qpReader{src: bufio.NewReaderSize(r, decodeBuffer)}
	}
	return r
}

// decodeBuffer is how much a decoder reads at a time. A line of
// quoted-printable that is longer keeps the white space at its end.
const decodeBuffer = 8 << 10

// base64Reader decodes base64 and passes over everything that does not belong
// to its alphabet. Padding ends a group of four; what follows starts anew,
// since some programs join pieces that were encoded one by one.
type base64Reader struct {
	src  io.Reader
	in   [decodeBuffer]byte
	out  []byte // decoded, not yet read
	room [decodeBuffer]byte
	acc  uint32 // bits of the current group
	n    int    // its characters
	err  error
}

func (d *base64Reader) Read(p []byte) (int, error) {
	for len(d.out) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		if len(p) == 0 {
			return 0, nil
		}
		n, err := d.src.Read(d.in[:])
		d.out = d.room[:0]
		for _, c := range d.in[:n] {
			d.put(c)
		}
		if err != nil {
			d.flush()
			d.err = err
		}
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	return n, nil
}

func (d *base64Reader) put(c byte) {
	v := base64Value(c)
	if v < 0 {
		if c == '=' {
			d.flush()
		}
		return
	}
	d.acc = d.acc<<6 | uint32(v)
	if d.n++; d.n == 4 {
		d.out = append(d.out, byte(d.acc>>16), byte(d.acc>>8), byte(d.acc))
		d.acc, d.n = 0, 0
	}
}

// flush ends a group of less than four characters.
func (d *base64Reader) flush() {
	switch d.n {
	case 2:
		d.out = append(d.out, byte(d.acc>>4))
	case 3:
		d.out = append(d.out, byte(d.acc>>10), byte(d.acc>>2))
	}
	d.acc, d.n = 0, 0
}

func base64Value(c byte) int {
	switch {
	case 'A' <= c && c <= 'Z':
		return int(c - 'A')
	case 'a' <= c && c <= 'z':
		return int(c-'a') + 26
	case '0' <= c && c <= '9':
		return int(c-'0') + 52
	case c == '+':
		return 62
	case c == '/':
		return 63
	}
	return -1
}

// qpReader decodes quoted-printable (RFC 2045 §6.7) line by line.
type qpReader struct {
	src *bufio.Reader
	out []byte
	buf []byte
	err error
}

func (d *qpReader) Read(p []byte) (int, error) {
	for len(d.out) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		if len(p) == 0 {
			return 0, nil
		}
		line, err := d.src.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			d.err = err
		}
		if err == bufio.ErrBufferFull {
			line = d.uncut(line)
		}
		d.buf = appendQPLine(d.buf[:0], line)
		d.out = d.buf
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	return n, nil
}

// uncut completes a piece of an overlong line that ends within "=XX".
func (d *qpReader) uncut(line []byte) []byte {
	eq := bytes.LastIndexByte(line, '=')
	if eq < 0 || eq < len(line)-2 {
		return line
	}
	line = bytes.Clone(line)
	for len(line) < eq+3 {
		c, err := d.src.ReadByte()
		if err != nil {
			break
		}
		line = append(line, c)
		if c == '\n' {
			break
		}
	}
	return line
}

// appendQPLine decodes one line, or a piece of one. White space at the end
// of a line is padding from the way (§6.7, rule 3).
func appendQPLine(dst, line []byte) []byte {
	end := []byte(nil)
	text := line
	if n := len(line); n > 0 && line[n-1] == '\n' {
		text = line[:n-1]
		if n > 1 && line[n-2] == '\r' {
			text = line[:n-2]
		}
		end = line[len(text):]
		text = bytes.TrimRight(text, " \t")
		if n := len(text); n > 0 && text[n-1] == '=' {
			text, end = text[:n-1], nil
		}
	} else if n > 0 && line[n-1] == '=' {
		text = line[:n-1] // a soft line break at the very end
	}
	return append(appendQP(dst, text, false), end...)
}

// appendQP decodes =XX; in the Q encoding of RFC 2047 §4.2 "_" is a space.
func appendQP[T string | []byte](dst []byte, text T, q bool) []byte {
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '=' && i+2 < len(text) && hexValue(text[i+1]) >= 0 && hexValue(text[i+2]) >= 0:
			c = byte(hexValue(text[i+1])<<4 | hexValue(text[i+2]))
			i += 2
		case c == '_' && q:
			c = ' '
		}
		dst = append(dst, c)
	}
	return dst
}

func hexValue(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}
