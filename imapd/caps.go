package imapd

import (
	"fmt"
	"strings"

	"postrider/imapd/wire"
)

// capabilities is what CAPABILITY answers in the connection's present state,
// in the greeting, before and after login (RFC 9051 §6.1.1). LITERAL+ stands
// without LITERAL-, which it includes (RFC 7888 §5). ENABLE and IDLE stand there
// before login, too: clients as Python's imaplib ask only once, and then use
// nothing else.
func (c *conn) capabilities() string {
	caps := []string{"IMAP4rev1", "IMAP4rev2", "LITERAL+", "ENABLE", "ID", "IDLE"}
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
	caps = append(caps, "NAMESPACE", "UIDPLUS", "MOVE", "UNSELECT", "CHILDREN",
		"LIST-EXTENDED", "LIST-STATUS", "STATUS=SIZE",
		"SPECIAL-USE", "CREATE-SPECIAL-USE", "BINARY", "UTF8=ACCEPT",
		"CONDSTORE", "QRESYNC", "UIDONLY", "COMPRESS=DEFLATE", "UNAUTHENTICATE", "NOTIFY",
		"LIST-MYRIGHTS", "LIST-METADATA", "METADATA", "OBJECTID", "PREVIEW", "SAVEDATE", "MULTIAPPEND", "CATENATE", "URL-PARTIAL", "REPLACE",
		"ACL", "RIGHTS=kxte", "QUOTA", "QUOTA=RES-STORAGE", "QUOTA=RES-MESSAGE",
		fmt.Sprintf("APPENDLIMIT=%d", c.srv.appendLimit()), fmt.Sprintf("MESSAGELIMIT=%d", c.srv.o.MessageLimit))
	caps = append(caps, searchCaps...)
	if c.account.Admin {
		caps = append(caps, "QUOTASET") // RFC 9208 §4.1.3
	}
	return strings.Join(caps, " ")
}

// appendLimit is the largest message that APPEND takes (RFC 7889); the number
// is one of 32 bits there.
func (s *Server) appendLimit() uint32 {
	return uint32(min(s.o.MaxMessageBytes, 1<<32-1))
}

// cmdCapability answers CAPABILITY.
func (s *session) cmdCapability(d *wire.Decoder) error {
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	s.c.write("* CAPABILITY " + s.c.capabilities() + "\r\n")
	return nil
}

// cmdNoop answers NOOP and CHECK: what is new comes with every command.
func (s *session) cmdNoop(d *wire.Decoder) error {
	d.CRLF()
	return d.Err()
}

// cmdLogout answers LOGOUT (RFC 9051 §6.1.3).
func (s *session) cmdLogout(d *wire.Decoder) error {
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	s.unselect()
	s.c.write("* BYE Logging out\r\n")
	return nil
}

func (s *session) loggedOut() { s.c.end("", nil) }

// cmdEnable answers ENABLE (RFC 9051 §6.3.1, RFC 5161). What it does not know
// it passes over.
func (s *session) cmdEnable(d *wire.Decoder) error {
	var names []string
	for d.SP(); !d.End(); {
		names = append(names, d.Keyword())
		if !d.TrySP() {
			break
		}
	}
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	on := "* ENABLED"
	for _, name := range names {
		for _, x := range enableable {
			if strings.EqualFold(name, x.name) && s.enabled&x.bit == 0 {
				on += " " + x.name
				if x.bit&(condstore|qresync) != 0 {
					s.knowsModSeq() // QRESYNC implies CONDSTORE (RFC 7162 §3.2.3)
				}
				s.enabled |= x.bit
				if x.bit == metadata {
					s.hearNotes()
				}
			}
		}
	}
	s.c.write(on + "\r\n")
	return nil
}

// enableable is what ENABLE may turn on.
var enableable = []struct {
	name string
	bit  enabled
}{
	{"IMAP4rev2", rev2}, {"UTF8=ACCEPT", utf8Accept}, {"CONDSTORE", condstore}, {"QRESYNC", qresync}, {"UIDONLY", uidOnly},
	{"METADATA", metadata},
}
