package smtpd

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
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

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"postrider/internal/wiretest"
)

// talk sends a line, if there is one, and returns the reply's last line.
func talk(t *testing.T, c net.Conn, r *bufio.Reader, line string) string {
	t.Helper()
	if line != "" {
		if _, err := io.WriteString(c, line+"\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	for {
		got, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("after %q: %q, %v", line, got, err)
		}
		if len(got) > 3 && got[3] == ' ' {
			return strings.TrimSuffix(got, "\r\n")
		}
	}
}

func begin(t *testing.T, c net.Conn) *bufio.Reader {
	t.Helper()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	r := bufio.NewReader(c)
	talk(t, c, r, "")
	talk(t, c, r, "EHLO a")
	return r
}

func TestManyRecipients(t *testing.T) {
	s := newSite(t, Timeouts{})
	c := s.dial()("1")
	r := begin(t, c)
	talk(t, c, r, "MAIL FROM:<a@a.test>")
	const n = 10000
	go func() {
		w := bufio.NewWriter(c)
		for i := range n {
			fmt.Fprintf(w, "RCPT TO:<bob+%d@b.test>\r\n", i)
		}
		w.Flush()
	}()
	start := time.Now()
	taken, many := 0, 0
	for range n {
		switch got := talk(t, c, r, ""); {
		case got == "250 2.1.5 OK":
			taken++
		case strings.HasPrefix(got, "452 4.5.3 "):
			many++
		default:
			t.Fatal(got)
		}
	}
	if took := time.Since(start); taken != testMaxRcpts || many != n-testMaxRcpts || took > time.Minute {
		t.Errorf("%d taken, %d too many, in %v", taken, many, took)
	}
	if got := talk(t, c, r, "NOOP"); got != "250 2.0.0 OK" {
		t.Error(got)
	}
}

// TestGuessing ends the connection of a peer that tries one name after
// another.
func TestGuessing(t *testing.T) {
	s := newSite(t, Timeouts{})
	c := s.dial()("1")
	r := begin(t, c)
	talk(t, c, r, "MAIL FROM:<a@a.test>")
	for range maxRefused {
		if got := talk(t, c, r, "RCPT TO:<guess@b.test>"); !strings.HasPrefix(got, "550 5.1.1") {
			t.Fatal(got)
		}
	}
	if got := talk(t, c, r, ""); !strings.HasPrefix(got, "421 ") {
		t.Error(got)
	}
}

// TestGuessingByMany counts the guesses of a network's connections together,
// and then answers known and unknown names alike, until time has passed.
func TestGuessingByMany(t *testing.T) {
	s := newSite(t, Timeouts{})
	now := time.Unix(1e9, 0)
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	o := s.servers["mx"].o
	o.UnknownRcpts, o.Now = 5, clock
	s.servers["counting"] = New(o)
	o.Exempt = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	s.servers["exempt"] = New(o)
	dial := s.dial()
	rcpt := func(kind, who string) string {
		t.Helper()
		c := dial("1:" + kind)
		defer c.Close()
		r := begin(t, c)
		talk(t, c, r, "MAIL FROM:<a@a.test>")
		return talk(t, c, r, "RCPT TO:<"+who+"@b.test>")[:9]
	}
	for i, c := range []struct{ kind, who, want string }{
		{"counting", "guess", "550 5.1.1"}, {"counting", "alice", "250 2.1.5"}, {"counting", "guess", "550 5.1.1"}, {"counting", "guess", "550 5.1.1"},
		{"counting", "dave", "450 4.2.1"}, {"counting", "guess", "550 5.1.1"}, {"counting", "guess", "550 5.1.1"},
		{"counting", "guess", "450 4.7.1"}, {"counting", "alice", "450 4.7.1"}, {"mx", "guess", "550 5.1.1"},
		{"exempt", "guess", "550 5.1.1"}, {"exempt", "guess", "550 5.1.1"}, {"exempt", "guess", "550 5.1.1"},
		{"exempt", "guess", "550 5.1.1"}, {"exempt", "guess", "550 5.1.1"}, {"exempt", "guess", "550 5.1.1"},
	} {
		if got := rcpt(c.kind, c.who); got != c.want {
			t.Errorf("%d: %s at %s: %s, want %s", i, c.who, c.kind, got, c.want)
		}
	}
	mu.Lock()
	now = now.Add(15 * time.Minute)
	mu.Unlock()
	for i, want := range []string{"550 5.1.1", "450 4.7.1"} {
		if got := rcpt("counting", "guess"); got != want {
			t.Errorf("%d, a quarter of an hour later: %s, want %s", i, got, want)
		}
	}
	g := guessing{perHour: 5, now: clock, nets: map[netip.Prefix]*guesser{}}
	for i := range maxGuessers + 100 {
		g.wrong(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32))
	}
	if len(g.nets) != maxGuessers {
		t.Errorf("%d networks are remembered", len(g.nets))
	}
}

