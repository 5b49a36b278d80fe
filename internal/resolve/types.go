package resolve

import (
	"context"
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// MX is a mail host of a domain.
type MX struct {
	Host string // without the final dot; "" is the root, of the null MX (RFC 7505)
	Pref uint16
}

// TLSA is what a service's certificate has to be (RFC 6698 §2).
type TLSA struct {
	Usage, Selector, Matching uint8
	Data                      []byte
}

// SRV is where a service of a domain is (RFC 2782).
type SRV struct {
	Priority, Weight, Port uint16
	Target                 string // without the final dot; "" is the root: there is none
}

// SRV finds the SRV records of a name such as _imaps._tcp.example.org.
func (r *Resolver) SRV(ctx context.Context, name string) ([]SRV, Info, error) {
	return collect(ctx, r, name, dns.TypeSRV, func(rr *dns.SRV) (SRV, bool) {
		return SRV{rr.Priority, rr.Weight, rr.Port, strings.TrimSuffix(rr.Target, ".")}, true
	})
}

// MX finds the MX records of a domain.
func (r *Resolver) MX(ctx context.Context, name string) ([]MX, Info, error) {
	return collect(ctx, r, name, dns.TypeMX, func(rr *dns.MX) (MX, bool) {
		return MX{strings.TrimSuffix(rr.Mx, "."), rr.Preference}, true
	})
}

// TXT finds the TXT records of a name, the strings of each joined.
func (r *Resolver) TXT(ctx context.Context, name string) ([]string, Info, error) {
	return collect(ctx, r, name, dns.TypeTXT, func(rr *dns.TXT) (string, bool) {
		return text(rr), true
	})
}

// TLSA finds the TLSA records of a name such as _25._tcp.mx.example.org.
func (r *Resolver) TLSA(ctx context.Context, name string) ([]TLSA, Info, error) {
	return collect(ctx, r, name, dns.TypeTLSA, func(rr *dns.TLSA) (TLSA, bool) {
		data, err := hex.DecodeString(rr.Certificate)
		return TLSA{rr.Usage, rr.Selector, rr.MatchingType, data}, err == nil
	})
}

// CNAME finds what a name is an alias of.
func (r *Resolver) CNAME(ctx context.Context, name string) ([]string, Info, error) {
	return collect(ctx, r, name, dns.TypeCNAME, func(rr *dns.CNAME) (string, bool) { return plain(rr.Target), true })
}

// PTR finds the names that an address says it has. They are its owner's claim
// until one of them has the address.
func (r *Resolver) PTR(ctx context.Context, a netip.Addr) ([]string, Info, error) {
	arpa, err := dns.ReverseAddr(a.Unmap().String())
	if err != nil {
		return nil, Info{}, ErrBadName
	}
	return collect(ctx, r, arpa, dns.TypePTR, func(rr *dns.PTR) (string, bool) { return plain(rr.Ptr), true })
}

// A finds the IPv4 addresses of a host.
func (r *Resolver) A(ctx context.Context, name string) ([]netip.Addr, Info, error) {
	return collect(ctx, r, name, dns.TypeA, func(rr *dns.A) (netip.Addr, bool) { return addr(rr.A) })
}

// AAAA finds the IPv6 addresses of a host.
func (r *Resolver) AAAA(ctx context.Context, name string) ([]netip.Addr, Info, error) {
	return collect(ctx, r, name, dns.TypeAAAA, func(rr *dns.AAAA) (netip.Addr, bool) { return addr(rr.AAAA) })
}

// Addrs finds the addresses of a host, those of IPv6 first. It fails if one of
// the two lookups fails and the other yields nothing. It is Secure if all that
// was answered is: who can silence one question must not make a signed zone
// look like one that is not (RFC 7672 §2.1.1).
func (r *Resolver) Addrs(ctx context.Context, name string) ([]netip.Addr, Info, error) {
	six, info, err6 := r.AAAA(ctx, name)
	four, info4, err4 := r.A(ctx, name)
	switch {
	case unanswered(err6):
		info = info4
	case !unanswered(err4):
		info.Secure = info.Secure && info4.Secure
	}
	if len(six) == 0 || len(four) > 0 && info4.TTL < info.TTL {
		info.TTL = info4.TTL
	}
	if all := append(six, four...); len(all) > 0 {
		return all, info, nil
	}
	return nil, info, worse(err6, err4)
}

func unanswered(err error) bool { return err != nil && !errors.Is(err, ErrNoDomain) }

// collect asks for records of one type and turns them into ours.
func collect[R dns.RR, T any](ctx context.Context, r *Resolver, name string, qtype uint16, as func(R) (T, bool)) ([]T, Info, error) {
	a, err := r.query(ctx, name, qtype)
	var out []T
	for _, rr := range a.records {
		if rr, ok := rr.(R); ok {
			if v, ok := as(rr); ok {
				out = append(out, v)
			}
		}
	}
	return out, a.Info, err
}

// worse of two errors is the one that proves less.
func worse(a, b error) error {
	if a == nil || errors.Is(a, ErrNoDomain) {
		return b
	}
	return a
}

func addr(ip net.IP) (netip.Addr, bool) {
	a, ok := netip.AddrFromSlice(ip)
	return a.Unmap(), ok
}

// plain is a name in lower case without the final dot.
func plain(name string) string {
	return strings.TrimSuffix(strings.ToLower(name), ".")
}

// text is a TXT record's octets. The library keeps them as a zone file has
// them: some with a backslash, others as \DDD (RFC 1035 §5.1).
func text(rr *dns.TXT) string {
	var b strings.Builder
	for _, s := range rr.Txt {
		for i := 0; i < len(s); i++ {
			switch rest := s[i+1:]; {
			case s[i] != '\\' || rest == "":
				b.WriteByte(s[i])
			case len(rest) >= 3 && digits(rest[:3]):
				b.WriteByte((rest[0]-'0')*100 + (rest[1]-'0')*10 + rest[2] - '0')
				i += 3
			default:
				b.WriteByte(rest[0])
				i++
			}
		}
	}
	return b.String()
}

func digits(s string) bool {
	return strings.Trim(s, "0123456789") == ""
}
