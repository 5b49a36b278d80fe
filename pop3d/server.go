package pop3d

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"postrider/auth"
	"postrider/internal/maillog"
	"postrider/store"
)

// Options configure New. Zero durations stand for the defaults.
type Options struct {
	Hostname string
	Version  string // for IMPLEMENTATION
	Store    *store.Store
	Auth     *auth.Authenticator
	TLS      *tls.Config // for STLS; nil offers none
	Log      *slog.Logger

	IdleTimeout  time.Duration // between commands; RFC 1939 §3 wants 10 minutes at least
	LoginTimeout time.Duration // from connecting to being logged in
	WriteTimeout time.Duration // for the peer to take what one write sends
}

const (
	defaultIdle  = 10 * time.Minute
	defaultLogin = time.Minute
	defaultWrite = 5 * time.Minute

	refuseTimeout = time.Second
)

// Server serves POP3 connections.
type Server struct {
	o      Options
	chunks sync.Pool // of *[chunkSize]byte, for sending messages

	surrogates surrogateSizes

	mu   sync.Mutex
	held map[store.AccountID]struct{} // maildrops in use
}

// New makes a server.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = maillog.Discard()
	}
	for _, d := range []struct {
		v *time.Duration
		d time.Duration
	}{{&o.IdleTimeout, defaultIdle}, {&o.LoginTimeout, defaultLogin}, {&o.WriteTimeout, defaultWrite}} {
		if *d.v <= 0 {
			*d.v = d.d
		}
	}
	s := &Server{o: o, held: map[store.AccountID]struct{}{}}
	s.chunks.New = func() any { return new([chunkSize]byte) }
	return s
}

// Serve serves one connection, which may be under TLS already, and returns
// when it has ended. When ctx ends, the command under way is finished first.
func (s *Server) Serve(ctx context.Context, nc net.Conn) {
	c := newConn(ctx, s, nc)
	c.log.Info(maillog.Connected, "tls", c.peer.TLS)
	defer func() {
		if p := recover(); p != nil {
			c.log.Error(maillog.Panic, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			c.err = errPanic
			io.WriteString(c.nc, "-ERR [SYS/TEMP] internal error\r\n")
		}
		c.nc.Close()
		maillog.End(c.log, c.err, c.summary()...)
	}()
	c.serve()
}

// Refuse turns a connection away.
func (s *Server) Refuse(nc net.Conn) {
	nc.SetWriteDeadline(time.Now().Add(refuseTimeout))
	io.WriteString(nc, "-ERR [SYS/TEMP] too many connections\r\n")
}

// lock takes the maildrop of an account; false if another session has it
// (RFC 1939 §4: an exclusive-access lock).
func (s *Server) lock(a store.AccountID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.held[a]; ok {
		return false
	}
	s.held[a] = struct{}{}
	return true
}

func (s *Server) unlock(a store.AccountID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, a)
}
