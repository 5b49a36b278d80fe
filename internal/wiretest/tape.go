package wiretest

import (
	"bytes"
	"io"
	"net"
	"time"
)

// A Tape is a connection whose peer says what is written down, then says no
// more, and takes everything. It costs no socket, and no time.
type Tape struct {
	Out bytes.Buffer // what was written to the peer

	in    *bytes.Reader
	piece int
}

// NewTape makes a Tape that says in; one Read returns piece bytes at most.
func NewTape(in []byte, piece int) *Tape {
	return &Tape{in: bytes.NewReader(in), piece: max(1, piece)}
}

func (t *Tape) Read(b []byte) (int, error) {
	if t.in.Len() == 0 {
		return 0, io.EOF
	}
	return t.in.Read(b[:min(len(b), t.piece)])
}

func (t *Tape) Write(b []byte) (int, error)      { return t.Out.Write(b) }
func (t *Tape) Close() error                     { return nil }
func (t *Tape) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
func (t *Tape) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1110} }
func (t *Tape) SetDeadline(time.Time) error      { return nil }
func (t *Tape) SetReadDeadline(time.Time) error  { return nil }
func (t *Tape) SetWriteDeadline(time.Time) error { return nil }