func TestImplicitTLS(t *testing.T) {
	s := newSite(t, Timeouts{})
	dial := wiretest.Listen(t, func(ctx context.Context, nc net.Conn) {
		c := tls.Server(nc, serverTLS())
		if c.HandshakeContext(ctx) == nil {
			s.servers["strict"].Serve(ctx, c)
		}
	})
	c := tls.Client(dial("1"), clientTLS())
	r := begin(t, c)
	if got := talk(t, c, r, "AUTH PLAIN AGFsaWNlQGIudGVzdABzZWNyZXQ="); !strings.HasPrefix(got, "235 ") {
		t.Fatal(got)
	}
	if got := talk(t, c, r, "STARTTLS"); !strings.HasPrefix(got, "503 ") {
		t.Error(got)
	}
	talk(t, c, r, "MAIL FROM:<alice@b.test>")
	talk(t, c, r, "RCPT TO:<bob@b.test>")
	talk(t, c, r, "DATA")
	talk(t, c, r, "From: alice@b.test\r\n\r\nhi\r\n.")
	if m := s.messages("bob@b.test"); len(m) != 1 || !strings.Contains(m[0], "with ESMTPSA (TLS 1.3 ") {
		t.Errorf("%q", m)
	}
}

// TestGoSMTPClient speaks through a client that is not ours.
func TestGoSMTPClient(t *testing.T) {
	s := newSite(t, Timeouts{})
	c, err := smtp.NewClientStartTLS(s.dial()("1:strict"), clientTLS())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Auth(sasl.NewPlainClient("", "alice@b.test", "secret")); err != nil {
		t.Fatal(err)
	}
	text := "From: alice@b.test\r\nSubject: x\r\n\r\n.dot\r\n" + strings.Repeat("long ", 5000) + "\r\n"
	if err := c.SendMail("alice@b.test", []string{"bob@b.test", "carol@b.test"}, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	c.Quit()
	for _, a := range []string{"bob@b.test", "carol@b.test"} {
		if m := s.messages(a); len(m) != 1 || !strings.HasSuffix(m[0], text) {
			t.Errorf("%s: %.200q", a, m)
		}
	}
}

// TestStopping ends the server's ctx while one peer is idle and another is in
// the middle of a message, which it may finish.
func TestStopping(t *testing.T) {
	s := newSite(t, Timeouts{})
	ctx, cancel := context.WithCancel(context.Background())
	dial := wiretest.Listen(t, func(_ context.Context, nc net.Conn) { s.servers["mx"].Serve(ctx, nc) })
	idle, busy := dial("1"), dial("2")
	ri, rb := begin(t, idle), begin(t, busy)
	talk(t, busy, rb, "MAIL FROM:<a@a.test>")
	talk(t, busy, rb, "RCPT TO:<bob@b.test>")
	talk(t, busy, rb, "DATA")
	cancel()
	if got := talk(t, idle, ri, ""); !strings.HasPrefix(got, "421 4.3.2 ") {
		t.Errorf("idle: %s", got)
	}
	if got := talk(t, busy, rb, "Subject: x\r\n\r\ntext\r\n."); !strings.HasPrefix(got, "250 2.0.0 OK, id ") {
		t.Errorf("busy: %s", got)
	}
	if got := talk(t, busy, rb, ""); !strings.HasPrefix(got, "421 4.3.2 ") {
		t.Errorf("busy: %s", got)
	}
	if n := len(s.messages("bob@b.test")); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// TestSlowPeers lets each limit on time run out.
func TestSlowPeers(t *testing.T) {
	const short, long = 100 * time.Millisecond, time.Minute
	for _, c := range []struct {
		name, kind string
		timeouts   Timeouts
		play       func(c net.Conn)
	}{
		{"command", "1", Timeouts{Command: short}, func(net.Conn) {}},
		{"line", "1", Timeouts{Line: short}, func(c net.Conn) {
			for range 50 {
				io.WriteString(c, "N")
				time.Sleep(short / 10)
			}
		}},
		{"login", "1:submission", Timeouts{PreAuth: 3 * short}, func(c net.Conn) {
			for range 10 {
				io.WriteString(c, "NOOP\r\n")
				time.Sleep(short / 2)
			}
		}},
		{"data", "1", Timeouts{Data: short, MinRate: 1 << 20}, func(c net.Conn) {
			io.WriteString(c, "MAIL FROM:<>\r\nRCPT TO:<bob@b.test>\r\nDATA\r\n")
			for range 50 {
				io.WriteString(c, "x")
				time.Sleep(short / 10)
			}
		}},
		{"chunk", "1", Timeouts{Data: short}, func(c net.Conn) {
			io.WriteString(c, "MAIL FROM:<>\r\nRCPT TO:<bob@b.test>\r\nBDAT 10 LAST\r\nabc")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, c.timeouts)
			nc := s.dial()(c.kind)
			nc.SetDeadline(time.Now().Add(long))
			io.WriteString(nc, "EHLO a\r\n")
			go c.play(nc)
			out, err := io.ReadAll(nc)
			if err != nil && !strings.Contains(err.Error(), "reset") || !strings.Contains(string(out), "\r\n421 4.4.2 ") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func TestRefuse(t *testing.T) {
	s := newSite(t, Timeouts{})
	ours, theirs := net.Pipe()
	go func() {
		s.servers["mx"].Refuse(theirs)
		theirs.Close()
	}()
	out, _ := io.ReadAll(ours)
	if string(out) != "421 4.7.0 mx.b.test has too many connections, try again later\r\n" {
		t.Errorf("%q", out)
	}
}

// brokenConn panics when it is asked who is there, as a bug of ours would.
type brokenConn struct{ net.Conn }

func (c brokenConn) SetReadDeadline(time.Time) error { panic("bug") }

func TestPanic(t *testing.T) {
	var log bytes.Buffer
	s := newSite(t, Timeouts{})
	s.servers["mx"].o.Log = slog.New(slog.NewTextHandler(&log, nil))
	ours, theirs := net.Pipe()
	go s.servers["mx"].Serve(context.Background(), brokenConn{theirs})
	out, err := io.ReadAll(ours)
	if err != nil && !errors.Is(err, io.EOF) || !strings.HasSuffix(string(out), "421 4.3.0 Internal error, closing\r\n") {
		t.Errorf("%q, %v", out, err)
	}
	if !strings.Contains(log.String(), "msg=panic") || !strings.Contains(log.String(), "stack=") {
		t.Error(log.String())
	}
}

// TestLogKeepsSecrets looks for a password in everything that is logged,
// however it was typed.
func TestLogKeepsSecrets(t *testing.T) {
	var log bytes.Buffer
	s := newSite(t, Timeouts{})
	o := s.servers["submission"].o
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	s.servers["submission"] = New(o)
	s.session("submission", []byte("EHLO a\r\nAUTH LOGIN YWxpY2VAYi50ZXN0\r\nc2VjcmV0\r\nMAIL FROM:<bob@b.test>\r\nQUIT\r\n"))
	s.session("submission", []byte("EHLO a\r\nAUTH PLAIN c2VjcmV0\r\nsecret\r\nc2VjcmV0\r\nPASS secret\r\nQUIT\r\n"))
	if text := log.String(); strings.Contains(text, "ecret") || strings.Contains(text, "c2VjcmV0") {
		t.Error(text)
	}
	if !strings.Contains(log.String(), "msg=rejected") || !strings.Contains(log.String(), "user=alice@b.test") {
		t.Error(log.String())
	}
}

// TestClosedAccount: a login does not outlive its account.
func TestClosedAccount(t *testing.T) {
	s := newSite(t, Timeouts{})
	c := s.dial()("1:submission")
	r := begin(t, c)
	plain := base64.StdEncoding.EncodeToString([]byte("\x00alice@b.test\x00secret"))
	if got := talk(t, c, r, "AUTH PLAIN "+plain); !strings.HasPrefix(got, "235 ") {
		t.Fatal(got)
	}
	acct, _, err := s.store.Credential(t.Context(), addr("alice@b.test"))
	s.must(err)
	s.must(s.store.SetDisabled(t.Context(), acct.ID, true))
	if got := talk(t, c, r, "MAIL FROM:<alice@b.test>"); !strings.HasPrefix(got, "421 4.7.0 ") {
		t.Error(got)
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("the connection goes on: %v", err)
	}
}
