package httpd

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"postrider/internal/netserve"
	"postrider/smtpc/smtpctest"
)

const patience = 30 * time.Second

// start serves in clear and over TLS.
func start(t *testing.T) (plain, secure string, srv *netserve.Server) {
	t.Helper()
	conf, _ := smtpctest.Certificate(t, "mta-sts.a.test")
	conf.NextProtos = []string{"http/1.1", "acme-tls/1"}
	s := New(Options{Log: slog.New(slog.DiscardHandler),
		Policy: func(_ context.Context, d string) (string, bool) { return "policy of " + d, d == "a.test" },
		Token:  func(p string) (string, bool) { return "answer", p == challengePath+"abc" }})
	var addrs []string
	for _, c := range []*tls.Config{nil, conf} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		srv = &netserve.Server{Name: "http", Handle: s.Serve, Refuse: s.Refuse, TLS: c}
		go srv.Serve(l)
		this := srv
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			if err := this.Shutdown(ctx); err != nil {
				t.Error(err)
			}
		})
		addrs = append(addrs, l.Addr().String())
	}
	return addrs[0], addrs[1], srv
}

func get(t *testing.T, c net.Conn, request string) (status, body string) {
	t.Helper()
	c.SetDeadline(time.Now().Add(patience))
	io.WriteString(c, request)
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err.Error(), ""
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	return r.Status, strings.TrimSpace(string(b))
}

func TestRequests(t *testing.T) {
	plain, secure, _ := start(t)
	dialTLS := func() net.Conn {
		c, err := tls.Dial("tcp", secure, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, c := range []struct{ host, path, want, wantPlain string }{
		{"mta-sts.a.test", "/.well-known/mta-sts.txt", "200 OK policy of a.test", "404 Not Found not found"},
		{"MTA-STS.A.test:443", "/.well-known/mta-sts.txt", "200 OK policy of a.test", "404 Not Found not found"},
		{"mta-sts.b.test", "/.well-known/mta-sts.txt", "404 Not Found policy of b.test", "404 Not Found not found"},
		{"a.test", "/.well-known/mta-sts.txt", "404 Not Found not found", "404 Not Found not found"},
		{"mta-sts.a.test", "/.well-known/mta-sts.txt/", "404 Not Found not found", "404 Not Found not found"},
		{"mta-sts.a.test", "/", "404 Not Found not found", "404 Not Found not found"},
		{"x", "/.well-known/acme-challenge/abc", "200 OK answer", "200 OK answer"},
		{"x", "/.well-known/acme-challenge/../mta-sts.txt", "404 Not Found not found", "404 Not Found not found"},
	} {
		req := "GET " + c.path + " HTTP/1.1\r\nHost: " + c.host + "\r\nConnection: close\r\n\r\n"
		tc := dialTLS()
		status, body := get(t, tc, req)
		tc.Close()
		if got := status + " " + body; got != strings.Replace(c.want, "policy of b.test", "not found", 1) {
			t.Errorf("%s%s: %q, want %q", c.host, c.path, got, c.want)
		}
		pc, err := net.Dial("tcp", plain)
		if err != nil {
			t.Fatal(err)
		}
		status, body = get(t, pc, req)
		pc.Close()
		if got := status + " " + body; got != c.wantPlain {
			t.Errorf("in clear %s%s: %q, want %q", c.host, c.path, got, c.wantPlain)
		}
	}
	c := dialTLS()
	defer c.Close()
	if status, _ := get(t, c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"); status != "405 Method Not Allowed" {
		t.Errorf("POST: %s", status)
	}
	if status, _ := get(t, c, "GET / HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 100_000)+"\r\n\r\n"); !strings.HasPrefix(status, "431") {
		t.Errorf("a long header: %s", status)
	}
}

// TestShutdown: a connection that is idle does not hold the server up, and one
// for tls-alpn-01 ends by itself.
func TestShutdown(t *testing.T) {
	_, secure, srv := start(t)
	c, err := tls.Dial("tcp", secure, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"acme-tls/1"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("somebody speaks")
	}
	c, err = tls.Dial("tcp", secure, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	get(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}
