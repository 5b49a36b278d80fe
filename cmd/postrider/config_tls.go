package main

import (
	"encoding/base64"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"postrider/mail"
	"postrider/smtpc/mtasts"
)

// maxPolicyAge is the longest that a policy may hold (RFC 8461 §3.2).
const maxPolicyAge = 31_557_600 * time.Second

func (c *Config) checkMTASTS() *problem {
	m := &c.MTASTS
	switch mode := mtasts.Mode(m.Mode); {
	case mode != "" && mode != mtasts.Enforce && mode != mtasts.Testing && mode != mtasts.None:
		return problemf("mta_sts.mode", `%q is no mode; write "testing", "enforce" or "none", or nothing for no policy`, m.Mode)
	case mode != "" && len(c.HTTP.ListenTLS) == 0:
		return &problem{"mta_sts.mode", `the policy is told over HTTPS; add http.listen_tls = [":443"]`, "http.listen_tls"}
	case time.Duration(m.MaxAge) < time.Hour || time.Duration(m.MaxAge) > maxPolicyAge:
		return problemf("mta_sts.max_age", `a policy holds between an hour and a year; write "7d"`)
	}
	for _, h := range m.MX {
		if _, err := mail.DomainKey(strings.TrimPrefix(h, "*.")); err != nil {
			return problemf("mta_sts.mx", `%q is no host; write one such as "mail.example.org" or "*.example.org"`, h)
		}
	}
	return nil
}

func (c *Config) checkACME() *problem {
	a := &c.ACME
	if p := a.checkValues(); p != nil || a.Directory == "" {
		return p
	}
	u, err := url.Parse(a.Directory)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "":
		return problemf("acme.directory", `%q is no HTTPS address; write "https://acme-v02.api.letsencrypt.org/directory"`, a.Directory)
	case c.TLS.Certificate != "":
		return &problem{"acme.directory", "there is a certificate in tls.certificate; give one of the two", "tls.certificate"}
	case !strings.Contains(c.hostname(), "."):
		return problemf("acme.directory", "no authority certifies %q; set hostname to a name in the DNS", c.hostname())
	case a.Challenge == "http-01" && len(c.HTTP.Listen) == 0:
		return problemf("acme.challenge", `http-01 is asked for at port 80; add http.listen = [":80"]`)
	case a.Challenge == "tls-alpn-01" && len(c.HTTP.ListenTLS) == 0:
		return problemf("acme.challenge", `tls-alpn-01 is asked for at port 443; add http.listen_tls = [":443"]`)
	case a.Challenge == "dns-01" && a.DNSServer == "":
		return problemf("acme.challenge", `dns-01 needs a name server; add dns_server = "192.0.2.53:53" and its key`)
	}
	return nil
}

// checkValues looks at each key by itself, also while no authority is asked.
func (a *ACMEConfig) checkValues() *problem {
	_, keyErr := a.key()
	_, dnsKeyErr := base64.StdEncoding.DecodeString(a.DNSKey)
	switch {
	case !slices.Contains([]string{"http-01", "tls-alpn-01", "dns-01"}, a.Challenge):
		return problemf("acme.challenge", `%q is no challenge; write "http-01", "tls-alpn-01" or "dns-01"`, a.Challenge)
	case (a.KeyID == "") != (a.Key == "") || keyErr != nil:
		return problemf("acme.key", "key_id and key belong together, and the key is base64 as the authority shows it")
	case (a.DNSKeyName == "") != (a.DNSKey == "") || dnsKeyErr != nil:
		return problemf("acme.dns_key", "dns_key_name and dns_key belong together, and the key is base64 as the name server's file has it")
	}
	if a.Contact != "" {
		if _, err := mail.ParseAddress(a.Contact); err != nil {
			return problemf("acme.contact", `%q is no address; write one such as "postmaster@example.org"`, a.Contact)
		}
	}
	if a.DNSServer != "" {
		if _, err := netip.ParseAddrPort(a.DNSServer); err != nil {
			return problemf("acme.dns_server", `%q is no IP address with a port; write "192.0.2.53:53"`, a.DNSServer)
		}
	}
	for i, n := range a.Names {
		key, err := mail.DomainKey(n)
		if err != nil || strings.HasPrefix(key, "[") {
			return problemf("acme.names", `%q is no host name; write one such as "imap.example.org"`, n)
		}
		a.Names[i] = key
	}
	return nil
}

// key is the key of the account at the authority, which people write with and
// without padding.
func (a *ACMEConfig) key() ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.TrimRight(a.Key, "="))
}
