package mailauth

import (
	"context"
	"errors"
	"net"
	"net/netip"

	"blitiri.com.ar/go/spf"

	"postrider/internal/resolve"
	"postrider/mail"
)

// Resolver looks records up. *resolve.Resolver is one.
type Resolver interface {
	TXT(ctx context.Context, name string) ([]string, resolve.Info, error)
	MX(ctx context.Context, name string) ([]resolve.MX, resolve.Info, error)
	A(ctx context.Context, name string) ([]netip.Addr, resolve.Info, error)
	AAAA(ctx context.Context, name string) ([]netip.Addr, resolve.Info, error)
	PTR(ctx context.Context, a netip.Addr) ([]string, resolve.Info, error)
}

// SPF is whether the peer may send for the envelope's sender (RFC 7208).
type SPF struct {
	Result Value  `json:"result"`
	Domain string `json:"domain,omitempty"` // that was asked
	Scope  string `json:"scope,omitempty"`  // "mfrom", or "helo" for the null sender
	Reason string `json:"reason,omitempty"`
}

// checkSPF asks the domain of the sender; for the null sender that of HELO
// (RFC 7208 §2.4).
func checkSPF(ctx context.Context, r Resolver, p *Peer) SPF {
	out := SPF{Scope: "mfrom"}
	domain, local := p.From.Domain, p.From.Local
	if p.From.IsZero() {
		out.Scope, domain = "helo", p.Helo
	}
	key, err := mail.DomainKey(domain)
	if err != nil || key == "" || key[0] == '[' {
		out.Result, out.Reason = None, "there is no domain to ask"
		return out
	}
	out.Domain = key
	// Macros see the local part, and A-labels (RFC 8616 §5). One that needs
	// quoting could hold an "@" of its own and name another domain; nobody
	// publishes anything for it, nor for one that is not ASCII.
	if plain := (mail.Address{Local: local}); local == "" || !plain.IsASCII() || plain.String() != local {
		local = "postmaster"
	}
	sender := local + "@" + key
	// The library's limits are those of RFC 7208 §4.6.4: 10 look-ups, 2 void.
	result, why := spf.CheckHostWithSender(p.Addr.Unmap().AsSlice(), p.Helo, sender,
		spf.WithContext(ctx), spf.WithResolver(spfResolver{r, p.Addr}))
	out.Result, out.Reason = Value(result), spfReason(result, why)
	if ctx.Err() != nil && result != spf.Pass {
		out.Result, out.Reason = TempError, "the look-ups took too long"
	}
	return out
}

// spfReason says a result in words.
func spfReason(result spf.Result, why error) string {
	switch {
	case result == spf.None:
		return "the domain publishes no SPF"
	case result == spf.Fail:
		return "the domain does not send from this address"
	case result == spf.SoftFail:
		return "the domain probably does not send from this address"
	case result == spf.Neutral:
		return "the domain does not say"
	case result == spf.TempError:
		return "a look-up failed"
	case result == spf.Pass:
		return ""
	case errors.Is(why, spf.ErrLookupLimitReached):
		return "the record needs more than 10 look-ups"
	case errors.Is(why, spf.ErrVoidLookupLimitReached):
		return "the record names too much that is not there"
	case errors.Is(why, spf.ErrMultipleRecords):
		return "the domain has several SPF records"
	}
	return "the record is wrong"
}

// spfResolver is a Resolver as the SPF library wants it: it tells by
// *net.DNSError what is not there and what is temporary.
type spfResolver struct {
	r    Resolver
	peer netip.Addr
}

func dnsError(name string, n int, err error) error {
	switch {
	case err == nil && n > 0:
		return nil
	case err == nil, nothing(err):
		return &net.DNSError{Err: "no such record", Name: name, IsNotFound: true}
	}
	return &net.DNSError{Err: "look-up failed", Name: name, IsTemporary: true}
}

func (s spfResolver) LookupTXT(ctx context.Context, name string) ([]string, error) {
	all, _, err := s.r.TXT(ctx, name)
	for _, txt := range all {
		if IsSPF(txt) && !ValidSPF(txt) {
			return nil, errSPFSyntax // the library looks at terms as it comes to them
		}
	}
	return all, dnsError(name, len(all), err)
}

func (s spfResolver) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	all, _, err := s.r.MX(ctx, name)
	var out []*net.MX
	for _, m := range all {
		out = append(out, &net.MX{Host: m.Host, Pref: m.Pref})
	}
	return out, dnsError(name, len(all), err)
}

// LookupIPAddr looks up addresses of the peer's kind (RFC 7208 §5), and if there
// are none those of IPv4, which "exists" is about (§5.7).
func (s spfResolver) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	all, _, err := addrsLike(ctx, s.r, s.peer, host)
	if s.peer.Is6() && len(all) == 0 && (err == nil || nothing(err)) {
		all, _, err = s.r.A(ctx, host)
	}
	var out []net.IPAddr
	for _, a := range all {
		out = append(out, net.IPAddr{IP: a.AsSlice()})
	}
	return out, dnsError(host, len(all), err)
}

func (s spfResolver) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return nil, dnsError(addr, 0, nil)
	}
	all, _, err := s.r.PTR(ctx, a)
	return all, dnsError(addr, len(all), err)
}
