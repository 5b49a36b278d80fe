package netserve

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const patience = 30 * time.Second

// logBuffer is a log that several goroutines write.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// greet says hello, then reads lines until the peer or the server has enough.
func greet(ctx context.Context, c net.Conn) {
	fmt.Fprint(c, "hello\r\n")
	stop := context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Now()) })
	defer stop()
	io.Copy(io.Discard, c)
	fmt.Fprint(c, "bye\r\n")
}

// start runs s on a loopback port until the test ends.
func start(t *testing.T, s *Server) net.Addr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error("Shutdown:", err)
		}
		if err := <-done; err != nil {
			t.Error("Serve:", err)
		}
	})
	return l.Addr()
}

func dial(t *testing.T, a net.Addr) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial(a.Network(), a.String())
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { c.Close() })
	return c, bufio.NewReader(c)
}

func expect(t *testing.T, r *bufio.Reader, want string) {
	t.Helper()
	if got, err := r.ReadString('\n'); got != want+"\r\n" {
		t.Fatalf("got %q, %v, want %q", got, err, want)
	}
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain for " + what)
		}
	}
}

func busy(c net.Conn) { fmt.Fprint(c, "too many\r\n") }

func TestLimits(t *testing.T) {
	for name, s := range map[string]*Server{
		"total":  {MaxConns: 2},
		"per ip": {MaxPerIP: 2},
		"shared": {Limiter: NewLimiter(0, 2)},
		"within": {Limiter: NewLimiterWithin(NewLimiter(2, 1), 0, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			log := &logBuffer{}
			s.Handle, s.Refuse, s.Log = greet, busy, slog.New(slog.NewTextHandler(log, nil))
			a := start(t, s)
			c1, r1 := dial(t, a)
			expect(t, r1, "hello")
			_, r2 := dial(t, a)
			expect(t, r2, "hello")
			_, r3 := dial(t, a)
			expect(t, r3, "too many")
			if _, err := r3.ReadByte(); err == nil {
				t.Error("a refused connection stays open")
			}
			if !strings.Contains(log.String(), "msg=refused") {
				t.Errorf("no line about the refusal in %q", log)
			}
			c1.Close()
			waitFor(t, "the place of a connection that left", func() bool { return s.Conns() == 1 })
			_, r4 := dial(t, a)
			expect(t, r4, "hello")
		})
	}
}

func TestPeer(t *testing.T) {
	tcp := func(s string) net.Addr { return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(s), 9)) }
	for _, c := range []struct{ a, b string }{
		{"192.0.2.1", "::ffff:192.0.2.1"},
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff::9"},
		{"fe80::1%lo", "fe80::2"},
	} {
		if a, b := peer(tcp(c.a)), peer(tcp(c.b)); a != b || !a.IsValid() {
			t.Errorf("%s counts as %v, %s as %v", c.a, a, c.b, b)
		}
	}
	if a, b := peer(tcp("2001:db8:1:2::1")), peer(tcp("2001:db8:1:3::1")); a == b {
		t.Errorf("two sites count as one, %v", a)
	}
}

// A peer on a unix socket has no address and shares no limit by address.
func TestUnix(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Handle: greet, MaxPerIP: 1}
	go s.Serve(l)
	defer s.Shutdown(context.Background())
	for range 3 {
		_, r := dial(t, l.Addr())
		expect(t, r, "hello")
	}
}

func TestPanicEndsOneConnection(t *testing.T) {
	log := &logBuffer{}
	var n atomic.Int32
	s := &Server{Name: "test", Log: slog.New(slog.NewTextHandler(log, nil)), MaxConns: 1,
		Handle: func(ctx context.Context, c net.Conn) {
			if n.Add(1) == 1 {
				panic("out of cheese")
			}
			greet(ctx, c)
		}}
	a := start(t, s)
	_, r := dial(t, a)
	if _, err := r.ReadByte(); err == nil {
		t.Fatal("the connection lives on")
	}
	waitFor(t, "the end of the connection", func() bool { return s.Conns() == 0 })
	if out := log.String(); !strings.Contains(out, "msg=panic") || !strings.Contains(out, "out of cheese") || !strings.Contains(out, "server_test.go") {
		t.Errorf("log has no panic with its stack: %s", out)
	}
	_, r = dial(t, a)
	expect(t, r, "hello")
}

// failing is a listener that has no descriptors left for some time.
type failing struct {
	net.Listener
	fail  atomic.Int32 // so many more times
	calls atomic.Int32
}

func (f *failing) Accept() (net.Conn, error) {
	f.calls.Add(1)
	if f.fail.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return f.Listener.Accept()
}

func TestAcceptBacksOff(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &failing{Listener: l}
	f.fail.Store(5)
	s := &Server{Handle: greet}
	began := time.Now()
	go s.Serve(f)
	_, r := dial(t, l.Addr())
	expect(t, r, "hello")
	// 5 + 10 + 20 + 40 + 80 ms, and not a spin.
	if took, n := time.Since(began), f.calls.Load(); took < 155*time.Millisecond || n > 7 {
		t.Errorf("accepted after %v and %d attempts", took, n)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestShutdown(t *testing.T) {
	s := &Server{Handle: greet}
	a := start(t, s)
	_, r := dial(t, a)
	expect(t, r, "hello")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	expect(t, r, "bye")
	if c, err := net.Dial("tcp", a.String()); err == nil {
		c.Close()
		t.Error("still accepts after Shutdown")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(l); err != nil {
		t.Errorf("Serve after Shutdown: %v", err)
	}
}

// With no connection left there is nothing that a short time could cut off.
func TestShutdownIdle(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for range 20 {
		s := &Server{Handle: greet}
		start(t, s)
		if err := s.Shutdown(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// A handler that does not listen to its context loses its connection.
func TestShutdownCloses(t *testing.T) {
	s := &Server{Handle: func(_ context.Context, c net.Conn) { io.Copy(io.Discard, c) }}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	_, r := dial(t, l.Addr())
	waitFor(t, "the connection", func() bool { return s.Conns() == 1 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	if _, err := r.ReadByte(); err == nil {
		t.Error("the connection lives on")
	}
	if n := s.Conns(); n != 0 {
		t.Errorf("%d connections left", n)
	}
}

func TestTLS(t *testing.T) {
	log := &logBuffer{}
	server := func(timeout time.Duration) *Server {
		return &Server{Name: "test", TLS: selfSigned(t), HandshakeTimeout: timeout, MaxConns: 1,
			Log: slog.New(slog.NewTextHandler(log, nil)), Refuse: busy,
			Handle: func(ctx context.Context, c net.Conn) {
				if !c.(*tls.Conn).ConnectionState().HandshakeComplete {
					t.Error("the handshake is not done")
				}
				greet(ctx, c)
			}}
	}
	s := server(50 * time.Millisecond)
	_, r := dial(t, start(t, s)) // says nothing
	if _, err := r.ReadByte(); err == nil {
		t.Fatal("an answer without a handshake")
	}
	waitFor(t, "the line about the handshake", func() bool { return strings.Contains(log.String(), "TLS handshake") })
	waitFor(t, "the end of the connection", func() bool { return s.Conns() == 0 })

	a := start(t, server(patience))
	c, _ := dial(t, a)
	tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	expect(t, bufio.NewReader(tc), "hello")
	_, r = dial(t, a) // over the limit: no clear text to a peer that awaits TLS
	if b, err := r.ReadByte(); err == nil {
		t.Fatalf("clear text %q on a TLS port", b)
	}
}

func selfSigned(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, x, x, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}
