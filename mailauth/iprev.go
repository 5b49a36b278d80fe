package mailauth

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"postrider/internal/resolve"
	"postrider/mail"
)

// maxNames is how many names of an address are looked up (RFC 7208 §5.5 has
// the same for ptr).
const maxNames = 5

// IPRev is what the reverse look-up of the peer's address found (RFC 8601
// §2.7.3, §3).
type IPRev struct {
	Result Value  `json:"result"`
	Name   string `json:"name,omitempty"` // that leads back to the address
	Reason string `json:"reason,omitempty"`
}

// checkIPRev looks up the names of an address, and whether one leads back.
func checkIPRev(ctx context.Context, r Resolver, a netip.Addr) IPRev {
	names, _, err := r.PTR(ctx, a)
	switch {
	case err != nil && !nothing(err):
		return IPRev{Result: TempError, Reason: "the address's name could not be looked up"}
	case len(names) == 0:
		return IPRev{Result: PermError, Reason: "the address has no name"}
	}
	out := IPRev{Result: Fail, Reason: "no name of the address leads back to it"}
	for _, name := range names[:min(len(names), maxNames)] {
		name, err := mail.DomainKey(strings.TrimSuffix(name, "."))
		if err != nil {
			continue
		}
		addrs, _, err := addrsLike(ctx, r, a, name)
		switch {
		case slices.Contains(addrs, a):
			return IPRev{Result: Pass, Name: name}
		case err != nil && !nothing(err):
			out = IPRev{Result: TempError, Reason: "a name of the address could not be looked up"}
		}
	}
	return out
}

// addrsLike looks up those addresses of a name that are of the kind of a: the
// other question would only be another one that can fail.
func addrsLike(ctx context.Context, r Resolver, a netip.Addr, name string) ([]netip.Addr, resolve.Info, error) {
	if a.Is4() {
		return r.A(ctx, name)
	}
	return r.AAAA(ctx, name)
}
