package smtpc

import (
	"crypto/x509"
	"errors"
	"net"
)

// Types of a policy in reports (RFC 8460 §4.4).
const (
	TLSA     = "tlsa"
	STS      = "sts"
	NoPolicy = "no-policy-found"
)

// Types of a failure in reports (RFC 8460 §4.3).
const (
	FailNoSTARTTLS    = "starttls-not-supported"
	FailHostMismatch  = "certificate-host-mismatch"
	FailExpired       = "certificate-expired"
	FailNotTrusted    = "certificate-not-trusted"
	FailValidation    = "validation-failure"
	FailTLSA          = "tlsa-invalid"
	FailDNSSEC        = "dnssec-invalid"
	FailPolicyFetch   = "sts-policy-fetch-error"
	FailPolicyInvalid = "sts-policy-invalid"
	FailWebPKI        = "sts-webpki-invalid"
)

// Counted is the policy that a connection was made under, as a report shows
// it.
type Counted struct {
	Domain  string   // the destination
	Type    string   // TLSA, STS or NoPolicy
	Strings []string // the policy's text
	MXHosts []string // that the policy names
}

// TLSFailure is what went wrong with a connection's security.
type TLSFailure struct {
	Type   string
	Host   string // the destination's host
	Remote string // its address; empty if none was connected to
	Local  string // ours
	Reason string // more of it, in words
}

// TLSResult is how one connection to a destination went, for reports to its
// domain (RFC 8460).
type TLSResult struct {
	Counted
	Failure *TLSFailure // nil if all was well
}

// count tells of a connection. Those that carry a report count for none, or
// each report would make another (RFC 8460 §5.3 has the same reason).
func (s *Session) count(a *attempt, d *demand, f *TLSFailure) {
	if s.c.o.TLSResult == nil || d.counts.Domain == "" || a.header().report {
		return
	}
	if f != nil {
		f.Host, f.Reason = printable(f.Host), printable(f.Reason)
	}
	s.c.o.TLSResult(TLSResult{d.counts, f})
}

// countPeer tells of a connection that came about, or did not for its TLS.
func (s *Session) countPeer(a *attempt, d *demand, p *peer) {
	kind, reason := d.breach, ""
	switch {
	case p.broken != nil:
		kind, reason = failureType(p.broken), p.broken.Error()
	case p.tls == "":
		kind = FailNoSTARTTLS
	case p.cert != nil && d.counts.Type != NoPolicy && d.counts.Strings != nil:
		kind, reason = failureType(p.cert), p.cert.Error()
		if d.tlsa == nil && d.counts.Type == TLSA { // no record could be used
			kind, reason = FailTLSA, "no usable TLSA record"
		}
	}
	if kind == "" {
		s.count(a, d, nil)
		return
	}
	s.count(a, d, &TLSFailure{Type: kind, Host: p.host.name, Remote: hostOf(p.addr), Local: p.local, Reason: reason})
}

// failureType names what is wrong with a handshake or a certificate.
func failureType(err error) string {
	var host x509.HostnameError
	var cert x509.CertificateInvalidError
	var authority x509.UnknownAuthorityError
	switch {
	case errors.Is(err, errNoMatch):
		return FailValidation
	case errors.Is(err, errNoSTARTTLS):
		return FailNoSTARTTLS
	case errors.As(err, &host):
		return FailHostMismatch
	case errors.As(err, &cert) && cert.Reason == x509.Expired:
		return FailExpired
	case errors.As(err, &authority), errors.As(err, &cert):
		return FailNotTrusted
	}
	return FailValidation
}

func hostOf(addr string) string {
	h, _, _ := net.SplitHostPort(addr)
	return h
}
