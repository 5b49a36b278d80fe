package certs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"
)

const (
	dnsTime   = 30 * time.Second // for one change of the DNS
	dnsTTL    = 60
	tsigFudge = 300 // seconds that clocks may differ (RFC 8945 §10)
)

// Updater changes a zone by DNS UPDATE (RFC 2136), signed by TSIG (RFC 8945).
type Updater struct {
	Server    string // host:port of the zone's primary server
	KeyName   string
	Algorithm string // such as "hmac-sha256"
	Secret    string // base64
	// Wait is how long it takes until all of the zone's servers have a change.
	Wait time.Duration
}

// Add puts a TXT record into the zone.
func (u *Updater) Add(ctx context.Context, name, value string) error {
	if err := u.change(ctx, name, value, (*dns.Msg).Insert); err != nil {
		return err
	}
	t := time.NewTimer(u.Wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Remove takes it out again.
func (u *Updater) Remove(ctx context.Context, name, value string) error {
	return u.change(ctx, name, value, (*dns.Msg).Remove)
}

func (u *Updater) change(ctx context.Context, name, value string, do func(*dns.Msg, []dns.RR)) error {
	ctx, cancel := context.WithTimeout(ctx, dnsTime)
	defer cancel()
	name = dns.CanonicalName(name)
	zone, err := u.zone(ctx, name)
	if err != nil {
		return err
	}
	m := new(dns.Msg)
	m.SetUpdate(zone)
	do(m, []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: dnsTTL}, Txt: []string{value}}})
	r, err := u.exchange(ctx, m)
	if err != nil {
		return fmt.Errorf("change of %s at %s: %w", name, u.Server, err)
	}
	if r.Rcode != dns.RcodeSuccess {
		return fmt.Errorf("%s refuses to change %s: %s", u.Server, name, dns.RcodeToString[r.Rcode])
	}
	return nil
}

// zone finds the zone that a name lies in.
func (u *Updater) zone(ctx context.Context, name string) (string, error) {
	for i, end := 0, false; !end; i, end = dns.NextLabel(name, i) {
		q := new(dns.Msg)
		q.SetQuestion(name[i:], dns.TypeSOA)
		r, err := u.exchange(ctx, q)
		if err != nil {
			return "", fmt.Errorf("zone of %s at %s: %w", name, u.Server, err)
		}
		for _, rr := range append(r.Answer, r.Ns...) {
			if rr.Header().Rrtype == dns.TypeSOA && dns.IsSubDomain(rr.Header().Name, name) {
				return dns.CanonicalName(rr.Header().Name), nil
			}
		}
	}
	return "", fmt.Errorf("%s has no zone for %s", u.Server, name)
}

// exchange asks the server over TCP, signed.
func (u *Updater) exchange(ctx context.Context, m *dns.Msg) (*dns.Msg, error) {
	c := &dns.Client{Net: "tcp"}
	if u.KeyName != "" {
		key := dns.CanonicalName(u.KeyName)
		c.TsigSecret = map[string]string{key: u.Secret}
		m.SetTsig(key, dns.CanonicalName(u.Algorithm), tsigFudge, time.Now().Unix())
	}
	r, _, err := c.ExchangeContext(ctx, m, u.Server)
	if err == nil && u.KeyName != "" && m.Opcode == dns.OpcodeUpdate && r.IsTsig() == nil && r.Rcode == dns.RcodeSuccess {
		err = errors.New("the answer is not signed")
	}
	return r, err
}
