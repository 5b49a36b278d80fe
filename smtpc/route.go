package smtpc

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"postrider/internal/resolve"
	"postrider/mail"
)

// Limits of a route: a destination with a hundred hosts is a trap.
const (
	maxHosts = 10 // of a destination
	maxAddrs = 4  // of a host
	maxTries = 10 // addresses in one attempt
)

// host is a host that may take a destination's mail.
type host struct {
	name   string
	port   int
	addrs  []netip.Addr // known already, as of an address literal
	named  bool         // by an MX record, not by the destination itself
	secure bool         // DNSSEC proves that it is the destination's
}

// route finds the hosts for a destination, best first (RFC 5321 §5.1). If
// there is none the outcome says why.
func (c *Client) route(ctx context.Context, dest string, rec *recorder) ([]host, *Outcome) {
	rec.at.Phase, rec.at.Host = Lookup, ""
	if h := c.o.Smarthost; h != nil {
		return []host{smarthost(h)}, nil
	}
	if strings.HasPrefix(dest, "[") {
		return c.literal(dest)
	}
	mxs, info, err := c.o.Resolver.MX(ctx, dest)
	switch {
	case errors.Is(err, resolve.ErrNoDomain), errors.Is(err, resolve.ErrBadName):
		o := permanent("5.1.2", "the domain %s does not exist", dest)
		rec.add(Remark, "MX "+dest+": no such domain")
		return nil, &o
	case err != nil:
		// Not the moment to fall back to the domain's address: there may be
		// MX records that we could not see (RFC 5321 §5.1).
		o := temporary("4.4.3", "looking up the mail hosts of %s failed: %s", dest, netWords(err))
		rec.add(Remark, "MX "+dest+": "+netWords(err))
		return nil, &o
	case len(mxs) == 0:
		rec.add(Remark, "MX "+dest+": none, using its own address")
		mxs = []resolve.MX{{Host: dest}}
		return c.pick(dest, mxs, false, info.Secure)
	}
	for _, mx := range mxs {
		rec.add(Remark, "MX "+dest+": "+strconv.Itoa(int(mx.Pref))+" "+printable(cmp.Or(mx.Host, ".")))
	}
	return c.pick(dest, mxs, true, info.Secure)
}

// pick puts MX records in the order in which they are to be tried and drops
// those that must not be.
func (c *Client) pick(dest string, mxs []resolve.MX, named, secure bool) ([]host, *Outcome) {
	if len(mxs) == 1 && mxs[0].Host == "" { // null MX (RFC 7505 §3)
		o := permanent("5.1.10", "the domain %s accepts no mail (null MX)", dest)
		return nil, &o
	}
	mxs = slices.DeleteFunc(slices.Clone(mxs), func(mx resolve.MX) bool { return mx.Host == "" })
	c.o.Shuffle(len(mxs), func(i, j int) { mxs[i], mxs[j] = mxs[j], mxs[i] })
	slices.SortStableFunc(mxs, func(a, b resolve.MX) int { return cmp.Compare(a.Pref, b.Pref) })

	// If we are one of the hosts, only better ones may be tried: anything else
	// would come back (RFC 5321 §5.1).
	for _, mx := range mxs {
		if c.isUs(mx.Host) {
			mxs = slices.DeleteFunc(mxs, func(m resolve.MX) bool { return m.Pref >= mx.Pref })
			if len(mxs) == 0 {
				o := loopOutcome(dest)
				return nil, &o
			}
			break
		}
	}
	var hosts []host
	for _, mx := range mxs[:min(len(mxs), maxHosts)] {
		hosts = append(hosts, host{name: mx.Host, port: c.o.Port, named: named, secure: secure})
	}
	if len(hosts) == 0 {
		o := permanent("5.4.4", "the domain %s names no usable mail host", dest)
		return nil, &o
	}
	return hosts, nil
}

func loopOutcome(dest string) Outcome {
	return permanent("5.4.6", "mail for %s comes back to this server, which does not know the domain", dest)
}

