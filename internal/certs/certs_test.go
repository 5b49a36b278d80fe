package certs

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"postrider/internal/certs/certstest"
	"postrider/internal/labdns"
)

// rig is a manager with an authority of the test's own.
type rig struct {
	*Manager
	mu   sync.Mutex
	now  time.Time
	used []*tls.Certificate
	told chan struct{}
}

func newRig(t *testing.T, o Options) *rig {
	t.Helper()
	r := &rig{now: time.Now(), told: make(chan struct{}, 10)}
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "acme")
	}
	o.WriteFile = func(path string, data []byte) error { return os.WriteFile(path, data, 0o600) }
	o.Log = slog.New(slog.DiscardHandler)
	o.Now = func() time.Time { r.mu.Lock(); defer r.mu.Unlock(); return r.now }
	o.Use = func(_ string, c *tls.Certificate) {
		r.mu.Lock()
		r.used = append(r.used, c)
		r.mu.Unlock()
		r.told <- struct{}{}
	}
	r.Manager = New(o)
	return r
}

func zone(t *testing.T) string {
	t.Helper()
	d, err := labdns.Start("127.0.0.1:0", strings.NewReader("$TTL 60\na.test. SOA ns.a.test. h.a.test. 1 1 1 1 1\nmail.a.test. A 127.0.0.1\nmta-sts.a.test. A 127.0.0.1\n"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d.Addr()
}

func port(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

// answering serves http-01 challenges for whatever manager is set.
func answering(t *testing.T, token func(string) (string, bool)) net.Listener {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a, ok := token(r.URL.Path); ok {
			io.WriteString(w, a)
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(s.Close)
	return s.Listener
}

func TestHTTP01(t *testing.T) {
	var r *rig
	l := answering(t, func(p string) (string, bool) { return r.Token(p) })
	dir, client, _ := certstest.Authority(t, zone(t), port(l), 1, false)
	r = newRig(t, Options{Directory: dir, HTTP: client, Challenge: "http-01", Contact: "postmaster@a.test"})
	ctx := t.Context()
	if wait := r.look(ctx, "mail.a.test"); wait != 0 {
		t.Fatalf("wait %v", wait)
	}
	first := r.used[0]
	if err := first.Leaf.VerifyHostname("mail.a.test"); err != nil || len(first.Certificate) < 2 || len(r.tokens) != 0 {
		t.Errorf("%v, %d certificates, tokens %v", err, len(first.Certificate), r.tokens)
	}
	for _, f := range []string{"account.key", "mail.a.test.pem"} {
		if info, err := os.Stat(filepath.Join(r.o.Dir, f)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f, info, err)
		}
	}
	if r.look(ctx, "mail.a.test"); len(r.used) != 1 {
		t.Error("renewed too soon")
	}
	// Two thirds later it is renewed, by the same key.
	r.now = first.Leaf.NotBefore.Add(61 * 24 * time.Hour)
	r.look(ctx, "mail.a.test")
	if len(r.used) != 2 {
		t.Fatal("not renewed")
	}
	second := r.used[1]
	if !second.PrivateKey.(*ecdsa.PrivateKey).Equal(first.PrivateKey) || bytes.Equal(second.Certificate[0], first.Certificate[0]) {
		t.Error("the key is another, or the certificate the same")
	}
	// Another life begins with what was kept, and the same account.
	again := newRig(t, Options{Directory: dir, HTTP: client, Challenge: "http-01", Dir: r.o.Dir})
	if err := again.Load("mail.a.test", "mta-sts.a.test"); err != nil || len(again.used) != 1 || !bytes.Equal(again.used[0].Certificate[0], second.Certificate[0]) {
		t.Errorf("%v, %d loaded", err, len(again.used))
	}
	r = again
	if again.look(ctx, "mta-sts.a.test"); len(again.used) != 2 {
		t.Error("no second certificate")
	}
}

func TestALPN01(t *testing.T) {
	var r *rig
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{NextProtos: []string{"http/1.1", "acme-tls/1"},
		GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if c := r.ALPN(h); c != nil {
				return c, nil
			}
			return nil, errors.New("no certificate")
		}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			c.(*tls.Conn).Handshake()
			c.Close()
		}
	}()
	dir, client, _ := certstest.Authority(t, zone(t), 1, port(l), false)
	r = newRig(t, Options{Directory: dir, HTTP: client, Challenge: "tls-alpn-01"})
	if r.look(t.Context(), "mail.a.test"); len(r.used) != 1 {
		t.Fatal("no certificate")
	}
	if c := r.ALPN(&tls.ClientHelloInfo{ServerName: "mail.a.test", SupportedProtos: []string{"acme-tls/1"}}); c != nil {
		t.Error("the challenge is still answered")
	}
}

// primary is a name server that takes updates with a TSIG signature.
type primary struct {
	mu      sync.Mutex
	txt     map[string][]string
	added   int
	removed int
}

const secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0ISE="

func (p *primary) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := new(dns.Msg)
	m.SetReply(q)
	name := strings.ToLower(q.Question[0].Name)
	soa, _ := dns.NewRR("a.test. 60 SOA ns.a.test. h.a.test. 1 1 1 1 1")
	switch {
	case q.Opcode == dns.OpcodeUpdate && (q.IsTsig() == nil || w.TsigStatus() != nil):
		m.Rcode = dns.RcodeNotAuth
	case q.Opcode == dns.OpcodeUpdate && name == "a.test.":
		for _, rr := range q.Ns {
			txt := rr.(*dns.TXT)
			if rr.Header().Class == dns.ClassINET {
				p.txt[rr.Header().Name] = append(p.txt[rr.Header().Name], txt.Txt[0])
				p.added++
			} else {
				delete(p.txt, rr.Header().Name)
				p.removed++
			}
		}
	case q.Opcode == dns.OpcodeUpdate:
		m.Rcode = dns.RcodeNotZone
	case q.Question[0].Qtype == dns.TypeTXT:
		for _, v := range p.txt[name] {
			m.Answer = append(m.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{v}})
		}
	default:
		m.Ns = []dns.RR{soa}
	}
	if tsig := q.IsTsig(); tsig != nil && w.TsigStatus() == nil {
		m.SetTsig(tsig.Hdr.Name, tsig.Algorithm, 300, time.Now().Unix())
	}
	w.WriteMsg(m)
}

