package labdns

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const labZone = `
$TTL 60
$ORIGIN a.test.
@     SOA ns hostmaster 1 3600 600 86400 30
      NS  ns
      MX  10 mail
      MX  20 backup.b.test.
ns    A   127.0.0.1
mail  A   127.0.0.2
      AAAA ::1
www   CNAME mail
far   CNAME host.elsewhere.test.
lost  CNAME nothing
ring  CNAME gnir
gnir  CNAME ring
deep.empty A 127.0.0.3
*.wild MX 5 mail
b.test. SOA ns.a.test. hostmaster.a.test. 1 3600 600 86400 30
backup.b.test. A 127.0.0.4
null.b.test. MX 0 .
`

func start(t *testing.T, zone string) *Server {
	t.Helper()
	s, err := Start("127.0.0.1:0", strings.NewReader(zone))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func ask(t *testing.T, s *Server, network, name string, qtype uint16) *dns.Msg {
	t.Helper()
	q := new(dns.Msg)
	q.SetQuestion(name, qtype)
	c := &dns.Client{Net: network, Timeout: 5 * time.Second}
	r, _, err := c.Exchange(q, s.Addr())
	if err != nil {
		t.Fatalf("%s %s: %v", name, dns.TypeToString[qtype], err)
	}
	return r
}

func TestAnswers(t *testing.T) {
	s := start(t, labZone)
	for _, c := range []struct {
		name  string
		qtype uint16
		rcode int
		want  string // answers, without owner, TTL and class
		soa   bool
	}{
		{"a.test.", dns.TypeMX, 0, "MX 10 mail.a.test.|MX 20 backup.b.test.", false},
		{"A.TeSt.", dns.TypeMX, 0, "MX 10 mail.a.test.|MX 20 backup.b.test.", false},
		{"mail.a.test.", dns.TypeAAAA, 0, "AAAA ::1", false},
		{"mail.a.test.", dns.TypeMX, 0, "", true},
		{"none.a.test.", dns.TypeMX, dns.RcodeNameError, "", true},
		{"empty.a.test.", dns.TypeA, 0, "", true},
		{"www.a.test.", dns.TypeA, 0, "CNAME mail.a.test.|A 127.0.0.2", false},
		{"www.a.test.", dns.TypeMX, 0, "CNAME mail.a.test.", true},
		{"www.a.test.", dns.TypeCNAME, 0, "CNAME mail.a.test.", false},
		{"far.a.test.", dns.TypeA, 0, "CNAME host.elsewhere.test.", false},
		{"lost.a.test.", dns.TypeA, dns.RcodeNameError, "CNAME nothing.a.test.", true},
		{"x.wild.a.test.", dns.TypeMX, 0, "MX 5 mail.a.test.", false},
		{"wild.a.test.", dns.TypeMX, 0, "", true},
		{"null.b.test.", dns.TypeMX, 0, "MX 0 .", false},
		{"example.org.", dns.TypeMX, dns.RcodeRefused, "", false},
		{".", dns.TypeNS, dns.RcodeRefused, "", false},
		{"a.test.", dns.TypeAXFR, dns.RcodeRefused, "", false},
	} {
		for _, network := range []string{"udp", "tcp"} {
			r := ask(t, s, network, c.name, c.qtype)
			var got []string
			for _, rr := range r.Answer {
				got = append(got, strings.Join(strings.Fields(rr.String())[3:], " "))
			}
			soa := len(r.Ns) == 1 && r.Ns[0].Header().Rrtype == dns.TypeSOA
			if r.Rcode != c.rcode || strings.Join(got, "|") != c.want || soa != c.soa {
				t.Errorf("%s %s over %s: %s %q soa=%v, want %s %q soa=%v", c.name, dns.TypeToString[c.qtype], network,
					dns.RcodeToString[r.Rcode], got, soa, dns.RcodeToString[c.rcode], c.want, c.soa)
			}
		}
	}
	if r := ask(t, s, "udp", "ring.a.test.", dns.TypeA); r.Rcode != dns.RcodeServerFailure {
		t.Errorf("a circle of CNAMEs: %s", dns.RcodeToString[r.Rcode])
	}
}

func TestFailsOnDemand(t *testing.T) {
	s := start(t, labZone)
	s.SetFail("A.test", dns.RcodeServerFailure)
	if r := ask(t, s, "udp", "a.test.", dns.TypeMX); r.Rcode != dns.RcodeServerFailure {
		t.Errorf("got %s", dns.RcodeToString[r.Rcode])
	}
	s.SetFail("a.test", dns.RcodeSuccess)
	if r := ask(t, s, "udp", "a.test.", dns.TypeMX); len(r.Answer) != 2 {
		t.Errorf("got %v", r)
	}
	s.SetFail("a.test", Drop)
	q := new(dns.Msg)
	q.SetQuestion("a.test.", dns.TypeMX)
	if _, _, err := (&dns.Client{Timeout: 100 * time.Millisecond}).Exchange(q, s.Addr()); err == nil {
		t.Error("an answer came")
	}
}

func TestTruncates(t *testing.T) {
	var b strings.Builder
	b.WriteString("big.test. 60 IN SOA ns.big.test. h.big.test. 1 1 1 1 1\n")
	for i := range 100 {
		fmt.Fprintf(&b, "big.test. 60 IN MX %d mx%d.big.test.\n", i, i)
	}
	s := start(t, b.String())
	if r := ask(t, s, "udp", "big.test.", dns.TypeMX); !r.Truncated || len(r.Answer) > 60 {
		t.Errorf("over UDP: truncated=%v, %d answers", r.Truncated, len(r.Answer))
	}
	if r := ask(t, s, "tcp", "big.test.", dns.TypeMX); r.Truncated || len(r.Answer) != 100 {
		t.Errorf("over TCP: truncated=%v, %d answers", r.Truncated, len(r.Answer))
	}
}

func TestBadZones(t *testing.T) {
	for zone, want := range map[string]string{
		"":                     "no zone",
		"a.test. A 127.0.0.1":  "no zone",
		"a.test. SOA . . x":    "zone file",
		"a.test. BLURB 1":      "zone file",
		"$INCLUDE /etc/passwd": "zone file",
		"a.test. CH TXT x":     "class IN",
		"a.test. SOA . . 1 1 1 1 1\nb.test. A 127.0.0.1":                                  "lies in no zone",
		"a.test. SOA . . 1 1 1 1 1\nw.a.test. CNAME x.a.test.\nw.a.test. A 127.0.0.1":     "CNAME and something else",
		"a.test. SOA . . 1 1 1 1 1\nw.a.test. CNAME x.a.test.\nw.a.test. CNAME y.a.test.": "CNAME and something else",
	} {
		if s, err := Start("127.0.0.1:0", strings.NewReader(zone)); err == nil {
			s.Close()
			t.Errorf("%q was accepted", zone)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", zone, err, want)
		}
	}
}

// FuzzZone loads anything as a zone file and asks for what is in it.
func FuzzZone(f *testing.F) {
	f.Add(labZone)
	f.Add("* SOA . . 1 1 1 1 1\n*.* A 1.2.3.4")
	f.Add(". SOA . . 1 1 1 1 1\n. MX 0 .")
	f.Fuzz(func(t *testing.T, text string) {
		z, err := load(strings.NewReader(text))
		if err != nil {
			return
		}
		s := &Server{fail: map[string]int{}}
		s.zones.Store(z)
		for name := range z.names {
			for _, n := range []string{name, "x." + name, "*." + name} {
				q := new(dns.Msg)
				q.SetQuestion(n, dns.TypeMX)
				if m := s.answer(q); m == nil || m.Rcode == dns.RcodeRefused {
					t.Errorf("%q in %q: %v", n, text, m)
				}
			}
		}
	})
}

// TestLoad takes other zones, but none that cannot be read.
func TestLoad(t *testing.T) {
	const soa = "a.test. IN SOA a.test. a.test. 1 1 1 1 1\n"
	s, err := Start("127.0.0.1:0", strings.NewReader(soa+"x.a.test. IN A 192.0.2.1\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, c := range []struct {
		zone string
		ok   bool
		want int
	}{{"", true, 1}, {soa + "x.a.test. IN A 192.0.2.1\nx.a.test. 7 IN A 192.0.2.1\nx.a.test. IN A 192.0.2.2\n", true, 2}, {"x. IN A 192.0.2.1\n", false, 2}} {
		if c.zone != "" {
			if err := s.Load(strings.NewReader(c.zone)); (err == nil) != c.ok {
				t.Errorf("%q: %v", c.zone, err)
			}
		}
		q := new(dns.Msg)
		q.SetQuestion("x.a.test.", dns.TypeA)
		if m := s.answer(q); len(m.Answer) != c.want {
			t.Errorf("%q: %v", c.zone, m)
		}
	}
}