// isUs compares names only: addresses may be shared, as behind NAT and in a
// lab on loopback, and are compared with their port, by Options.Local.
func (c *Client) isUs(name string) bool {
	us, err := mail.DomainKey(c.o.Hostname)
	return err == nil && strings.EqualFold(strings.TrimSuffix(name, "."), us)
}

// literal is the route to an address literal, "[192.0.2.1]" or
// "[IPv6:2001:db8::1]" (RFC 5321 §4.1.3).
func (c *Client) literal(dest string) ([]host, *Outcome) {
	s := strings.TrimSuffix(strings.TrimPrefix(dest, "["), "]")
	if len(s) > 5 && strings.EqualFold(s[:5], "IPv6:") {
		s = s[5:]
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		o := permanent("5.1.2", "%s is no address that mail can be sent to", dest)
		return nil, &o
	}
	return []host{{name: dest, port: c.o.Port, addrs: []netip.Addr{a.Unmap()}}}, nil
}

func smarthost(s *Smarthost) host {
	h := host{name: s.Host, port: s.Port, named: true}
	if h.port == 0 {
		h.port = 587
		if s.TLS == TLSImplicit {
			h.port = 465
		}
	}
	if a, err := netip.ParseAddr(strings.Trim(s.Host, "[]")); err == nil {
		h.addrs = []netip.Addr{a.Unmap()}
	}
	return h
}

// addresses finds where to reach h. If nowhere, the outcome says why: it is
// permanent only if the DNS proves that there is no address.
func (c *Client) addresses(ctx context.Context, h host, rec *recorder) ([]netip.Addr, resolve.Info, *Outcome) {
	if h.addrs != nil {
		return h.addrs, resolve.Info{}, nil
	}
	addrs, info, err := c.lookupHost(ctx, h)
	switch {
	case err != nil && !errors.Is(err, resolve.ErrNoDomain):
		rec.add(Remark, "address of "+printable(h.name)+": "+netWords(err))
		o := temporary("4.4.3", "looking up the address of %s failed: %s", printable(h.name), netWords(err))
		return nil, info, &o
	case len(addrs) == 0 && c.o.Smarthost != nil:
		// Our own configuration, not the destination: the mail waits.
		o := temporary("4.4.4", "the smarthost %s has no address", printable(h.name))
		return nil, info, &o
	case len(addrs) == 0 && h.named:
		rec.add(Remark, "address of "+printable(h.name)+": none")
		o := permanent("5.4.4", "the mail host %s has no address", printable(h.name))
		return nil, info, &o
	case len(addrs) == 0:
		rec.add(Remark, "address of "+h.name+": none")
		o := permanent("5.1.2", "the domain %s has no mail host", h.name)
		return nil, info, &o
	}
	c.o.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	return alternate(addrs), info, nil
}

// lookupHost asks the DNS, or the system for a smarthost.
func (c *Client) lookupHost(ctx context.Context, h host) ([]netip.Addr, resolve.Info, error) {
	if c.o.Smarthost == nil || !c.o.SystemHosts {
		return c.o.Resolver.Addrs(ctx, h.name)
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", h.name)
	var de *net.DNSError
	if errors.As(err, &de) && de.IsNotFound {
		return nil, resolve.Info{}, resolve.ErrNoDomain
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, resolve.Info{}, err
}

// alternate takes IPv6 and IPv4 addresses in turn, so that a host is still
// reached where one of the two leads nowhere, up to maxAddrs.
func alternate(addrs []netip.Addr) []netip.Addr {
	var v6, v4, out []netip.Addr
	for _, a := range addrs {
		if a.Is6() {
			v6 = append(v6, a)
		} else {
			v4 = append(v4, a)
		}
	}
	for i := range max(len(v6), len(v4)) {
		if i < len(v6) {
			out = append(out, v6[i])
		}
		if i < len(v4) {
			out = append(out, v4[i])
		}
	}
	return out[:min(len(out), maxAddrs)]
}
