package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"postrider/internal/maillog"
)

const (
	selfSignedFor   = 10 * 365 * 24 * time.Hour
	selfSignedRenew = 30 * 24 * time.Hour // before it ends
)

// certificate is the server's certificate, which SIGHUP replaces.
type certificate struct {
	now   atomic.Pointer[tls.Certificate]
	named atomic.Pointer[map[string]*tls.Certificate] // by the name that a client asks for
	mu    sync.Mutex                                  // of who changes named
	// challenge answers tls-alpn-01; nil where nobody asks.
	challenge func(*tls.ClientHelloInfo) *tls.Certificate
}

// acmeProto is the protocol of a tls-alpn-01 challenge (RFC 8737 §3).
const acmeProto = "acme-tls/1"

// config is the basis of what a service offers. With the protocol's name as
// the only one, a client of another protocol that was sent here does not get
// through the handshake (RFC 7301 §3.2).
func (c *certificate) config(alpn string) *tls.Config {
	t := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{alpn}, GetCertificate: c.find}
	if c.challenge != nil && alpn == httpProto {
		t.NextProtos = append(t.NextProtos, acmeProto)
	}
	return t
}

// load reads the configured certificate, or the self-signed one, which it
// makes if there is none that fits.
func (c *certificate) load(cfg *Config) error {
	if cfg.TLS.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(cfg.TLS.Certificate, cfg.TLS.Key)
		if err != nil {
			return fmt.Errorf("cannot use the certificate %s with the key %s: %w; name two PEM files in [tls] that the server's user can read, or none",
				cfg.TLS.Certificate, cfg.TLS.Key, err)
		}
		c.now.Store(&pair)
		return nil
	}
	if m := c.named.Load(); m != nil && (*m)[cfg.hostname()] != nil {
		return nil // an authority's
	}
	pair, err := selfSigned(filepath.Join(cfg.DataDir, "tls"), cfg.hostname(), time.Now())
	if err != nil {
		return fmt.Errorf("cannot make a self-signed certificate: %w", err)
	}
	c.now.Store(pair)
	return nil
}

// loadCertificate takes over what cfg says. A certificate that has ended is
// better than none: servers send mail all the same.
func (s *server) loadCertificate(cfg *Config) error {
	if err := s.cert.load(cfg); err != nil {
		return err
	}
	if end := s.cert.now.Load().Leaf.NotAfter; time.Now().After(end) {
		s.log.Warn(maillog.Warning, "doing", "certificate", "what", "it has ended, and mail programs refuse it; renew it, then send SIGHUP", "ended", end)
	}
	return nil
}

// selfSigned returns the certificate kept in dir, or a new one if there is
// none for this host that lasts.
func selfSigned(dir, host string, now time.Time) (*tls.Certificate, error) {
	certFile, keyFile := filepath.Join(dir, "self-signed.crt"), filepath.Join(dir, "self-signed.key")
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	var unreadable *fs.PathError
	switch {
	case err == nil && pair.Leaf.VerifyHostname(host) == nil && now.Add(selfSignedRenew).Before(pair.Leaf.NotAfter):
		return &pair, nil
	case errors.As(err, &unreadable) && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	// What is there and does not fit, such as the halves of two pairs after a
	// crash between the two files, nobody misses.
	certPEM, keyPEM, err := makeCertificate(host, now)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := writeFile(keyFile, keyPEM); err != nil {
		return nil, err
	}
	if err := writeFile(certFile, certPEM); err != nil {
		return nil, err
	}
	pair, err = tls.X509KeyPair(certPEM, keyPEM)
	return &pair, err
}

func makeCertificate(host string, now time.Time) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	x := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: host},
		DNSNames:     []string{host, "localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore:    now.Add(-time.Hour), // clocks differ
		NotAfter:     now.Add(selfSignedFor),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, x, x, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), nil
}

// writeFile puts a whole file in place of what was there, for its owner's eyes
// only.
func writeFile(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Sync() // or a loss of power may leave the name and an empty file
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}
