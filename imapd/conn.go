package imapd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"

	"postrider/auth"
	"postrider/imapd/wire"
	"postrider/internal/maillog"
	"postrider/store"
)

const (
	maxBadLogin   = 3   // BAD answers before login, then BYE
	maxBad        = 50  // BAD answers after login without an OK between them, then BYE
	maxEmptyLines = 100 // in a row, then BYE

	loginTimeout     = 3 * time.Minute  // from the greeting to the end of a login
	idleTimeout      = 31 * time.Minute // between commands; RFC 9051 §5.4 wants half an hour
	commandTimeout   = 2 * time.Minute  // for each packet of a command
	storeTimeout     = 2 * time.Minute  // for what a command does on the store
	writeTimeout     = 5 * time.Minute  // for each packet
	handshakeTimeout = 30 * time.Second
)

// maxBeforeLogin is how many bytes a client may send until it has logged in, in
// all: enough for four SASL responses of the longest kind.
const maxBeforeLogin = 16 << 10

// beforeLogin and afterLogin are the limits of a command. Before login nobody
// needs more than a name and a password.
var beforeLogin = wire.Limits{Line: 8 << 10, String: 4 << 10, Total: maxBeforeLogin, Skip: maxBeforeLogin}

func (s *Server) afterLogin() wire.Limits {
	return wire.Limits{Line: 64 << 10, String: 64 << 10, Total: 1 << 20, Skip: 2 * s.o.MaxMessageBytes}
}

// conn is one connection: it reads commands, dispatches them, and writes the
// tagged responses. The goroutine of serve owns all fields but those under mu.
type conn struct {
	srv  *Server
	log  *slog.Logger
	peer auth.Peer
	sess *session

	src     io.Reader     // the socket, or what inflates what comes from it
	br      *bufio.Reader // of reader{c}
	low     *bufio.Reader // what stands next to the socket: br, or the inflater's input
	dec     *wire.Decoder
	out     buffer
	between bool // no command is under way: what is read next begins one
	aside   bool // another goroutine is reading, see readable
	req     request
	bad     int // BAD answers so far, after login since the last OK

	loggedIn bool
	loginBy  time.Time
	account  store.Account
	fault    error // why the connection ended, if not by LOGOUT
	dead     bool  // BYE was said, or the client has gone: nothing more is read or written

	ctx    context.Context // of store operations; ends with the connection
	cancel context.CancelFunc

	mu       sync.Mutex
	nc       net.Conn
	stopping string // what BYE is to say before the next command; empty while there is none
}

// request is a command under way, or the last one.
type request struct {
	command
	tag, name string

	code, text string // of OK, if the handler has set them
	limited    string // MESSAGELIMIT, if the command was carried out in part
}

func newConn(ctx context.Context, s *Server, nc net.Conn) *conn {
	c := &conn{srv: s, nc: nc, src: nc, between: true}
	c.loginBy = time.Now().Add(loginTimeout)
	c.log = maillog.Conn(s.o.Log, "imap", nc)
	c.peer = s.peerOf(nc)
	c.peer.Log = c.log
	// A command under way is finished when ctx ends.
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	c.br = bufio.NewReader(reader{c})
	c.low = c.br
	c.out.dst = packets{c}
	c.dec = wire.NewDecoder(c.br, func() { c.write("+ OK\r\n") })
	c.dec.Limits = beforeLogin
	c.dec.Bound(maxBeforeLogin)
	c.sess = &session{srv: s, c: c}
	return c
}

// serve runs the connection until it ends. A panic ends it, and nothing else.
func (c *conn) serve() {
	defer c.close()
	defer func() {
		if bug := recover(); bug != nil {
			c.log.Error(maillog.Panic, "err", fmt.Sprint("panic handling command: ", bug), "stack", string(debug.Stack()))
			c.end("[SERVERBUG] Internal error", errBug)
		}
	}()
	c.write("* OK [CAPABILITY " + c.capabilities() + "] " + c.srv.o.Hostname + " Postrider ready\r\n")
	for !c.dead {
		c.next()
	}
}

var errBug = errors.New("panic")

