package mailauth

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"postrider/internal/labdns"
	"postrider/internal/needs"
	"postrider/mail"
)

// python is Debian's, which has its packages.
const python = "/usr/bin/python3"

// peer runs one of testdata's programs, and gives it a message.
func peer(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, complaint.String())
	}
	return out.String()
}

func (w world) file(t *testing.T) string {
	t.Helper()
	b, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "dns.json")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// serve serves the world's TXT records to programs that ask for themselves,
// with authority for tops.
func (w world) serve(t *testing.T, addr string, tops ...string) (port string) {
	t.Helper()
	zone := ""
	for _, top := range tops {
		zone += fmt.Sprintf("%s. IN SOA %[1]s. %[1]s. 1 1 1 1 1\n", top)
	}
	for k, v := range w {
		name, isTXT := strings.CutPrefix(k, "TXT ")
		for _, txt := range v {
			if isTXT {
				zone += fmt.Sprintf("%s. IN TXT %q", name, txt[:min(len(txt), 200)])
				if len(txt) > 200 {
					zone += fmt.Sprintf(" %q", txt[200:])
				}
				zone += "\n"
			}
		}
	}
	s, err := labdns.Start(addr, strings.NewReader(zone))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	_, port, _ = net.SplitHostPort(s.Addr())
	return port
}

// TestPeersVerify has others verify what we sign and seal, and find what was
// changed.
func TestPeersVerify(t *testing.T) {
	needs.Command(t, python, "-c", "import dkim, nacl")
	needs.Command(t, "perl", "-MMail::DKIM::ARC::Verifier", "-MNet::DNS", "-e1")
	w := world{}
	author, other := w.key(t, "a.test", "r1", RSA), w.key(t, "a.test", "e1", Ed25519)
	list := w.key(t, "list.test", "r1", RSA)
	w["TXT _dmarc.a.test"] = []string{"v=DMARC1; p=reject"}
	dns, port := w.file(t), w.serve(t, "127.0.0.1:0", "test")
	signed := sign(t, hello, author, other)
	one := sealBy(t, w, list, signed)
	two := sealBy(t, w, author, one)
	broken := strings.Replace(two, "bye", "Bye", 1)
	cases := []struct {
		what, msg, kind, python, perl string
	}{
		{"signed", signed, "dkim", "pass pass", "pass"},
		{"changed", strings.Replace(signed, "bye", "Bye", 1), "dkim", "fail fail", "fail"},
		{"subject added", "Subject: x\r\n" + signed, "dkim", "fail fail", "fail"},
		{"sealed", one, "arc", "pass", "pass"},
		{"sealed twice", two, "arc", "pass", "pass"},
		{"changed after", broken, "arc", "fail", "fail"},
		{"results changed", strings.Replace(two, "dmarc=pass", "dmarc=fail", 1), "arc", "fail", "fail"},
		{"closed", sealBy(t, w, list, broken), "arc", "ended", "fail"},
		{"none", hello, "arc", "none", "none"},
	}
	var all [][2]string
	for _, c := range cases {
		all = append(all, [2]string{c.kind, c.msg})
	}
	b, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	py := strings.Split(peer(t, string(b), python, "testdata/peer.py", dns, "verify"), "\n")
	perl := strings.Split(peer(t, string(b), "perl", "testdata/peer.pl", port, "verify"), "\n")
	if len(py) != len(cases)+1 || len(perl) != len(cases)+1 {
		t.Fatalf("%q\n%q", py, perl)
	}
	for i, c := range cases {
		if py[i] != c.python {
			t.Errorf("%s: python3-dkim says %s", c.what, py[i])
		}
		// Older releases know no Ed25519: what they say of the first counts.
		if got, _, _ := strings.Cut(perl[i], " "); got != c.perl {
			t.Errorf("%s: Mail::DKIM says %s", c.what, perl[i])
		}
	}
}

// TestPeersSign verifies what others sign and seal.
func TestPeersSign(t *testing.T) {
	needs.Command(t, python, "-c", "import dkim, authres")
	needs.Command(t, "perl", "-MMail::DKIM::Signer", "-e1")
	w := world{}
	k := w.key(t, "a.test", "r1", RSA)
	der, err := x509.MarshalPKCS8PrivateKey(k.signer)
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	dns := w.file(t)
	byPython := peer(t, hello, python, "testdata/peer.py", dns, "sign", "r1", "a.test", key)
	byPerl := peer(t, hello, "perl", "testdata/peer.pl", key, "sign")
	for who, msg := range map[string]string{"python3-dkim": byPython, "Mail::DKIM": byPerl} {
		msg = crlf(msg)
		if r := check(t, w, Options{}, msg); len(r.DKIM) != 1 || r.DKIM[0].Result != Pass {
			t.Errorf("%s: %+v", who, r.DKIM)
		}
		if r := check(t, w, Options{}, strings.Replace(msg, "bye", "Bye", 1)); r.DKIM[0].Result != Fail {
			t.Errorf("%s, changed: %+v", who, r.DKIM)
		}
	}
	m := "Authentication-Results: mx.a.test; dkim=none\r\n" + hello
	for n, arc := range []string{"", "Authentication-Results: mx.b.test; arc=pass\r\n"} {
		server := []string{"mx.a.test", "mx.b.test"}[n]
		m = crlf(peer(t, arc+m, python, "testdata/peer.py", dns, "seal", "r1", "a.test", key, server))
		if r := check(t, w, Options{}, m); r.ARC.Result != Pass || len(r.ARC.Sealers) != n+1 {
			t.Errorf("%d seals of python3-dkim: %+v", n+1, r.ARC)
		}
	}
	// A chain of both is one chain.
	if r := check(t, w, Options{}, sealBy(t, w, k, m)); r.ARC.Result != Pass || len(r.ARC.Sealers) != 3 {
		t.Errorf("theirs and ours: %+v", r.ARC)
	}
	b, err := json.Marshal([][2]string{{"arc", sealBy(t, w, k, m)}})
	if err != nil {
		t.Fatal(err)
	}
	if got := peer(t, string(b), python, "testdata/peer.py", dns, "verify"); got != "pass\n" {
		t.Errorf("theirs and ours, they say %s", got)
	}
}

