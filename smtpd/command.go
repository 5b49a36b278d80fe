package smtpd

import (
	"context"
	"strings"

	"github.com/emersion/go-smtp"
)

// command is one row of the dispatch table.
type command struct {
	run   func(*conn, context.Context, string) (reply, error)
	modes Mode            // where it is served
	off   *smtp.SMTPError // what is said elsewhere
	need  need
}

// need is what has to hold before a command runs.
type need uint8

const (
	hello   need = 1 << iota // HELO, EHLO or LHLO came
	idle                     // no mail transaction is under way
	mailing                  // one is
	login                    // on a submission port: somebody logged in
	noArg                    // the verb stands alone
)

const everywhere = MX | Submission | LMTP

// commands is the dispatch table. BDAT checks the order of commands itself,
// as its bytes have to be read before it can be refused.
var commands = map[string]command{
	"HELO":     {(*conn).helo, MX | Submission, errUnknown, 0}, // RFC 2033 §4.1: 500 in LMTP
	"EHLO":     {(*conn).ehlo, MX | Submission, errUnknown, 0},
	"LHLO":     {(*conn).ehlo, LMTP, errUnknown, 0},
	"STARTTLS": {(*conn).starttls, everywhere, nil, noArg},
	"AUTH":     {(*conn).auth, Submission, errNotHere, hello | idle},
	"MAIL":     {(*conn).mail, everywhere, nil, hello | login | idle},
	"RCPT":     {(*conn).rcpt, everywhere, nil, hello | mailing},
	"DATA":     {(*conn).data, everywhere, nil, hello | mailing | noArg},
	"BDAT":     {(*conn).bdat, everywhere, nil, 0},
	"RSET":     {(*conn).rset, everywhere, nil, noArg},
	"NOOP":     {(*conn).noop, everywhere, nil, 0},
	"HELP":     {(*conn).help, everywhere, nil, 0},
	"VRFY":     {(*conn).vrfy, everywhere, nil, 0},
	"EXPN":     {(*conn).expn, everywhere, nil, 0},
	"QUIT":     {(*conn).quit, everywhere, nil, noArg},
}

// webVerbs begin the requests of HTTP. A browser can be made to send them to
// any port, with commands in what follows, so they end the connection.
var webVerbs = map[string]bool{
	"GET": true, "HEAD": true, "POST": true, "PUT": true, "DELETE": true, "CONNECT": true,
	"OPTIONS": true, "TRACE": true, "PATCH": true, "PRI": true, "HOST:": true,
}

// parseCommand splits a line into its verb, in upper case, and its argument,
// without the spaces that people leave at the end.
func parseCommand(line string) (verb, arg string) {
	line = strings.TrimRight(line, " \t")
	end := strings.IndexAny(line, " \t")
	if end < 0 {
		end = len(line)
	}
	return strings.ToUpper(line[:end]), strings.TrimLeft(line[end:], " \t")
}

// allowed checks what a command needs.
func (c *conn) allowed(cmd command, arg string) error {
	switch need := cmd.need; {
	case need&noArg != 0 && arg != "":
		return errNoArgument
	case need&hello != 0 && c.hello == "":
		return errWantHello
	case need&login != 0 && c.o.Mode == Submission && c.account == nil:
		if c.tls == nil && !c.o.Auth.PlaintextAllowed(c.authPeer()) {
			return errWantTLS
		}
		return errWantLogin
	case need&idle != 0 && c.tx != nil:
		return errNested
	case need&mailing != 0 && c.tx == nil:
		return errWantMail
	}
	return nil
}
