package imapd

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"
)

// input is where the reading of a request stands. A request is lines; each
// but the last ends with the announcement of a literal, which follows (RFC
// 9051 §4.3).
type input struct {
	feed    []byte // what the engine may read at once
	size    int    // bytes of lines so far
	open    bool   // a literal was announced: the request goes on
	sync    bool   // and the client waits for the continuation
	literal int64  // bytes of it still to come
	broken  bool   // the rest of the request is not for the engine
}

// line notes a line of a request and what it announces.
func (in *input) line(line []byte, plain bool) {
	in.size += len(line)
	in.open, in.sync, in.literal = false, false, 0
	if plain {
		return
	}
	if n, sync, ok := literalAt(line); ok {
		in.open, in.sync, in.literal = true, sync, n
	}
}

// literalAt finds the announcement of a literal at the end of a line.
func literalAt(line []byte) (size int64, sync, ok bool) {
	s, ok := bytes.CutSuffix(line, []byte("}"))
	i := bytes.LastIndexByte(s, '{')
	if !ok || i < 0 {
		return 0, false, false
	}
	digits, plus := strings.CutSuffix(string(s[i+1:]), "+")
	n, err := strconv.ParseInt(digits, 10, 63)
	if err != nil || n < 0 || digits[0] == '+' {
		return 0, false, false
	}
	return n, !plus, true
}

var (
	errLineTooLong = errors.New("line too long")
	errBadBytes    = errors.New("NUL or bare CR in a line")
)

// Read gives the engine the request under way and, once that is answered, the
// next one; never both at once. io.EOF says that this request has ended where
// the engine wants more of it, or that the connection has ended.
func (c *conn) Read(p []byte) (int, error) {
	for {
		c.mu.Lock()
		answered, dead := c.answered, c.dead
		c.mu.Unlock()
		switch {
		case dead:
			return 0, io.EOF
		case answered:
			if err := c.next(); err != nil {
				return 0, err
			}
		case len(c.in.feed) > 0:
			n := copy(p, c.in.feed)
			c.in.feed = c.in.feed[n:]
			return n, nil
		case c.in.broken || c.in.sync && c.waiting():
			return 0, io.EOF
		case c.in.literal > 0:
			return c.readLiteral(p)
		default:
			if err := c.more(); err != nil {
				return 0, err
			}
		}
	}
}

// waiting tells whether the engine has not yet asked for the literal that
// was announced.
func (c *conn) waiting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out.goAhead {
		c.in.sync = false
	}
	return c.in.sync
}

func (c *conn) readLiteral(p []byte) (int, error) {
	c.flushIfWaiting(1)
	if c.loggedIn {
		// The engine has one deadline for a whole message.
		c.SetReadDeadline(time.Now().Add(literalTimeout))
	}
	n, err := c.br.Read(p[:min(int64(len(p)), c.in.literal)])
	c.in.literal -= int64(n)
	if n == 0 && err != nil {
		return 0, c.readFailed(err)
	}
	return n, nil
}

// more reads the next line of the request under way for the engine.
func (c *conn) more() error {
	if !c.in.open && !c.req.lines {
		return io.EOF // such as a quoted string that has no end
	}
	limit := maxCommand - c.in.size
	if c.req.name == "AUTHENTICATE" {
		limit = maxSASLLine
	}
	line, err := c.readLine(limit)
	switch {
	case errors.Is(err, errLineTooLong) || errors.Is(err, errBadBytes):
		c.noteLine(line, c.req.lines)
		c.in.broken = true
		if c.req.name == "AUTHENTICATE" {
			c.in.broken, c.in.feed = false, []byte("*\r\n") // RFC 9051 §6.2.2: cancelled
		}
		return nil
	case err != nil:
		return c.readFailed(err)
	}
	if c.req.name == "IDLE" && strings.EqualFold(string(line), "DONE") {
		line = []byte("DONE")
	}
	c.noteLine(line, c.req.lines)
	if c.in.open && c.in.literal > maxStringLit && c.req.name != "APPEND" {
		c.in.broken = true
	}
	return c.feed(line)
}

// noteLine notes a line of the request, see input.line. A continuation that was
// written before is not for the literal that the line announces.
func (c *conn) noteLine(line []byte, plain bool) {
	c.in.line(line, plain)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.goAhead = false
}

// endAppend reads the end of an APPEND behind its message, before anything is
// stored: the engine looks at it only afterwards, and answers nothing if it is
// wrong. Nothing may follow but the parenthesis of UTF8 (RFC 6855 §4); more
// messages (RFC 3502) are not announced, and not half done.
func (c *conn) endAppend() error {
	line, err := c.readLine(maxCommand)
	if err != nil && !errors.Is(err, errLineTooLong) && !errors.Is(err, errBadBytes) {
		return c.readFailed(err)
	}
	want := ""
	if strings.Contains(c.req.lastWord(), "(~{") {
		want = ")"
	}
	c.noteLine(line, false)
	c.in.feed = []byte(want + "\r\n")
	if err != nil || string(line) != want && string(line) != want+" " {
		return badCommand("Nothing may follow the message")
	}
	return nil
}