// TestPeersSPF asks python3-spf the same.
func TestPeersSPF(t *testing.T) {
	needs.Command(t, python, "-c", "import spf")
	w := world{
		"TXT pass.test": {"v=spf1 ip4:192.0.2.0/24 -all"}, "TXT fail.test": {"v=spf1 ip4:198.51.100.0/24 -all"}, "TXT soft.test": {"v=spf1 ~all"},
		"TXT neutral.test": {"v=spf1 ?all"}, "TXT open.test": {"v=spf1"}, "TXT wrong.test": {"v=spf1 ip4:x -all"}, "TXT twice.test": {"v=spf1 -all", "v=spf1 +all"},
		"TXT a.test": {"v=spf1 a:h.a.test -all"}, "A h.a.test": {"192.0.2.1"}, "TXT mx.test": {"v=spf1 mx -all"}, "MX mx.test": {"h.a.test"},
		"TXT inc.test": {"v=spf1 include:pass.test -all"}, "TXT noinc.test": {"v=spf1 include:gone.test -all"}, "TXT red.test": {"v=spf1 redirect=fail.test"},
		"TXT loop.test": {"v=spf1 include:loop.test -all"}, "TXT macro.test": {"v=spf1 exists:%{ir}.%{l1r-}.%{d} -all"}, "A 1.2.0.192.x.macro.test": {"127.0.0.2"},
		"TXT mail.helo.test": {"v=spf1 ip4:192.0.2.1 -all"}, "TXT upper.test": {"V=SPF1 IP4:192.0.2.1 -ALL"}, "TXT exp.test": {"v=spf1 -all exp=e.exp.test"},
		"TXT unknown.test": {"v=spf1 foo=bar ip4:192.0.2.1 -all"}, "TXT bad.test": {"v=spf1 foo:bar -all"}, "TXT six.test": {"v=spf1 ip6:2001:db8::/32 -all"},
		"TXT late.test": {"v=spf1 ip4:192.0.2.1 -all foo"}, "TXT late2.test": {"v=spf1 ip4:192.0.2.1 -all a:top"}, "TXT exps.test": {"v=spf1 ip4:192.0.2.1 exp=e.test exp=e.test"},
		"TXT noname.test": {"v=spf1 ip4:192.0.2.1 include: -all"}, "TXT zero.test": {"v=spf1 ip4:192.0.2.1/032 -all"}, "TXT number.test": {"v=spf1 ip4:192.0.2.1 a:1.2.3.4 -all"},
		"TXT nored.test": {"v=spf1 ip4:192.0.2.1 redirect="}, "TXT qred.test": {"v=spf1 ip4:192.0.2.1 -redirect=fail.test"}, "TXT comma.test": {"v=spf1 ip4:192.0.2.1, -all"},
		"TXT tab.test": {"v=spf1 ip4:192.0.2.1\t-all"}, "TXT letter.test": {"v=spf1 ip4:192.0.2.1 exists:%{z}.test -all"}, "TXT percent.test": {"v=spf1 ip4:192.0.2.1 exists:a%.test -all"},
		"TXT inclate.test": {"v=spf1 include:late.test ?all"},
		"TXT temp.test":    {"v=spf1 include:gone2.test -all"}, "TXT gone2.test": {"!"},
	}
	addrs := []string{"192.0.2.1", "203.0.113.9", "2001:db8::1"}
	var senders []string
	for k := range w {
		if name, ok := strings.CutPrefix(k, "TXT "); ok && !strings.HasPrefix(name, "gone") {
			senders = append(senders, "x@"+name, "X-y@"+name)
		}
	}
	senders = append(senders, "", "x@none.test")
	var ask strings.Builder
	for _, a := range addrs {
		for _, s := range senders {
			fmt.Fprintf(&ask, "%s\t%s\tmail.helo.test\n", a, s)
		}
	}
	said := strings.Fields(peer(t, ask.String(), python, "testdata/peer.py", w.file(t), "spf"))
	if len(said) != len(addrs)*len(senders) {
		t.Fatalf("%d answers", len(said))
	}
	for i, a := range addrs {
		for j, s := range senders {
			p := &Peer{Addr: netip.MustParseAddr(a), Helo: "mail.helo.test"}
			if s != "" {
				p.From, _ = mail.ParseAddress(s)
			}
			if got := checkSPF(t.Context(), w, p); string(got.Result) != said[i*len(senders)+j] {
				t.Errorf("%s for <%s>: %s (%s), python3-spf says %s", a, s, got.Result, got.Reason, said[i*len(senders)+j])
			}
		}
	}
}
