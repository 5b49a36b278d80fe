package main

import (
	"bufio"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/internal/certs/certstest"
	"postrider/internal/lab"
	"postrider/internal/labdns"
)

// TestCertificates runs a server that gets its certificates from an authority
// while a session is under way, and tells MTA-STS policies, also of a domain
// that comes later.
func TestCertificates(t *testing.T) {
	d, err := labdns.Start("127.0.0.1:0", strings.NewReader("$TTL 60\n"+
		"a.test. SOA ns.a.test. h.a.test. 1 1 1 1 1\nmail.a.test. A 127.0.0.1\nmta-sts.a.test. A 127.0.0.1\n"+
		"later.test. SOA ns.a.test. h.a.test. 1 1 1 1 1\nmta-sts.later.test. A 127.0.0.1\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	port, err := lab.FreePort("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	directory, _, root := certstest.Authority(t, d.Addr(), port, 1, false)
	c := siteConfig(t)
	roots := filepath.Join(c.Dir, "authority.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Extra = fmt.Sprintf("[http]\nlisten = [\"127.0.0.1:%d\"]\nlisten_tls = [\"127.0.0.1:0\"]\n[mta_sts]\nmode = \"enforce\"\n"+
		"[acme]\ndirectory = %q\nroots = %q\n", port, directory, roots)
	s := startSite(t, c)

	// This session begins by whatever certificate there is.
	old, err := tls.Dial("tcp", s.Addr["imap-tls"], &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	lines := bufio.NewReader(old)
	if l, err := lines.ReadString('\n'); err != nil {
		t.Fatalf("%q, %v", l, err)
	}
	issuer := func(service, name string) string {
		conn, err := tls.Dial("tcp", s.Addr[service], &tls.Config{InsecureSkipVerify: true, ServerName: name})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		leaf := conn.ConnectionState().PeerCertificates[0]
		if leaf.VerifyHostname(name) != nil {
			return "of another name"
		}
		return leaf.Issuer.CommonName
	}
	await := func(service, name string) {
		t.Helper()
		for end := time.Now().Add(patience); !strings.HasPrefix(issuer(service, name), "Pebble"); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("no certificate for %s at %s: %s\n%s", name, service, issuer(service, name), s.LogTail())
			}
		}
	}
	await("imap-tls", "mail.a.test")
	await("pop3-tls", "mail.a.test")
	await("http-tls", "mta-sts.a.test")
	if _, err := s.Run(t.Context(), "", "domain", "add", "later.test"); err != nil {
		t.Fatal(err)
	}
	await("http-tls", "mta-sts.later.test")
	for domain, want := range map[string]string{"a.test": "200 OK version: STSv1 mode: enforce mx: mail.a.test max_age: 604800", "other.test": "404 Not Found not found"} {
		conn, err := tls.Dial("tcp", s.Addr["http-tls"], &tls.Config{InsecureSkipVerify: true, ServerName: "mta-sts." + domain})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: mta-sts.%s\r\nConnection: close\r\n\r\n", domain)
		r, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(r.Body)
		if got := r.Status + " " + strings.Join(strings.Fields(string(b)), " "); got != want {
			t.Errorf("%s: %q, want %q", domain, got, want)
		}
		conn.Close()
	}
	fmt.Fprintf(old, "a NOOP\r\n")
	if l, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(l, "a OK") {
		t.Errorf("the session that was under way: %q, %v", l, err)
	}
	if info, err := os.Stat(filepath.Join(c.DataDir(), "tls", "acme", "mail.a.test.pem")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
