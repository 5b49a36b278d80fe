package imapd

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

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
	MessageLimit    int           // MESSAGELIMIT; 0 is 10000
	MessagesAtOnce  int           // that a command is carried out for; 0 is 100 times MessageLimit
	FetchBytes      int64         // memory for what FETCH remembers, over all connections; 0 is 32 MiB
	SpoolDir        string        // for messages being appended; empty is the system's
	Index           *search.Index // makes SEARCH quick; nil for none
	ProgressEvery   time.Duration // how often long work tells how far it is; 0 is 10 s
	Now             func() time.Time
	Log             *slog.Logger
}

// Server serves IMAP connections.
type Server struct {
	o        Options
	commands map[string]command
	open     sessions

	rendered *rendered
	sorted   sortedOrders
}

// New makes a Server.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = maillog.Discard()
	}
	if o.ProgressEvery <= 0 {
		o.ProgressEvery = defaultProgress
	}
	if o.MessageLimit <= 0 {
		o.MessageLimit = messageLimit
	}
	if o.MessagesAtOnce <= 0 {
		o.MessagesAtOnce = hardLimitTimes * o.MessageLimit
	}
	if o.MaxMessageBytes <= 0 {
		o.MaxMessageBytes = defaultMaxMessage
	}
	s := &Server{o: o, commands: commands(), rendered: newRendered(o.FetchBytes)}
	s.open = sessions{srv: s, of: map[store.AccountID]map[*conn]struct{}{}}
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
	c.serve()
	maillog.End(c.log, c.fault, "seconds", int(s.o.Now().Sub(start).Seconds()))
}

// Refuse turns a connection away.
func (s *Server) Refuse(nc net.Conn) {
	io.WriteString(nc, "* BYE [UNAVAILABLE] too many connections\r\n")
}

// peerOf describes the other end for auth.
func (s *Server) peerOf(nc net.Conn) auth.Peer {
	p := auth.Peer{Proto: "imap"}
	if a, err := netip.ParseAddrPort(nc.RemoteAddr().String()); err == nil {
		p.Addr = a.Addr().Unmap()
	}
	if t, ok := nc.(*tls.Conn); ok {
		p.TLS, p.Secure = true, s.secureOf(t)
	}
	return p
}

// secureOf is what auth needs of a TLS connection. It completes the handshake;
// that it fails, reading will tell.
func (s *Server) secureOf(t *tls.Conn) *auth.Secure {
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		return nil
	}
	secure := &auth.Secure{State: t.ConnectionState()}
	cfg := s.o.TLS
	switch {
	case cfg == nil:
	case cfg.GetCertificate != nil:
		hello := &tls.ClientHelloInfo{ServerName: secure.State.ServerName, SupportedVersions: []uint16{secure.State.Version}}
		if c, err := cfg.GetCertificate(hello); err == nil && c != nil {
			secure.Leaf = c.Leaf
		}
	case len(cfg.Certificates) == 1:
		secure.Leaf = cfg.Certificates[0].Leaf
	}
	return secure
}
