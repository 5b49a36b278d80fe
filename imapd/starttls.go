package imapd

import (
	"context"
	"crypto/tls"
)

func (c *conn) canStartTLS() bool { return c.srv.o.TLS != nil && !c.peer.TLS && !c.loggedIn }

// startTLS answers STARTTLS (RFC 9051 §6.2.1). What came in clear behind the
// command is dropped: it must not become commands.
func (c *conn) startTLS() {
	if !c.canStartTLS() {
		c.answer("BAD STARTTLS is not available")
		return
	}
	c.answer("OK Begin TLS negotiation now")
	c.flush()
	c.br.Discard(c.br.Buffered())
	t := tls.Server(c.nc, c.srv.o.TLS)
	ctx, cancel := context.WithTimeout(c.ctx, handshakeTimeout)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		c.end("", err)
		return
	}
	c.mu.Lock()
	c.nc = t
	c.mu.Unlock()
	c.br.Reset(t)
	c.peer.TLS = true
}
