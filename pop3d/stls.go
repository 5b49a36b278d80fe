package pop3d

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"
)

const handshakeTimeout = 30 * time.Second

// stls starts TLS (RFC 2595 §4).
func (c *conn) stls(string) error {
	switch {
	case c.s.o.TLS == nil:
		return errNoTLS
	case c.peer.TLS:
		return errHaveTLS
	case c.utf8:
		return errTLSAfterUTF // RFC 6856 §2.1
	case c.r.Buffered() > 0:
		// Commands that came in clear behind STLS are not the client's, who
		// has to wait for the answer: somebody put them there.
		return errInjected
	}
	c.ok("begin TLS")
	if err := c.w.Flush(); err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	ctx, cancel := context.WithTimeout(c.ctx, handshakeTimeout)
	defer cancel()
	t := tls.Server(c.nc, c.s.o.TLS)
	if err := t.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("%w: TLS: %w", errLost, err)
	}
	c.use(t)
	c.peer.TLS = true
	c.user = "" // what was said in clear is forgotten
	return nil
}
