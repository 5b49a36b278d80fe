package imapd

import (
	"bufio"
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"postrider/auth"
	"postrider/internal/maillog"
	"postrider/store"
)

const (
	maxCommand      = 48 << 10 // bytes of a command without its literals; the engine stops at 50 KiB
	maxLoginCommand = 8 << 10  // the same, before login
	maxLoginSkip    = 64 << 10 // bytes of a literal that is thrown away, before login
	maxStringLit    = 4096     // bytes of a literal that is not a message; the engine's limit
	maxSASLLine     = 4000     // the engine's buffer is 4096
	maxBadLogin     = 3        // BAD answers before login, then BYE
	maxBad          = 50       // BAD answers after login without an OK between them, then BYE
	maxEmptyLines   = 100      // in a row, then BYE

	loginTimeout     = 3 * time.Minute // from the greeting to the end of a login
	literalTimeout   = 2 * time.Minute // for each packet of a message
	writeTimeout     = 5 * time.Minute // for each packet
	handshakeTimeout = 30 * time.Second
)

// stateSet is in which states of the connection a command may be given (RFC
// 9051 §3).
type stateSet uint8

const (
	inNotAuth stateSet = 1 << iota
	inAuth
	inSelected

	inAny    = inNotAuth | inAuth | inSelected
	loggedIn = inAuth | inSelected
)

// command is what the dispatch has to know of one.
type command struct {
	states  stateSet
	expunge bool // EXPUNGE may be told before its tagged response (RFC 9051 §7.5.1)
	writes  bool // refused in a mailbox that was opened by EXAMINE
	lines   bool // what the client sends until the tagged response is lines, not literals

	// local carries out the commands that do not go to the engine.
	local func(c *conn)
}

// lookup is the dispatch table. The engine has code for each command without
// a local function.
func lookup(name string) (command, bool) {
	switch name {
	case "CAPABILITY":
		return command{states: inAny, local: (*conn).capability}, true
	case "ID":
		return command{states: inAny, local: (*conn).id}, true
	case "STARTTLS":
		return command{states: inNotAuth, local: (*conn).startTLS}, true
	case "NOOP", "LOGOUT":
		return command{states: inAny, expunge: true}, true
	case "AUTHENTICATE":
		return command{states: inNotAuth, lines: true}, true
	case "LOGIN":
		return command{states: inNotAuth}, true
	case "IDLE":
		return command{states: loggedIn, expunge: true, lines: true}, true
	case "ENABLE", "SELECT", "EXAMINE", "CREATE", "DELETE", "RENAME", "SUBSCRIBE", "UNSUBSCRIBE",
		"LIST", "LSUB", "NAMESPACE", "STATUS", "APPEND":
		return command{states: loggedIn, expunge: true}, true
	case "CHECK", "CLOSE", "UNSELECT", "COPY", "UID COPY", "UID FETCH", "UID SEARCH":
		return command{states: inSelected, expunge: true}, true
	case "EXPUNGE", "UID EXPUNGE", "MOVE", "UID MOVE", "UID STORE":
		return command{states: inSelected, expunge: true, writes: true}, true
	case "STORE":
		return command{states: inSelected, writes: true}, true
	case "FETCH", "SEARCH":
		return command{states: inSelected}, true
	}
	return command{}, false
}

// conn is the front of one connection. To the engine it is a net.Conn: Read
// gives it one command after the other, Write takes its responses. The
// engine's goroutine owns all fields but those under mu.
type conn struct {
	srv  *Server
	log  *slog.Logger
	peer auth.Peer
	sess *session

	br  *bufio.Reader
	req *request // under way, or the last one
	in  input
	bad int // BAD answers so far, after login since the last OK

	loggedIn bool
	loginBy  time.Time
	account  store.Account
	fault    error // why the connection ended, if not by LOGOUT

	ctx    context.Context // of store operations; ends with the connection
	cancel context.CancelFunc
	closed chan struct{}

	mu       sync.Mutex
	nc       net.Conn
	out      output
	answered bool   // the tagged response of req was written
	stopping string // what BYE is to say before the next command; empty while there is none
	dead     bool   // BYE was said: nothing more is read or written
	gone     bool   // closed
}

