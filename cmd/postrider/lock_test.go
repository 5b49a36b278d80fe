package main

import (
	"context"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// redirect leads every connection to one address.
type redirect struct{ addr string }

func (r *redirect) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, r.addr)
}

func TestLockFollowsNoLink(t *testing.T) {
	dir, victim := t.TempDir(), filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(dir, "lock")); err != nil {
		t.Fatal(err)
	}
	if l, err := lockDir(dir); err == nil {
		l.release()
		t.Error("a link was taken for the lock")
	}
	if text, _ := os.ReadFile(victim); string(text) != "precious" {
		t.Errorf("the link's target is now %q", text)
	}
}

func TestSelfSigned(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	now := time.Now()
	serial := func(host string, at time.Time) string {
		t.Helper()
		pair, err := selfSigned(dir, host, at)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(pair.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{host, "localhost", "127.0.0.1"} {
			if err := leaf.VerifyHostname(name); err != nil {
				t.Error(err)
			}
		}
		return leaf.SerialNumber.String()
	}
	first := serial("mail.a.test", now)
	if serial("mail.a.test", now) != first {
		t.Error("a new certificate though the old one is good")
	}
	other := serial("mail.b.test", now)
	if other == first {
		t.Error("the old certificate for a new name")
	}
	if serial("mail.b.test", now.Add(selfSignedFor)) == other {
		t.Error("the old certificate after its time")
	}
	// What a crash may leave: an empty file, or a key without its certificate.
	_, foreignKey, err := makeCertificate("mail.b.test", now)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range [][]byte{nil, foreignKey} {
		if err := os.WriteFile(filepath.Join(dir, "self-signed.key"), key, 0o600); err != nil {
			t.Fatal(err)
		}
		if made := serial("mail.b.test", now); made != serial("mail.b.test", now) {
			t.Error("the certificate made anew does not last")
		}
	}
	var c certificate
	err = c.load(&Config{TLS: TLSConfig{Certificate: "/nowhere", Key: "/nowhere"}})
	if err == nil {
		t.Error("a missing certificate passes")
	}
}

// A certificate that has ended is used, and complained about.
func TestEndedCertificate(t *testing.T) {
	certPEM, keyPEM, err := makeCertificate("mail.a.test", time.Now().Add(-2*selfSignedFor))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cfg := DefaultConfig()
	cfg.TLS = TLSConfig{Certificate: filepath.Join(dir, "crt"), Key: filepath.Join(dir, "key")}
	for path, text := range map[string][]byte{cfg.TLS.Certificate: certPEM, cfg.TLS.Key: keyPEM} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	s := &server{cfg: cfg}
	s.log, s.level = newLog(cfg, &out)
	if err := s.loadCertificate(cfg); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "it has ended") {
		t.Errorf("the log says %q", out.String())
	}
}
