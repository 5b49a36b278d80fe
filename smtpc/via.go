package smtpc

import (
	"context"
	"net"
	"net/netip"

	"golang.org/x/net/proxy"
)

// Via is a way out for some of the mail: another than the rest of it takes.
type Via struct {
	Name      string     // for people
	Smarthost *Smarthost // nil: by MX
	// Source4 and Source6 are our addresses for connections over IPv4 and
	// IPv6; invalid leaves the choice to the system.
	Source4, Source6 netip.Addr
	// SOCKS is the host:port of a SOCKS5 proxy (RFC 1928) that connects for
	// us; empty for none. Names are resolved here all the same, so that the
	// rules for MX and TLS hold.
	SOCKS, SOCKSUser, SOCKSPassword string
}

// Via returns a client that is c but for the way out.
func (c *Client) Via(v Via) *Client {
	n := *c
	n.o.Smarthost, n.via = v.Smarthost, v.Name
	dial := n.o.Dial
	if v.Source4.IsValid() || v.Source6.IsValid() {
		dial = v.dialFrom
	}
	if v.SOCKS != "" {
		dial = v.dialSOCKS(dial)
	}
	n.o.Dial = dial
	return &n
}

// dialFrom connects from an address of the family of addr.
func (v *Via) dialFrom(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	if to, err := netip.ParseAddrPort(addr); err == nil {
		from := v.Source4
		if to.Addr().Unmap().Is6() {
			from = v.Source6
		}
		if from.IsValid() {
			d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
		}
	}
	return d.DialContext(ctx, network, addr)
}

// dialer is a way to connect as proxy has it.
type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

func (d dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return d(ctx, network, addr)
}

func (d dialer) Dial(network, addr string) (net.Conn, error) {
	return d(context.Background(), network, addr)
}

// dialSOCKS connects through the proxy, which is reached by dial.
func (v *Via) dialSOCKS(dial dialer) dialer {
	var login *proxy.Auth
	if v.SOCKSUser != "" {
		login = &proxy.Auth{User: v.SOCKSUser, Password: v.SOCKSPassword}
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		p, err := proxy.SOCKS5("tcp", v.SOCKS, login, dial)
		if err != nil {
			return nil, err
		}
		return p.(proxy.ContextDialer).DialContext(ctx, network, addr)
	}
}
