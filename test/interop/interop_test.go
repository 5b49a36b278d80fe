package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/internal/lab"
	"postrider/internal/labdns"
)

const (
	dnsHost = "127.0.0.53"
	webHost = "127.0.0.44"
	ourHost = "127.0.1.1"

	postfixHost, eximHost, openSMTPDHost = "127.0.1.2", "127.0.1.3", "127.0.1.4"

	password = "correct horse"
)

// authority is the one that all certificates are from.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "interop authority"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{key, cert}
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// issue writes tls.pem, tls.key and ca.pem into a directory and returns the
// TLSA record that names the key.
func (a *authority) issue(t *testing.T, in string, names ...string) (tlsa string) {
	t.Helper()
	// RSA, since Debian's OpenSMTPD 6.8 with OpenSSL 3 cannot sign with an EC key.
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	os.MkdirAll(in, 0o755)
	for name, text := range map[string][]byte{
		"tls.pem": append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), a.pem()...),
		"tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
		"ca.pem":  a.pem(),
	} {
		if err := os.WriteFile(filepath.Join(in, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("3 1 1 %x", sha256.Sum256(cert.RawSubjectPublicKeyInfo))
}

// wrong is a TLSA record that no key fits.
var wrong = fmt.Sprintf("3 1 1 %064x", 7)

// zones is the DNS of all: every host has a double, wrong.NAME.test, whose TLSA
// record is another's and which bad-NAME.test names as its host. Only the zone
// sts-NAME.test is not signed: it has MTA-STS instead, and sts-bad-NAME.test a
// policy that names somebody else.
func zones(hosts map[string]string, tlsa map[string]string) string {
	var b strings.Builder
	b.WriteString("$TTL 60\ntest. SOA ns.p.test. h.p.test. 1 1 1 1 1\n127.in-addr.arpa. SOA ns.p.test. h.p.test. 1 1 1 1 1\n")
	b.WriteString("spoofed.test. SOA ns.p.test. h.p.test. 1 1 1 1 1\nspoofed.test. TXT \"v=spf1 ip4:192.0.2.1 -all\"\n_dmarc.spoofed.test. TXT \"v=DMARC1; p=reject\"\nspoofed.test. MX 10 mail.p.test.\n")
	for name, host := range hosts {
		octets := strings.Split(host, ".")
		fmt.Fprintf(&b, "%s.%s.%s.127.in-addr.arpa. PTR mail.%s.test.\n", octets[3], octets[2], octets[1], name)
		for _, z := range []string{name, "bad-" + name, "sts-" + name, "sts-bad-" + name} {
			fmt.Fprintf(&b, "%s.test. SOA ns.p.test. h.p.test. 1 1 1 1 1\n", z)
		}
		// A zone that is not signed, and so a host from which nothing is demanded.
		fmt.Fprintf(&b, "sts-none-%[1]s.test. SOA ns.p.test. h.p.test. 1 1 1 1 1\nsts-none-%[1]s.test. MX 10 mail.%[1]s.test.\n", name)
		fmt.Fprintf(&b, "%[1]s.test. MX 10 mail.%[1]s.test.\n%[1]s.test. TXT \"v=spf1 ip4:%[2]s -all\"\n_dmarc.%[1]s.test. TXT \"v=DMARC1; p=reject\"\n", name, host)
		fmt.Fprintf(&b, "mail.%[1]s.test. A %[2]s\n_25._tcp.mail.%[1]s.test. TLSA %[3]s\n", name, host, tlsa[name])
		fmt.Fprintf(&b, "wrong.%[1]s.test. A %[2]s\n_25._tcp.wrong.%[1]s.test. TLSA %[3]s\n", name, host, wrong)
		fmt.Fprintf(&b, "bad-%[1]s.test. MX 10 wrong.%[1]s.test.\n", name)
		for _, z := range []string{"sts-" + name, "sts-bad-" + name} {
			fmt.Fprintf(&b, "%[1]s.test. MX 10 mail.%[2]s.test.\n_mta-sts.%[1]s.test. TXT \"v=STSv1; id=1;\"\nmta-sts.%[1]s.test. A %[3]s\n", z, name, webHost)
		}
	}
	return b.String()
}

// serveDNS starts the DNS, signed but for the zones that have MTA-STS.
func serveDNS(t *testing.T, text string) *labdns.Server {
	t.Helper()
	d, err := labdns.Start(dnsHost+":53", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) > 1 && f[1] == "SOA" && !strings.HasPrefix(f[0], "sts-") {
			d.SetSigned(f[0])
		}
	}
	return d
}

// servePolicies serves the MTA-STS policies.
func servePolicies(t *testing.T, ca *authority, names []string) {
	t.Helper()
	var hosts []string
	for _, n := range names {
		hosts = append(hosts, "mta-sts.sts-"+n+".test", "mta-sts.sts-bad-"+n+".test")
	}
	in := filepath.Join(dir, "web")
	ca.issue(t, in, hosts...)
	pair, err := tls.LoadX509KeyPair(filepath.Join(in, "tls.pem"), filepath.Join(in, "tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", webHost+":443", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mx := "elsewhere.test"
		if name, ok := strings.CutPrefix(r.Host, "mta-sts.sts-"); ok && !strings.HasPrefix(name, "bad-") {
			mx = "mail." + name
		}
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintf(w, "version: STSv1\r\nmode: enforce\r\nmx: %s\r\nmax_age: 86400\r\n", mx)
	})}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
}

