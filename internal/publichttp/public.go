// Package publichttp makes HTTPS clients for addresses that others choose, such
// as the name of a server in somebody's DNS: nothing that they write there makes
// this server speak to what is behind its firewall, or to anybody but the host
// that they named.
package publichttp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"postrider/internal/resolve"
)

// Limits of a client.
const (
	dialTime  = 5 * time.Second // for one address
	maxAddrs  = 4               // of a host that are tried
	maxHeader = 64 << 10        // octets of an answer's header
)

// Options are what New needs. The zero value of all but Resolver is good.
type Options struct {
	Resolver *resolve.Resolver
	Roots    *x509.CertPool // nil for the system's
	// Private tells which addresses may be spoken to although they are not
	// public ones; nil allows none.
	Private func(netip.Addr) bool
	Port    string // in place of the one in the address
}

// New makes a client that follows no redirect, asks no proxy, keeps no
// connection, and connects to public addresses alone. A context bounds its
// time.
func New(o Options) *http.Client {
	t := &http.Transport{ // Proxy stays nil: the environment does not choose
		DialContext:            o.dial,
		TLSClientConfig:        &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
	}
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// dial connects to a host. Each address is looked at before it is connected
// to, and the name is not looked up again in between.
func (o Options) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil, errors.New("an address in place of a host's name")
	}
	if o.Port != "" {
		port = o.Port
	}
	addrs, _, err := o.Resolver.Addrs(ctx, host)
	if err != nil {
		return nil, err
	}
	last := fmt.Errorf("%s has no address", host)
	for _, a := range addrs[:min(len(addrs), maxAddrs)] {
		if !IsPublic(a) && (o.Private == nil || !o.Private(a)) {
			last = fmt.Errorf("%s is at %s, which is no public address", host, a)
			continue
		}
		c, err := (&net.Dialer{Timeout: dialTime}).DialContext(ctx, "tcp", net.JoinHostPort(a.String(), port))
		if err == nil {
			return c, nil
		}
		last = err
	}
	return nil, last
}

// notPublic are networks that are nobody's on the Internet (RFC 6890), all of
// IPv6 but 2000::/3 among them (RFC 4291 §2.4), and what embeds an IPv4 address
// that may be one of them.
var notPublic = prefixes("0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 " +
	"192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/3 " +
	"::/3 2001::/23 2001:db8::/32 2002::/16 3fff::/20 4000::/2 8000::/1")

func prefixes(list string) []netip.Prefix {
	var out []netip.Prefix
	for s := range strings.FieldsSeq(list) {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// IsPublic tells whether an address may be somebody's on the Internet.
func IsPublic(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsValid() || a.Zone() != "" {
		return false
	}
	for _, p := range notPublic {
		if p.Contains(a) {
			return false
		}
	}
	return true
}
