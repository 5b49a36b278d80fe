package soak

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// patience bounds how long a server may take to answer.
const patience = 20 * time.Second

// wire is a connection spoken to line by line, as any client might.
type wire struct {
	net.Conn
	r *bufio.Reader
	n int // IMAP tags given
}

func dial(addr string) (*wire, error) {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	return &wire{Conn: c, r: newReader(c)}, nil
}

func newReader(c net.Conn) *bufio.Reader { return bufio.NewReaderSize(c, 64<<10) }

func (w *wire) send(format string, args ...any) error {
	w.SetDeadline(time.Now().Add(patience))
	_, err := fmt.Fprintf(w.Conn, format+"\r\n", args...)
	return err
}

func (w *wire) line() (string, error) {
	w.SetDeadline(time.Now().Add(patience))
	s, err := w.r.ReadString('\n')
	return strings.TrimRight(s, "\r\n"), err
}

// reply reads an SMTP reply and returns its last line.
func (w *wire) reply() (string, error) {
	for {
		s, err := w.line()
		if err != nil || len(s) < 4 || s[3] == ' ' {
			return s, err
		}
	}
}

// refusedError is a reply that is not the one hoped for.
type refusedError struct{ reply string }

func (e *refusedError) Error() string { return "refused: " + e.reply }

// say sends an SMTP command and wants a reply that starts with code.
func (w *wire) say(code, format string, args ...any) (string, error) {
	if err := w.send(format, args...); err != nil {
		return "", err
	}
	return w.hear(code)
}

func (w *wire) hear(code string) (string, error) {
	s, err := w.reply()
	if err == nil && !strings.HasPrefix(s, code) {
		err = &refusedError{s}
	}
	return s, err
}

// answer is what IMAP said to a command: the untagged lines, with a literal's
// bytes apart.
type answer struct {
	tagged string
	lines  []untagged
}

// tells whether a text stands in the answer.
func (a *answer) tells(text string) bool {
	for _, u := range a.lines {
		if strings.Contains(u.text, text) {
			return true
		}
	}
	return strings.Contains(a.tagged, text)
}

type untagged struct {
	text    string
	literal []byte
}

// imap sends a command and reads its answer; NO and BAD are errors.
func (w *wire) imap(format string, args ...any) (answer, error) {
	w.n++
	tag := fmt.Sprintf("a%d", w.n)
	if err := w.send(tag+" "+format, args...); err != nil {
		return answer{}, err
	}
	return w.imapAnswer(tag)
}

func (w *wire) imapAnswer(tag string) (answer, error) {
	var a answer
	for {
		u, err := w.untagged()
		if err != nil {
			return a, err
		}
		rest, ok := strings.CutPrefix(u.text, tag+" ")
		if !ok {
			a.lines = append(a.lines, u)
			continue
		}
		if a.tagged = rest; !strings.HasPrefix(rest, "OK") {
			return a, &refusedError{rest}
		}
		return a, nil
	}
}

// untagged reads a line with its literals; the last one is kept.
func (w *wire) untagged() (untagged, error) {
	var u untagged
	for {
		s, err := w.line()
		if err != nil {
			return u, err
		}
		u.text += s
		at := strings.LastIndexByte(s, '{')
		if at < 0 || !strings.HasSuffix(s, "}") {
			return u, nil
		}
		n, err := strconv.Atoi(s[at+1 : len(s)-1])
		if err != nil {
			return u, nil // not a literal
		}
		u.literal = make([]byte, n)
		if _, err := io.ReadFull(w.r, u.literal); err != nil {
			return u, err
		}
	}
}

// login opens an IMAP connection as a user.
func login(addr, user string) (*wire, error) {
	w, err := dial(addr)
	if err != nil {
		return nil, err
	}
	if _, err := w.line(); err != nil {
		w.Close()
		return nil, err
	}
	if _, err := w.imap("LOGIN %s %q", user, password); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// stuffed is a message as DATA sends it (RFC 5321 §4.5.2).
func stuffed(text []byte) []byte {
	text = bytes.ReplaceAll(text, []byte("\r\n."), []byte("\r\n.."))
	return append(text, ".\r\n"...)
}
