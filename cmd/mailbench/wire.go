package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// ioTimeout bounds each wait for a server; what takes longer is an error.
const ioTimeout = 2 * time.Minute

// maxLine is the longest line that a server may send, without literals: SEARCH
// names a million messages in one.
const maxLine = 64 << 20

// wire is a connection on which lines are read in place and whole commands
// written at once. Ending ctx closes it.
type wire struct {
	conn net.Conn
	r    *bufio.Reader
	out  []byte // the command being put together
	stop func() bool
	read time.Time // the deadline that is set
}

func dialWire(ctx context.Context, addr string) (*wire, error) {
	return dialWireFrom(ctx, addr, "", 64<<10)
}

// dialWireFrom connects from an address of this machine (empty: any), and
// reads with a buffer of that many octets.
func dialWireFrom(ctx context.Context, addr, source string, buffer int) (*wire, error) {
	var d net.Dialer
	if source != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(source)}
	}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	w := &wire{conn: c, r: bufio.NewReaderSize(c, buffer)}
	w.stop = context.AfterFunc(ctx, func() { c.Close() })
	return w, nil
}

// close closes the connection without a word.
func (w *wire) close() error {
	w.stop()
	return w.conn.Close()
}

// flush sends what stands in out.
func (w *wire) flush() error {
	w.deadline()
	_, err := w.conn.Write(w.out)
	w.out = w.out[:0]
	return err
}

// deadline moves the deadline on, but only now and then: each time costs a
// lock and a timer.
func (w *wire) deadline() {
	now := time.Now()
	if w.read.Sub(now) < ioTimeout*3/4 {
		w.read = now.Add(ioTimeout)
		w.conn.SetDeadline(w.read)
	}
}

// line reads one line without its CRLF. It is valid until the next read,
// unless it was longer than the buffer.
func (w *wire) line() ([]byte, error) {
	if w.r.Buffered() == 0 {
		w.deadline()
	}
	b, err := w.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		long := append([]byte(nil), b...)
		for errors.Is(err, bufio.ErrBufferFull) && len(long) <= maxLine {
			b, err = w.r.ReadSlice('\n')
			long = append(long, b...)
		}
		b = long
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("reading a reply: %w", err)
	}
	b = b[:len(b)-1]
	if n := len(b); n > 0 && b[n-1] == '\r' {
		b = b[:n-1]
	}
	return b, nil
}

// skip reads n octets that nobody looks at.
func (w *wire) skip(n int64) error {
	for n > 0 {
		w.deadline()
		step := min(n, 1<<20)
		k, err := w.r.Discard(int(step))
		n -= int64(k)
		if err != nil {
			return fmt.Errorf("reading a literal: %w", err)
		}
	}
	return nil
}
