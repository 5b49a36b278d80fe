package smtpc

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// maxCommand bounds a command line: MAIL and RCPT with every parameter stay
// far below.
const maxCommand = 8192

var (
	errUnasked  = errors.New("the remote server spoke out of turn")
	errInjected = errors.New("the remote server sent data in clear after its reply to STARTTLS")
	errCommand  = errors.New("command line too long")
)

// wireMode says what the bytes that we write are.
type wireMode uint8

const (
	modeCommand wireMode = iota
	modeAuth             // AUTH has been sent: lines are credentials
)

// wire is the connection to a server, above TLS: it takes down the dialogue,
// reads one whole, well-formed reply at a time, and notices replies that no
// command asked for.
//
// For a login, go-smtp's client runs on top of it. That wants to see a
// greeting and to say EHLO, which were our own affair and are over: offer lays
// both ready for it, and nothing of that reaches the network.
type wire struct {
	net.Conn
	raw   net.Conn // the connection below TLS, for closing
	br    *bufio.Reader
	rec   *recorder
	block time.Duration // for each write of message data

	mode   wireMode
	out    []byte // an unfinished command line
	canned []byte // to be read before anything from the network
	ehlo   []byte // what is put into canned at EHLO
	last   reply
	login  reply // the reply that ended AUTH; go-smtp's client sends "*" after a refusal
	err    error // why the connection cannot be used any more
}

func newWire(c net.Conn, rec *recorder, block time.Duration) *wire {
	return &wire{Conn: c, raw: c, br: bufio.NewReader(c), rec: rec, block: block}
}

// Read hands out the reply to the last command.
func (w *wire) Read(p []byte) (int, error) {
	if len(w.canned) == 0 {
		r, err := w.reply()
		if err != nil {
			return 0, err
		}
		w.canned = r.wire()
	}
	n := copy(p, w.canned)
	w.canned = w.canned[n:]
	return n, nil
}

// reply reads a reply from the network.
func (w *wire) reply() (reply, error) {
	if w.err != nil {
		return reply{}, w.err
	}
	r, err := readReply(w.br, func(line string) { w.rec.add(Received, line) })
	if err != nil {
		return reply{}, w.fail(err)
	}
	w.last = r
	switch {
	case w.mode == modeAuth && r.code == 334:
	case w.mode == modeAuth:
		w.login, w.mode = r, modeCommand
	}
	return r, nil
}

// fail notes why the connection cannot be used any more.
func (w *wire) fail(err error) error {
	if w.err == nil {
		w.err = err
		w.rec.add(Remark, netWords(err))
	}
	return w.err
}

// answer reads a reply that may take as long as timeout.
func (w *wire) answer(timeout time.Duration) (reply, error) {
	w.SetReadDeadline(time.Now().Add(timeout))
	return w.reply()
}

// send sends command lines in one piece, within timeout.
func (w *wire) send(lines []string, timeout time.Duration) error {
	if w.err != nil {
		return w.err
	}
	var b []byte
	for _, l := range lines {
		w.rec.add(Sent, l)
		b = append(append(b, l...), "\r\n"...)
	}
	if err := w.silent(); err != nil {
		return err
	}
	w.SetWriteDeadline(time.Now().Add(timeout))
	if _, err := w.Conn.Write(b); err != nil {
		return w.fail(err)
	}
	return nil
}

// text sends a piece of the message.
func (w *wire) text(b []byte) error {
	w.SetWriteDeadline(time.Now().Add(w.block))
	if _, err := w.Conn.Write(b); err != nil {
		return w.fail(err)
	}
	return nil
}

// silent makes sure that the server has said nothing that was not asked for.
func (w *wire) silent() error {
	if w.br.Buffered() == 0 {
		return nil
	}
	readReply(w.br, func(l string) { w.rec.add(Received, l) }) // for the record: its words may explain
	return w.fail(errUnasked)
}

