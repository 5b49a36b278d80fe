package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"time"

	"postrider/auth"
	"postrider/httpd"
	"postrider/imapd"
	"postrider/mail"
	"postrider/mailauth"
	"postrider/pop3d"
	"postrider/smtpd"
	"postrider/store"
)

// httpProto is what HTTP is called in ALPN.
const httpProto = "http/1.1"

// daemon serves one kind of connection.
type daemon interface {
	Serve(ctx context.Context, c net.Conn)
	Refuse(c net.Conn)
}

// tls is what a service offers; the name in ALPN is the registered one, which
// is SMTP's own for submission too.
func (s *server) tls(service string) *tls.Config {
	switch service {
	case "submission", "lmtp":
		service = "smtp"
	case "http":
		service = httpProto
	}
	t := s.cert.config(service)
	if service == "imap" && s.cfg.Auth.ClientCA != "" {
		t.ClientAuth = tls.RequestClientCert // who has none logs in by password
	}
	return t
}

// daemons makes the daemons, by the name of their service.
func (s *server) daemons(authn *auth.Authenticator) map[string]daemon {
	host, limit, spool := s.cfg.hostname(), int64(s.cfg.Limits.MessageBytes), s.admin.spoolDir
	checker := s.checker()
	smtp := func(mode smtpd.Mode) daemon {
		return smtpd.New(smtpd.Options{
			Mode: mode, Hostname: host, Deliver: s.admin.deliver, Auth: authn, TLS: s.tls("smtp"),
			Check: checker, Exempt: s.cfg.Checks.ExemptNetworks, Checked: s.counts.Add,
			UnknownRcpts:    s.cfg.Limits.UnknownRcptsPerHour,
			MaxMessageBytes: limit, MaxRcpts: s.cfg.Limits.Recipients, SpoolDir: spool, Log: s.log,
		})
	}
	web := httpd.Options{Policy: s.policyOf(s.cfg.mtaSTS()), Log: s.log}
	if s.acme != nil {
		web.Token = s.acme.Token
	}
	return map[string]daemon{
		"http":       httpd.New(web),
		"smtp":       smtp(smtpd.MX),
		"submission": smtp(smtpd.Submission),
		"lmtp":       smtp(smtpd.LMTP),
		"pop3": pop3d.New(pop3d.Options{
			Hostname: host, Store: s.store, Auth: authn, TLS: s.tls("pop3"), Log: s.log, Version: version(),
		}),
		"imap": imapd.New(imapd.Options{
			Hostname: host, Store: s.store, Index: s.index, Auth: authn, TLS: s.tls("imap"), MaxMessageBytes: limit,
			FetchBytes: int64(s.cfg.Limits.FetchCache), SpoolDir: spool, Log: s.log, Version: version(),
		}),
	}
}

// checker is nil if nothing is checked.
func (s *server) checker() *mailauth.Checker {
	k := s.cfg.Checks
	if !k.Enabled || s.cfg.dev {
		return nil
	}
	o := mailauth.Options{Resolver: s.admin.resolver, Sealers: k.TrustedSealers, Timeout: time.Duration(k.Timeout)}
	o.Act, _ = dmarcPolicy(k.Policy)
	o.SPFFail, _ = spfAction(k.SPFFail)
	return mailauth.New(o)
}

func (s *server) authenticator() (*auth.Authenticator, error) {
	cas, err := clientCAs(s.cfg.Auth.ClientCA)
	if err != nil {
		return nil, err
	}
	o := auth.Options{ClientCAs: cas, Store: s.store, PlaintextNetworks: s.cfg.Auth.PlaintextNetworks, Log: s.log}
	if s.cfg.dev {
		o.AnyPassword, o.AutoCreate = true, s.autoCreate
	}
	return auth.New(o), nil
}

// clientCAs reads the authorities of client certificates, nil for none.
func clientCAs(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the authorities of auth.client_ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s of auth.client_ca has no certificate; name a file in PEM", file)
	}
	return pool, nil
}

// autoCreate makes the account that somebody logs in to, and its domain.
func (s *server) autoCreate(ctx context.Context, a mail.Address) (store.Account, error) {
	if _, err := s.store.AddDomain(ctx, a.Domain); err != nil && store.KindOf(err) != store.Exists {
		return store.Account{}, err
	}
	acc, err := s.store.AddAccount(ctx, store.NewAccount{Address: a})
	if err != nil && store.KindOf(err) == store.Exists { // somebody else was faster
		acc, _, err = s.store.Credential(ctx, a)
	}
	return acc, err
}
