package test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"net/textproto"
	"regexp"
	"strings"
	"testing"
	"time"

	"postrider/internal/lab"
	"postrider/internal/labdns"
	"postrider/internal/needs"
)

const carol = "carol@c.test"

// world is three organisations that publish what their servers print: each
// sends from an address of its own, which alone its SPF allows, has a name for
// it, and refuses by DMARC what only pretends to be from it. Nobody is exempt
// from checks. b.test believes the seals of list.test, c.test also those of
// b.test, and a.test those of nobody.
type world struct {
	a, b, c *lab.Site
	host    map[string]string // address, by domain
	key     map[string]string // PEM file, of list.test and stranger.test
}

func newWorld(t *testing.T, signed bool) *world {
	t.Helper()
	own := sha256.Sum256([]byte(t.Name()))
	w := &world{host: map[string]string{}, key: map[string]string{}}
	zone := "$TTL 60\ntest. SOA mail.a.test. postmaster.a.test. 1 60 60 60 60\n127.in-addr.arpa. SOA mail.a.test. postmaster.a.test. 1 60 60 60 60\n"
	for i, d := range []string{"a.test", "b.test", "c.test"} {
		w.host[d] = fmt.Sprintf("127.%d.%d.%d", 11+i, own[0], own[1])
		zone += fmt.Sprintf("%[1]s. SOA mail.%[1]s. postmaster.%[1]s. 1 60 60 60 60\nmail.%[1]s. A %[2]s\n%[4]d.%[5]d.%[3]d.127.in-addr.arpa. PTR mail.%[1]s.\n",
			d, w.host[d], 11+i, own[1], own[0])
	}
	zone += w.sealer(t, "list.test") + w.sealer(t, "stranger.test")
	dns, err := labdns.Start("127.0.0.1:0", strings.NewReader(zone))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dns.Close)
	port, err := lab.FreePort(w.host["a.test"])
	if err != nil {
		t.Fatal(err)
	}
	site := func(domain, user, trusted string, sign bool) *lab.Site {
		s := start(t, lab.Config{
			Binary: binary, Dir: t.TempDir(), Host: w.host[domain], Hostname: "mail." + domain, Domain: domain,
			SMTPPort: port, Resolver: dns.Addr(), Port: port,
			Accounts: []lab.Account{{Address: user, Password: password}},
			Extra: fmt.Sprintf("[checks]\nexempt_networks = []\ntrusted_sealers = [%s]\n[dkim]\nsign = %v\n[[route]]\nname = \"own\"\nsource = [%q]\n",
				trusted, sign, w.host[domain]),
		})
		t.Cleanup(func() { endSite(t, s) })
		out, err := s.Run(t.Context(), "", "domain", "dns", "--offline", domain)
		if err != nil {
			t.Fatal(err)
		}
		zone += "\n$ORIGIN .\n" + strings.ReplaceAll(out, "p=quarantine", "p=reject")
		return s
	}
	w.a = site("a.test", alice, "", signed)
	w.b = site("b.test", bobAtB, `"list.test"`, true)
	w.c = site("c.test", carol, `"b.test", "list.test"`, true)
	if err := dns.Load(strings.NewReader(zone)); err != nil {
		t.Fatal(err)
	}
	return w
}

// sealer makes the key that seals for a domain of another program's, and
// returns the zone that publishes it.
func (w *world) sealer(t *testing.T, domain string) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	w.key[domain] = file(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	p := base64.StdEncoding.EncodeToString(public)
	return fmt.Sprintf("%[1]s. SOA %[1]s. %[1]s. 1 60 60 60 60\nr1._domainkey.%[1]s. TXT \"v=DKIM1; p=%[2]s\" %[3]q\n", domain, p[:200], p[200:])
}

// alias makes an address of a server lead elsewhere.
func alias(t *testing.T, s *lab.Site, address, target string) {
	t.Helper()
	if out, err := s.Run(t.Context(), "", "alias", "add", address, target); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// hand gives a message to a server as another at the address local does; the
// error is the server's refusal.
func hand(t *testing.T, local string, to *lab.Site, from, rcpt, text string) error {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(local)}, Timeout: 10 * time.Second}
	conn, err := d.DialContext(t.Context(), "tcp", to.Addr["smtp"])
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	c, err := smtp.NewClient(conn, to.Hostname)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, step := range []func() error{func() error { return c.Hello("mail.b.test") }, func() error { return c.Mail(from) }, func() error { return c.Rcpt(rcpt) }} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	data, err := c.Data()
	if err == nil {
		_, err = data.Write([]byte(text))
	}
	if err != nil {
		t.Fatal(err)
	}
	return data.Close()
}

