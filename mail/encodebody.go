package mail

import (
	"bufio"
	"encoding/base64"
	"io"
)

// maxEncodedLine is how long the lines of encoded bodies are (RFC 2045 §6.7,
// §6.8).
const maxEncodedLine = 76

// encodeQP writes r as quoted-printable. CRLF stays a line end, everything
// else comes out of DecodeBody as it went in. A line never begins with "-", since
// breaking lines must not make a delimiter, nor with "." or "From ", which
// are dear to some programs on the way.
func encodeQP(w *bufio.Writer, r io.Reader) error {
	e := qpEncoder{w: w}
	src := bufio.NewReaderSize(r, decodeBuffer)
	for {
		c, err := src.ReadByte()
		if err == io.EOF {
			e.space(true)
			return nil
		}
		if err != nil {
			return err
		}
		if c == '\r' {
			if next, err := src.Peek(1); err == nil && next[0] == '\n' {
				src.Discard(1)
				e.space(true)
				e.w.WriteString("\r\n")
				e.width = 0
				continue
			}
		}
		e.put(c)
	}
}

// qpEncoder holds white space back, since it must be encoded at the end of a
// line only.
type qpEncoder struct {
	w     *bufio.Writer
	width int
	held  byte // a space or tab not yet written; 0 for none
}

func (e *qpEncoder) put(c byte) {
	e.space(false)
	switch {
	case c == ' ' || c == '\t':
		e.held = c
	case c < ' ' || c > '~' || c == '=' || isDear(c) && e.width == 0:
		e.encoded(c)
	default:
		e.room(1)
		if e.width == 0 && isDear(c) { // room began a new line
			e.encoded(c)
			return
		}
		e.w.WriteByte(c)
		e.width++
	}
}

func isDear(c byte) bool { return c == '-' || c == '.' || c == 'F' }

// space writes what is held back; encoded at the end of a line.
func (e *qpEncoder) space(end bool) {
	if e.held == 0 {
		return
	}
	c := e.held
	e.held = 0
	if end {
		e.encoded(c)
		return
	}
	e.room(1)
	e.w.WriteByte(c)
	e.width++
}

func (e *qpEncoder) encoded(c byte) {
	const hex = "0123456789ABCDEF"
	e.room(3)
	e.w.Write([]byte{'=', hex[c>>4], hex[c&15]})
	e.width += 3
}

// room makes place for n characters and the "=" that may have to follow.
func (e *qpEncoder) room(n int) {
	if e.width+n > maxEncodedLine-1 {
		e.w.WriteString("=\r\n")
		e.width = 0
	}
}

// encodeBase64 writes r as base64 in lines, without a line end after the last.
func encodeBase64(w *bufio.Writer, r io.Reader) error {
	var in [maxEncodedLine / 4 * 3]byte
	var out [maxEncodedLine]byte
	for first := true; ; first = false {
		n, err := io.ReadFull(r, in[:])
		if n > 0 {
			if !first {
				w.WriteString("\r\n")
			}
			base64.StdEncoding.Encode(out[:], in[:n])
			w.Write(out[:base64.StdEncoding.EncodedLen(n)])
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
