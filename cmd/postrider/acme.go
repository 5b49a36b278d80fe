package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"postrider/internal/certs"
	"postrider/internal/maillog"
	"postrider/store"
)

// acmeTime bounds one request to the authority.
const acmeTime = 30 * time.Second

// openACME makes what gets certificates, if an authority is configured, and
// takes those into use that there are.
func (s *server) openACME() error {
	a := s.cfg.ACME
	if a.Directory == "" {
		return nil
	}
	t := http.DefaultTransport.(*http.Transport).Clone() // the operator's own choice, and so is a proxy
	if a.Roots != "" {
		b, err := os.ReadFile(a.Roots)
		if err != nil {
			return fmt.Errorf("cannot read the authority's roots: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(b) {
			return fmt.Errorf("cannot use %s: there is no certificate in it", a.Roots)
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	key, _ := a.key()
	host := s.cfg.hostname()
	s.acme = certs.New(certs.Options{
		Directory: a.Directory, Contact: a.Contact, KeyID: a.KeyID, Key: key, Challenge: a.Challenge,
		DNS: &certs.Updater{Server: a.DNSServer, KeyName: a.DNSKeyName, Algorithm: a.DNSKeyAlgorithm, Secret: a.DNSKey, Wait: time.Duration(a.DNSWait)},
		Dir: filepath.Join(s.cfg.DataDir, "tls", "acme"), HTTP: &http.Client{Transport: t, Timeout: acmeTime}, WriteFile: writeFile,
		Use: func(name string, c *tls.Certificate) { s.cert.use(name, c, name == host) }, Now: time.Now, Log: s.log,
	})
	s.cert.challenge = s.acme.ALPN
	return s.acme.Load(s.certNames(s.cfg)(context.Background())...)
}

// certNames lists what certificates are needed for.
func (s *server) certNames(cfg *Config) func(context.Context) []string {
	return func(ctx context.Context) []string {
		names := append([]string{cfg.hostname()}, cfg.ACME.Names...)
		if cfg.MTASTS.Mode != "" {
			domains, err := s.store.Domains(ctx)
			if err != nil && ctx.Err() == nil {
				s.log.Error(maillog.Failed, "doing", "certificates", "err", err)
			}
			for _, d := range domains {
				names = append(names, "mta-sts."+d.Name)
			}
		}
		return names
	}
}

// startACME gets and renews certificates in the background. A new domain is
// served at once.
func (s *server) startACME() {
	if s.acme == nil {
		return
	}
	wake, names := make(chan struct{}, 1), s.certNames(s.cfg)
	s.background(func(ctx context.Context) { s.acme.Run(ctx, names, wake) })
	s.background(func(ctx context.Context) {
		sub := s.store.Feed().Subscribe(1, func(c store.Change) bool { return c.Kind == store.DirectoryChanged })
		defer sub.Close()
		for {
			select {
			case <-ctx.Done():
				return
			case _, open := <-sub.C():
				if !open { // too many at once
					sub = s.store.Feed().Subscribe(1, func(c store.Change) bool { return c.Kind == store.DirectoryChanged })
				}
			}
			select {
			case wake <- struct{}{}:
			default:
			}
		}
	})
}

// use takes a certificate for one name into use, for the others too if it is
// the host's own. Sessions under way keep theirs.
func (c *certificate) use(name string, cert *tls.Certificate, host bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := map[string]*tls.Certificate{}
	if old := c.named.Load(); old != nil {
		next = maps.Clone(*old)
	}
	next[name] = cert
	c.named.Store(&next)
	if host {
		c.now.Store(cert)
	}
}

// errNoName refuses a handshake for a challenge that nobody asked for.
var errNoName = errors.New("no certificate for this challenge")

// find is the certificate for a handshake.
func (c *certificate) find(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if len(hello.SupportedProtos) == 1 && slices.Contains(hello.SupportedProtos, acmeProto) {
		if c.challenge != nil {
			if cert := c.challenge(hello); cert != nil {
				return cert, nil
			}
		}
		return nil, errNoName
	}
	if m := c.named.Load(); m != nil {
		if cert := (*m)[canonicalHost(hello.ServerName)]; cert != nil {
			return cert, nil
		}
	}
	return c.now.Load(), nil
}
