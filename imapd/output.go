package imapd

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// maxKept is how much memory for a line is kept for the next one.
const maxKept = 16 << 10

// output is what the engine has written, up to where.
type output struct {
	w       buffer
	text    []byte // a line's beginning that has no end yet
	inside  bool   // text goes on a line that a literal interrupted
	literal int64  // bytes of a literal still to come
	goAhead bool   // a continuation was asked for
}

// isBufferFull tells whether ReadSlice stopped because the line is longer
// than the buffer.
func isBufferFull(err error) bool { return errors.Is(err, bufio.ErrBufferFull) }

// Write takes responses from the engine and sends them, mended.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(p)
	if c.dead {
		return n, nil // BYE was said
	}
	o := &c.out
	for len(p) > 0 {
		if o.literal > 0 {
			k := min(int64(len(p)), o.literal)
			if _, err := o.w.Write(p[:k]); err != nil {
				return 0, err
			}
			o.literal -= k
			p = p[k:]
			continue
		}
		i := bytes.IndexByte(p, '\n') + 1
		if i == 0 {
			o.text = append(o.text, p...)
			break
		}
		o.text = append(o.text, p[:i]...)
		p = p[i:]
		line := o.text
		if !o.inside {
			line = c.mend(line)
		}
		size, _, ok := literalAt(bytes.TrimRight(line, "\r\n"))
		o.inside, o.literal = ok, size
		if _, err := o.w.Write(line); err != nil {
			return 0, err
		}
		o.text = o.text[:0]
		if cap(o.text) > maxKept {
			o.text = nil // the result of a large SEARCH
		}
	}
	return n, nil
}

// rawWriter sends what is not the engine's: whole responses of ours, and the
// bytes of literals in them.
type rawWriter struct{ c *conn }

func (w rawWriter) Write(p []byte) (int, error) {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	if w.c.dead {
		return 0, io.ErrClosedPipe
	}
	return w.c.out.w.Write(p)
}

// mend looks at the first line of a response of the engine and returns what
// goes to the client. mu is held.
func (c *conn) mend(line []byte) []byte {
	text := string(line)
	tagged := c.req.tag + " "
	switch {
	case strings.HasPrefix(text, "+ "):
		c.out.goAhead = true
		if c.in.open && !c.req.lines {
			return []byte("+ OK\r\n")
		}
	case !c.answered && strings.HasPrefix(text, tagged):
		c.answered = true
		return []byte(tagged + c.mendTagged(text[len(tagged):]))
	case c.req.saveOnly && strings.HasPrefix(text, "* ESEARCH "):
		return nil
	case c.sess.utf8() && namesMailbox(text):
		return []byte(unescapeNames(text))
	case strings.HasPrefix(text, "* OK [CAPABILITY "):
		return []byte("* OK [CAPABILITY " + c.capabilities() + "] " + c.srv.o.Hostname + " Postrider ready\r\n")
	}
	return line
}

// mendTagged mends the tagged response of a command. The engine announces
// LITERAL- beside LITERAL+, and takes some faults of the client's for its
// own.
func (c *conn) mendTagged(text string) string {
	if rest, ok := strings.CutPrefix(text, "OK [CAPABILITY "); ok {
		_, rest, _ = strings.Cut(rest, "]")
		return "OK [CAPABILITY " + c.capabilities() + "]" + rest
	}
	if strings.HasPrefix(text, "NO [SERVERBUG] Internal server error") {
		// Errors of the session never have this text: wireError words
		// them. What remains is what the engine could not decode.
		text = "BAD [CLIENTBUG] Syntax error in " + c.req.name + "\r\n"
	}
	switch {
	case strings.HasPrefix(text, "BAD"):
		c.bad++
	case strings.HasPrefix(text, "NO") && c.req.saves:
		c.sess.saved = nil // also if the engine refused it (RFC 5182 §2.1)
	case c.loggedIn && strings.HasPrefix(text, "OK"):
		c.bad = 0
	}
	return text
}
