package certs

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"

	"postrider/internal/maillog"
)

// Limits of getting certificates.
const (
	orderTime  = 5 * time.Minute // for one certificate
	lookEvery  = time.Hour       // how often it is seen what is due
	firstRetry = 5 * time.Minute // after a failure, doubled each time
	maxRetry   = 12 * time.Hour
	maxTokens  = 100 // challenges at once
)

// Options are what New needs.
type Options struct {
	Directory string // URL of the authority
	Contact   string // an address, or empty
	// KeyID and Key bind the account to another one at the authority (RFC 8555
	// §7.3.4), if it demands that.
	KeyID     string
	Key       []byte
	Challenge string // "http-01", "tls-alpn-01" or "dns-01"
	DNS       *Updater
	Dir       string // where keys and certificates are kept
	HTTP      *http.Client
	// WriteFile puts a whole file in place, for its owner's eyes only.
	WriteFile func(path string, data []byte) error
	// Use is told of each certificate as soon as there is one.
	Use func(name string, c *tls.Certificate)
	Now func() time.Time
	Log *slog.Logger
}

// Manager gets certificates and answers the authority's challenges.
type Manager struct {
	o Options

	mu     sync.Mutex
	tokens map[string]string           // http-01: answers by path
	alpn   map[string]*tls.Certificate // tls-alpn-01: by name
	have   map[string]*tls.Certificate
	failed map[string]retry
	client *acme.Client // nil until there is an account
}

type retry struct {
	at   time.Time
	wait time.Duration
}

// New makes a manager.
func New(o Options) *Manager {
	return &Manager{o: o, tokens: map[string]string{}, alpn: map[string]*tls.Certificate{}, have: map[string]*tls.Certificate{}, failed: map[string]retry{}}
}

// Load reads the certificates that are kept for names, whatever their age:
// one that has ended is better than none.
func (m *Manager) Load(names ...string) error {
	for _, n := range names {
		c, err := m.read(n)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		default:
			m.keep(n, c)
		}
	}
	return nil
}

func (m *Manager) file(name string) string { return filepath.Join(m.o.Dir, name+".pem") }

// read reads a file of key and chain.
func (m *Manager) read(name string) (*tls.Certificate, error) {
	b, err := os.ReadFile(m.file(name))
	if err != nil {
		return nil, err
	}
	c, err := tls.X509KeyPair(b, b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.file(name), err)
	}
	return &c, nil
}

func (m *Manager) keep(name string, c *tls.Certificate) {
	m.mu.Lock()
	m.have[name] = c
	delete(m.failed, name)
	m.mu.Unlock()
	m.o.Use(name, c)
}

// Run gets and renews certificates for names until ctx ends. It looks again
// every hour, and when somebody wakes it.
func (m *Manager) Run(ctx context.Context, names func(context.Context) []string, wake <-chan struct{}) {
	for ctx.Err() == nil {
		next := lookEvery
		for _, n := range names(ctx) {
			if wait := m.look(ctx, n); wait > 0 {
				next = min(next, wait)
			}
		}
		t := time.NewTimer(next)
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-wake:
		}
		t.Stop()
	}
}

// look gets a certificate if one is due, and tells when to look again; 0 if it
// need not be soon.
func (m *Manager) look(ctx context.Context, name string) time.Duration {
	now := m.o.Now()
	m.mu.Lock()
	c, f := m.have[name], m.failed[name]
	m.mu.Unlock()
	if !isDue(c, now) {
		return 0
	}
	if now.Before(f.at) {
		return f.at.Sub(now)
	}
	octx, cancel := context.WithTimeout(ctx, orderTime)
	defer cancel()
	fresh, err := m.get(octx, name)
	if err == nil {
		m.o.Log.Info(maillog.Account, "change", "certificate", "name", name, "until", fresh.Leaf.NotAfter)
		m.keep(name, fresh)
		return 0
	}
	if ctx.Err() != nil {
		return 0
	}
	f.wait = min(max(2*f.wait, firstRetry), maxRetry)
	f.at = now.Add(f.wait)
	m.mu.Lock()
	m.failed[name] = f
	m.mu.Unlock()
	m.o.Log.Error(maillog.Failed, "doing", "certificate", "name", name, "err", err, "next", f.at)
	return f.wait
}

// isDue tells whether two thirds of a certificate's time are over.
func isDue(c *tls.Certificate, now time.Time) bool {
	if c == nil {
		return true
	}
	life := c.Leaf.NotAfter.Sub(c.Leaf.NotBefore)
	return now.After(c.Leaf.NotAfter.Add(-life / 3))
}

// account makes the client, and at the first time the account.
func (m *Manager) account(ctx context.Context) (*acme.Client, error) {
	m.mu.Lock()
	c := m.client
	m.mu.Unlock()
	if c != nil {
		return c, nil
	}
	if err := os.MkdirAll(m.o.Dir, 0o700); err != nil {
		return nil, err
	}
	key, err := m.key(filepath.Join(m.o.Dir, "account.key"))
	if err != nil {
		return nil, err
	}
	c = &acme.Client{Key: key, DirectoryURL: m.o.Directory, HTTPClient: m.o.HTTP, UserAgent: "Postrider"}
	a := &acme.Account{}
	if m.o.Contact != "" {
		a.Contact = []string{"mailto:" + m.o.Contact}
	}
	if m.o.KeyID != "" {
		a.ExternalAccountBinding = &acme.ExternalAccountBinding{KID: m.o.KeyID, Key: m.o.Key}
	}
	// Who configures an authority has agreed to its terms.
	if _, err := c.Register(ctx, a, acme.AcceptTOS); err != nil && !errors.Is(err, acme.ErrAccountAlreadyExists) {
		return nil, fmt.Errorf("account at %s: %w", m.o.Directory, err)
	}
	m.mu.Lock()
	m.client = c
	m.mu.Unlock()
	return c, nil
}

