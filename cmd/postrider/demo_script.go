package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// script prints what the demo does: steps, notes, and protocol lines with
// their direction in their phase.
type script struct {
	w     io.Writer
	color bool
}

// SGR colours (ECMA-48 §8.3.117).
const (
	colorStep   = "1;34"
	colorPhase  = "1"
	colorClient = "36"
	colorServer = "32"
	colorNote   = "2"
	colorResult = "1;32"
)

func (s *script) line(color, text string) {
	if s.color {
		text = "\x1b[" + color + "m" + text + "\x1b[0m"
	}
	fmt.Fprintln(s.w, text)
}

func (s *script) step(n int, title string) {
	fmt.Fprintln(s.w)
	s.line(colorStep, fmt.Sprintf("%d  %s", n, title))
}

func (s *script) note(text string)   { s.line(colorNote, "   "+text) }
func (s *script) phase(name string)  { s.line(colorPhase, "   "+name) }
func (s *script) client(text string) { s.line(colorClient, "     C: "+text) }
func (s *script) server(text string) { s.line(colorServer, "     S: "+text) }
func (s *script) result(text string) { fmt.Fprintln(s.w); s.line(colorResult, text) }

func (s *script) text(text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintln(s.w, "   | "+strings.TrimRight(line, "\r\n"))
	}
}

// dialogue prints an SMTP client's lines in their phases. A journey has only
// the size of the message's text; text stands in for it, dots doubled as on
// the wire (RFC 5321 §4.5.2).
func (s *script) dialogue(lines []traceLine, text []byte) {
	phase, data := "", false
	for _, l := range lines {
		if l.Phase != phase {
			phase = l.Phase
			s.phase(phase)
		}
		switch {
		case l.Dir == "=":
			s.note("  " + l.Line)
		case l.Dir == "<":
			s.server(l.Line)
			data = strings.HasPrefix(l.Line, "354")
		case data && strings.HasPrefix(l.Line, "["):
			for line := range strings.Lines(string(text)) {
				if strings.HasPrefix(line, ".") {
					line = "." + line
				}
				s.client(strings.TrimRight(line, "\r\n"))
			}
		default:
			s.client(l.Line)
		}
	}
}

// talk is a user agent's connection. The first error ends it; the calls after
// it do nothing.
type talk struct {
	*script
	conn    net.Conn
	r       *bufio.Reader
	literal []byte // the last one that an IMAP response had
	err     error
}

func (s *script) dial(ctx context.Context, addr string) (*talk, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(demoTime)
	}
	conn.SetDeadline(deadline)
	s.note("connected to " + addr)
	return &talk{script: s, conn: conn, r: bufio.NewReader(conn)}, nil
}

func (t *talk) close() { t.conn.Close() }

// say sends a line. What stands in secret is sent behind it and shown as
// asterisks.
func (t *talk) say(line string, secret ...string) {
	if t.err != nil {
		return
	}
	shown, sent := line, line
	for _, s := range secret {
		shown, sent = strings.TrimSpace(shown+" ********"), strings.TrimSpace(sent+" "+s)
	}
	t.client(shown)
	_, t.err = io.WriteString(t.conn, sent+"\r\n")
}

func (t *talk) saySecret(secret string) { t.say("", secret) }

func (t *talk) read() string {
	line, err := t.r.ReadString('\n')
	if err != nil {
		t.err = err
	}
	return strings.TrimRight(line, "\r\n")
}

// hear reads a reply that must start with want, all its lines if it is one
// of SMTP's with several, and returns the last.
func (t *talk) hear(want string) string {
	for t.err == nil {
		line := t.read()
		if t.err != nil {
			break
		}
		t.server(line)
		if !strings.HasPrefix(line, want) {
			t.err = fmt.Errorf("the server said %q where %q was due", line, want)
		}
		if len(line) < 4 || line[3] != '-' || want[0] < '0' || want[0] > '9' {
			return line
		}
	}
	return ""
}

// hearDotted reads lines up to a dot alone and undoes its stuffing (RFC 1939
// §3).
func (t *talk) hearDotted() []byte {
	var body []byte
	for t.err == nil {
		line := t.read()
		if t.err != nil {
			break
		}
		t.server(line)
		if line == "." {
			break
		}
		body = append(append(body, strings.TrimPrefix(line, ".")...), "\r\n"...)
	}
	return body
}

// imap sends a command and reads to its tagged reply, which must be OK; it
// returns the untagged lines. A literal is kept in t.literal.
func (t *talk) imap(command string, secret ...string) string {
	t.say(command, secret...)
	tag, _, _ := strings.Cut(command, " ")
	var untagged strings.Builder
	for t.err == nil {
		line := t.read()
		if t.err != nil {
			break
		}
		t.server(line)
		if strings.HasPrefix(line, tag+" ") {
			if !strings.HasPrefix(line, tag+" OK") {
				t.err = fmt.Errorf("the server said %q", line)
			}
			break
		}
		untagged.WriteString(line + "\n")
		t.readLiteral(line)
	}
	return untagged.String()
}

// readLiteral reads the octets that a line ending in {n} announces (RFC 9051
// §4.3).
func (t *talk) readLiteral(line string) {
	open := strings.LastIndexByte(line, '{')
	if open < 0 || !strings.HasSuffix(line, "}") {
		return
	}
	n, err := strconv.Atoi(line[open+1 : len(line)-1])
	if err != nil || n < 0 || n > 1<<20 {
		t.err = fmt.Errorf("the server announced a literal as %q", line)
		return
	}
	t.literal = make([]byte, n)
	if _, t.err = io.ReadFull(t.r, t.literal); t.err == nil {
		for line := range strings.Lines(string(t.literal)) {
			t.server(strings.TrimRight(line, "\r\n"))
		}
	}
}

func (t *talk) imapLogin() { t.imap("a LOGIN "+demoBob, strconv.Quote(demoPassword)) }

// plainResponse is the SASL PLAIN message (RFC 4616 §2).
func plainResponse(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
}
