package pop3d

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/auth"
	"postrider/internal/maillog"
	"postrider/internal/wiretest"
	"postrider/store"
)

// client is the other end of a connection, for what a dialogue cannot say.
type client struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func dial(t testing.TB, serve func(context.Context, net.Conn)) *client {
	t.Helper()
	return newClient(t, wiretest.Listen(t, serve)(""))
}

func newClient(t testing.TB, c net.Conn) *client {
	c.SetDeadline(time.Now().Add(10 * time.Second))
	t.Cleanup(func() { c.Close() })
	return &client{t, c, bufio.NewReader(c)}
}

// cmd sends a line, if it is not empty, and returns one line of answer, or
// how reading it failed.
func (c *client) cmd(line string) string {
	if line != "" {
		io.WriteString(c, line+"\r\n")
	}
	s, err := c.r.ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSuffix(s, "\r\n")
}

func (c *client) want(line, want string) {
	c.t.Helper()
	if got := c.cmd(line); !strings.HasPrefix(got, want) {
		c.t.Fatalf("%s: %q, want %q", line, got, want)
	}
}

func (c *client) login() {
	c.t.Helper()
	c.want("", "+OK")
	c.want("USER bob@example.org", "+OK")
	c.want("PASS secret", "+OK")
}

// faulty is an engine some of whose methods fail.
type faulty struct {
	store.Engine
	mailbox, fetch, expunge, flags error
	panics, unreadable             bool
}

func (f *faulty) Mailbox(ctx context.Context, a store.AccountID, name string) (store.Mailbox, error) {
	if f.mailbox != nil {
		return store.Mailbox{}, f.mailbox
	}
	return f.Engine.Mailbox(ctx, a, name)
}

func (f *faulty) Fetch(ctx context.Context, b store.MailboxID, u store.UIDSet, n store.Need, fn func(*store.Content) error) error {
	if f.panics {
		panic("a bug in the store")
	}
	if f.fetch != nil {
		return f.fetch
	}
	return f.Engine.Fetch(ctx, b, u, n, func(c *store.Content) error {
		if f.unreadable {
			c.ReaderAt = failing{}
		}
		return fn(c)
	})
}

func (f *faulty) Expunge(ctx context.Context, b store.MailboxID, u store.UIDSet, d bool) (store.UIDSet, error) {
	if f.expunge != nil {
		return nil, f.expunge
	}
	return f.Engine.Expunge(ctx, b, u, d)
}

func (f *faulty) SetFlags(ctx context.Context, b store.MailboxID, u store.UIDSet, c store.FlagChange, since store.ModSeq) (store.FlagResult, error) {
	if f.flags != nil {
		return store.FlagResult{}, f.flags
	}
	return f.Engine.SetFlags(ctx, b, u, c, since)
}

func faultyServer(w *world, log *slog.Logger) (*Server, *faulty) {
	f := &faulty{Engine: w.store.Engine}
	s := w.server(false, false)
	s.o.Store = store.New(f, store.Options{})
	if log != nil {
		s.o.Log = log
	}
	return s, f
}

var errDisk = store.Errorf(store.Internal, "read", "disk on fire")

func TestStoreFails(t *testing.T) {
	w := newWorld(t)
	var log lockedBuffer
	s, f := faultyServer(w, slog.New(slog.NewJSONHandler(&log, nil)))
	f.mailbox = errDisk
	c := dial(t, s.Serve)
	c.want("", "+OK")
	c.want("USER bob@example.org", "+OK")
	c.want("PASS secret", "-ERR [SYS/TEMP] temporary failure")
	f.mailbox = store.Errorf(store.NotFound, "mailbox", "account removed")
	c.want("USER bob@example.org", "+OK")
	c.want("PASS secret", "-ERR [SYS/TEMP] temporary failure")
	f.mailbox = nil
	c.want("USER bob@example.org", "+OK")
	c.want("PASS secret", "+OK 3 messages")
	f.fetch = errDisk
	c.want("RETR 1", "-ERR [SYS/TEMP] temporary failure")
	c.want("TOP 1 1", "-ERR [SYS/TEMP] temporary failure")
	f.fetch = store.Errorf(store.NotFound, "fetch", "no mailbox")
	c.want("RETR 1", "-ERR no such message")
	f.fetch = nil
	c.want("RETR 1", "+OK 100 octets")
	if got := log.String(); !strings.Contains(got, "disk on fire") || !strings.Contains(got, `"ERROR"`) {
		t.Errorf("the operator is not told: %s", got)
	}
}

