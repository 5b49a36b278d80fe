package smtpc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"strings"

	"postrider/internal/resolve"
	"postrider/smtpc/mtasts"
)

// Policies finds what a domain demands of TLS by MTA-STS; *mtasts.Cache does.
type Policies interface {
	Lookup(ctx context.Context, domain string) mtasts.Found
}

// demand is what a connection to one host has to fulfil.
type demand struct {
	policy string  // in words, for the record; empty where nobody demands anything
	mode   TLSMode // TLSOpportunistic, TLSStartTLS, TLSImplicit or TLSNone
	verify bool    // the certificate must be right, or no mail is sent
	tlsa   []resolve.TLSA
	names  []string // that the certificate may have; the first is sent as SNI
	sure   bool     // that the host is the destination's own is proven, by DNSSEC or MTA-STS
	counts Counted  // what the connection counts for in reports
	breach string   // that is reported although mail is sent: the policy is in testing mode
}

// words are the policy as the journey and the log show it.
func (d *demand) words() string {
	switch {
	case d.policy != "":
		return d.policy
	case d.mode == TLSNone:
		return "none"
	}
	return "opportunistic"
}

// demandOf finds what a connection to h at a has to fulfil. The outcome says
// why no connection may be made.
func (s *Session) demandOf(ctx context.Context, a *attempt, h host, info resolve.Info, addr netip.Addr) (*demand, *Outcome) {
	c := s.c
	d := &demand{mode: TLSOpportunistic, names: []string{strings.Trim(h.name, "[]")}, sure: h.secure}
	if sm := c.o.Smarthost; sm != nil {
		d.mode, d.policy, d.sure = c.smarthostMode(addr), "smarthost", true
		d.verify = d.mode == TLSStartTLS || d.mode == TLSImplicit
		return d, nil
	}
	if strings.HasPrefix(s.dest, "[") {
		return d, nil
	}
	d.counts = Counted{Domain: s.dest, Type: NoPolicy}
	found, base, err := c.lookupTLSA(ctx, h, info)
	switch {
	case err != nil && a.relaxed():
	case err != nil:
		// Whether the host demands DANE cannot be told, and somebody may want
		// just that (RFC 7672 §2.1.2).
		s.rec.add(Remark, "TLSA of "+printable(h.name)+": "+netWords(err))
		d.counts.Type, d.counts.MXHosts = TLSA, []string{h.name}
		s.count(a, d, &TLSFailure{Type: FailDNSSEC, Host: h.name, Reason: netWords(err)})
		o := temporary("4.7.5", "looking up the TLSA records of %s failed: %s", printable(h.name), netWords(err))
		return nil, &o
	case len(found) > 0:
		d.dane(found, base, h, s.dest)
	default:
		if o := s.sts(ctx, a, d, h); o != nil {
			return nil, o
		}
	}
	if d.policy != "" {
		s.rec.add(Remark, "policy of "+printable(h.name)+": "+d.policy)
	}
	if d.verify && a.relaxed() {
		s.rec.add(Remark, "the message says TLS-Required: No")
		d.mode, d.verify = TLSOpportunistic, false
	}
	return d, nil
}

// sts puts into d what the destination demands by MTA-STS (RFC 8461 §4, §5).
func (s *Session) sts(ctx context.Context, a *attempt, d *demand, h host) *Outcome {
	if s.c.o.Policies == nil {
		return nil
	}
	if s.found == nil {
		f := s.c.o.Policies.Lookup(ctx, s.dest)
		s.found = &f
		if f.Err != nil {
			s.rec.add(Remark, "MTA-STS policy of "+s.dest+": "+netWords(f.Err))
		}
	}
	p := s.found.Policy
	if p == nil {
		if err := s.found.Err; err != nil {
			d.counts.Type, d.breach = STS, fetchFailure(err)
		}
		return nil
	}
	d.policy = "MTA-STS " + string(p.Mode)
	d.counts = Counted{Domain: s.dest, Type: STS, Strings: p.Lines(), MXHosts: p.MX}
	match := p.Matches(h.name)
	if p.Mode != mtasts.Enforce {
		d.sure = d.sure || match
		d.breach = breachUnless(match)
		return nil
	}
	if !match && !a.relaxed() {
		s.rec.add(Remark, "policy of "+s.dest+": MTA-STS does not name "+printable(h.name))
		s.count(a, d, &TLSFailure{Type: FailValidation, Host: h.name, Reason: "mx-mismatch"})
		o := temporary("4.7.5", "the MTA-STS policy of %s does not name the host %s", s.dest, printable(h.name))
		return &o
	}
	d.sure, d.mode, d.verify = d.sure || match, TLSStartTLS, true
	return nil
}

func breachUnless(match bool) string {
	if match {
		return ""
	}
	return FailValidation
}

// fetchFailure is how a report names a policy that could not be had (RFC 8460
// §4.3.2.2).
func fetchFailure(err error) string {
	switch {
	case errors.Is(err, mtasts.ErrWebPKI):
		return FailWebPKI
	case errors.Is(err, mtasts.ErrInvalid):
		return FailPolicyInvalid
	}
	return FailPolicyFetch
}

// smarthostMode is how a connection to the smarthost at a may be made. Where a
// password will be sent it must not go in clear, nor to whoever stands in
// between.
func (c *Client) smarthostMode(a netip.Addr) TLSMode {
	s := c.o.Smarthost
	if s.User != "" && s.TLS == TLSOpportunistic && !a.IsLoopback() {
		return TLSStartTLS
	}
	return s.TLS
}

// certError is a certificate that is not what it has to be.
type certError struct{ why error }

func (e certError) Error() string { return "the certificate " + e.words() }
func (e certError) Unwrap() error { return e.why }

// words are for people. The library's list all names of a certificate, which
// its owner chooses.
func (e certError) words() string {
	var invalid x509.CertificateInvalidError
	switch failureType(e.why) {
	case FailHostMismatch:
		return "is for another host"
	case FailExpired:
		return "has ended, or not begun"
	case FailNotTrusted:
		if errors.As(e.why, &invalid) {
			return "is not valid: " + invalid.Error()
		}
		return "is from nobody who is trusted"
	}
	return e.why.Error()
}

// check looks at the certificate that a host presents: by DANE if there are
// TLSA records, else by the authorities that the system trusts.
func (d *demand) check(base *tls.Config, chain []*x509.Certificate) error {
	err := errors.New("is missing")
	switch {
	case len(chain) == 0:
	case d.tlsa != nil:
		err = matchTLSA(d.tlsa, chain, d.names)
	default:
		err = verifyPKIX(base.RootCAs, chain, d.names)
	}
	if err != nil {
		return certError{err}
	}
	return nil
}
