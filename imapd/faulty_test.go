package imapd_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/auth"
	"postrider/imapd"
	"postrider/internal/maillog"
	"postrider/store"
)

// faulty is an engine whose AppendAll, Create and Fetch fail as they are told.
type faulty struct {
	store.Engine
	err     error
	panic   bool
	block   chan struct{} // if not nil, AppendAll waits for it
	endless chan error    // if not nil, Fetch goes on until its caller has enough, and says why here
}

func (f *faulty) Fetch(ctx context.Context, box store.MailboxID, u store.UIDSet, n store.Need, fn func(*store.Content) error) error {
	for {
		err := f.Engine.Fetch(ctx, box, u, n, fn)
		if f.endless == nil {
			return err
		}
		if err != nil {
			f.endless <- err
			return err
		}
	}
}

func (f *faulty) fail() error {
	if f.panic {
		panic("as the test wants it")
	}
	return f.err
}

func (f *faulty) AppendAll(ctx context.Context, op store.OpID, box store.MailboxID, msgs []store.NewMessage) ([]store.Filed, error) {
	if f.block != nil {
		<-f.block
	}
	if err := f.fail(); err != nil {
		return nil, err
	}
	return f.Engine.AppendAll(ctx, op, box, msgs)
}

func (f *faulty) Create(context.Context, store.AccountID, string, store.Use) (store.Mailbox, error) {
	return store.Mailbox{}, f.fail()
}

// buffer is a log that may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// client is a connection of a test, spoken line by line.
type client struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func newClient(t testing.TB, nc net.Conn) *client {
	return &client{t: t, Conn: nc, r: bufio.NewReader(nc)}
}

// serveOne serves one end of a pipe over TCP and returns the other, logged in,
// with what the server logs and a channel that closes when Serve returns.
func serveOne(t *testing.T, ctx context.Context, f *faulty) (*client, *buffer, chan struct{}) {
	t.Helper()
	w := newWorld(t)
	f.Engine = w.store.Engine
	logs := &buffer{}
	log := slog.New(slog.NewTextHandler(logs, nil))
	st := store.New(f, store.Options{})
	srv := imapd.New(imapd.Options{
		Hostname: "mail.a.test", Store: st, Log: log,
		Auth: auth.New(auth.Options{Store: st, AnyPassword: true, PlaintextNetworks: loopback()}),
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		nc, err := l.Accept()
		if err == nil {
			srv.Serve(ctx, nc)
		}
	}()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { nc.Close(); <-done })
	c := newClient(t, nc)
	c.line()
	c.send("x LOGIN alice@a.test any")
	c.line()
	return c, logs, done
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s+"\r\n"); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) line() string {
	c.t.Helper()
	s, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("reading: %v after %q", err, s)
	}
	return strings.TrimRight(s, "\r\n")
}

// TestErrors holds the answers to the table of the style guide.
func TestErrors(t *testing.T) {
	f := &faulty{}
	c, logs, _ := serveOne(t, context.Background(), f)
	for _, test := range []struct {
		kind           store.Kind
		create, append string
	}{
		{store.NotFound, "NO [NONEXISTENT]", "NO [TRYCREATE]"},
		{store.Exists, "NO [ALREADYEXISTS]", "NO [ALREADYEXISTS]"},
		{store.Quota, "NO [OVERQUOTA]", "NO [OVERQUOTA]"},
		{store.TooBig, "NO [TOOBIG]", "NO [TOOBIG]"},
		{store.Auth, "NO [AUTHENTICATIONFAILED]", "NO [AUTHENTICATIONFAILED]"},
		{store.Busy, "NO [UNAVAILABLE]", "NO [UNAVAILABLE]"},
		{store.Expunged, "NO [EXPUNGEISSUED]", "NO [EXPUNGEISSUED]"},
		{store.Invalid, "NO [CANNOT]", "BAD "}, // a name is no syntax
		{store.Denied, "NO [NOPERM]", "NO [NOPERM]"},
		{store.Full, "NO [UNAVAILABLE] No space left", "NO [UNAVAILABLE] No space left"},
		{store.Internal, "NO [SERVERBUG]", "NO [SERVERBUG]"},
	} {
		f.err = store.Errorf(test.kind, "test", "a secret of ours")
		c.send("a CREATE x")
		if got := c.line(); !strings.HasPrefix(got, "a "+test.create) || strings.Contains(got, "secret") {
			t.Errorf("CREATE, %v: %s", test.kind, got)
		}
		c.send("b APPEND INBOX {1+}\r\nx")
		if got := c.line(); !strings.HasPrefix(got, "b "+test.append) || strings.Contains(got, "secret") {
			t.Errorf("APPEND, %v: %s", test.kind, got)
		}
	}
	f.err = errors.New("no kind at all")
	c.send("a CREATE x")
	if got := c.line(); !strings.HasPrefix(got, "a NO [SERVERBUG]") {
		t.Errorf("CREATE: %s", got)
	}
	if !strings.Contains(logs.String(), "no kind at all") {
		t.Errorf("the log does not have the error:\n%s", logs)
	}
}