func TestQuitFails(t *testing.T) {
	w := newWorld(t)
	s, f := faultyServer(w, nil)
	dialer := wiretest.Listen(t, s.Serve)
	c := newClient(t, dialer(""))
	c.login()
	c.want("DELE 1", "+OK")
	f.expunge = errDisk
	c.want("QUIT", "-ERR [SYS/TEMP] deleted messages were not removed")
	c.want("", "EOF")
	// The maildrop is free, and all is there. That marking \Seen fails is
	// not the client's problem.
	f.expunge, f.flags = nil, errDisk
	c = newClient(t, dialer(""))
	c.login()
	c.want("STAT", "+OK 3 ")
	c.want("RETR 3", "+OK")
	for range 4 {
		c.cmd("")
	}
	c.want("QUIT", "+OK goodbye")
}

func TestPanicEndsOneConnection(t *testing.T) {
	w := newWorld(t)
	var log lockedBuffer
	s, f := faultyServer(w, slog.New(slog.NewJSONHandler(&log, nil)))
	f.panics = true
	dialer := wiretest.Listen(t, s.Serve)
	c := newClient(t, dialer(""))
	c.login()
	c.want("RETR 1", "-ERR [SYS/TEMP] internal error")
	c.want("", "EOF")
	f.panics = false
	c = newClient(t, dialer(""))
	c.login()
	c.want("RETR 1", "+OK")
	if got := log.String(); !strings.Contains(got, `"panic"`) || !strings.Contains(got, "a bug in the store") {
		t.Errorf("log: %s", got)
	}
	if strings.Contains(log.String(), "secret") {
		t.Error("the log has the password")
	}
}

