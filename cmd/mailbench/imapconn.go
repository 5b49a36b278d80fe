package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// imapConn is one IMAP connection.
type imapConn struct {
	*wire
	tag    int
	caps   map[string]bool // announced in the greeting or after the login, in capitals
	octets int64           // of literals so far
}

// dialIMAP connects and reads the greeting.
func dialIMAP(ctx context.Context, addr string) (*imapConn, error) {
	w, err := dialWire(ctx, addr)
	if err != nil {
		return nil, err
	}
	return greetIMAP(w)
}

// greetIMAP reads the greeting; it closes what does not greet.
func greetIMAP(w *wire) (*imapConn, error) {
	c := &imapConn{wire: w, caps: map[string]bool{}}
	line, err := c.line()
	if err == nil && !bytes.HasPrefix(line, []byte("* OK")) {
		err = fmt.Errorf("greeting: %q", line)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	c.readCaps(line)
	return c, nil
}

// loginIMAP connects and logs in.
func loginIMAP(ctx context.Context, addr, user, password string) (*imapConn, error) {
	c, err := dialIMAP(ctx, addr)
	if err != nil {
		return nil, err
	}
	if err := c.login(user, password); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *imapConn) login(user, password string) error {
	tag := c.begin("LOGIN " + quoteIMAP(user) + " " + quoteIMAP(password))
	if err := c.flush(); err != nil {
		return err
	}
	return c.finish(tag, c.readCaps)
}

func quoteIMAP(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// readCaps takes over the capabilities that line announces, as an untagged
// CAPABILITY or in a response code (RFC 9051 §7.1).
func (c *imapConn) readCaps(line []byte) {
	_, list, ok := strings.Cut(strings.ToUpper(string(line)), "CAPABILITY ")
	if !ok {
		return
	}
	list, _, _ = strings.Cut(list, "]")
	clear(c.caps)
	for _, word := range strings.Fields(list) {
		c.caps[word] = true
	}
}

// literalPlus says whether a literal may be sent without waiting (RFC 7888).
// Small ones may with LITERAL- too: up to 4096 octets.
func (c *imapConn) literalPlus(size int) bool {
	return c.caps["LITERAL+"] || c.caps["LITERAL-"] && size <= 4096
}

// begin puts a command into out and returns its tag. Several may be begun
// before flush; each must be finished, in this order.
func (c *imapConn) begin(command string) int {
	c.beginPart(command)
	c.out = append(c.out, "\r\n"...)
	return c.tag
}

// beginPart is begin without the end of the line.
func (c *imapConn) beginPart(command string) {
	c.tag++
	c.out = append(c.out, 'a')
	c.out = strconv.AppendInt(c.out, int64(c.tag), 10)
	c.out = append(append(c.out, ' '), command...)
}

// do sends a command and reads until its tagged OK. each gets every response
// line before it (and the tagged one), with literals left out: they are read,
// counted in octets, and stand in the line as "{n}" only.
func (c *imapConn) do(command string, each func(line []byte)) error {
	tag := c.begin(command)
	if err := c.flush(); err != nil {
		return err
	}
	return c.finish(tag, each)
}

// finish reads until the tagged response of a command that was begun.
func (c *imapConn) finish(tag int, each func(line []byte)) error {
	for {
		line, err := c.response()
		if err != nil {
			return err
		}
		if each != nil {
			each(line)
		}
		if status, ours := cutTag(line, tag); ours {
			if !bytes.HasPrefix(status, []byte("OK")) {
				return fmt.Errorf("%s", status)
			}
			return nil
		}
		if bytes.HasPrefix(line, []byte("* BYE")) {
			return fmt.Errorf("%s", line)
		}
	}
}

// cutTag returns what follows the tag, if line has that one.
func cutTag(line []byte, tag int) ([]byte, bool) {
	if len(line) < 3 || line[0] != 'a' {
		return nil, false
	}
	n := 0
	for i, d := range line[1:] {
		if d < '0' || d > '9' {
			return line[i+2:], d == ' ' && n == tag
		}
		n = n*10 + int(d-'0')
	}
	return nil, false
}

// response reads one response with its literals.
func (c *imapConn) response() ([]byte, error) {
	line, err := c.line()
	if err != nil {
		return nil, err
	}
	size, ok := literalSize(line)
	if !ok {
		return line, nil
	}
	whole := append(make([]byte, 0, 2*len(line)), line...)
	for ok {
		c.octets += size
		if err := c.skip(size); err != nil {
			return nil, err
		}
		if line, err = c.line(); err != nil {
			return nil, err
		}
		whole = append(whole, line...)
		size, ok = literalSize(line)
	}
	return whole, nil
}

// literalSize is the size of the literal that line announces at its end.
func literalSize(line []byte) (int64, bool) {
	end := len(line) - 1
	if end < 2 || line[end] != '}' {
		return 0, false
	}
	open := bytes.LastIndexByte(line, '{')
	if open < 0 {
		return 0, false
	}
	n, err := strconv.ParseInt(string(line[open+1:end]), 10, 64)
	return n, err == nil && n >= 0
}

// continuation reads until the server asks for more ("+"). A tagged response
// instead is an error.
func (c *imapConn) continuation(tag int) error {
	for {
		line, err := c.response()
		if err != nil {
			return err
		}
		if bytes.HasPrefix(line, []byte("+")) {
			return nil
		}
		if status, ours := cutTag(line, tag); ours {
			return fmt.Errorf("%s", status)
		}
	}
}

// beginAppend puts an APPEND into out and returns its tag. Without LITERAL+ it
// sends what stands in out, and waits for the server to ask for the message.
func (c *imapConn) beginAppend(mailbox string, message []byte) (int, error) {
	c.beginPart("APPEND " + quoteIMAP(mailbox) + " {")
	tag := c.tag
	c.out = strconv.AppendInt(c.out, int64(len(message)), 10)
	if c.literalPlus(len(message)) {
		c.out = append(c.out, "+}\r\n"...)
	} else {
		c.out = append(c.out, "}\r\n"...)
		if err := c.flush(); err != nil {
			return 0, err
		}
		if err := c.continuation(tag); err != nil {
			return 0, err
		}
	}
	c.out = append(append(c.out, message...), "\r\n"...)
	return tag, nil
}

// append appends one message and waits for the OK.
func (c *imapConn) append(mailbox string, message []byte) error {
	tag, err := c.beginAppend(mailbox, message)
	if err == nil {
		err = c.flush()
	}
	if err != nil {
		return err
	}
	return c.finish(tag, nil)
}

// messages asks with STATUS how many messages a mailbox has.
func (c *imapConn) messages(mailbox string) (int, error) {
	n := -1
	err := c.do("STATUS "+quoteIMAP(mailbox)+" (MESSAGES)", func(line []byte) {
		if bytes.HasPrefix(line, []byte("* STATUS ")) {
			n = numberAfter(line, "(MESSAGES ")
		}
	})
	if err == nil && n < 0 {
		err = errors.New("STATUS tells no number of messages")
	}
	return n, err
}

// numberAfter is the number that stands in line behind key, or -1.
func numberAfter(line []byte, key string) int {
	_, rest, ok := bytes.Cut(line, []byte(key))
	n, i := 0, 0
	for ok && i < len(rest) && rest[i] >= '0' && rest[i] <= '9' {
		n = n*10 + int(rest[i]-'0')
		i++
	}
	if i == 0 {
		return -1
	}
	return n
}

// logout says LOGOUT, waits for the answer and closes.
func (c *imapConn) logout() error {
	c.begin("LOGOUT")
	err := c.flush()
	for err == nil {
		var line []byte
		if line, err = c.response(); err == nil && len(line) > 0 && line[0] == 'a' {
			break
		}
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil // some close before the tagged line is read
	}
	if e := c.close(); err == nil {
		err = e
	}
	return err
}
