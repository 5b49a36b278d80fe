package smtpd

import (
	"context"
	"fmt"
	"strings"
)

const maxHello = 255 // RFC 5321 §4.5.3.1.2

var errHelloSyntax = refuse(501, 5, 5, 4, "Syntax: EHLO domain-or-address-literal")

// helo is HELO (RFC 5321 §4.1.1.1).
func (c *conn) helo(_ context.Context, arg string) (reply, error) {
	if err := c.greet(arg, false); err != nil {
		return reply{}, err
	}
	return plain(250, c.o.Hostname), nil
}

// ehlo is EHLO, and LHLO (RFC 2033 §4.1).
func (c *conn) ehlo(_ context.Context, arg string) (reply, error) {
	if err := c.greet(arg, true); err != nil {
		return reply{}, err
	}
	return plain(250, append([]string{c.o.Hostname}, c.extensions()...)...), nil
}

// greet takes the peer's name. Many a client has none that is valid, so it is
// only bounded; what goes into Received is checked there. Any transaction
// ends (RFC 5321 §4.1.4).
func (c *conn) greet(name string, extended bool) error {
	if name == "" || len(name) > maxHello || strings.ContainsAny(name, " \t") {
		return errHelloSyntax
	}
	c.reset()
	c.hello, c.extended = name, extended
	return nil
}

func (c *conn) extensions() []string {
	ext := []string{
		"PIPELINING", // RFC 2920
		"8BITMIME",   // RFC 6152
		fmt.Sprintf("SIZE %d", c.o.MaxMessageBytes), // RFC 1870
		"ENHANCEDSTATUSCODES",                       // RFC 2034
		"CHUNKING",                                  // RFC 3030
		"SMTPUTF8",                                  // RFC 6531
		"DSN",                                       // RFC 3461
		fmt.Sprintf("LIMITS RCPTMAX=%d", c.o.MaxRcpts), // RFC 9422
	}
	if c.tls != nil {
		ext = append(ext, "REQUIRETLS") // RFC 8689 §2
	}
	if c.o.TLS != nil && c.tls == nil && c.account == nil {
		ext = append(ext, "STARTTLS") // RFC 3207
	}
	if c.o.Mode == Submission && c.account == nil {
		if m := c.o.Auth.Mechanisms(c.authPeer()); len(m) > 0 {
			ext = append(ext, "AUTH "+strings.Join(m, " ")) // RFC 4954
		}
	}
	return ext
}