// has checks that a message matches all of want, folds taken for spaces.
func has(t *testing.T, message string, want ...string) {
	t.Helper()
	header, _, _ := strings.Cut(message, "\r\n\r\n")
	header = regexp.MustCompile(`\r\n[ \t]+`).ReplaceAllString(header, " ")
	for _, re := range want {
		if !regexp.MustCompile("(?m)" + re).MatchString(header) {
			t.Errorf("nothing matches %s in\n%s", re, message)
		}
	}
}

// refusedID is the id that a refusal names.
func refusedID(t *testing.T, reply string) string {
	t.Helper()
	id := regexp.MustCompile(`id\s+([0-9a-v]{16})`).FindStringSubmatch(reply)
	if id == nil {
		t.Fatalf("there is no id in %s", reply)
	}
	return id[1]
}

// TestForwarded follows mail that only SPF proves through an alias of b.test.
// Behind it nothing proves it any more; c.test takes it, since b.test, which it
// trusts, sealed what it had found, and a.test, which trusts nobody, refuses
// it. What becomes of it finds its way back by the senders that were rewritten.
func TestForwarded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	alias(t, w.b, "carol@b.test", carol)
	alias(t, w.b, "echo@b.test", alice)
	alias(t, w.b, "round@b.test", "round@c.test")
	alias(t, w.c, "round@c.test", "nobody@a.test")
	alias(t, w.b, "lost@b.test", "nobody@c.test")

	text := strings.ReplaceAll(message("by an alias"), "bob@a.test", "carol@b.test")
	submit(t, w.a, alice, "carol@b.test", text)
	got := waitInbox(t, w.c, carol, 1)[0]
	if !strings.HasSuffix(got, text) {
		t.Errorf("it was changed on its way:\n%s", got)
	}
	has(t, got, `^Return-Path: <SRS0=\w{8}=\w\w=a\.test=alice@b\.test>`, `^ARC-Seal: i=1;.* d=b\.test;`, `^ARC-Authentication-Results: i=1; mail\.b\.test;.* spf=pass.* dmarc=pass`,
		`^Authentication-Results: mail\.c\.test; dkim=none; spf=pass smtp\.mailfrom=b\.test; dmarc=fail .*header\.from=a\.test policy\.dmarc=reject; arc=pass`)
	t.Log(journeyUntil(t, w.a, "delivered", "<by.an.alias@a.test>"))
	t.Log(journeyUntil(t, w.b, "delivered", "<by.an.alias@a.test>"))
	t.Log(journeyUntil(t, w.c, "b.test", "<by.an.alias@a.test>"))

	// Refused behind the alias: by DMARC where nobody is trusted, for want of
	// the mailbox one hop further, and two hops further, by SRS1.
	for i, c := range []struct{ to, at, status, by, told string }{
		{"echo@b.test", alice, "5.7.26", "mail.b.test", `alice@a\.test`},
		{"lost@b.test", "nobody@c.test", "5.1.1", "mail.b.test", `alice@a\.test`},
		{"round@b.test", "nobody@a.test", "5.1.1", "mail.c.test", `SRS0=.*@b\.test`}, // the next on the way back
	} {
		subject := fmt.Sprintf("comes back %d", i)
		submit(t, w.a, alice, c.to, strings.ReplaceAll(message(subject), "bob@a.test", c.to))
		all := waitInbox(t, w.a, alice, i+1)
		notice := all[len(all)-1]
		has(t, notice, `^Return-Path: <>`, `^To: <`+c.told+`>`, `^Authentication-Results: mail\.a\.test; dkim=pass .*dmarc=pass`)
		t.Log(client(t, notice, "python3", "testdata/notice.py", "failed", c.at, c.status))
		if !strings.Contains(notice, subject) || !strings.Contains(notice, "Reporting-MTA: dns; "+c.by+"\r\n") {
			t.Errorf("the notice of %s:\n%s", c.to, notice)
		}
		t.Log(journeyUntil(t, w.b, "", fmt.Sprintf("<comes.back.%d@a.test>", i)))
		if c.status == "5.7.26" {
			t.Log(journeyUntil(t, w.a, "refused +550 5.7.26", refusedID(t, notice[strings.Index(notice, "Diagnostic-Code: "):])))
		}
	}
	if n := len(inbox(t, w.a, alice)); n != 3 {
		t.Errorf("Alice has %d messages, want 3", n)
	}
}