// request is a command under way.
type request struct {
	command
	tag, name string
	text      strings.Builder // its lines, literals left out
	saves     bool            // SEARCH RETURN (… SAVE …)
	saveOnly  bool            // and nothing else: no ESEARCH response (RFC 5182 §2.1)
	search    *searchScan
}

func newConn(ctx context.Context, s *Server, nc net.Conn) *conn {
	c := &conn{srv: s, nc: nc, peer: peerOf(nc), req: &request{}, answered: true, closed: make(chan struct{})}
	c.loginBy = time.Now().Add(loginTimeout)
	c.log = maillog.Conn(s.o.Log, "imap", nc)
	c.peer.Log = c.log
	// A command under way is finished when ctx ends.
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	c.br = bufio.NewReader(nc)
	c.out.w.dst = packets{c}
	return c
}

// packets writes to the socket, each packet under a deadline of its own.
type packets struct{ c *conn }

func (p packets) Write(b []byte) (int, error) {
	p.c.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
	return p.c.nc.Write(b)
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

// begin takes the first line of a command and hands it to the engine, or
// answers it.
func (c *conn) begin(line []byte) error {
	req, problem := c.parse(string(line))
	c.req = req
	c.setAnswered(false)
	c.noteLine(line, req.lines)
	if problem == "" {
		problem = c.check()
	}
	if problem != "" {
		return c.answer(problem)
	}
	if req.local != nil {
		// Arguments with literals are awaited and not looked at.
		if err := c.skipRest(true); err != nil {
			return err
		}
		req.local(c)
		return nil
	}
	return c.feed(line)
}

// parse finds tag and command. The problem it returns is a status response
// without its tag.
func (c *conn) parse(line string) (req *request, problem string) {
	req = &request{tag: "*"}
	tag, rest, ok := strings.Cut(line, " ")
	if !validTag(tag) {
		return req, "BAD Tag missing or malformed"
	}
	req.tag = tag
	name, rest, _ := strings.Cut(rest, " ")
	name = strings.ToUpper(name)
	if name == "UID" {
		sub, _, _ := strings.Cut(rest, " ")
		name += " " + strings.ToUpper(sub)
	}
	if !ok || name == "" {
		return req, "BAD Command missing"
	}
	req.name = name
	cmd, ok := lookup(name)
	if !ok {
		return req, "BAD Unknown command"
	}
	req.command = cmd
	return req, ""
}

// validTag tells whether s is a tag (RFC 9051 §9).
func validTag(s string) bool {
	if s == "" || len(s) > 256 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c > '~' || strings.IndexByte(`(){%*"\+`, c) >= 0 {
			return false
		}
	}
	return true
}

// check refuses what the table does not allow now.
func (c *conn) check() string {
	switch {
	case c.req.states&c.state() == 0 && c.state() == inNotAuth:
		return "BAD Log in first"
	case c.req.states&c.state() == 0 && c.req.states == inSelected:
		return "BAD No mailbox is selected"
	case c.req.states&c.state() == 0:
		return "BAD Already logged in"
	case c.req.writes && c.sess.box.readOnly:
		return "NO [CANNOT] The mailbox is open for reading only"
	}
	return ""
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

// answer writes the tagged response of the request; text begins with its
// status.
func (c *conn) answer(text string) error {
	if strings.HasPrefix(text, "BAD") {
		c.bad++
	}
	c.write(c.req.tag + " " + text + "\r\n")
	c.setAnswered(true)
	return nil
}

// write sends responses of our own. The engine must not be in the middle of
// one of its own, and is not while it calls the session.
func (c *conn) write(s string) {
	rawWriter{c}.Write([]byte(s))
}

// flush sends what is written.
func (c *conn) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.w.Flush()
}

func (c *conn) setAnswered(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answered = on
}
