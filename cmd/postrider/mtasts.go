package main

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"postrider/mail"
	"postrider/smtpc/mtasts"
)

// mtaSTS is the policy that our domains tell others; nil if they tell none.
func (c *Config) mtaSTS() *mtasts.Policy {
	if c.MTASTS.Mode == "" {
		return nil
	}
	hosts := c.MTASTS.MX
	if len(hosts) == 0 {
		hosts = []string{c.hostname()}
	}
	return mtasts.New(mtasts.Mode(c.MTASTS.Mode), time.Duration(c.MTASTS.MaxAge), hosts...)
}

// mtaSTSRecord is the TXT record at _mta-sts.DOMAIN that announces the policy.
// Its id follows from the policy: a change of the one is a change of the
// other.
func mtaSTSRecord(p *mtasts.Policy) string {
	sum := sha256.Sum256([]byte(p.Text))
	return mtasts.Record(hex.EncodeToString(sum[:10]))
}

// tlsaRecord is the TLSA record for a certificate that TLSA 3 1 1 names by its
// key (RFC 7672 §3.1.1).
func tlsaRecord(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return fmt.Sprintf("3 1 1 %x", sum)
}

// transportRecords are about TLS between servers.
func (a *admin) transportRecords(domain string) []dnsRecord {
	all := []dnsRecord{{Name: "_smtp._tls." + domain, Type: "TXT", Value: "v=TLSRPTv1; rua=mailto:tls-reports@" + domain,
		Why: "TLSRPT: where other servers report trouble with TLS"}}
	if p := a.cfg.mtaSTS(); p != nil {
		all = append(all,
			dnsRecord{Name: "_mta-sts." + domain, Type: "TXT", Value: mtaSTSRecord(p), Why: "MTA-STS: that there is a policy, and by a new id that it has changed"},
			dnsRecord{Name: "mta-sts." + domain, Type: "CNAME", Value: a.hostname + ".", Why: "MTA-STS: where the policy is told"})
	}
	if c := a.cfg.leaf(); c != nil {
		all = append(all, dnsRecord{Name: "_25._tcp." + a.hostname, Type: "TLSA", Value: tlsaRecord(c),
			Why: "DANE: the key of this server's certificate; it counts only in a zone that is signed, and must change with the key"})
	}
	return all
}

// leaf is the certificate that the server shows under its own name; nil if it
// cannot be read.
func (c *Config) leaf() *x509.Certificate {
	files := []string{c.TLS.Certificate}
	if c.TLS.Certificate == "" {
		dir := filepath.Join(c.DataDir, "tls")
		files = []string{filepath.Join(dir, "acme", c.hostname()+".pem"), filepath.Join(dir, "self-signed.crt")}
	}
	for _, f := range files {
		rest, err := os.ReadFile(f)
		for block := new(pem.Block); err == nil && block != nil; {
			if block, rest = pem.Decode(rest); block != nil && block.Type == "CERTIFICATE" {
				if leaf, err := x509.ParseCertificate(block.Bytes); err == nil {
					return leaf
				}
			}
		}
	}
	return nil
}

// policyOf finds the text of the policy of a domain of ours.
func (s *server) policyOf(p *mtasts.Policy) func(ctx context.Context, domain string) (string, bool) {
	if p == nil {
		return nil
	}
	return func(ctx context.Context, domain string) (string, bool) {
		_, err := s.store.Domain(ctx, domain)
		return p.Text, err == nil
	}
}

// canonicalHost is a host name in the form in which certificates are found.
func canonicalHost(s string) string {
	key, err := mail.DomainKey(s)
	if err != nil {
		return ""
	}
	return key
}