// Write takes what go-smtp's client sends: lines of commands.
func (w *wire) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	if len(w.out)+len(p) > maxCommand {
		return 0, w.fail(errCommand)
	}
	w.out = append(w.out, p...)
	for {
		line, rest, ok := bytes.Cut(w.out, []byte("\r\n"))
		if !ok {
			return len(p), nil
		}
		err := w.command(string(line))
		w.out = append(w.out[:0], rest...)
		if err != nil {
			return 0, err
		}
	}
}

// command sends one command line.
func (w *wire) command(line string) error {
	if w.err != nil {
		return w.err
	}
	verb, _, _ := strings.Cut(line, " ")
	if verb == "EHLO" && w.ehlo != nil {
		w.canned, w.ehlo = w.ehlo, nil
		return nil
	}
	w.rec.add(Sent, w.redacted(verb, line))
	if err := w.silent(); err != nil {
		return err
	}
	if _, err := io.WriteString(w.Conn, line+"\r\n"); err != nil {
		return w.fail(err)
	}
	if verb == "AUTH" {
		w.mode = modeAuth
	}
	return nil
}

// redacted is a command line as it may be kept.
func (w *wire) redacted(verb, line string) string {
	if w.mode == modeAuth {
		return "[credentials]"
	}
	if verb == "AUTH" {
		mech := strings.Fields(line)
		if len(mech) > 2 {
			return "AUTH " + mech[1] + " [credentials]"
		}
	}
	return line
}

// ask sends a command of our own and reads its reply.
func (w *wire) ask(line string, timeout time.Duration) (reply, error) {
	w.SetDeadline(time.Now().Add(timeout))
	defer w.SetDeadline(time.Time{})
	if err := w.command(line); err != nil {
		return reply{}, err
	}
	return w.reply()
}

// offer lays a greeting and a reply to EHLO ready for a new client of
// go-smtp.
func (w *wire) offer(ext map[string]string) {
	r := reply{code: 250, lines: []string{"ready"}}
	for k, v := range ext {
		r.lines = append(r.lines, strings.TrimSpace(k+" "+v))
	}
	w.canned, w.ehlo = []byte("220 ready\r\n"), r.wire()
}

// startTLS puts TLS on the connection. Nothing may have come in clear since
// the reply that asked for it (RFC 3207 §6; CVE-2021-38371 was that).
func (w *wire) startTLS(ctx context.Context, conf *tls.Config, timeout time.Duration) error {
	if w.br.Buffered() > 0 {
		return w.fail(errInjected)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tc := tls.Client(w.raw, conf)
	if err := tc.HandshakeContext(ctx); err != nil {
		return w.fail(fmt.Errorf("TLS handshake failed: %w", err))
	}
	w.Conn, w.br = tc, bufio.NewReader(tc)
	return nil
}

// tlsState tells of the TLS on the connection; nil in clear.
func (w *wire) tlsState() *tls.ConnectionState {
	if tc, ok := w.Conn.(*tls.Conn); ok {
		s := tc.ConnectionState()
		return &s
	}
	return nil
}

// netWords is what went wrong on the network, in words for people and without
// addresses of ours.
func netWords(err error) string {
	var op *net.OpError
	var ne net.Error
	switch {
	case errors.As(err, new(tls.RecordHeaderError)):
		return "what the remote server says is no TLS"
	case errors.Is(err, context.Canceled), errors.Is(err, net.ErrClosed):
		return "the attempt was broken off"
	case errors.As(err, &ne) && ne.Timeout(), errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the remote server closed the connection"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the remote server broke the connection off"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "no route to this address"
	case errors.As(err, &op) && op.Op == "remote error": // crypto/tls: an alert
		return "the remote server gave TLS up: " + printable(strings.TrimPrefix(op.Err.Error(), "tls: "))
	case errors.As(err, &op):
		return printable(op.Err.Error())
	}
	return printable(err.Error())
}
