package main

import (
	"context"
	"crypto/tls"
	"net"

	"postrider/auth"
	"postrider/imapd"
	"postrider/mail"
	"postrider/pop3d"
	"postrider/smtpd"
	"postrider/store"
)

// daemon serves one kind of connection.
type daemon interface {
	Serve(ctx context.Context, c net.Conn)
	Refuse(c net.Conn)
}

// tls is what a service offers; the name in ALPN is the registered one, which
// is SMTP's own for submission too.
func (s *server) tls(service string) *tls.Config {
	if service == "submission" || service == "lmtp" {
		service = "smtp"
	}
	return s.cert.config(service)
}

// daemons makes the daemons, by the name of their service.
func (s *server) daemons(authn *auth.Authenticator) map[string]daemon {
	host, limit, spool := s.cfg.hostname(), int64(s.cfg.Limits.MessageBytes), s.admin.spoolDir
	smtp := func(mode smtpd.Mode) daemon {
		return smtpd.New(smtpd.Options{
			Mode: mode, Hostname: host, Deliver: s.admin.deliver, Auth: authn, TLS: s.tls("smtp"),
			MaxMessageBytes: limit, MaxRcpts: s.cfg.Limits.Recipients, SpoolDir: spool, Log: s.log,
		})
	}
	return map[string]daemon{
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

func (s *server) authenticator() *auth.Authenticator {
	o := auth.Options{Store: s.store, PlaintextNetworks: s.cfg.Auth.PlaintextNetworks, Log: s.log}
	if s.cfg.dev {
		o.AnyPassword, o.AutoCreate = true, s.autoCreate
	}
	return auth.New(o)
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
