package imapd

import (
	"errors"
	"io"
	"net"
	"os"
	"time"

	"postrider/imapd/wire"
)

// reader is what the connection's buffer reads from when it is empty: the
// moment to send what is written, and to wait no longer than the state of the
// connection allows.
type reader struct{ c *conn }

func (r reader) Read(p []byte) (int, error) {
	c := r.c
	if !c.aside {
		c.flush()
		c.setReadDeadline(c.readBy())
	}
	return c.src.Read(p)
}

// readBy is until when the client may take to send what is awaited. Before
// login there is one deadline for all, for a person who types as well as for a
// client that sends NOOP.
func (c *conn) readBy() time.Time {
	switch {
	case !c.loggedIn:
		return c.loginBy
	case c.between:
		return time.Now().Add(idleTimeout)
	}
	return time.Now().Add(commandTimeout)
}

func (c *conn) setReadDeadline(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping == "" {
		c.nc.SetReadDeadline(t)
	}
}

// readable has a goroutine wait until there is something to read, which what is
// returned then tells. Until it does, nothing else may read.
func (c *conn) readable() <-chan struct{} {
	ready := make(chan struct{})
	c.between = true
	c.setReadDeadline(c.readBy())
	c.aside = true
	go func() {
		c.br.Peek(1)
		close(ready)
	}()
	return ready
}

// readNow ends the time of readable, whose channel has told.
func (c *conn) readNow() { c.aside = false }

// left tells whether the client has gone while a command is carried out; what
// it has sent stays to be read. The end of its stream alone does not say so, as
// it may still be listening: writing to it will tell, at the latest at the next
// look.
func (c *conn) left() bool {
	c.setReadDeadline(time.Now().Add(time.Millisecond))
	c.aside = true
	_, err := c.low.Peek(min(c.low.Buffered()+1, c.low.Size()))
	c.aside = false
	switch {
	case err == nil, errors.Is(err, os.ErrDeadlineExceeded):
		return false
	case errors.Is(err, io.EOF):
		c.write("* OK Still searching\r\n")
		err = c.flush()
	}
	if err != nil {
		c.end("", err)
	}
	return err != nil
}

// isStopping tells what to say if the connection is to end.
func (c *conn) isStopping() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopping
}

// readFailed ends the connection, with BYE if the client may hear it.
func (c *conn) readFailed(err error) {
	var ne net.Error
	switch why := c.isStopping(); {
	case why != "":
		c.end(why, nil)
	case errors.Is(err, wire.ErrBound):
		c.end("[LIMIT] Too much was sent before login", err)
	case errors.Is(err, wire.ErrTooMuch):
		c.end("[TOOBIG] The literal is too large", nil)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &ne) && ne.Timeout():
		c.end("Idle for too long", err) // RFC 9051 §5.4
	default:
		c.end("", err)
	}
}
