package httpd

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"postrider/internal/maillog"
	"postrider/smtpc/mtasts"
)

// Limits of a connection.
const (
	headerTime = 10 * time.Second
	writeTime  = 30 * time.Second
	idleTime   = 60 * time.Second
	maxHeader  = 16 << 10
	drainTime  = 5 * time.Second
)

const challengePath = "/.well-known/acme-challenge/"

// Options are the settings of a Server.
type Options struct {
	// Policy finds the text of the MTA-STS policy of a domain of ours; nil for
	// a server that has none.
	Policy func(ctx context.Context, domain string) (text string, ok bool)
	// Token answers a challenge at a path; nil for a server that gets no
	// certificates.
	Token func(path string) (answer string, ok bool)
	Log   *slog.Logger
}

// Server serves connections.
type Server struct {
	o Options
}

// New returns a Server.
func New(o Options) *Server { return &Server{o: o} }

// Serve serves a connection until it ends. When ctx does, the request under
// way is the last.
func (s *Server) Serve(ctx context.Context, c net.Conn) {
	t, secure := c.(*tls.Conn)
	if secure {
		// An authority that checks tls-alpn-01 wants the handshake alone (RFC
		// 8737 §3).
		if p := t.ConnectionState().NegotiatedProtocol; p != "" && p != "http/1.1" {
			return
		}
	}
	ended := make(chan struct{})
	var once sync.Once
	srv := &http.Server{
		Handler: s.handler(secure), ReadHeaderTimeout: headerTime, ReadTimeout: headerTime, WriteTimeout: writeTime,
		IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(maillog.Conn(s.o.Log, "http", c).Handler(), slog.LevelDebug),
		ConnState: func(_ net.Conn, st http.ConnState) {
			if st == http.StateClosed || st == http.StateHijacked {
				once.Do(func() { close(ended) })
			}
		},
	}
	l := &oneConn{c: make(chan net.Conn, 1), addr: c.LocalAddr(), done: make(chan struct{})}
	l.c <- c
	var serving sync.WaitGroup
	serving.Go(func() { srv.Serve(l) })
	select {
	case <-ended:
	case <-ctx.Done():
		dctx, cancel := context.WithTimeout(context.Background(), drainTime)
		if srv.Shutdown(dctx) != nil {
			srv.Close()
		}
		cancel()
	}
	l.Close()
	serving.Wait()
}

// Refuse turns a connection away.
func (s *Server) Refuse(c net.Conn) {
	io.WriteString(c, "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
}

// oneConn is a listener that accepts one connection.
type oneConn struct {
	c    chan net.Conn
	addr net.Addr
	done chan struct{}
	once sync.Once
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.c:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *oneConn) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *oneConn) Addr() net.Addr { return l.addr }

// handler answers requests.
func (s *Server) handler(secure bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		text, ok := s.find(r, secure)
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		case !ok:
			http.Error(w, "not found", http.StatusNotFound)
		default:
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.Header().Set("Cache-Control", "no-store")
			io.WriteString(w, text)
		}
	})
}

// find finds what a request asks for.
func (s *Server) find(r *http.Request, secure bool) (string, bool) {
	switch {
	case s.o.Token != nil && strings.HasPrefix(r.URL.Path, challengePath):
		return s.o.Token(r.URL.Path)
	case s.o.Policy != nil && secure && r.URL.Path == mtasts.Path:
		host := strings.ToLower(r.Host)
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		domain, ok := strings.CutPrefix(strings.TrimSuffix(host, "."), "mta-sts.")
		if !ok {
			return "", false
		}
		return s.o.Policy(r.Context(), domain)
	}
	return "", false
}
