package pop3d

import "strings"

// capa lists what this server can do (RFC 2449 §5). What is offered before
// login is offered after it as well, as that section demands, but STLS, which
// RFC 2595 §8 confines to the AUTHORIZATION state.
func (c *conn) capa(string) error {
	lines := []string{
		"TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER",
		"UTF8 USER", "LANG", "IMPLEMENTATION Postrider-" + c.s.o.Version,
	}
	if mechs := c.s.o.Auth.Mechanisms(c.peer); len(mechs) > 0 {
		lines = append(lines, "USER", "SASL "+strings.Join(mechs, " "))
	}
	if c.state == authorization && c.s.o.TLS != nil && !c.peer.TLS {
		lines = append(lines, "STLS")
	}
	c.lines("capabilities follow", lines...)
	return nil
}
