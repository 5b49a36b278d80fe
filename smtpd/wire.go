package smtpd

import (
	"bufio"
	"context"
	"errors"
	"net"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of what is read. RFC 5321 §4.5.3.1.4 asks for 512 bytes of command
// line and its extensions for some hundred more each; RFC 4954 §4 for 12288
// in AUTH.
const (
	maxLine     = 4096
	maxAuthLine = 12288
	maxSkip     = 1 << 20 // of a line that is too long, until its end
	readBuffer  = 16 << 10
	writeBuffer = 4 << 10

	lingerBytes = 1 << 20 // read and dropped when we hang up
	lingerTime  = time.Second
)

var (
	errStopping = errors.New("smtpd: server is stopping")
	errTooSlow  = errors.New("smtpd: peer is too slow")
	errTLSHello = errors.New("smtpd: TLS handshake on a plaintext port")
)

// broken is a failure of the connection itself: nobody would hear an answer.
type broken struct{ error }

// wire is the connection's reading and writing: what is waited for, and how
// long. It is an io.Reader for its own buffer.
type wire struct {
	nc  net.Conn
	ctx context.Context // ends when the server stops
	t   Timeouts
	br  *bufio.Reader
	bw  *bufio.Writer

	limit time.Time // for everything, until there is a login; zero is none
	until time.Time // for the line that is being read
	moved *transfer // the message that is being read; nil between messages
}

// transfer is a message on its way in.
type transfer struct {
	start time.Time
	bytes int64
}

func newWire(nc net.Conn, t Timeouts) *wire {
	w := &wire{nc: nc, ctx: context.Background(), t: t}
	w.br = bufio.NewReaderSize(w, readBuffer)
	w.bw = bufio.NewWriterSize(deadlineWriter{w}, writeBuffer)
	return w
}

// deadlineWriter gives each write to the peer its time.
type deadlineWriter struct{ w *wire }

func (d deadlineWriter) Write(p []byte) (int, error) {
	d.w.nc.SetWriteDeadline(time.Now().Add(d.w.t.Write))
	return d.w.nc.Write(p)
}

// Read fills the buffer. Whatever has been answered goes out first, as the
// peer may be waiting for it. The end of ctx interrupts the wait for a
// command, not the transfer of a message.
func (w *wire) Read(p []byte) (int, error) {
	if err := w.bw.Flush(); err != nil {
		return 0, broken{err}
	}
	for {
		until := w.until
		if w.moved != nil {
			until = w.moved.deadline(w.t)
		}
		w.nc.SetReadDeadline(until)
		if w.moved == nil && w.ctx.Err() != nil {
			return 0, errStopping
		}
		n, err := w.nc.Read(p)
		if n > 0 {
			if w.moved != nil {
				w.moved.bytes += int64(n)
			}
			return n, nil
		}
		var ne net.Error
		switch {
		case !errors.As(err, &ne) || !ne.Timeout():
			return 0, broken{err}
		case w.moved == nil && w.ctx.Err() != nil:
			return 0, errStopping
		case !time.Now().Before(until):
			return 0, errTooSlow
		}
	}
}

// deadline lets a message take its time as long as bytes come at MinRate.
func (m *transfer) deadline(t Timeouts) time.Time {
	return m.start.Add(t.Data + time.Duration(m.bytes/t.MinRate)*time.Second)
}

// interrupt wakes a wait for a command; ctx has ended.
func interrupt(nc net.Conn) { nc.SetReadDeadline(time.Unix(1, 0)) }

// readLine reads a line and returns it without CRLF. Its errors are refusals,
// after which the next line can be read, and errors of the connection.
func (w *wire) readLine() (string, error) {
	w.until = w.within(w.t.Command)
	first, err := w.br.Peek(1)
	if err != nil {
		return "", err
	}
	if first[0] == 0x16 { // RFC 8446 §5.1: a record of type handshake
		return "", errTLSHello
	}
	w.until = w.within(w.t.Line)
	b, err := w.br.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", w.skipLine()
	case err != nil:
		return "", err
	case len(b) > maxAuthLine+2:
		return "", errLineTooLong
	}
	line, ok := strings.CutSuffix(string(b), "\r\n")
	if !ok {
		return "", errBareLF
	}
	return line, checkLine(line)
}

func (w *wire) within(d time.Duration) time.Time {
	until := time.Now().Add(d)
	if !w.limit.IsZero() && w.limit.Before(until) {
		return w.limit
	}
	return until
}

// skipLine drops the rest of a line that is too long.
func (w *wire) skipLine() error {
	for n := 0; n < maxSkip; {
		b, err := w.br.ReadSlice('\n')
		n += len(b)
		switch {
		case err == nil:
			return errLineTooLong
		case !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
	return hangUp{errLineTooLong}
}

// checkLine refuses what no command may hold: controls, among them NUL and
// CR, and what is not UTF-8 (RFC 6531 §3.3).
func checkLine(s string) error {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return errControl
		}
	}
	if !utf8.ValidString(s) {
		return errControl
	}
	return nil
}

// hang closes the connection. What the peer has sent meanwhile is read first,
// since closing with unread input resets the connection, and the reset may
// overtake our last words.
func (w *wire) hang(linger bool) {
	w.bw.Flush()
	half, ok := w.nc.(interface{ CloseWrite() error })
	if linger && ok && half.CloseWrite() == nil {
		w.nc.SetReadDeadline(time.Now().Add(lingerTime))
		buf := make([]byte, writeBuffer)
		for n := 0; n < lingerBytes; {
			got, err := w.nc.Read(buf)
			if err != nil {
				break
			}
			n += got
		}
	}
	w.nc.Close()
}
