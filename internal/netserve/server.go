package netserve

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"postrider/internal/maillog"
)

const (
	handshakeTimeout = 30 * time.Second // for TLS from the first byte
	refuseTimeout    = time.Second      // to write the refusal
	firstDelay       = 5 * time.Millisecond
	maxDelay         = time.Second // between attempts to accept
	abortWait        = 2 * time.Second
	logEvery         = time.Second // a flood is one line a second
)

// Server accepts connections and hands each to Handle. Set its fields before
// the first Serve and leave them alone afterwards.
type Server struct {
	Name string // in the log: "smtp", "imap"

	// Handle serves one connection and returns when it has ended. Its ctx is
	// cancelled by Shutdown: finish the command, take leave, return. The
	// connection is closed when Handle returns.
	Handle func(ctx context.Context, c net.Conn)

	// Refuse writes the one line that turns a connection away. It is not
	// called when TLS is set: a peer that awaits a handshake cannot read it.
	Refuse func(c net.Conn)

	// TLS makes every connection begin with a handshake; Handle gets a
	// *tls.Conn whose handshake is done.
	TLS *tls.Config

	MaxConns, MaxPerIP int      // 0 is no limit
	Limiter            *Limiter // instead of the two, if several servers count together

	HandshakeTimeout time.Duration // 0 is 30 seconds
	Log              *slog.Logger

	mu        sync.Mutex
	ready     bool
	ctx       context.Context
	cancel    context.CancelFunc
	listeners map[net.Listener]struct{}
	conns     map[net.Conn]struct{}
	handlers  sync.WaitGroup
	stopping  bool

	refusals, acceptErrors throttle
}

// throttle lets through one log line per logEvery and counts the rest.
type throttle struct {
	mu    sync.Mutex
	last  time.Time
	count int
}

func (t *throttle) next(now time.Time) (count int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	if now.Sub(t.last) < logEvery {
		return 0, false
	}
	count, t.count, t.last = t.count, 0, now
	return count, true
}

// begin makes what the zero Server lacks. The caller holds mu.
func (s *Server) begin() {
	if s.ready {
		return
	}
	s.ready = true
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.listeners = map[net.Listener]struct{}{}
	s.conns = map[net.Conn]struct{}{}
	if s.Limiter == nil {
		s.Limiter = NewLimiter(s.MaxConns, s.MaxPerIP)
	}
	if s.Log == nil {
		s.Log = maillog.Discard()
	}
	if s.HandshakeTimeout == 0 {
		s.HandshakeTimeout = handshakeTimeout
	}
}

// Serve accepts connections from l until Shutdown, and then returns nil. It
// may be called for several listeners at once. It closes l.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	s.mu.Lock()
	s.begin()
	if s.stopping {
		s.mu.Unlock()
		return nil
	}
	s.listeners[l] = struct{}{}
	s.mu.Unlock()

	delay := time.Duration(0)
	for {
		c, err := l.Accept()
		if err == nil {
			delay = 0
			s.admit(c)
			continue
		}
		if s.ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		// Out of descriptors or memory, or a peer that left before it was
		// accepted: none of them is a reason to stop, and none to spin.
		delay = min(max(2*delay, firstDelay), maxDelay)
		if n, ok := s.acceptErrors.next(time.Now()); ok {
			s.Log.Warn(maillog.Warning, "proto", s.Name, "doing", "accept", "err", err, "times", n)
		}
		select {
		case <-s.ctx.Done():
			return nil
		case <-time.After(delay):
		}
	}
}

// admit counts c and starts its goroutine, or turns it away.
func (s *Server) admit(c net.Conn) {
	ip := peer(c.RemoteAddr())
	if reason := s.Limiter.take(ip); reason != "" {
		if n, ok := s.refusals.next(time.Now()); ok {
			s.Log.Info(maillog.Refused, "proto", s.Name, "remote", c.RemoteAddr().String(), "limit", reason, "times", n)
		}
		s.refuse(c)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		s.Limiter.drop(ip)
		c.Close()
		return
	}
	s.conns[c] = struct{}{}
	s.handlers.Add(1)
	go func() {
		defer s.handlers.Done()
		defer s.forget(c, ip)
		s.run(c)
	}()
}

// refuse says no in the protocol's words. It runs in the accept loop: what it
// writes fits the socket's empty buffer, and a peer that lets it wait loses
// its answer.
func (s *Server) refuse(c net.Conn) {
	defer c.Close()
	if s.TLS == nil && s.Refuse != nil {
		c.SetDeadline(time.Now().Add(refuseTimeout))
		s.Refuse(c)
	}
}

func (s *Server) forget(c net.Conn, ip netip.Addr) {
	c.Close()
	s.Limiter.drop(ip)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// run serves one connection; a panic ends here.
func (s *Server) run(c net.Conn) {
	defer func() {
		if r := recover(); r != nil {
			s.Log.Error(maillog.Panic, "proto", s.Name, "remote", c.RemoteAddr().String(), "err", r, "stack", string(debug.Stack()))
		}
	}()
	if s.TLS == nil {
		s.Handle(s.ctx, c)
		return
	}
	t := tls.Server(c, s.TLS)
	ctx, cancel := context.WithTimeout(s.ctx, s.HandshakeTimeout)
	err := t.HandshakeContext(ctx)
	cancel()
	if err != nil {
		s.Log.Info(maillog.Disconnected, "proto", s.Name, "remote", c.RemoteAddr().String(), "doing", "TLS handshake", "err", err)
		return
	}
	defer t.Close()
	s.Handle(s.ctx, t)
}

// Shutdown stops accepting, cancels the context of every connection and waits
// until all have ended. When ctx ends first, the rest is closed and the error
// is ctx's.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.begin()
	s.stopping = true
	s.cancel()
	for l := range s.listeners {
		l.Close()
	}
	s.mu.Unlock()

	done := make(chan struct{})
	go func() { s.handlers.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	if len(s.conns) == 0 {
		s.mu.Unlock()
		return nil
	}
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	// A handler in the middle of a store operation finishes it; what is
	// closed after us, the store above all, is waited for a little.
	select {
	case <-done:
	case <-time.After(abortWait):
	}
	return ctx.Err()
}

// Conns returns how many connections are open.
func (s *Server) Conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}
