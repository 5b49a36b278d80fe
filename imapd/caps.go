package imapd

import (
	"fmt"
	"strings"
)

// capabilities is what CAPABILITY answers in the connection's present state,
// in the greeting, before and after login (RFC 9051 §6.1.1). LITERAL+ stands
// without LITERAL-, which it includes (RFC 7888 §5).
func (c *conn) capabilities() string {
	caps := []string{"IMAP4rev1", "IMAP4rev2", "LITERAL+", "ENABLE", "ID"}
	if !c.loggedIn {
		caps = append(caps, "SASL-IR")
		if c.canStartTLS() {
			caps = append(caps, "STARTTLS")
		}
		mechs := c.srv.o.Auth.Mechanisms(c.peer)
		if len(mechs) == 0 {
			caps = append(caps, "LOGINDISABLED")
		}
		for _, m := range mechs {
			caps = append(caps, "AUTH="+m)
		}
		return strings.Join(caps, " ")
	}
	caps = append(caps, "IDLE", "NAMESPACE", "UIDPLUS", "MOVE", "UNSELECT", "CHILDREN",
		"ESEARCH", "SEARCHRES", "LIST-EXTENDED", "LIST-STATUS", "STATUS=SIZE",
		"SPECIAL-USE", "CREATE-SPECIAL-USE", "BINARY", "UTF8=ACCEPT",
		fmt.Sprintf("APPENDLIMIT=%d", c.srv.appendLimit()))
	return strings.Join(caps, " ")
}

// appendLimit is the largest message that APPEND takes (RFC 7889); the number
// is one of 32 bits there.
func (s *Server) appendLimit() uint32 {
	return uint32(min(s.o.MaxMessageBytes, 1<<32-1))
}

// capability answers CAPABILITY.
func (c *conn) capability() {
	c.write("* CAPABILITY " + c.capabilities() + "\r\n")
	c.answer("OK CAPABILITY completed")
}
