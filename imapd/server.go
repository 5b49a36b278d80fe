package imapd

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"postrider/auth"
	"postrider/internal/maillog"
	"postrider/search"
	"postrider/store"
)

// defaultMaxMessage is used if Options do not say.
const defaultMaxMessage = 50 << 20

// Options configure New. Store and Auth must be set.
type Options struct {
	Hostname        string // in the greeting
	Version         string // in the answer to ID
	Store           *store.Store
	Auth            *auth.Authenticator
	TLS             *tls.Config   // for STARTTLS; nil for none
	MaxMessageBytes int64         // APPENDLIMIT; 0 is 50 MiB
	FetchBytes      int64         // memory for what FETCH remembers, over all connections; 0 is 32 MiB
	SpoolDir        string        // for messages being appended; empty is the system's
	Index           *search.Index // makes SEARCH quick; nil for none
	Now             func() time.Time
	Log             *slog.Logger
}

// Server serves IMAP connections.
type Server struct {
	o      Options
	engine *imapserver.Server
	open   sessions

	rendered *rendered
}

// New makes a Server.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = maillog.Discard()
	}
	if o.MaxMessageBytes <= 0 {
		o.MaxMessageBytes = defaultMaxMessage
	}
	// What is announced is conn's to say (caps.go). The engine only has to
	// know both revisions and LITERAL+, or it would refuse what they allow.
	// It may believe that passwords are always welcome: session asks auth.
	s := &Server{o: o, rendered: newRendered(o.FetchBytes)}
	s.open = sessions{srv: s, of: map[store.AccountID]map[*conn]struct{}{}}
	s.engine = imapserver.New(&imapserver.Options{
		NewSession: func(c *imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			front := c.NetConn().(*conn)
			front.sess = newSession(front, c)
			return &adapter{s: front.sess}, nil, nil
		},
		Caps: imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapIMAP4rev2: {}, imap.CapLiteralPlus: {},
			imap.CapSpecialUse: {}, imap.CapCreateSpecialUse: {}, imap.CapBinary: {}, imap.CapSearchRes: {}},
		Logger:       engineLog{o.Log},
		InsecureAuth: true,
	})
	return s
}

// Serve serves one connection, which may be under TLS already, until it
// ends. When ctx is cancelled, the command under way is finished, BYE said
// and the connection closed.
func (s *Server) Serve(ctx context.Context, nc net.Conn) {
	c := newConn(ctx, s, nc)
	start := s.o.Now()
	c.log.Info(maillog.Connected, "tls", c.peer.TLS)
	stop := context.AfterFunc(ctx, c.shutdown)
	defer stop()
	l := &oneConn{c: c}
	if err := s.engine.Serve(l); err != nil {
		c.Close()
	}
	<-c.closed
	if c.loggedIn {
		s.open.remove(c)
	}
	maillog.End(c.log, c.fault, "seconds", int(s.o.Now().Sub(start).Seconds()))
}

// Refuse turns a connection away.
func (s *Server) Refuse(nc net.Conn) {
	io.WriteString(nc, "* BYE [UNAVAILABLE] too many connections\r\n")
}

// oneConn is a listener that accepts one connection: the engine can serve
// nothing but listeners.
type oneConn struct{ c *conn }

func (l *oneConn) Accept() (net.Conn, error) {
	if l.c == nil {
		return nil, net.ErrClosed
	}
	c := l.c
	l.c = nil
	return c, nil
}

func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// engineLog takes what the engine logs: panics, with their stack, and how
// connections ended, which conn knows better.
type engineLog struct{ log *slog.Logger }

func (l engineLog) Printf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if strings.HasPrefix(text, "panic ") {
		what, stack, _ := strings.Cut(text, "\n")
		l.log.Error(maillog.Panic, "proto", "imap", "err", what, "stack", stack)
		return
	}
	l.log.Debug("engine", "proto", "imap", "text", text)
}

// peerOf describes the other end for auth.
func peerOf(nc net.Conn) auth.Peer {
	p := auth.Peer{Proto: "imap"}
	_, p.TLS = nc.(*tls.Conn)
	if a, err := netip.ParseAddrPort(nc.RemoteAddr().String()); err == nil {
		p.Addr = a.Addr().Unmap()
	}
	return p
}