// ourSite starts Postrider.
func ourSite(t *testing.T) *lab.Site {
	t.Helper()
	in := filepath.Join(dir, "p")
	t.Setenv("POSTRIDER_QUEUE_PRIVATE_NETWORKS", "127.0.0.0/8")
	t.Setenv("SSL_CERT_FILE", filepath.Join(in, "ca.pem"))
	s, err := lab.Start(t.Context(), lab.Config{
		Binary: binary, Dir: in, Host: ourHost, Hostname: "mail.p.test", Domain: "p.test", SMTPPort: 25, Resolver: dnsHost + ":53", Port: 25,
		Accounts: []lab.Account{{Address: "bob@p.test", Password: password}},
		// Peers on loopback are checked like others; only the test itself is not.
		Extra: fmt.Sprintf("[checks]\nexempt_networks = [\"127.0.0.1/32\"]\n[tls]\ncertificate = %q\nkey = %q\n[auth]\nplaintext_networks = [\"127.0.0.0/8\"]\n",
			filepath.Join(in, "tls.pem"), filepath.Join(in, "tls.key")),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Errorf("Postrider ended with %v\n%s", err, s.LogTail())
		}
		if t.Failed() {
			t.Logf("Postrider logged:\n%s", s.LogTail())
		}
	})
	return s
}

// send hands a message over by SMTP and returns the reply to it.
func send(t *testing.T, addr string, auth smtp.Auth, from, to, subject string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(patience))
	c, err := smtp.NewClient(conn, "peer")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Hello("localhost"); err != nil {
		t.Fatal(err)
	}
	if auth != nil {
		if err := c.Auth(auth); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Mail(from); err != nil {
		t.Fatal(err)
	}
	if err := c.Rcpt(to); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%d@%s>\r\n\r\nHello.\r\n.A line with a dot.\r\n",
		from, to, subject, time.Now().Format(time.RFC1123Z), time.Now().UnixNano(), from[strings.Index(from, "@")+1:])
	w, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, text)
	err = w.Close()
	if e, ok := err.(*textproto.Error); ok {
		return e.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	c.Quit()
	return "250"
}

// plain is AUTH PLAIN over loopback, which net/smtp would refuse.
type plain struct{ user, password string }

