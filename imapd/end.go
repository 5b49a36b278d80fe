package imapd

import (
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// end says BYE with text, if there is any, and has the connection closed.
// Reading fails from now on, so that the engine leaves its loop.
func (c *conn) end(text string, fault error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return io.EOF
	}
	if text != "" {
		c.out.w.WriteString("* BYE " + text + "\r\n")
	}
	c.dead = true
	c.out.w.Flush()
	c.nc.SetReadDeadline(time.Unix(1, 0))
	if fault != nil {
		c.fault = fault
	}
	return io.EOF
}

// shutdown is the end of the server.
func (c *conn) shutdown() { c.stop("[UNAVAILABLE] The server is shutting down") }

// stop has the connection end after the command under way, with BYE and text.
func (c *conn) stop(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping == "" {
		c.stopping = text
	}
	c.nc.SetReadDeadline(time.Unix(1, 0))
}

// left tells whether the client has gone while a command is carried out; what
// it has sent stays to be read. The end of its stream alone does not say so, as
// it may still be listening: writing to it will tell, at the latest at the next
// look.
func (c *conn) left() bool {
	c.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := c.br.Peek(min(c.br.Buffered()+1, c.br.Size()))
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

// Close ends the connection; the engine calls it.
func (c *conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return nil
	}
	c.gone, c.dead = true, true
	c.out.w.Flush()
	c.cancel()
	err := c.nc.Close()
	close(c.closed)
	return err
}

// SetReadDeadline is the engine's: it waits half an hour for a command. Before
// login it would wait half a minute for each, too short for a person who types
// and endless for a client that sends NOOP; there is one deadline for all.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping != "" || c.dead {
		return nil
	}
	if !c.loggedIn {
		t = c.loginBy
	}
	return c.nc.SetReadDeadline(t)
}

// SetWriteDeadline does nothing: each packet has a deadline.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline is not used by the engine.
func (c *conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// LocalAddr is this end.
func (c *conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// RemoteAddr is the other end.
func (c *conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }
