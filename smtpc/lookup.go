package smtpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// Limits of a lookup.
const (
	maxServers  = 3 // resolvers asked, as resolv.conf(5) has it
	maxRounds   = 2 // times that each is asked
	maxAliases  = 8 // CNAMEs followed
	udpSize     = 1232
	systemConf  = "/etc/resolv.conf"
	lastResolve = "127.0.0.1:53" // where resolv.conf(5) names nobody
)

// errNoDomain says that a name does not exist: NXDOMAIN, a proven fact.
var errNoDomain = errors.New("domain does not exist")

// resolver asks recursive resolvers over the wire. Its errors are errNoDomain
// or temporary; a name without records of the type is no error.
type resolver struct {
	server  string
	timeout time.Duration
}

// servers are the addresses to ask, read again every time: the machine may
// have moved to another network.
func (r *resolver) servers() []string {
	if r.server != "" {
		return []string{r.server}
	}
	conf, err := dns.ClientConfigFromFile(systemConf)
	if err != nil || len(conf.Servers) == 0 {
		return []string{lastResolve}
	}
	var out []string
	for _, s := range conf.Servers[:min(len(conf.Servers), maxServers)] {
		out = append(out, net.JoinHostPort(s, conf.Port))
	}
	return out
}

// mx finds the MX records of a domain.
func (r *resolver) mx(ctx context.Context, name string) ([]*dns.MX, error) {
	rrs, err := r.query(ctx, name, dns.TypeMX)
	var out []*dns.MX
	for _, rr := range rrs {
		if mx, ok := rr.(*dns.MX); ok {
			out = append(out, mx)
		}
	}
	return out, err
}

// addrs finds the addresses of a host, those of IPv6 first. It fails if one
// of the two lookups fails and the other yields nothing.
func (r *resolver) addrs(ctx context.Context, name string) ([]netip.Addr, error) {
	var out []netip.Addr
	var failed error
	for _, t := range []uint16{dns.TypeAAAA, dns.TypeA} {
		rrs, err := r.query(ctx, name, t)
		if err != nil {
			failed = worse(failed, err)
		}
		for _, rr := range rrs {
			var ip net.IP
			switch rr := rr.(type) {
			case *dns.A:
				ip = rr.A
			case *dns.AAAA:
				ip = rr.AAAA
			}
			if a, ok := netip.AddrFromSlice(ip); ok {
				out = append(out, a.Unmap())
			}
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	return nil, failed
}

// worse of two errors is the one that proves less.
func worse(a, b error) error {
	if a == nil || errors.Is(a, errNoDomain) {
		return b
	}
	return a
}

// query returns the records of one type that name, or what it is an alias of,
// has.
func (r *resolver) query(ctx context.Context, name string, qtype uint16) ([]dns.RR, error) {
	name = dns.CanonicalName(name)
	for range maxAliases {
		m, err := r.ask(ctx, name, qtype)
		if err != nil {
			return nil, err
		}
		end, found := follow(m.Answer, name, qtype)
		switch {
		case len(found) > 0:
			return found, nil
		case m.Rcode == dns.RcodeNameError:
			return nil, errNoDomain
		case end == name:
			return nil, nil
		case end == "":
			return nil, fmt.Errorf("aliases of %s lead in a circle", name)
		}
		name = end // an alias into a zone that this resolver did not follow into
	}
	return nil, fmt.Errorf("more than %d aliases at %s", maxAliases, name)
}

// follow goes along the aliases in an answer and returns where they end and
// the records of the wanted type there. Records of other names are ignored:
// nobody asked for them. A circle ends nowhere, at "".
func follow(answer []dns.RR, name string, qtype uint16) (string, []dns.RR) {
	for range maxAliases {
		var found []dns.RR
		next := ""
		for _, rr := range answer {
			h := rr.Header()
			if dns.CanonicalName(h.Name) != name || h.Class != dns.ClassINET {
				continue
			}
			if h.Rrtype == qtype {
				found = append(found, rr)
			} else if c, ok := rr.(*dns.CNAME); ok {
				next = dns.CanonicalName(c.Target)
			}
		}
		if len(found) > 0 || next == "" {
			return name, found
		}
		name = next
	}
	return "", nil
}

// ask puts one question to the resolvers until one gives a usable answer:
// success or NXDOMAIN.
func (r *resolver) ask(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	last := errors.New("no resolver")
	for range maxRounds {
		for _, server := range r.servers() {
			m, err := r.exchange(ctx, server, name, qtype)
			if err == nil && (m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError) {
				return m, nil
			}
			if err == nil {
				err = fmt.Errorf("resolver answers %s", dns.RcodeToString[m.Rcode])
			}
			last = err
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
	}
	return nil, last
}

// exchange asks one resolver, over TCP if the answer does not fit into a
// datagram. The query's ID is random, and each goes out from a port of its
// own that the system chooses.
func (r *resolver) exchange(ctx context.Context, server, name string, qtype uint16) (*dns.Msg, error) {
	q := new(dns.Msg)
	q.SetQuestion(name, qtype)
	q.SetEdns0(udpSize, false)
	for _, network := range []string{"udp", "tcp"} {
		c := &dns.Client{Net: network, UDPSize: udpSize, Timeout: r.timeout}
		m, _, err := c.ExchangeContext(ctx, q, server)
		if err == nil && m.Rcode == dns.RcodeFormatError && q.IsEdns0() != nil {
			q.Extra = nil // an old resolver without EDNS (RFC 6891 §7)
			m, _, err = c.ExchangeContext(ctx, q, server)
		}
		if err != nil {
			return nil, err
		}
		if !m.Response || m.Id != q.Id || len(m.Question) != 1 || m.Question[0].Qtype != qtype ||
			dns.CanonicalName(m.Question[0].Name) != name {
			return nil, errors.New("resolver answers another question")
		}
		if !m.Truncated {
			return m, nil
		}
	}
	return nil, errors.New("answer too long even for TCP")
}