// key reads a key, or makes one.
func (m *Manager) key(path string) (crypto.Signer, error) {
	if b, err := os.ReadFile(path); err == nil {
		return parseKey(b)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	b, err := encodeKey(k)
	if err == nil {
		err = m.o.WriteFile(path, b)
	}
	return k, err
}

func parseKey(b []byte) (crypto.Signer, error) {
	for {
		block, rest := pem.Decode(b)
		if block == nil {
			return nil, errors.New("no key in the file")
		}
		if block.Type == "PRIVATE KEY" {
			k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if s, ok := k.(crypto.Signer); err == nil && ok {
				return s, nil
			}
			return nil, errors.New("a key of an unknown kind")
		}
		b = rest
	}
}

func encodeKey(k crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

// certKey is the key of the name's certificate, or a new one.
func (m *Manager) certKey(name string) (crypto.Signer, error) {
	m.mu.Lock()
	c := m.have[name]
	m.mu.Unlock()
	if c != nil {
		if k, ok := c.PrivateKey.(crypto.Signer); ok {
			return k, nil
		}
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// get gets a certificate for a name (RFC 8555 §7.1).
func (m *Manager) get(ctx context.Context, name string) (*tls.Certificate, error) {
	c, err := m.account(ctx)
	if err != nil {
		return nil, err
	}
	order, err := c.AuthorizeOrder(ctx, acme.DomainIDs(name))
	if err != nil {
		return nil, err
	}
	for _, u := range order.AuthzURLs {
		if err := m.authorize(ctx, c, u); err != nil {
			return nil, err
		}
	}
	if order, err = c.WaitOrder(ctx, order.URI); err != nil {
		return nil, err
	}
	key, err := m.certKey(name)
	if err != nil {
		return nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{name}}, key)
	if err != nil {
		return nil, err
	}
	chain, _, err := c.CreateCertFromOrder(ctx, order, csr, true)
	if err != nil {
		return nil, err
	}
	text, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	for _, der := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	pair, err := tls.X509KeyPair(text, text)
	if err == nil {
		err = pair.Leaf.VerifyHostname(name)
	}
	if err == nil {
		err = m.o.WriteFile(m.file(name), text)
	}
	return &pair, err
}

// authorize proves that a name is ours.
func (m *Manager) authorize(ctx context.Context, c *acme.Client, url string) error {
	z, err := c.GetAuthorization(ctx, url)
	if err != nil || z.Status == acme.StatusValid {
		return err
	}
	for _, ch := range z.Challenges {
		if ch.Type != m.o.Challenge {
			continue
		}
		done, err := m.present(ctx, c, ch, z.Identifier.Value)
		if err != nil {
			return err
		}
		defer done()
		if _, err := c.Accept(ctx, ch); err != nil {
			return err
		}
		_, err = c.WaitAuthorization(ctx, z.URI)
		return err
	}
	return fmt.Errorf("the authority offers no challenge %s for %s", m.o.Challenge, z.Identifier.Value)
}

// present lays out what the authority will look for.
func (m *Manager) present(ctx context.Context, c *acme.Client, ch *acme.Challenge, name string) (done func(), err error) {
	switch ch.Type {
	case "http-01":
		answer, err := c.HTTP01ChallengeResponse(ch.Token)
		path := c.HTTP01ChallengePath(ch.Token)
		m.mu.Lock()
		defer m.mu.Unlock()
		if len(m.tokens) >= maxTokens {
			return nil, errors.New("too many challenges at once")
		}
		m.tokens[path] = answer
		return func() { m.mu.Lock(); delete(m.tokens, path); m.mu.Unlock() }, err
	case "tls-alpn-01":
		cert, err := c.TLSALPN01ChallengeCert(ch.Token, name)
		m.mu.Lock()
		m.alpn[name] = &cert
		m.mu.Unlock()
		return func() { m.mu.Lock(); delete(m.alpn, name); m.mu.Unlock() }, err
	case "dns-01":
		value, err := c.DNS01ChallengeRecord(ch.Token)
		if err == nil {
			err = m.o.DNS.Add(ctx, "_acme-challenge."+name, value)
		}
		return func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dnsTime)
			defer cancel()
			if err := m.o.DNS.Remove(ctx, "_acme-challenge."+name, value); err != nil {
				m.o.Log.Warn(maillog.Warning, "doing", "remove challenge", "name", name, "err", err)
			}
		}, err
	}
	return nil, fmt.Errorf("unknown challenge %q", ch.Type)
}

// Token answers an http-01 challenge (RFC 8555 §8.3).
func (m *Manager) Token(path string) (answer string, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	answer, ok = m.tokens[path]
	return answer, ok
}

// ALPN answers a tls-alpn-01 challenge (RFC 8737); nil if hello is none, or of
// a name that nobody asked for.
func (m *Manager) ALPN(hello *tls.ClientHelloInfo) *tls.Certificate {
	if len(hello.SupportedProtos) != 1 || hello.SupportedProtos[0] != acme.ALPNProto {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.alpn[strings.ToLower(hello.ServerName)]
}