func (p plain) Start(*smtp.ServerInfo) (string, []byte, error) {
	return "PLAIN", []byte("\x00" + p.user + "\x00" + p.password), nil
}
func (plain) Next([]byte, bool) ([]byte, error) { return nil, nil }

// keys are the DKIM records of p.test, as the server prints them.
func keys(t *testing.T, s *lab.Site) string {
	t.Helper()
	out, err := s.Run(t.Context(), "", "domain", "dns", "--offline", "p.test")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	ours := false // a long record goes over several lines
	for line := range strings.Lines(out) {
		if line[0] != '\t' {
			ours = strings.Contains(line, "._domainkey.p.test. ")
		}
		if ours {
			b.WriteString(line)
		}
	}
	if strings.Count(b.String(), "_domainkey") != 2 {
		t.Fatalf("domain dns prints\n%s", out)
	}
	return b.String()
}

// submit sends from bob@p.test.
func submit(t *testing.T, s *lab.Site, to, subject string) {
	t.Helper()
	if r := send(t, s.Addr["submission"], plain{"bob@p.test", password}, "bob@p.test", to, subject); r != "250" {
		t.Fatalf("submission to %s: %s", to, r)
	}
}

// queued is what the queue says of mail to a destination.
func queued(t *testing.T, s *lab.Site, dest string) string {
	t.Helper()
	out, err := s.Run(t.Context(), "", "queue", "list")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(out) {
		if strings.Contains(line, dest) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// inbox returns the messages of bob@p.test, by POP3.
func inbox(t *testing.T, s *lab.Site) (all []string) {
	t.Helper()
	c, err := textproto.Dial("tcp", s.Addr["pop3"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask := func(format string, args ...any) string {
		if format != "" {
			c.PrintfLine(format, args...)
		}
		l, err := c.ReadLine()
		if err != nil || !strings.HasPrefix(l, "+OK") {
			t.Fatalf("%s: %q, %v", format, l, err)
		}
		return l
	}
	ask("")
	ask("USER bob@p.test")
	ask("PASS " + password)
	var n, size int
	fmt.Sscanf(ask("STAT"), "+OK %d %d", &n, &size)
	for i := range n {
		ask("RETR %d", i+1)
		b, err := io.ReadAll(c.DotReader())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(b))
	}
	ask("QUIT")
	return all
}

// find returns the message with a subject, "" if there is none.
func find(all []string, subject string) string {
	for _, m := range all {
		if strings.Contains(m, "\nSubject: "+subject+"\n") {
			return m
		}
	}
	return ""
}

func TestPeers(t *testing.T) {
	need(t)
	peers := []*peer{postfix(), exim(), openSMTPD()}
	ca := newAuthority(t)
	hosts, tlsa := map[string]string{"p": ourHost}, map[string]string{"p": ca.issue(t, filepath.Join(dir, "p"), "mail.p.test")}
	var names []string
	for _, p := range peers {
		names = append(names, p.name)
		hosts[p.name] = p.host
		tlsa[p.name] = ca.issue(t, filepath.Join(dir, p.name), p.hostname())
	}
	text := zones(hosts, tlsa)
	d := serveDNS(t, text)
	servePolicies(t, ca, names)
	s := ourSite(t)
	if err := d.Load(strings.NewReader(text + keys(t, s))); err != nil {
		t.Fatal(err)
	}
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) {
			p.start(t)
			t.Run("receives", func(t *testing.T) { receives(t, s, p) })
			t.Run("sends", func(t *testing.T) { sends(t, s, p) })
		})
	}
}

