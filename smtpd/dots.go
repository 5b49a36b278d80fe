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
	var text []byte
	for !done {
		if _, err := br.Peek(1); err != nil {
			return err
		}
		b, _ := br.Peek(br.Buffered())
		var n int
		text, n, state, done = scanDotted(text[:0], b, state)
		br.Discard(n)
		if err := sink(text); err != nil {
			return err
		}
	}
	return nil
}

// scanDotted appends to text what b brings, which goes on where state was
// left. n is how much of b that took: all of it, or if done up to the end of
// the text.
func scanDotted(text, b []byte, state dotState) (out []byte, n int, next dotState, done bool) {
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
				return text, n + 1, lineStart, true
			}
			text = append(text, '\r') // no end: a bare CR at the beginning of the line
			state = inLine
		case afterCR:
			state = inLine
			if b[n] == '\n' {
				text = append(text, '\n')
				n++
				state = lineStart
			}
		case inLine:
			from := n
			n, state = scanLine(b, n)
			text = append(text, b[from:n]...)
		}
	}
	return text, n, state, false
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
