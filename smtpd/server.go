package smtpd

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"postrider/auth"
	"postrider/delivery"
	"postrider/internal/maillog"
	"postrider/mailauth"
)

// Mode is what a server is for.
type Mode uint8

const (
	MX         Mode = 1 << iota // mail from anyone for our own addresses
	Submission                  // mail from users who logged in, for anyone (RFC 6409)
	LMTP                        // mail from another server on this machine (RFC 2033)
)

func (m Mode) String() string {
	switch m {
	case MX:
		return "smtp"
	case Submission:
		return "submission"
	}
	return "lmtp"
}

const (
	defaultMaxMessage = 50 << 20
	defaultMaxRcpts   = 1000 // RFC 5321 §4.5.3.1.8: at least 100
)

// Timeouts are how long a connection waits; zero fields have the defaults
// named here.
type Timeouts struct {
	Command   time.Duration // for the next command: 5 min (RFC 5321 §4.5.3.2.7)
	Line      time.Duration // for a line's end after its first byte: 30 s
	PreAuth   time.Duration // for a login on a submission port, in total: 1 min
	Data      time.Duration // for a message, beside what MinRate allows: 3 min
	MinRate   int64         // bytes a second of a message: 500
	Write     time.Duration // for the peer to take our replies: 1 min
	Handshake time.Duration // for TLS: 30 s
	Work      time.Duration // for one command's own work: 5 min
}

func (t Timeouts) withDefaults() Timeouts {
	for _, f := range []struct {
		d     *time.Duration
		value time.Duration
	}{
		{&t.Command, 5 * time.Minute}, {&t.Line, 30 * time.Second}, {&t.PreAuth, time.Minute},
		{&t.Data, 3 * time.Minute}, {&t.Write, time.Minute}, {&t.Handshake, 30 * time.Second},
		{&t.Work, 5 * time.Minute},
	} {
		if *f.d <= 0 {
			*f.d = f.value
		}
	}
	if t.MinRate <= 0 {
		t.MinRate = 500
	}
	return t
}

// Options are the settings of a Server. Mode, Hostname and Deliver are
// needed, for submission Auth too.
type Options struct {
	Mode     Mode
	Hostname string // in the greeting and the reply to EHLO
	Deliver  *delivery.Deliverer
	Auth     *auth.Authenticator
	TLS      *tls.Config // for STARTTLS; nil does not offer it

	// Check checks mail from other servers, but not from peers in Exempt nor
	// on a local socket. Nil checks nothing.
	Check  *mailauth.Checker
	Exempt []netip.Prefix
	// Checked gets the result of each check, for who counts them; it may be nil.
	Checked func(*mailauth.Result)

	// UnknownRcpts is how many unknown recipients a network not in Exempt may
	// name in an hour; 0 is no limit.
	UnknownRcpts int

	MaxMessageBytes int64  // 0 is 50 MiB
	MaxRcpts        int    // of one message; 0 is 1000
	SpoolDir        string // for the files of messages under way
	Timeouts        Timeouts

	Log *slog.Logger
	Now func() time.Time
}

// Server serves connections of one mode.
type Server struct {
	o       Options
	guesses guessing
}

// New returns a Server.
func New(o Options) *Server {
	if o.MaxMessageBytes <= 0 {
		o.MaxMessageBytes = defaultMaxMessage
	}
	if o.MaxRcpts <= 0 {
		o.MaxRcpts = defaultMaxRcpts
	}
	if o.Log == nil {
		o.Log = maillog.Discard()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Timeouts = o.Timeouts.withDefaults()
	return &Server{o: o, guesses: guessing{perHour: float64(o.UnknownRcpts), now: o.Now, nets: map[netip.Prefix]*guesser{}}}
}

// Serve serves one connection, which may be a *tls.Conn whose handshake is
// done, and closes it. When ctx ends, the command under way is finished and
// the peer told to come back.
func (s *Server) Serve(ctx context.Context, nc net.Conn) {
	c := newConn(s, nc)
	defer c.close()
	c.serve(ctx)
}

// Refuse turns a connection away that is one too many.
func (s *Server) Refuse(nc net.Conn) {
	nc.SetWriteDeadline(time.Now().Add(time.Second))
	nc.Write([]byte("421 4.7.0 " + s.o.Hostname + " has too many connections, try again later\r\n"))
}
