package smtpd

import (
	"context"
	"crypto/tls"
	"time"
)

var (
	errTLSTwice  = refuse(503, 5, 5, 1, "TLS is on already")
	errTLSLate   = refuse(503, 5, 5, 1, "STARTTLS comes before AUTH")
	errPipelined = hangUp{refuse(421, 4, 7, 0, "Nothing may be sent behind STARTTLS before its reply, closing")}
)

// starttls is STARTTLS (RFC 3207). Whatever came in clear behind the command
// may be somebody else's and ends the connection; whatever was said before is
// forgotten (§4.2). A handshake that fails ends the connection too: to go on
// in clear is what an attacker would want.
func (c *conn) starttls(ctx context.Context, _ string) (reply, error) {
	switch {
	case c.o.TLS == nil:
		return reply{}, errNotHere
	case c.tls != nil:
		return reply{}, errTLSTwice
	case c.account != nil:
		return reply{}, errTLSLate
	case c.br.Buffered() > 0:
		return reply{}, errPipelined
	}
	ok(220, 0, 0, "Ready to start TLS").write(c.bw)
	if err := c.bw.Flush(); err != nil {
		return reply{}, broken{err}
	}
	ctx, cancel := context.WithTimeout(ctx, c.t.Handshake)
	defer cancel()
	c.nc.SetDeadline(time.Now().Add(c.t.Handshake))
	t := tls.Server(c.nc, c.o.TLS)
	if err := t.HandshakeContext(ctx); err != nil {
		return reply{}, broken{err}
	}
	c.nc.SetDeadline(time.Time{})
	state := t.ConnectionState()
	c.nc, c.tls = t, &state
	c.br.Reset(c.wire)
	c.reset()
	c.hello, c.extended = "", false
	return reply{}, nil
}
