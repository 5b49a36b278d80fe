package smtpd

import (
	"bufio"
	"bytes"
)

// dotState is where in a line of DATA the reader stands.
type dotState uint8

const (
	lineStart dotState = iota // after CRLF, or at the beginning
	inLine
	afterCR    // of the line
	afterDot   // at the beginning of a line
	afterDotCR // "." CR at the beginning of a line
)

// copyDotted reads the text of DATA up to its end, CRLF "." CRLF and nothing
// else, and hands it to sink in pieces, without the end and without the dots
// that the sender doubled (RFC 5321 §4.5.2). A piece is what has arrived, not
// what lies between two dots, so that a text of dots costs no more than any
// other; sink must not keep it.
func copyDotted(br *bufio.Reader, sink func([]byte) error) error {
	state, done := lineStart, false
	for !done {
		first, err := br.Peek(1)
		if err != nil {
			return err
		}
		if state == afterDotCR && first[0] != '\n' { // no end: a bare CR at the beginning of the line
			if err := sink([]byte{'\r'}); err != nil {
				return err
			}
			state = inLine
		}
		b, _ := br.Peek(br.Buffered())
		var text []byte
		var n int
		text, n, state, done = scanDotted(b, state)
		if err := sink(text); err != nil {
			return err
		}
		br.Discard(n)
	}
	return nil
}

// scanDotted returns the text in b, which goes on where state was left; it
// moves it together within b. n is how much of b that took: all of it, or if
// done up to the end of the text. In state afterDotCR, b begins with LF.
func scanDotted(b []byte, state dotState) (text []byte, n int, next dotState, done bool) {
	k := 0 // the text is b[:k], and k <= n
	for n < len(b) {
		switch state {
		case lineStart:
			state = inLine
			if b[n] == '.' {
				n++
				state = afterDot
			}
		case afterDot:
			state = inLine
			if b[n] == '\r' {
				n++
				state = afterDotCR
			}
		case afterDotCR:
			if b[n] == '\n' {
				return b[:k], n + 1, lineStart, true
			}
			b[k] = '\r' // no end, as above; the dot and the CR have left room
			k++
			state = inLine
		case afterCR:
			state = inLine
			if b[n] == '\n' {
				b[k] = '\n'
				k++
				n++
				state = lineStart
			}
		case inLine:
			from := n
			n, state = scanLine(b, n)
			if k < from {
				copy(b[k:], b[from:n])
			}
			k += n - from
		}
	}
	return b[:k], n, state, false
}

// scanLine goes to the beginning of the next line, or to the end of b.
func scanLine(b []byte, i int) (int, dotState) {
	j := bytes.IndexByte(b[i:], '\n')
	switch {
	case j > 0 && b[i+j-1] == '\r':
		return i + j + 1, lineStart
	case j >= 0:
		return i + j + 1, inLine // a bare LF ends no line
	case b[len(b)-1] == '\r':
		return len(b), afterCR
	}
	return len(b), inLine
}