// receives sends from Postrider to the peer: by DANE, by MTA-STS, and where
// neither is fulfilled.
func receives(t *testing.T, s *lab.Site, p *peer) {
	submit(t, s, "bob@"+p.domain(), "by DANE")
	submit(t, s, "bob@sts-"+p.domain(), "by MTA-STS")
	submit(t, s, "bob@bad-"+p.domain(), "by a wrong TLSA record")
	submit(t, s, "bob@sts-bad-"+p.domain(), "by a wrong policy")
	submit(t, s, "bob@sts-none-"+p.domain(), "by nothing")
	arrive, stay := []string{"by nothing", "by DANE", "by MTA-STS"}, map[string]string{
		"bad-" + p.domain():     "matches none of the TLSA records",
		"sts-bad-" + p.domain(): "does not name the host",
	}
	if p.deaf {
		// It offers STARTTLS, and no handshake comes about: where TLS is demanded
		// mail waits, elsewhere it goes in clear.
		const failed = "TLS is required here and failed"
		arrive, stay[p.domain()], stay["sts-"+p.domain()], stay["bad-"+p.domain()] = arrive[:1], failed, failed, failed
	}
	for _, subject := range arrive {
		await(t, p.name+" to receive "+subject, func() bool { return strings.Contains(p.received(), "Subject: "+subject+"\n") })
	}
	got := p.received()
	if strings.Count(got, "TLS") < 3 && !p.deaf || !strings.Contains(got, "\n.A line with a dot.\n") {
		t.Errorf("%s received\n%s", p.name, got)
	}
	for dest, want := range stay {
		await(t, "the attempt for "+dest, func() bool { return strings.Contains(queued(t, s, "@"+dest), want) })
	}
	if p.name == "exim" { // which verifies signatures
		await(t, "exim to verify our signature", func() bool { return strings.Contains(p.logged(), "d=p.test") })
		if l := p.logged(); strings.Count(l, "verification succeeded") < 2 || strings.Contains(l, "verification failed") {
			t.Errorf("DKIM by exim:\n%s", l)
		}
	}
	if got := p.received(); strings.Contains(got, "wrong") || p.deaf && strings.Count(got, "\nSubject: ") != 1 {
		t.Errorf("what must not be sent was:\n%s", p.received())
	}
}

// sends sends from the peer to Postrider, the same way round.
func sends(t *testing.T, s *lab.Site, p *peer) {
	from := "alice@" + p.domain()
	if r := send(t, p.host+":25", nil, from, "bob@p.test", "from "+p.name); r != "250" {
		t.Fatalf("%s answers %s", p.name, r)
	}
	if r := send(t, p.host+":25", nil, from, "bob@bad-p.test", "by a wrong TLSA record from "+p.name); r != "250" {
		t.Fatalf("%s answers %s", p.name, r)
	}
	var m string
	await(t, "mail from "+p.name, func() bool { m = find(inbox(t, s), "from "+p.name); return m != "" })
	if !strings.Contains(m, "SMTPS (TLS 1.3") || !strings.Contains(m, "\n.A line with a dot.\n") {
		t.Errorf("received\n%s", m)
	}
	if !strings.Contains(p.logged(), p.verified) {
		t.Errorf("%s did not verify our certificate:\n%s", p.name, p.logged())
	}
	if p.differs != "" {
		await(t, p.name+" to find the wrong TLSA record", func() bool { return strings.Contains(p.logged(), p.differs) })
	}
	// What Postrider says of it: unsigned, from an address that SPF allows.
	if head := strings.Join(strings.Fields(m), " "); !strings.Contains(head, "spf=pass") || !strings.Contains(head, "dmarc=pass") || !strings.Contains(head, "iprev=pass") {
		t.Errorf("not passed:\n%s", m)
	}
	// From a domain that wants such mail refused it is, and the peer tells.
	if r := send(t, p.host+":25", nil, "ceo@spoofed.test", "bob@p.test", "spoofed by "+p.name); r != "250" {
		t.Fatalf("%s answers %s", p.name, r)
	}
	await(t, "the refusal of a spoofed message", func() bool { return strings.Contains(p.logged(), "5.7.26") })
	if find(inbox(t, s), "spoofed by "+p.name) != "" {
		t.Error("a spoofed message was taken")
	}
}
