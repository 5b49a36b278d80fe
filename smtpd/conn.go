package smtpd

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/emersion/go-smtp"

	"postrider/delivery"
	"postrider/internal/maillog"
	"postrider/mail"
	"postrider/mailauth"
	"postrider/store"
)

// How much a peer may do wrong on one connection before it is closed.
const (
	maxUnknown = 3   // lines that are no command at all
	maxErrors  = 5   // mistakes of syntax and order, failed logins, messages too big
	maxRefused = 100 // senders and recipients refused for good: it is guessing
	maxLogged  = 20  // refusals in the log; the rest is counted
)

// conn is one connection.
type conn struct {
	*wire
	o   *Options
	log *slog.Logger
	ip  netip.Addr
	own netip.Addr // our side

	guesses *guessing // of all connections

	tls      *tls.ConnectionState // nil without TLS
	account  *store.Account       // nil before login
	mech     string               // of the login
	hello    string               // what HELO, EHLO or LHLO said
	extended bool                 // it was not HELO
	tx       *transaction         // nil between MAIL transactions

	// refusal is why there is no transaction: MAIL or a chunk was refused.
	// What a peer has pipelined behind that is no mistake of its own.
	refusal *smtp.SMTPError

	unknown, errors, refused, rejected int

	linger bool // hang up gently
}

// transaction is what MAIL began (RFC 5321 §3.3).
type transaction struct {
	env   mail.Envelope
	size  int64           // that SIZE declared
	check *mailauth.Check // nil if the message is not checked
	chunk *content        // what BDAT has brought so far; nil before the first
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{wire: newWire(nc, s.o.Timeouts), o: &s.o, guesses: &s.guesses}
	c.ip, c.own = ipOf(nc.RemoteAddr()), ipOf(nc.LocalAddr())
	c.log = maillog.Conn(s.o.Log, s.o.Mode.String(), nc)
	if t, ok := nc.(*tls.Conn); ok {
		state := t.ConnectionState()
		c.tls = &state
	}
	if s.o.Mode == Submission {
		c.limit = time.Now().Add(s.o.Timeouts.PreAuth)
	}
	return c
}

// ipOf is the zero Addr for a unix socket.
func ipOf(a net.Addr) netip.Addr {
	ap, _ := netip.ParseAddrPort(a.String())
	return ap.Addr().Unmap().WithZone("")
}

func (c *conn) close() {
	c.reset()
	c.hang(c.linger)
}

// reset ends the transaction, if there is one.
func (c *conn) reset() {
	if c.tx != nil && c.tx.chunk != nil {
		c.tx.chunk.close()
	}
	if c.tx != nil && c.tx.check != nil {
		c.tx.check.Cancel()
	}
	c.tx, c.refusal = nil, nil
}

// serve is the life of a connection.
func (c *conn) serve(ctx context.Context) {
	c.ctx = ctx
	nc := c.nc
	stop := context.AfterFunc(ctx, func() { interrupt(nc) })
	defer stop()
	defer func() {
		if r := recover(); r != nil {
			c.log.Error(maillog.Panic, "err", r, "stack", string(debug.Stack()))
			no(errPanic.SMTPError).write(c.bw)
		}
	}()
	c.log.Info(maillog.Connected, "tls", c.tlsText())
	protocol := "ESMTP"
	if c.o.Mode == LMTP {
		protocol = "LMTP"
	}
	plain(220, c.o.Hostname+" "+protocol+" Postrider").write(c.bw)
	var err error
	for more := true; more; {
		more, err = c.step(context.WithoutCancel(ctx))
	}
	maillog.End(c.log, err, "rejected", c.rejected)
}

// step reads one command and answers it. It is false when the connection is
// to end, with the reason if that is not QUIT.
func (c *conn) step(ctx context.Context) (more bool, err error) {
	var r reply
	verb, arg := "", ""
	line := ""
	if err = c.ctx.Err(); err != nil {
		err = errStopping
	} else if line, err = c.readLine(); err == nil {
		verb, arg = parseCommand(line)
		r, err = c.dispatch(ctx, verb, arg, len(line))
	}
	if err != nil {
		if _, known := commands[verb]; !known {
			verb = ""
		}
		return c.fail(verb, arg, err)
	}
	if r.taken {
		// Who delivers mail may make mistakes: people type slowly and wrongly.
		c.unknown, c.errors = 0, 0
	}
	r.write(c.bw)
	return !r.end, nil
}