// feed has the engine read a line.
func (c *conn) feed(line []byte) error {
	end := "\r\n"
	if c.sess.utf8() {
		isName := c.in.open && c.in.literal <= maxStringLit && hasName(c.req, line)
		line = mendNames(c.req, line)
		if isName {
			var err error
			if line, err = c.mendLiteral(line); err != nil {
				return err
			}
			end = "" // the line goes on behind the literal
		}
	}
	c.req.text.Write(line)
	c.req.text.WriteByte('\n')
	if strings.HasSuffix(c.req.name, "SEARCH") {
		line = mendSearch(c.req, line)
	}
	c.in.feed = append(line[:len(line):len(line)], end...)
	return nil
}

// next reads the next request, behind what is left of the last one.
func (c *conn) next() error {
	if err := c.skipRest(false); err != nil {
		return err
	}
	c.in = input{}
	for empty := 0; ; empty++ {
		if why := c.isStopping(); why != "" {
			return c.end(why, nil)
		}
		if c.bad >= maxBad || c.bad >= maxBadLogin && !c.loggedIn || empty >= maxEmptyLines {
			return c.end("Too many errors", errors.New("too many errors"))
		}
		limit := maxCommand
		if !c.loggedIn {
			limit = maxLoginCommand
		}
		line, err := c.readLine(limit)
		switch {
		case errors.Is(err, errLineTooLong):
			return c.refuseLine(line, "BAD [TOOBIG] The command is too long")
		case errors.Is(err, errBadBytes):
			return c.refuseLine(line, "BAD Commands are lines of text")
		case err != nil:
			return c.readFailed(err)
		case len(line) == 0:
			continue // clients send them behind literals, and nobody minds
		case !c.loggedIn && isHTTP(string(line)):
			return c.end("This is an IMAP server", errors.New("HTTP request"))
		}
		return c.start(line)
	}
}

// refuseLine answers a line that is no command. A literal that it announces
// is not read as commands.
func (c *conn) refuseLine(line []byte, problem string) error {
	c.req = &request{tag: tagOf(line)}
	c.noteLine(line, false)
	return c.answer(problem)
}

// start begins a request, unless its first literal is too large for it.
func (c *conn) start(line []byte) error {
	if size, sync, ok := literalAt(line); ok && size > maxStringLit {
		req, _ := c.parse(string(line))
		if !isMessageLiteral(req.name, line) {
			c.req = req
			c.noteLine(line, false)
			if !sync && size > c.maxSkip() {
				return c.end("[TOOBIG] The literal is too large", nil)
			}
			return c.answer("NO [TOOBIG] The literal is too large for this command")
		}
	}
	return c.begin(line)
}

// isMessageLiteral tells whether the literal at the end of an APPEND's line
// may be its message: a mailbox stands before it.
func isMessageLiteral(name string, line []byte) bool {
	return name == "APPEND" && bytes.Count(line, []byte(" ")) >= 3
}

// tagOf finds the tag of a line that is no command, for the answer.
func tagOf(line []byte) string {
	tag, _, _ := strings.Cut(string(line), " ")
	if validTag(tag) {
		return tag
	}
	return "*"
}

// maxSkip is how long a literal may be that is read and thrown away; the
// connection ends at a longer one.
func (c *conn) maxSkip() int64 {
	if !c.loggedIn {
		return maxLoginSkip
	}
	return 2 * c.srv.o.MaxMessageBytes
}

// skipRest reads what the client still sends of a request that is answered.
// If ask, it asks for the literals that the client waits to send.
func (c *conn) skipRest(ask bool) error {
	c.in.feed = nil
	for c.in.open && (ask || !c.waiting()) {
		if c.in.sync && ask {
			if c.in.literal > maxStringLit {
				c.in.open = false
				return nil
			}
			c.write("+ Ready\r\n")
		}
		if c.in.literal > c.maxSkip() {
			return c.end("[TOOBIG] The literal is too large", nil)
		}
		c.flushIfWaiting(int(min(c.in.literal, 4096)))
		if _, err := io.CopyN(io.Discard, c.br, c.in.literal); err != nil {
			return c.readFailed(err)
		}
		line, err := c.readLine(maxCommand)
		if err != nil && !errors.Is(err, errLineTooLong) && !errors.Is(err, errBadBytes) {
			return c.readFailed(err)
		}
		c.noteLine(line, false)
	}
	c.in.open = false
	return nil
}