// TestPanic shows that a bug ends one connection, with its stack in the log.
func TestPanic(t *testing.T) {
	f := &faulty{panic: true}
	c, logs, done := serveOne(t, context.Background(), f)
	c.send("a CREATE x")
	if s := c.line(); !strings.HasPrefix(s, "* BYE [SERVERBUG]") {
		t.Errorf("no BYE: %s", s)
	}
	if s, err := c.r.ReadString('\n'); err == nil {
		t.Errorf("the connection goes on: %q", s)
	}
	<-done
	if got := logs.String(); !strings.Contains(got, "msg="+maillog.Panic) || !strings.Contains(got, "faulty_test.go") {
		t.Errorf("the log lacks the panic or its stack:\n%s", got)
	}
}

// TestShutdown shows that the command under way is finished before BYE.
func TestShutdown(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	f := &faulty{block: make(chan struct{})}
	c, _, done := serveOne(t, ctx, f)
	c.send("a APPEND INBOX {6}")
	c.line()
	c.send("a: b\r\n")
	time.AfterFunc(50*time.Millisecond, cancel)
	time.AfterFunc(150*time.Millisecond, func() { close(f.block) })
	if got := c.line(); !strings.HasPrefix(got, "a OK [APPENDUID ") {
		t.Errorf("the command was not finished: %s", got)
	}
	if got := c.line(); !strings.HasPrefix(got, "* BYE ") {
		t.Errorf("no BYE: %s", got)
	}
	<-done
}

// TestShutdownIdle shows that a client in IDLE, and one that does nothing,
// hear BYE at once.
func TestShutdownIdle(t *testing.T) {
	for _, command := range []string{"a IDLE", ""} {
		ctx, cancel := context.WithCancel(context.Background())
		c, _, done := serveOne(t, ctx, &faulty{})
		if command != "" {
			c.send(command)
			c.line()
		}
		cancel()
		if got := c.line(); !strings.HasPrefix(got, "* BYE ") {
			t.Errorf("%q: no BYE: %s", command, got)
		}
		<-done
	}
}

// TestSearchEndsWithClient shows that a search stops when nobody waits for it
// any more, and not when a client has only said its last word.
func TestSearchEndsWithClient(t *testing.T) {
	f := &faulty{endless: make(chan error, 1)}
	c, _, done := serveOne(t, context.Background(), f)
	c.send("a APPEND INBOX {6+}\r\na: b\r\n")
	c.line()
	c.send("b SELECT INBOX")
	for !strings.HasPrefix(c.line(), "b OK") {
	}
	c.send("c SEARCH TEXT nothing\r\nd NOOP")
	c.Conn.(*net.TCPConn).CloseWrite()
	if got := c.line(); got != "* OK Still searching" {
		t.Errorf("got %q", got)
	}
	if len(f.endless) > 0 {
		t.Errorf("the search ended early: %v", <-f.endless)
	}
	c.Close()
	<-f.endless
	<-done
}