// close lets go of the connection.
func (c *conn) close() {
	c.sess.leave()
	c.cancel()
	if !c.dead {
		c.flush()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nc.Close()
}

// next reads one command and carries it out.
func (c *conn) next() {
	if err := c.dec.Skip(); err != nil {
		c.readFailed(err)
		return
	}
	if !c.readFirstLine() {
		return
	}
	tag := c.dec.Tag()
	c.req = request{tag: tag}
	if tag == "" {
		c.req.tag = "*"
	}
	var err error
	switch {
	case c.dec.Err() != nil:
		err = c.dec.Err()
	case tag == "":
		err = badCommand("Tag missing or malformed")
	default:
		err = c.run()
	}
	c.finish(err)
}

// readFirstLine reads the first line of a command, which is not empty. It
// returns false if the connection has ended.
func (c *conn) readFirstLine() bool {
	c.between = true
	defer func() { c.between = false }()
	for empty := 0; ; empty++ {
		why := c.isStopping()
		switch {
		case why != "":
			c.end(why, nil)
			return false
		case c.bad >= maxBad || c.bad >= maxBadLogin && !c.loggedIn || empty >= maxEmptyLines:
			c.end("Too many errors", errors.New("too many errors"))
			return false
		}
		if c.sess.listens() && c.br.Buffered() == 0 {
			c.sess.watch(c.readable(), !c.sess.notify.delayed)
			if c.dead {
				return false
			}
		}
		err := c.dec.Next()
		switch {
		case isFatal(err):
			c.readFailed(err)
			return false
		case c.dec.Empty(): // clients send them behind literals, and nobody minds
			continue
		case !c.loggedIn && isHTTP(string(c.dec.Line())):
			c.end("This is an IMAP server", errors.New("HTTP request"))
			return false
		}
		return true
	}
}

// run finds the command's name and calls its handler.
func (c *conn) run() error {
	if !c.dec.TrySP() {
		return badCommand("Command missing")
	}
	name, ok := c.dec.TryAtom()
	if !ok {
		return badCommand("Command missing")
	}
	name = strings.ToUpper(name)
	if name == "UID" && c.dec.TrySP() {
		sub, _ := c.dec.TryAtom()
		name += " " + strings.ToUpper(sub)
	}
	cmd, ok := c.srv.commands[name]
	if !ok {
		return badCommand("Unknown command")
	}
	c.req.name, c.req.command = name, cmd
	if err := c.check(); err != nil {
		return err
	}
	c.dec.UTF8 = c.sess.utf8()
	sess := c.sess
	err := sess.own(func() error { return cmd.run(sess, c.dec) })
	sess.endOp()
	if err == nil && c.dec.Err() != nil {
		err = c.dec.Err() // of a handler that did not look
	}
	if err == nil {
		err = c.sess.poll(cmd.expunge)
	}
	return err
}

// check refuses what the table does not allow now.
func (c *conn) check() error {
	req, state := &c.req, c.state()
	switch {
	case req.states&state == 0 && state == inNotAuth:
		return badCommand("Log in first")
	case req.states&state == 0 && req.states == inSelected:
		return badCommand("No mailbox is selected")
	case req.states&state == 0:
		return badCommand("Already logged in")
	case req.numbers && c.sess.enabled&uidOnly != 0:
		return errUIDRequired
	case req.writes && c.sess.box.readOnly:
		return no(imap.ResponseCodeCannot, "The mailbox is open for reading only")
	}
	return nil
}

// finish writes the tagged response of the command.
func (c *conn) finish(err error) {
	if c.dead {
		return
	}
	var refused *imap.Error
	var syntax *wire.SyntaxError
	var limit *wire.LimitError
	status, code, text := "OK", c.req.code, c.req.text
	switch {
	case err == nil:
		if text == "" {
			text = c.req.name + " completed"
		}
		if c.req.limited != "" && code == "" {
			code, text = c.req.limited, c.req.name+" completed in part"
		}
	case errors.As(err, &refused):
		status, code, text = string(refused.Type), string(refused.Code), refused.Text
	case errors.As(err, &syntax):
		status, text = "BAD", syntax.Text
		if c.req.name != "" {
			code, text = "CLIENTBUG", "Syntax error in "+c.req.name+": "+text
		}
	case errors.As(err, &limit):
		status, code, text = "NO", limit.Code, limit.Text
		if limit == wire.ErrLine {
			status = "BAD"
		}
	case isFatal(c.dec.Err()):
		c.readFailed(c.dec.Err())
		return
	default:
		c.log.Error(maillog.Failed, "doing", c.req.name, "err", err)
		status, code, text = "NO", string(imap.ResponseCodeServerBug), "Internal error, try again later"
	}
	if limited := c.req.limited; limited != "" && limited != code { // RFC 9738 §3.1: beside another code
		c.write("* NO [" + limited + "] Carried out in part\r\n")
	}
	if code != "" {
		text = "[" + code + "] " + text
	}
	switch {
	case status == "BAD":
		c.bad++
	case status == "OK" && c.loggedIn:
		c.bad = 0
	}
	c.write(c.req.tag + " " + status + " " + text + "\r\n")
	if c.req.after != nil && err == nil {
		c.req.after(c.sess)
	}
}

// isFatal tells whether err is one of reading, after which there is nothing to
// read.
func isFatal(err error) bool {
	var syntax *wire.SyntaxError
	var limit *wire.LimitError
	return err != nil && !errors.As(err, &syntax) && !errors.As(err, &limit)
}

// state is where the connection stands.
func (c *conn) state() stateSet {
	switch {
	case !c.loggedIn:
		return inNotAuth
	case c.sess.box == nil:
		return inAuth
	}
	return inSelected
}

// isHTTP tells whether a line comes from a browser that was made to speak to
// this port: it must not find commands in what follows.
func isHTTP(line string) bool {
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH":
		return strings.Contains(rest, "HTTP/")
	}
	return false
}

// write writes to the client. Nothing is sent before the connection waits for
// more to read, or much has come together.
func (c *conn) write(s string) {
	if !c.dead {
		c.out.WriteString(s)
	}
}

// Write writes to the client what is not text.
func (c *conn) Write(p []byte) (int, error) {
	if c.dead {
		return 0, io.ErrClosedPipe
	}
	return c.out.Write(p)
}

// flush sends what is written.
func (c *conn) flush() error { return c.out.Flush() }

// packets writes to the socket, each packet under a deadline of its own.
type packets struct{ c *conn }

func (p packets) Write(b []byte) (int, error) {
	p.c.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
	return p.c.nc.Write(b)
}
