package resolve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// Limits of a lookup.
const (
	maxServers     = 3 // resolvers asked, as resolv.conf(5) has it
	maxRounds      = 2 // times that each is asked
	maxAliases     = 8 // CNAMEs followed
	udpSize        = 1232
	defaultTimeout = 5 * time.Second
	systemConf     = "/etc/resolv.conf"
	lastResolve    = "127.0.0.1:53" // where resolv.conf(5) names nobody
)

var (
	// ErrNoDomain says that a name does not exist: NXDOMAIN.
	ErrNoDomain = errors.New("domain does not exist")
	// ErrBadName says that a name cannot exist in the DNS.
	ErrBadName = errors.New("not a domain name")
)

// Options are what New needs; zero fields mean the default.
type Options struct {
	Server  string        // host:port of a resolver; empty for those of /etc/resolv.conf
	Timeout time.Duration // of one query to one resolver
	// Trusted is where resolvers are whose word on DNSSEC counts. Nil is
	// Loopback; an empty list that is not nil trusts nobody.
	Trusted []netip.Prefix
}

// Loopback is the networks of the machine itself.
func Loopback() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

// Resolver looks names up. It is safe for many goroutines, and remembers
// nothing: the resolver that it asks does.
type Resolver struct {
	o Options
}

// New makes a resolver.
func New(o Options) *Resolver {
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Trusted == nil {
		o.Trusted = Loopback()
	}
	return &Resolver{o: o}
}

// servers are the addresses to ask, read again every time: the machine may
// have moved to another network.
func (r *Resolver) servers() []string {
	if r.o.Server != "" {
		return []string{r.o.Server}
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

// trusts tells whether a resolver's AD bit counts.
func (r *Resolver) trusts(server string) bool {
	a, err := netip.ParseAddrPort(server)
	return err == nil && slices.ContainsFunc(r.o.Trusted, func(p netip.Prefix) bool { return p.Contains(a.Addr().Unmap()) })
}

// answer is the records of one type at the end of a name's aliases.
type answer struct {
	Info
	records []dns.RR
}

// Info tells how an answer came about.
type Info struct {
	Name   string        // where the aliases of the name ended, in lower case, without the final dot
	Secure bool          // validated by DNSSEC, all of the way
	TTL    time.Duration // of the shortest-lived record; 0 if there is none
}

// query returns the records of one type that name, or what it is an alias of,
// has.
func (r *Resolver) query(ctx context.Context, name string, qtype uint16) (a answer, err error) {
	if _, ok := dns.IsDomainName(name); !ok || name == "" {
		return a, fmt.Errorf("%w: %q", ErrBadName, name)
	}
	name = dns.CanonicalName(name)
	a.Secure = true
	for range maxAliases {
		m, trusted, err := r.ask(ctx, name, qtype)
		if err != nil {
			return answer{}, err
		}
		a.Secure = a.Secure && trusted && m.AuthenticatedData
		end, found := follow(m.Answer, name, qtype)
		a.Name = plain(end)
		switch {
		case len(found) > 0:
			a.records, a.TTL = found, ttl(m.Answer)
			return a, nil
		case m.Rcode == dns.RcodeNameError:
			return a, ErrNoDomain
		case end == name:
			return a, nil
		case end == "":
			return answer{}, fmt.Errorf("aliases of %s lead in a circle", name)
		}
		name = end // an alias into a zone that this resolver did not follow into
	}
	return answer{}, fmt.Errorf("more than %d aliases at %s", maxAliases, name)
}

// ttl is for how long all records may be kept.
func ttl(rrs []dns.RR) time.Duration {
	least := rrs[0].Header().Ttl
	for _, rr := range rrs {
		least = min(least, rr.Header().Ttl)
	}
	return time.Duration(least) * time.Second
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
// success or NXDOMAIN. It tells whether that one's word on DNSSEC counts.
func (r *Resolver) ask(ctx context.Context, name string, qtype uint16) (m *dns.Msg, trusted bool, err error) {
	last := errors.New("no resolver")
	for range maxRounds {
		for _, server := range r.servers() {
			m, err := r.exchange(ctx, server, name, qtype)
			if err == nil && (m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError) {
				return m, r.trusts(server), nil
			}
			if err == nil {
				err = fmt.Errorf("resolver answers %s", dns.RcodeToString[m.Rcode])
			}
			last = err
			if ctx.Err() != nil {
				return nil, false, ctx.Err()
			}
		}
	}
	return nil, false, last
}

// exchange asks one resolver, over TCP if the answer does not fit into a
// datagram. The query's ID is random, and each goes out from a port of its
// own that the system chooses. Its AD bit asks to be told of DNSSEC (RFC 6840
// §5.7).
func (r *Resolver) exchange(ctx context.Context, server, name string, qtype uint16) (*dns.Msg, error) {
	q := new(dns.Msg)
	q.SetQuestion(name, qtype)
	q.AuthenticatedData = true
	q.SetEdns0(udpSize, false)
	for _, network := range []string{"udp", "tcp"} {
		c := &dns.Client{Net: network, UDPSize: udpSize, Timeout: r.o.Timeout}
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
