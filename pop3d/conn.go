package pop3d

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"postrider/auth"
	"postrider/internal/maillog"
)

const (
	maxLine     = 2048      // a command; RFC 2449 §4 asks for 255, a password may be longer
	maxSASLLine = 12288     // a response in an AUTH exchange (RFC 5034 §4)
	maxDiscard  = 64 * 1024 // of a line beyond its limit, before the connection ends
	readBuffer  = 4096
	writeBuffer = 16 * 1024

	maxFaultsLogin = 3  // wrong commands and logins before login; then the connection ends
	maxFaults      = 10 // and after it
	maxCommands    = 50 // of any kind before login
)

// state is where a session stands (RFC 1939 §3). UPDATE is inside QUIT.
type state uint8

const (
	authorization state = 1 << iota
	transaction
	both = authorization | transaction
)

// command is one row of the dispatch table. run gets what stands behind the
// verb; it writes its own +OK, while its error becomes -ERR in the loop.
type command struct {
	states state
	args   argRule
	run    func(c *conn, arg string) error
}

type argRule uint8

const (
	noArg   argRule = iota // anything behind the verb is wrong
	trimmed                // without spaces around
	raw                    // as it stands: a password may begin or end with a space
)

var commands = map[string]command{
	"AUTH": {authorization, trimmed, (*conn).auth},
	"CAPA": {both, noArg, (*conn).capa},
	"DELE": {transaction, trimmed, (*conn).dele},
	"LANG": {both, trimmed, (*conn).lang},
	"LIST": {transaction, trimmed, (*conn).list},
	"NOOP": {transaction, noArg, (*conn).noop},
	"PASS": {authorization, raw, (*conn).pass},
	"QUIT": {both, noArg, (*conn).quit},
	"RETR": {transaction, trimmed, (*conn).retr},
	"RSET": {transaction, noArg, (*conn).rset},
	"STAT": {transaction, noArg, (*conn).stat},
	"STLS": {authorization, noArg, (*conn).stls},
	"TOP":  {transaction, trimmed, (*conn).top},
	"UIDL": {transaction, trimmed, (*conn).uidl},
	"USER": {authorization, trimmed, (*conn).userName},
	"UTF8": {authorization, noArg, (*conn).enableUTF8},
}

// httpVerbs are not ours: a browser that was made to speak to this port must
// not get to its second line.
var httpVerbs = map[string]bool{
	"GET": true, "POST": true, "HEAD": true, "PUT": true, "DELETE": true, "OPTIONS": true,
	"CONNECT": true, "TRACE": true, "PATCH": true, "PRI": true,
}

// conn is one connection. It belongs to one goroutine.
type conn struct {
	s    *Server
	ctx  context.Context // ends when the server stops
	nc   net.Conn
	r    *bufio.Reader
	w    *bufio.Writer
	log  *slog.Logger
	peer auth.Peer

	state    state
	loginBy  time.Time
	user     string // of USER
	utf8     bool
	drop     *maildrop // in transaction
	ahead    ahead
	commands int
	faults   int
	done     bool
	err      error // why it ended, if not by QUIT
}

func newConn(ctx context.Context, s *Server, nc net.Conn) *conn {
	var ip netip.Addr
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		ip = a.AddrPort().Addr().Unmap()
	}
	_, secure := nc.(*tls.Conn)
	c := &conn{
		s: s, ctx: ctx, state: authorization, loginBy: time.Now().Add(s.o.LoginTimeout),
		peer: auth.Peer{Addr: ip, TLS: secure, Proto: "pop3"},
		log:  maillog.Conn(s.o.Log, "pop3", nc),
	}
	c.peer.Log = c.log
	c.use(nc)
	return c
}

// use makes nc what is read from and written to.
func (c *conn) use(nc net.Conn) {
	c.nc = nc
	c.r = bufio.NewReaderSize(nc, readBuffer)
	c.w = bufio.NewWriterSize(patient{nc, c.s.o.WriteTimeout}, writeBuffer)
}

// patient gives each write its own time.
type patient struct {
	net.Conn
	timeout time.Duration
}

func (p patient) Write(b []byte) (int, error) {
	p.SetWriteDeadline(time.Now().Add(p.timeout))
	return p.Conn.Write(b)
}