func (c *conn) dispatch(ctx context.Context, verb, arg string, size int) (reply, error) {
	cmd, known := commands[verb]
	switch {
	case webVerbs[verb]:
		return reply{}, errNotSMTP
	case size > maxLine && verb != "AUTH":
		return reply{}, errLineTooLong
	case !known:
		return reply{}, errUnknown
	case cmd.modes&c.o.Mode == 0:
		return reply{}, cmd.off
	}
	if err := c.allowed(cmd, arg); err != nil {
		return reply{}, err
	}
	return cmd.run(c, ctx, arg)
}

// fail answers an error, and counts it.
func (c *conn) fail(verb, arg string, err error) (more bool, reason error) {
	var end hangUp
	var gone broken
	switch {
	case errors.As(err, &gone):
		return false, gone.error
	case errors.Is(err, errStopping):
		err = errShutdown
	case errors.Is(err, errTooSlow):
		err = errTimeout
	case errors.Is(err, errTLSHello):
		err = errSpeaksTLS
	}
	if errors.As(err, &end) {
		c.reject(verb, arg, end.SMTPError)
		no(end.SMTPError).write(c.bw)
		c.linger = true
		return false, err
	}
	e := c.turnDown(verb, arg, err)
	no(e).write(c.bw)
	if c.count(e) {
		c.linger = true
		no(errTooMany.SMTPError).write(c.bw)
		return false, errTooMany
	}
	return true, nil
}

// turnDown makes a refusal of an error and logs it.
func (c *conn) turnDown(verb, arg string, err error) *smtp.SMTPError {
	e, loud := refusalOf(err)
	if loud {
		c.log.Error(maillog.Failed, "doing", verb, "err", err)
	}
	c.reject(verb, arg, e)
	return e
}

// reject logs a refusal. Only the arguments of MAIL and RCPT are shown: any
// other line may hold a password, a mistyped one too.
func (c *conn) reject(verb, arg string, e *smtp.SMTPError) {
	if c.rejected++; c.rejected > maxLogged {
		return
	}
	if verb != "MAIL" && verb != "RCPT" {
		arg = ""
	}
	c.log.Info(maillog.Rejected, "verb", verb, "arg", arg, "code", e.Code, "reason", e.Message)
}

// count adds a refusal to the peer's account and tells whether it is full.
func (c *conn) count(e *smtp.SMTPError) bool {
	switch {
	case e.Code == 503 && c.refusal != nil:
	case e == errBadRecipient, e == errGuessing: // a long list has some, and the others must get theirs
		c.refused++
	case e.Code == 500:
		c.unknown++
		c.errors++
	case e.Code > 500 && e.Code < 550, e.Code == 552:
		c.errors++
	case e.Code >= 550 && e.Code != 554:
		c.refused++
	}
	return c.unknown >= maxUnknown && c.account == nil || c.errors > maxErrors || c.refused >= maxRefused
}

// peer is who delivery says handed a message over.
func (c *conn) peer(e *mail.Envelope, size int64) delivery.Peer {
	return delivery.Peer{Helo: c.hello, Addr: c.ip, Local: c.own, Proto: c.proto(e.UTF8), TLS: c.tlsText(), Auth: c.mech, Account: c.account, Notice: e.From.IsZero(), Size: size}
}

// proto is the with-protocol of Received (RFC 3848, RFC 6531 §4.3).
func (c *conn) proto(utf8 bool) string {
	p := "SMTP"
	switch {
	case c.o.Mode == LMTP:
		p = "LMTP"
	case c.extended && !utf8:
		p = "ESMTP"
	}
	if utf8 {
		p = "UTF8" + p
	}
	if c.tls != nil {
		p += "S"
	}
	if c.account != nil {
		p += "A"
	}
	return p
}

func (c *conn) tlsText() string {
	if c.tls == nil {
		return ""
	}
	return tls.VersionName(c.tls.Version) + " " + tls.CipherSuiteName(c.tls.CipherSuite)
}
