package wiretest

import (
	"bufio"
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

const (
	ioTimeout   = 60 * time.Second // for each line, write and handshake, on a busy machine
	maxShown    = 400              // bytes of one line in a transcript
	afterFailed = 3                // lines of the dialogue shown after the one at fault
)

// player is one dialogue under way.
type player struct {
	d     dialogue
	env   *Env
	conns map[string]*conn
	vars  map[string]string
	log   []string
}

type conn struct {
	net.Conn
	r *bufio.Reader
}

// step plays step i and returns how many steps that was.
func (p *player) step(i int) (int, error) {
	s := p.d.steps[i]
	c, err := p.conn(s.conn)
	if err != nil {
		return 1, err
	}
	c.SetDeadline(time.Now().Add(ioTimeout))
	switch s.verb {
	case sendLine:
		return 1, p.sendLine(c, s)
	case sendRaw:
		p.note(s.conn, "C", s.text)
		_, err = io.WriteString(c, s.text)
	case wantLine:
		err = p.wantLine(c, s)
	case wantAnyOrder:
		return p.wantAnyOrder(c, i)
	case wantRaw:
		err = p.wantRaw(c, s)
	case startTLS:
		err = p.startTLS(c, s)
	case startDeflate:
		p.note(s.conn, "DEFLATE", "")
		err = c.deflate()
	case endDeflate:
		p.note(s.conn, "PLAIN", "")
		err = c.plain()
	case wantEOF:
		err = p.wantEOF(c, s)
	case closeConn:
		p.log = append(p.log, s.conn+" closed by us")
		err = c.Close()
	}
	return 1, err
}

// conn finds a connection or opens it.
func (p *player) conn(word string) (*conn, error) {
	key, _, _ := strings.Cut(word, ":")
	if c, ok := p.conns[key]; ok {
		return c, nil
	}
	nc := p.env.Dial(word)
	if nc == nil {
		return nil, fmt.Errorf("no connection %q", word)
	}
	c := &conn{Conn: nc, r: bufio.NewReader(nc)}
	p.conns[key] = c
	return c, nil
}

func (p *player) close() {
	for _, c := range p.conns {
		c.Close()
	}
}

func (p *player) sendLine(c *conn, s step) error {
	text, err := expand(s.text, p.vars)
	if err != nil {
		return err
	}
	p.note(s.conn, "C", text+"\r\n")
	_, err = io.WriteString(c, text+"\r\n")
	return err
}

// readLine reads one line and returns it without its CRLF.
func (p *player) readLine(c *conn, name string) (string, error) {
	line, err := c.r.ReadString('\n')
	if line != "" {
		p.note(name, "S", line)
	}
	if err != nil {
		return "", explain(err)
	}
	text, ok := strings.CutSuffix(line, "\r\n")
	if !ok {
		return "", errors.New("the server's line ends without CR")
	}
	return text, nil
}

func (p *player) wantLine(c *conn, s step) error {
	got, err := p.readLine(c, s.conn)
	if err != nil {
		return fmt.Errorf("%w\nwant: %s", err, s.text)
	}
	if !match(s.text, got, p.vars) {
		return fmt.Errorf("another line\nwant: %s\n got: %s", s.text, shorten(got))
	}
	return nil
}

// wantAnyOrder plays the run of S~ lines of one connection that begins at i.
func (p *player) wantAnyOrder(c *conn, i int) (int, error) {
	var open []string
	n := 0
	for _, s := range p.d.steps[i:] {
		if s.verb != wantAnyOrder || s.conn != p.d.steps[i].conn {
			break
		}
		open = append(open, s.text)
		n++
	}
	for len(open) > 0 {
		got, err := p.readLine(c, p.d.steps[i].conn)
		if err != nil {
			return n, fmt.Errorf("%w\nwant one of: %s", err, strings.Join(open, "\n             "))
		}
		found := -1
		for j, pattern := range open {
			if match(pattern, got, p.vars) {
				found = j
				break
			}
		}
		if found < 0 {
			return n, fmt.Errorf("another line\nwant one of: %s\n        got: %s",
				strings.Join(open, "\n             "), shorten(got))
		}
		open = append(open[:found], open[found+1:]...)
	}
	return n, nil
}

func (p *player) wantRaw(c *conn, s step) error {
	got := make([]byte, len(s.text))
	n, err := io.ReadFull(c.r, got)
	p.note(s.conn, "S", string(got[:n]))
	if err != nil {
		return explain(err)
	}
	if string(got) != s.text {
		return fmt.Errorf("other bytes\nwant: %q\n got: %q", shorten(s.text), shorten(string(got)))
	}
	return nil
}

func (p *player) startTLS(c *conn, s step) error {
	if n := c.r.Buffered(); n > 0 {
		return fmt.Errorf("the server sent %d bytes before the handshake", n)
	}
	tc := tls.Client(c.Conn, p.env.TLS)
	if err := tc.Handshake(); err != nil {
		return explain(err)
	}
	p.log = append(p.log, s.conn+" TLS")
	c.Conn, c.r = tc, bufio.NewReader(tc)
	return nil
}

// wantEOF expects the end. A reset is one too: it is what TCP makes of a
// close with unread input.
func (p *player) wantEOF(c *conn, s step) error {
	line, err := c.r.ReadString('\n')
	switch {
	case line != "":
		p.note(s.conn, "S", line)
		return errors.New("the server still speaks")
	case err == io.EOF || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.ErrUnexpectedEOF):
		p.log = append(p.log, s.conn+" closed by the server")
		return nil
	}
	return explain(err)
}

func explain(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("nothing came for %v", ioTimeout)
	case errors.Is(err, io.EOF):
		return errors.New("the server closed the connection")
	}
	return err
}

func (p *player) note(conn, who, raw string) {
	p.log = append(p.log, fmt.Sprintf("%s %s %s", conn, who, shorten(fmt.Sprintf("%q", raw))))
}

// transcript is what went over the wire so far and the line at fault.
func (p *player) transcript(at int) string {
	var b strings.Builder
	b.WriteString("--- on the wire\n")
	for _, l := range p.log {
		b.WriteString(l + "\n")
	}
	b.WriteString("--- in the dialogue\n")
	for i := at; i < len(p.d.steps) && i <= at+afterFailed; i++ {
		mark := "  "
		if i == at {
			mark = "> "
		}
		fmt.Fprintf(&b, "%s%s\n", mark, p.d.steps[i].src)
	}
	return b.String()
}

func shorten(s string) string {
	if len(s) <= maxShown {
		return s
	}
	return fmt.Sprintf("%s… (%d bytes)", s[:maxShown], len(s))
}