func TestTimeouts(t *testing.T) {
	w := newWorld(t)
	s := w.server(false, false)
	s.o.LoginTimeout, s.o.IdleTimeout = 300*time.Millisecond, time.Hour
	c := dial(t, s.Serve)
	c.want("", "+OK")
	for range maxCommands - 1 { // the time until login counts as a whole, not from the last command
		if got := c.cmd("USER bob@example.org"); got != "+OK now the password" {
			if strings.HasPrefix(got, "-ERR") {
				t.Error(got)
			}
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	s = w.server(false, false)
	s.o.IdleTimeout = 3 * time.Second
	c = dial(t, s.Serve)
	c.login()
	c.want("DELE 1", "+OK")
	c.want("", "EOF") // RFC 1939 §3: no answer, and nothing is deleted
	w.waitFree(s)
	if got := w.list(func(store.Row) bool { return true }); got != "1 2 3" {
		t.Errorf("left after the timeout: %s", got)
	}
	if o := New(Options{}).o; o.IdleTimeout < 10*time.Minute {
		t.Errorf("idle timeout %v, RFC 1939 §3 wants 10 minutes", o.IdleTimeout)
	}
}

// TestSlowReader: a peer that takes nothing is given up on, and nothing of the
// store is held meanwhile.
func TestSlowReader(t *testing.T) {
	w := newWorld(t)
	body := "Subject: big\r\n\r\n" + strings.Repeat("0123456789abcdef\r\n", 1<<18)
	w.accept(w.inboxes["bob"].Account, "", body)
	s := w.server(false, false)
	s.o.WriteTimeout = 300 * time.Millisecond
	c := dial(t, s.Serve)
	c.Conn.(*net.TCPConn).SetReadBuffer(4096)
	c.login()
	io.WriteString(c, "RETR 4\r\n")
	if got := w.waitFree(s); got != "free" {
		t.Error("the maildrop is", got)
	}
	if got := w.list(func(r store.Row) bool { return r.Flags.System&store.Seen != 0 }); got != "none" {
		t.Errorf("half a message is marked as seen: %s", got)
	}
}

func TestLargeMessage(t *testing.T) {
	w := newWorld(t)
	body := "Subject: big\r\n\r\n" + strings.Repeat(".line\r\n..\r\nplain text and more of it\r\n", 1<<16)
	w.accept(w.inboxes["bob"].Account, "", body)
	c := dial(t, w.server(false, false).Serve)
	c.login()
	c.want("RETR 4", fmt.Sprintf("+OK %d octets", len(body)))
	var got strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == ".\r\n" {
			break
		}
		got.WriteString(strings.TrimPrefix(line, "."))
	}
	if got.String() != body {
		t.Error("the message is another")
	}
}

func TestShutdown(t *testing.T) {
	w := newWorld(t)
	s := w.server(false, false)
	ctx, stop := context.WithCancel(context.Background())
	dialer := wiretest.Listen(t, func(_ context.Context, c net.Conn) { s.Serve(ctx, c) })
	idle, busy := newClient(t, dialer("")), newClient(t, dialer(""))
	idle.want("", "+OK")
	busy.login()
	stop()
	for _, c := range []*client{idle, busy} {
		c.want("", "-ERR [SYS/TEMP] server is shutting down")
		c.want("", "EOF")
	}
	c := newClient(t, dialer("")) // one that was accepted at the last moment
	c.want("", "+OK")
	c.want("", "-ERR [SYS/TEMP] server is shutting down")
}

func TestRefuse(t *testing.T) {
	s := New(Options{})
	c := dial(t, func(_ context.Context, nc net.Conn) { s.Refuse(nc) })
	c.want("", "-ERR [SYS/TEMP] too many connections")
	c.want("", "EOF")
}

func TestThrottled(t *testing.T) {
	w := newWorld(t)
	dialer := wiretest.Listen(t, w.server(false, false).Serve)
	for i := range 8 { // two guesses each
		c := newClient(t, dialer(""))
		c.want("", "+OK")
		for j := range 2 {
			c.want("USER bob@example.org", "+OK")
			if got := c.cmd(fmt.Sprintf("PASS guess%d%d", i, j)); i > 6 && !strings.HasPrefix(got, "-ERR [SYS/TEMP]") {
				t.Errorf("guess %d: %s", i, got)
			}
		}
	}
}

// TestRefusals is the table of store kinds on the wire.
func TestRefusals(t *testing.T) {
	c := &conn{log: maillog.Discard()}
	for _, tt := range []struct {
		err        error
		code, text string
	}{
		{store.Errorf(store.NotFound, "x", "x"), "", "no such message"},
		{store.Errorf(store.Expunged, "x", "x"), "", "message is gone"},
		{store.Errorf(store.Auth, "x", "x"), "AUTH", "user or password is wrong"},
		{store.Errorf(store.Denied, "x", "x"), "AUTH", "start TLS before you log in"},
		{store.Errorf(store.Busy, "x", "x"), "SYS/TEMP", "temporary failure, try again later"},
		{store.Errorf(store.Full, "x", "x"), "SYS/TEMP", "temporary failure, try again later"},
		{store.Errorf(store.Internal, "x", "x"), "SYS/TEMP", "temporary failure, try again later"},
		{errors.New("anything"), "SYS/TEMP", "temporary failure, try again later"},
		{fmt.Errorf("wrapped: %w", errInUse), "IN-USE", errInUse.text},
	} {
		if r := c.refusal(tt.err); r.code != tt.code || r.text != tt.text {
			t.Errorf("%v: [%s] %s", tt.err, r.code, r.text)
		}
	}
}

// TestConcurrentLogins: of many sessions that log in at once one gets the
// maildrop, and in the end it is free.
func TestConcurrentLogins(t *testing.T) {
	w := newWorld(t)
	s := w.server(false, false)
	dialer := wiretest.Listen(t, s.Serve)
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := map[string]int{}
	var conns []*client
	for range 20 {
		conns = append(conns, newClient(t, dialer("")))
	}
	for _, c := range conns {
		wg.Go(func() {
			c.want("", "+OK")
			c.want("USER bob@example.org", "+OK")
			word, _, _ := strings.Cut(c.cmd("PASS secret")+" ", " m")
			mu.Lock()
			defer mu.Unlock()
			got[strings.Fields(word)[0]]++
		})
	}
	wg.Wait()
	if got["+OK"] != 1 || got["-ERR"] != 19 {
		t.Errorf("%v", got)
	}
}

// TestOthersMail tries every verb that names a message on an account with
// none: nothing of bob's is reachable.
func TestOthersMail(t *testing.T) {
	w := newWorld(t)
	c := dial(t, w.server(false, false).Serve)
	c.want("", "+OK")
	c.want("USER eve@example.org", "+OK")
	c.want("PASS secret", "+OK 0 messages (0 octets)")
	for _, verb := range []string{"RETR 1", "TOP 1 1", "LIST 1", "UIDL 1", "DELE 1"} {
		c.want(verb, "-ERR no such message")
	}
}

// lockedBuffer is a log that a test reads while the server writes.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func anyPassword(w *world) *auth.Authenticator {
	return auth.New(auth.Options{Store: w.store, AnyPassword: true,
		PlaintextNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
}
