package smtpc

import (
	"context"
	"crypto/tls"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"postrider/internal/resolve"
)

// TLSMode is how a smarthost is reached.
type TLSMode uint8

const (
	TLSOpportunistic TLSMode = iota // STARTTLS if offered, whatever the certificate
	TLSStartTLS                     // STARTTLS or nothing, with a valid certificate
	TLSImplicit                     // TLS from the first byte, with a valid certificate (RFC 8314 §3.3)
	TLSNone                         // in clear
)

// Smarthost is a server that takes all outgoing mail in place of the
// destinations' own hosts.
type Smarthost struct {
	Host string // a name, or an address with or without brackets
	Port int    // 0 is 587, or 465 for TLSImplicit
	// User and Password log in with PLAIN or LOGIN if User is not empty. They
	// are sent over loopback, or over TLS with a valid certificate; never
	// otherwise.
	User, Password string
	TLS            TLSMode
}

// Timeouts bound the steps of an attempt; zero fields mean the default, which
// are those of RFC 5321 §4.5.3.2 where it has one.
type Timeouts struct {
	Dial      time.Duration // one address
	Handshake time.Duration // TLS
	Command   time.Duration // greeting and every reply but the last
	Block     time.Duration // each write of message data
	End       time.Duration // the reply to the end of data
}

// Options are what New needs.
type Options struct {
	Hostname  string            // how we name ourselves in EHLO
	Resolver  *resolve.Resolver // nil for one that asks those of /etc/resolv.conf
	Port      int               // of the hosts that MX lookup finds; 0 is 25
	Smarthost *Smarthost        // nil: by MX
	Timeouts  Timeouts
	// SystemHosts has a smarthost's name looked up as the system does it, which
	// knows /etc/hosts.
	SystemHosts bool
	// TLS is the basis of client configurations, such as its RootCAs; nil for
	// the system's defaults.
	TLS *tls.Config
	// Policies finds MTA-STS policies; nil looks for none. DANE is looked for
	// wherever Resolver can tell what is signed.
	Policies Policies
	// TLSResult is told how each connection to a destination's host went, from
	// many goroutines.
	TLSResult func(TLSResult)
	// Local tells whether this server itself listens at an address; mail is
	// never sent there. ListensAt makes one. Nil knows only Hostname.
	Local func(netip.AddrPort) bool
	// SpoolDir takes large messages that have to be converted; empty for the
	// system's directory for temporary files.
	SpoolDir string
	// Dial replaces net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Trace is told every line of every dialogue as it happens, from many
	// goroutines; credentials and message text are left out.
	Trace func(Line)
	// Shuffle replaces math/rand's in choosing among equal hosts.
	Shuffle func(n int, swap func(i, j int))
	Now     func() time.Time
	Log     *slog.Logger
}

// Client sends mail. It is safe for many goroutines.
type Client struct {
	o   Options
	via string // see Via
}

// New makes a client.
func New(o Options) *Client {
	if o.Port == 0 {
		o.Port = 25
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	if o.Resolver == nil {
		o.Resolver = resolve.New(resolve.Options{})
	}
	if o.Shuffle == nil {
		o.Shuffle = rand.Shuffle
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.TLS == nil {
		o.TLS = &tls.Config{}
	}
	orElse(&o.Timeouts.Dial, 30*time.Second)
	orElse(&o.Timeouts.Handshake, 30*time.Second)
	orElse(&o.Timeouts.Command, 5*time.Minute)
	orElse(&o.Timeouts.Block, 3*time.Minute)
	orElse(&o.Timeouts.End, 10*time.Minute)
	return &Client{o: o}
}

func orElse(d *time.Duration, def time.Duration) {
	if *d == 0 {
		*d = def
	}
}

// ListensAt returns a Local for a server that listens at these addresses. An
// unspecified one, such as 0.0.0.0:25, stands for every address of this
// machine.
func ListensAt(listeners ...netip.AddrPort) func(netip.AddrPort) bool {
	return func(a netip.AddrPort) bool {
		for _, l := range listeners {
			if l.Port() != a.Port() {
				continue
			}
			if l.Addr().Unmap() == a.Addr().Unmap() || l.Addr().IsUnspecified() && ofThisMachine(a.Addr().Unmap()) {
				return true
			}
		}
		return false
	}
}

func ofThisMachine(a netip.Addr) bool {
	if a.IsLoopback() || a.IsUnspecified() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, i := range addrs {
		if n, ok := i.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap() == a {
				return true
			}
		}
	}
	return false
}
