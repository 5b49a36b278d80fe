package smtpd

import (
	"context"
	"strings"
)

var errWantString = refuse(501, 5, 5, 4, "Syntax: VRFY address")

// rset is RSET (RFC 5321 §4.1.1.5).
func (c *conn) rset(context.Context, string) (reply, error) {
	c.reset()
	return ok(250, 0, 0, "OK"), nil
}

// noop is NOOP; its argument counts for nothing (RFC 5321 §4.1.1.9).
func (c *conn) noop(context.Context, string) (reply, error) { return ok(250, 0, 0, "OK"), nil }

// help is HELP (RFC 5321 §4.1.1.8).
func (c *conn) help(context.Context, string) (reply, error) {
	verbs := "HELO EHLO STARTTLS MAIL RCPT DATA BDAT RSET NOOP VRFY QUIT"
	switch c.o.Mode {
	case Submission:
		verbs += " AUTH"
	case LMTP:
		verbs = strings.Replace(verbs, "HELO EHLO", "LHLO", 1)
	}
	return ok(214, 0, 0, "Commands: %s, see RFC 5321", verbs), nil
}

// vrfy neither confirms nor denies (RFC 5321 §3.5.3): who wants to know has
// to send mail.
func (c *conn) vrfy(_ context.Context, arg string) (reply, error) {
	if arg == "" {
		return reply{}, errWantString
	}
	return ok(252, 0, 0, "Cannot verify, but will take mail for our users"), nil
}

// expn is not served; it would show who is behind an alias.
func (c *conn) expn(context.Context, string) (reply, error) { return reply{}, errNotHere }

// quit is QUIT (RFC 5321 §4.1.1.10).
func (c *conn) quit(context.Context, string) (reply, error) {
	c.reset()
	r := ok(221, 0, 0, "%s closing", c.o.Hostname)
	r.end = true
	return r, nil
}