// list is a mailing list program at b.test's address: it changes a message's
// subject, which ends the author's signature, and seals what it found. The
// seal is python3-dkim's.
func (w *world) list(t *testing.T, domain, message string) string {
	t.Helper()
	for !strings.HasPrefix(message, "Authentication-Results:") { // Return-Path, and what else it got when it came
		_, rest, ok := strings.Cut(message, "\r\n")
		if !ok {
			t.Fatal("the list has nothing to go by")
		}
		message = rest
	}
	changed := strings.Replace(message, "\r\nSubject: ", "\r\nSubject: [list] ", 1)
	return strings.ReplaceAll(strings.ReplaceAll(client(t, changed, "/usr/bin/python3", "../mailauth/testdata/peer.py", file(t, "none.json", "{}"),
		"seal", "r1", domain, w.key[domain], "mail.b.test"), "\r\n", "\n"), "\n", "\r\n")
}

// TestList follows signed mail through a list that changes its subject: it is
// taken under the seal of a list that is trusted, and through one server more
// that seals it, and refused under that of a stranger and without any.
func TestList(t *testing.T) {
	t.Parallel()
	needs.Command(t, "/usr/bin/python3", "-c", "import dkim, authres")
	w := newWorld(t, true)
	alias(t, w.b, "onward@b.test", carol)
	submit(t, w.a, alice, bobAtB, strings.ReplaceAll(message("to the list"), "bob@a.test", bobAtB))
	came := waitInbox(t, w.b, bobAtB, 1)[0]
	t.Log(journeyUntil(t, w.a, "(?s)signed by DKIM for a.test.*delivered", "<to.the.list@a.test>"))
	t.Log(journeyUntil(t, w.b, "SPF pass, DKIM pass, DMARC pass, ARC none, iprev pass", "<to.the.list@a.test>"))
	has(t, came, `^Authentication-Results: mail\.b\.test; dkim=pass .*dkim=pass .*spf=pass .*dmarc=pass .*iprev=pass`)

	const sender, from = "bob-bounces@b.test", "b.test"
	const failed = `^Authentication-Results: mail\.c\.test; dkim=fail .*spf=pass smtp\.mailfrom=b\.test; dmarc=fail .*header\.from=a\.test policy\.dmarc=reject; `
	sealed := w.list(t, "list.test", came)
	if err := hand(t, w.host[from], w.c, sender, carol, sealed); err != nil {
		t.Fatal(err)
	}
	has(t, waitInbox(t, w.c, carol, 1)[0], failed+`arc=pass`, `^Subject: \[list\] to the list`)
	if err := hand(t, w.host[from], w.b, sender, "onward@b.test", strings.Replace(sealed, "[list]", "[spam]", 1)); err == nil {
		t.Error("b.test took what was changed after the seal")
	}
	if err := hand(t, w.host[from], w.b, sender, "onward@b.test", sealed); err != nil {
		t.Fatal(err)
	}
	has(t, waitInbox(t, w.c, carol, 2)[1], failed+`arc=pass`, `^ARC-Seal: i=2;.* d=b\.test;`, `^ARC-Seal: i=1;.* d=list\.test;`,
		`^Return-Path: <bob-bounces@b\.test>`)
	t.Log(journeyUntil(t, w.c, "list.test", "<to.the.list@a.test>"))

	for what, m := range map[string]string{
		"no seal": sealed[strings.Index(sealed, "\r\nReceived: ")+2:], "a stranger's seal": w.list(t, "stranger.test", came),
	} {
		err := hand(t, w.host[from], w.c, sender, carol, m)
		var reply *textproto.Error
		if !errors.As(err, &reply) || reply.Code != 550 || !strings.HasPrefix(reply.Msg, "5.7.26 ") {
			t.Errorf("%s: %v", what, err)
			continue
		}
		t.Logf("%s:\n%s", what, journeyUntil(t, w.c, "DMARC fail: .*a.test is no good", refusedID(t, reply.Msg)))
	}
	if n := len(inbox(t, w.c, carol)); n != 2 {
		t.Errorf("Carol has %d messages, want 2", n)
	}
}