func startPrimary(t *testing.T) (*primary, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &primary{txt: map[string][]string{}}
	var begun sync.WaitGroup
	begun.Add(1)
	s := &dns.Server{Listener: l, Handler: p, TsigSecret: map[string]string{"acme.a.test.": secret}, NotifyStartedFunc: begun.Done,
		MsgAcceptFunc: func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept }}
	go s.ActivateAndServe()
	begun.Wait()
	t.Cleanup(func() { s.Shutdown() })
	return p, l.Addr().String()
}

func TestDNS01(t *testing.T) {
	p, addr := startPrimary(t)
	dir, client, _ := certstest.Authority(t, addr, 1, 1, false)
	u := &Updater{Server: addr, KeyName: "acme.a.test", Algorithm: "hmac-sha256", Secret: secret}
	r := newRig(t, Options{Directory: dir, HTTP: client, Challenge: "dns-01", DNS: u})
	if r.look(t.Context(), "mail.a.test"); len(r.used) != 1 {
		t.Fatal("no certificate")
	}
	if p.added != 1 || p.removed != 1 || len(p.txt) != 0 {
		t.Errorf("%d added, %d removed, left %v", p.added, p.removed, p.txt)
	}
	for name, bad := range map[string]*Updater{
		"NOTAUTH": {Server: addr},
		"bad":     {Server: addr, KeyName: "acme.a.test", Algorithm: "hmac-sha256", Secret: base64.StdEncoding.EncodeToString([]byte("another secret"))},
		"refused": {Server: "127.0.0.1:1", KeyName: "acme.a.test", Algorithm: "hmac-sha256", Secret: secret},
	} {
		if err := bad.Add(t.Context(), "_acme-challenge.mail.a.test", "x"); err == nil {
			t.Errorf("%s: no error", name)
		} else if p.added != 1 {
			t.Errorf("%s: the zone was changed", name)
		}
	}
}

func TestExternalAccount(t *testing.T) {
	var r *rig
	l := answering(t, func(p string) (string, bool) { return r.Token(p) })
	dir, client, _ := certstest.Authority(t, zone(t), port(l), 1, true)
	r = newRig(t, Options{Directory: dir, HTTP: client, Challenge: "http-01"})
	if wait := r.look(t.Context(), "mail.a.test"); wait == 0 || len(r.used) != 0 {
		t.Errorf("without the other account: %v, %d", wait, len(r.used))
	}
	r = newRig(t, Options{Directory: dir, HTTP: client, Challenge: "http-01", KeyID: "kid-1", Key: []byte(strings.Repeat("k", 32))})
	if r.look(t.Context(), "mail.a.test"); len(r.used) != 1 {
		t.Error("no certificate")
	}
}

// TestFailure: what fails is tried ever more slowly, and a certificate that
// is there stays in use.
func TestFailure(t *testing.T) {
	dir, client, _ := certstest.Authority(t, zone(t), 1, 1, false) // where nobody answers
	r := newRig(t, Options{Directory: dir, HTTP: client, Challenge: "http-01"})
	if wait := r.look(t.Context(), "mail.a.test"); wait != firstRetry || len(r.used) != 0 {
		t.Fatalf("wait %v, %d", wait, len(r.used))
	}
	r.now = r.now.Add(time.Minute)
	if wait := r.look(t.Context(), "mail.a.test"); wait != firstRetry-time.Minute {
		t.Errorf("tried again too soon: wait %v", wait)
	}
	r.now = r.now.Add(firstRetry)
	if wait := r.look(t.Context(), "mail.a.test"); wait != 2*firstRetry {
		t.Errorf("second time: wait %v", wait)
	}
}

// TestRun gets what is due when it is woken.
func TestRun(t *testing.T) {
	var r *rig
	l := answering(t, func(p string) (string, bool) { return r.Token(p) })
	dir, client, _ := certstest.Authority(t, zone(t), port(l), 1, false)
	r = newRig(t, Options{Directory: dir, HTTP: client, Challenge: "http-01"})
	ctx, cancel := context.WithCancel(t.Context())
	wake, done := make(chan struct{}), make(chan struct{})
	var mu sync.Mutex
	names := []string{"mail.a.test"}
	go func() {
		defer close(done)
		r.Run(ctx, func(context.Context) []string { mu.Lock(); defer mu.Unlock(); return names }, wake)
	}()
	<-r.told
	mu.Lock()
	names = append(names, "mta-sts.a.test")
	mu.Unlock()
	wake <- struct{}{}
	<-r.told
	cancel()
	<-done
	if len(r.used) != 2 {
		t.Errorf("%d certificates", len(r.used))
	}
}