// serve is the loop: read a command, run it, answer.
func (c *conn) serve() {
	// A read that waits for the next command ends when the server stops.
	nc := c.nc // STLS replaces c.nc, by something on top of nc
	stop := context.AfterFunc(c.ctx, func() { nc.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	defer c.release()
	c.ok("%s POP3 server ready", c.s.o.Hostname)
	for !c.done {
		line, err := c.readLine(maxLine)
		if err == nil {
			err = c.command(line)
		}
		if err != nil {
			c.refuse(err)
		}
	}
	if err := c.w.Flush(); err != nil && c.err == nil {
		c.err = err
	}
}

// command runs one line.
func (c *conn) command(line string) error {
	verb, arg, _ := strings.Cut(line, " ")
	verb = strings.ToUpper(verb)
	cmd, ok := commands[verb]
	c.commands++
	switch {
	case httpVerbs[verb]:
		return errHTTP
	case c.state == authorization && c.commands > maxCommands:
		return errTooMany
	case strings.ContainsAny(line, "\x00\r"):
		return errControl
	case !ok:
		return errUnknown
	case cmd.states&c.state == 0 && c.state == authorization:
		return errNotLoggedIn
	case cmd.states&c.state == 0:
		return errLoggedIn
	}
	if cmd.args != raw {
		arg = strings.Trim(arg, " ")
	}
	if cmd.args == noArg && arg != "" {
		return errNoArgument
	}
	return cmd.run(c, arg)
}

// refuse answers with -ERR, or ends the connection if there is nobody to
// answer to.
func (c *conn) refuse(err error) {
	if c.ctx.Err() != nil && errors.Is(err, errLost) {
		err = errStopping
	}
	if errors.Is(err, errBroken) {
		c.log.Error(maillog.Failed, "op", "read message", "err", err.Error())
	}
	if errors.Is(err, errLost) || errors.Is(err, errBroken) {
		c.done, c.err = true, err
		return
	}
	r := c.refusal(err)
	if r.fault {
		c.faults++
		c.log.Info(maillog.Rejected, "reason", r.text)
	}
	text := r.text
	if r.code != "" {
		text = "[" + r.code + "] " + text
	}
	limit := maxFaults
	if c.state == authorization {
		limit = maxFaultsLogin
	}
	tooMany := c.faults >= limit
	if tooMany {
		text += ", once too often: closing"
	}
	fmt.Fprintf(c.w, "-ERR %s\r\n", text)
	if r.hangup || tooMany {
		c.done, c.err = true, r
	}
}

// readLine reads a line without its end, which is CRLF; LF alone is taken
// too, as from a person with netcat.
func (c *conn) readLine(limit int) (string, error) {
	if err := c.prepareRead(); err != nil {
		return "", err
	}
	var line []byte
	for {
		part, err := c.r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil && len(line) <= limit:
			s := strings.TrimSuffix(string(line), "\n")
			return strings.TrimSuffix(s, "\r"), nil
		case err == nil:
			return "", errLongLine
		case err != bufio.ErrBufferFull:
			return "", fmt.Errorf("%w: %w", errLost, err)
		case len(line) > limit:
			return "", c.discardLine()
		}
	}
}

// prepareRead sends what is due, unless more commands have come already
// (RFC 2449 §6.6), and sets how long to wait.
func (c *conn) prepareRead() error {
	if b, _ := c.r.Peek(c.r.Buffered()); bytes.IndexByte(b, '\n') >= 0 {
		return c.ctxErr()
	}
	if err := c.w.Flush(); err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	until := time.Now().Add(c.s.o.IdleTimeout)
	if c.state == authorization && c.loginBy.Before(until) {
		until = c.loginBy
	}
	c.nc.SetReadDeadline(until)
	return c.ctxErr() // only now: the deadline may just have replaced the one of a stop
}

func (c *conn) ctxErr() error {
	if c.ctx.Err() != nil {
		return errLost
	}
	return nil
}

// discardLine skips the rest of a line that is too long.
func (c *conn) discardLine() error {
	for n := 0; n < maxDiscard; {
		part, err := c.r.ReadSlice('\n')
		n += len(part)
		if err == nil {
			return errLongLine
		}
		if err != bufio.ErrBufferFull {
			return fmt.Errorf("%w: %w", errLost, err)
		}
	}
	return errEndlessLine
}

// ok writes a positive answer.
func (c *conn) ok(format string, args ...any) {
	fmt.Fprintf(c.w, "+OK "+format+"\r\n", args...)
}

// lines writes a positive answer of several lines.
func (c *conn) lines(first string, lines ...string) {
	c.ok("%s", first)
	for _, l := range lines {
		io.WriteString(c.w, l+"\r\n")
	}
	io.WriteString(c.w, ".\r\n")
}

// summary is what the log says of an ended connection.
func (c *conn) summary() []any {
	var a []any
	if c.drop != nil {
		a = append(a, "retrieved", c.drop.retrieved, "deleted", c.drop.expunged)
	}
	return a
}
