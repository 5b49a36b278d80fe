package mailauth

import (
	"context"
	"fmt"
)

// DMARC is whether the author's domain vouches for a message (RFC 9989).
type DMARC struct {
	Result  Value       `json:"result"`
	Domain  string      `json:"domain,omitempty"` // the author's
	Org     string      `json:"org,omitempty"`    // its organizational domain
	Found   string      `json:"found,omitempty"`  // where the record is
	Asks    Disposition `json:"asks,omitempty"`   // what the record wants done with this message if it fails
	SPF     bool        `json:"spf"`              // passed and aligned
	DKIM    bool        `json:"dkim"`
	Reason  string      `json:"reason,omitempty"`
	Testing bool        `json:"testing,omitempty"`

	record *Record
	unsure bool // a look-up failed that might have made it pass
}

// judge evaluates DMARC for one author's domain.
func judge(ctx context.Context, t *dmarcTree, domain string, s SPF, sigs []*signature) DMARC {
	d := DMARC{Result: None, Domain: domain}
	if err := d.discover(ctx, t); err != nil {
		d.Result, d.Reason = TempError, "the policy could not be looked up"
		return d
	}
	if d.record == nil {
		return d
	}
	var last error
	if s.Result == Pass {
		d.SPF, last = d.aligned(ctx, t, s.Domain, d.record.StrictSPF)
	}
	for _, sig := range sigs {
		switch {
		case d.DKIM:
		case sig.Result == Pass:
			var err error
			if d.DKIM, err = d.aligned(ctx, t, sig.Domain, d.record.StrictDKIM); err != nil {
				last = err
			}
		case sig.Result == TempError:
			d.unsure = d.unsure || within(sig.Domain, d.Org) || within(d.Org, sig.Domain)
		}
	}
	d.unsure = d.unsure || last != nil || s.Result == TempError && (within(s.Domain, d.Org) || within(d.Org, s.Domain))
	switch {
	case d.SPF || d.DKIM:
		d.Result = Pass
	case d.unsure:
		d.Result, d.Reason = TempError, "a look-up failed that might have shown that it is from "+domain
	default:
		d.Result, d.Reason = Fail, d.why(s, sigs)
	}
	return d
}

// discover finds the record that holds for the domain, and what it asks (RFC
// 9989 §4.10.1).
func (d *DMARC) discover(ctx context.Context, t *dmarcTree) error {
	org, psd, failed := t.walk(ctx, d.Domain)
	d.Org = org
	d.unsure = failed != nil // the organization may reach further up
	for _, at := range []string{d.Domain, org, psd} {
		if at == "" {
			continue
		}
		f := t.ask(ctx, at)
		<-f.done
		if f.err != nil {
			return f.err
		}
		if f.record == nil {
			continue
		}
		if f.record.P == "" {
			return nil // it asks for nothing
		}
		d.Found, d.record, d.Testing = at, f.record, f.record.Testing
		d.Asks = d.asks(ctx, t.r)
		return nil
	}
	return failed
}

// asks is what the record wants for this domain.
func (d *DMARC) asks(ctx context.Context, r Resolver) Disposition {
	ask := d.record.P
	if d.Found != d.Domain {
		if d.record.SP != "" {
			ask = d.record.SP
		}
		if d.record.NP != "" && d.record.NP != ask && missing(ctx, r, d.Domain) {
			ask = d.record.NP
		}
	}
	if d.Testing {
		switch ask { // RFC 9989 §4.7, tag t
		case AskReject:
			return AskQuarantine
		case AskQuarantine:
			return AskNone
		}
	}
	return ask
}

// missing tells whether a domain does not exist at all (RFC 9989 §3.2.13).
func missing(ctx context.Context, r Resolver, domain string) bool {
	_, _, err := r.A(ctx, domain)
	return err != nil && nothing(err)
}

// aligned tells whether an authenticated domain is that of the author (RFC
// 9989 §4.4).
func (d *DMARC) aligned(ctx context.Context, t *dmarcTree, domain string, strict bool) (bool, error) {
	if domain == d.Domain {
		return true, nil
	}
	if strict || domain == "" || !within(domain, d.Org) {
		return false, nil
	}
	org, _, err := t.walk(ctx, domain)
	return err == nil && org == d.Org, err
}

// why says in words why nothing passed.
func (d *DMARC) why(s SPF, sigs []*signature) string {
	how := "it is not signed"
	for i, sig := range sigs {
		switch {
		case sig.Result == Pass:
			how = "it is signed by " + sig.Domain + " only"
		case i == 0:
			how = fmt.Sprintf("the signature of %s is no good (%s)", sig.Domain, sig.Reason)
		}
	}
	switch {
	case s.Result == Pass:
		return how + ", and SPF passed for " + s.Domain + ", which is another domain"
	case s.Result == None:
		return how + ", and there is no SPF for its sender"
	}
	return how + ", and SPF says " + string(s.Result)
}

// differs tells, in words, where the public suffix list draws the border of
// the organization elsewhere than the tree walk; empty if it does not matter.
func (d *DMARC) differs() string {
	if list := suffixOrg(d.Domain); d.record != nil && list != "" && list != d.Org {
		return fmt.Sprintf("the organization of %s is %s by its DMARC records, and %s by the public suffix list", d.Domain, d.Org, list)
	}
	return ""
}
