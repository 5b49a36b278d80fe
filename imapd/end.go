package imapd

import "time"

// end says BYE with text, if there is any, and has the loop end.
func (c *conn) end(text string, fault error) {
	if c.dead {
		return
	}
	if text != "" {
		c.write("* BYE " + text + "\r\n")
	}
	c.flush()
	c.dead = true
	if fault != nil {
		c.fault = fault
	}
}

// shutdown is the end of the server.
func (c *conn) shutdown() { c.stop("[UNAVAILABLE] The server is shutting down") }

// stop has the connection end after the command under way, with BYE and text.
// It may be called from any goroutine.
func (c *conn) stop(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping == "" {
		c.stopping = text
	}
	c.nc.SetReadDeadline(time.Unix(1, 0))
}
