package smtpc

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"postrider/internal/resolve"
)

// Fields of a TLSA record (RFC 7218 §2).
const (
	daneTA, daneEE          = 2, 3
	wholeCert, publicKey    = 0, 1
	exact, sha2256, sha2512 = 0, 1, 2
	maxTLSA                 = 32 // records of a host that are looked at
	maxChain                = 16 // certificates of a host that are
)

// lookupTLSA finds the TLSA records of a host and the name that they stand at
// (RFC 7672 §2.1.3, §2.2). There are none unless DNSSEC proves every step of
// the way: that the destination names the host, and what the host is an alias
// of. An error means that it cannot be told.
func (c *Client) lookupTLSA(ctx context.Context, h host, info resolve.Info) ([]resolve.TLSA, string, error) {
	if !h.secure {
		return nil, "", nil
	}
	own := strings.ToLower(h.name)
	var bases []string
	switch {
	case info.Secure && info.Name != own && info.Name != "":
		bases = []string{info.Name, own}
	case info.Secure:
		bases = []string{own}
	case info.Name != own && info.Name != "":
		// An alias into a zone that is not signed: the alias itself may be.
		_, alias, err := c.o.Resolver.CNAME(ctx, own)
		if err != nil {
			return nil, "", err
		}
		if alias.Secure {
			bases = []string{own}
		}
	}
	for _, base := range bases {
		found, tinfo, err := c.o.Resolver.TLSA(ctx, "_"+strconv.Itoa(h.port)+"._tcp."+base)
		switch {
		case errors.Is(err, resolve.ErrNoDomain), errors.Is(err, resolve.ErrBadName):
		case err != nil:
			return nil, "", err
		case tinfo.Secure && len(found) > 0:
			return found[:min(len(found), maxTLSA)], base, nil
		}
	}
	return nil, "", nil
}

// dane puts into d what a host's TLSA records demand. If none of them can be
// used there still must be TLS (RFC 7672 §2.2).
func (d *demand) dane(found []resolve.TLSA, base string, h host, dest string) {
	d.mode = TLSStartTLS
	d.counts = Counted{Domain: dest, Type: TLSA, MXHosts: []string{h.name}}
	for _, r := range found {
		d.counts.Strings = append(d.counts.Strings, fmt.Sprintf("%d %d %d %x", r.Usage, r.Selector, r.Matching, r.Data))
	}
	d.names = []string{base}
	for _, n := range []string{strings.ToLower(h.name), dest} { // RFC 7672 §3.2.2
		if !slices.Contains(d.names, n) {
			d.names = append(d.names, n)
		}
	}
	d.tlsa = usable(found)
	if d.tlsa == nil {
		d.policy = fmt.Sprintf("DANE, none of %d TLSA records can be used: TLS with any certificate", len(found))
		return
	}
	d.verify = true
	d.policy = fmt.Sprintf("DANE, %d TLSA records", len(d.tlsa))
	if len(d.tlsa) == 1 {
		d.policy = "DANE, 1 TLSA record"
	}
}

// usable are the records that a client of SMTP can match: of usage DANE-TA and
// DANE-EE (RFC 7672 §3.1), well-formed, and of each kind those with the
// strongest digest (RFC 7671 §9).
func usable(rs []resolve.TLSA) []resolve.TLSA {
	var out []resolve.TLSA
	for _, r := range rs {
		if isUsable(r) && (r.Matching != sha2256 || !slices.ContainsFunc(rs, func(o resolve.TLSA) bool {
			return isUsable(o) && o.Matching == sha2512 && o.Usage == r.Usage && o.Selector == r.Selector
		})) {
			out = append(out, r)
		}
	}
	return out
}

func isUsable(r resolve.TLSA) bool {
	if r.Usage != daneTA && r.Usage != daneEE || r.Selector > publicKey {
		return false
	}
	switch r.Matching {
	case sha2256:
		return len(r.Data) == sha256.Size
	case sha2512:
		return len(r.Data) == sha512.Size
	case exact:
		if r.Selector == wholeCert {
			_, err := x509.ParseCertificate(r.Data)
			return err == nil
		}
		_, err := x509.ParsePKIXPublicKey(r.Data)
		return err == nil
	}
	return false
}

// matches compares a record with a certificate (RFC 6698 §2.1).
func matches(r resolve.TLSA, cert *x509.Certificate) bool {
	data := cert.Raw
	if r.Selector == publicKey {
		data = cert.RawSubjectPublicKeyInfo
	}
	switch r.Matching {
	case sha2256:
		sum := sha256.Sum256(data)
		data = sum[:]
	case sha2512:
		sum := sha512.Sum512(data)
		data = sum[:]
	}
	return bytes.Equal(data, r.Data)
}

var errNoMatch = errors.New("matches none of the TLSA records")

// matchTLSA tells whether a chain, the host's own certificate first, is what
// one of the records wants.
func matchTLSA(rs []resolve.TLSA, chain []*x509.Certificate, names []string) error {
	chain = chain[:min(len(chain), maxChain)]
	failed := errNoMatch
	for _, r := range rs {
		// For DANE-EE the record is all: neither names nor dates count (RFC
		// 7672 §3.1.1).
		if r.Usage == daneEE && matches(r, chain[0]) {
			return nil
		}
		if r.Usage != daneTA {
			continue
		}
		anchors := slices.Clone(chain[1:])
		if r.Matching == exact && r.Selector == wholeCert { // it need not be in the chain
			if ta, err := x509.ParseCertificate(r.Data); err == nil {
				anchors = append(anchors, ta)
			}
		}
		for _, ta := range anchors {
			if !matches(r, ta) {
				continue
			}
			pool := x509.NewCertPool()
			pool.AddCert(ta)
			if err := verifyPKIX(pool, chain, names); err == nil {
				return nil
			} else {
				failed = err
			}
		}
	}
	return failed
}

// verifyPKIX verifies a chain up to one of roots, nil for the system's, for one
// of the names.
func verifyPKIX(roots *x509.CertPool, chain []*x509.Certificate, names []string) error {
	o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range chain[1:min(len(chain), maxChain)] {
		o.Intermediates.AddCert(c)
	}
	var failed error
	for _, n := range names {
		o.DNSName = n
		_, err := chain[0].Verify(o)
		if err == nil {
			return nil
		}
		if failed == nil {
			failed = err
		}
	}
	return failed
}
