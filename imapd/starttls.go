package imapd

import (
	"context"
	"crypto/tls"

	"postrider/imapd/wire"
)

func (c *conn) canStartTLS() bool { return c.srv.o.TLS != nil && !c.peer.TLS && !c.loggedIn }

// cmdStartTLS answers STARTTLS (RFC 9051 §6.2.1).
func (s *session) cmdStartTLS(d *wire.Decoder) error {
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	if !s.c.canStartTLS() {
		return badCommand("STARTTLS is not available")
	}
	s.ok("", "Begin TLS negotiation now")
	return nil
}

// startTLS negotiates behind the answer. What came in clear behind the command
// is dropped: it must not become commands.
func (s *session) startTLS() {
	c := s.c
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
	c.src = t
	c.peer.TLS, c.peer.Secure = true, c.srv.secureOf(t)
}
