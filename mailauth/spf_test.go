package mailauth

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"postrider/mail"
)

func TestSPF(t *testing.T) {
	many := world{}
	for i := range 12 {
		many[fmt.Sprintf("TXT i%d.a.test", i)] = []string{fmt.Sprintf("v=spf1 include:i%d.a.test ?all", i+1)}
	}
	for _, c := range []struct {
		what, record, from string
		more               world
		want               Value
		reason             string
	}{
		{"pass", "v=spf1 ip4:192.0.2.0/24 -all", "x@a.test", nil, Pass, ""},
		{"fail", "v=spf1 ip4:198.51.100.0/24 -all", "x@a.test", nil, Fail, "does not send"},
		{"softfail", "v=spf1 ~all", "x@a.test", nil, SoftFail, "probably"},
		{"neutral", "v=spf1 ?all", "x@a.test", nil, Neutral, ""},
		{"nothing", "", "x@a.test", nil, None, "no SPF"},
		{"a", "v=spf1 a:h.a.test -all", "x@a.test", world{"A h.a.test": {"192.0.2.1"}}, Pass, ""},
		{"mx", "v=spf1 mx -all", "x@a.test", world{"MX a.test": {"h.a.test"}, "A h.a.test": {"192.0.2.1"}}, Pass, ""},
		{"macro", "v=spf1 exists:%{ir}.%{l}.%{d} -all", "x@a.test", world{"A 1.2.0.192.x.a.test": {"127.0.0.2"}}, Pass, ""},
		{"temporary", "v=spf1 include:b.test -all", "x@a.test", world{"TXT b.test": {"!"}}, TempError, "look-up failed"},
		{"the other kind of address fails", "v=spf1 a:h.a.test -all", "x@a.test", world{"A h.a.test": {"192.0.2.1"}, "AAAA h.a.test": {"!"}}, Pass, ""},
		{"wrong", "v=spf1 ip4:hello -all", "x@a.test", nil, PermError, "wrong"},
		{"wrong behind what matches", "v=spf1 ip4:192.0.2.1 -all foo", "x@a.test", nil, PermError, "wrong"},
		{"wrong where it points to", "v=spf1 ip4:192.0.2.1 redirect=", "x@a.test", nil, PermError, "wrong"},
		{"wrong in what is included", "v=spf1 include:b.test ?all", "x@a.test", world{"TXT b.test": {"v=spf1 ip4:192.0.2.1 a:top"}}, PermError, "wrong"},
		{"too many", "v=spf1 include:i0.a.test -all", "x@a.test", many, PermError, "more than 10"},
		{"too many void", "v=spf1 a:1.a.test a:2.a.test a:3.a.test -all", "x@a.test", nil, PermError, "not there"},
		{"two void", "v=spf1 a:1.a.test a:2.a.test ip4:192.0.2.1 -all", "x@a.test", nil, Pass, ""},
		{"null sender", "v=spf1 -all", "", world{"TXT mail.a.test": {"v=spf1 ip4:192.0.2.1 -all"}}, Pass, ""},
		{"an @ in the local part", "v=spf1 -all", `"x@b.test"@a.test`, world{"TXT b.test": {"v=spf1 +all"}}, Fail, ""},
		{"literal", "v=spf1 -all", "x@[192.0.2.1]", nil, None, "no domain"},
		{"U-labels", "", "x@bücher.test", world{"TXT xn--bcher-kva.test": {"v=spf1 ip4:192.0.2.1 -all"}}, Pass, ""},
	} {
		w := world{"A a.test": {"192.0.2.77"}}
		for k, v := range c.more {
			w[k] = v
		}
		if c.record != "" {
			w["TXT a.test"] = []string{c.record}
		}
		r := checkFrom(t, w, Options{}, c.from, hello)
		if r.SPF.Result != c.want || !strings.Contains(r.SPF.Reason, c.reason) {
			t.Errorf("%s: %+v", c.what, r.SPF)
		}
		if r.Verdict != Accept {
			t.Errorf("%s: %s", c.what, r.Verdict)
		}
	}
}

func TestIPRev(t *testing.T) {
	for _, c := range []struct {
		dns  world
		want Value
	}{
		{world{"PTR 192.0.2.1": {"mail.a.test."}, "A mail.a.test": {"192.0.2.2", "192.0.2.1"}}, Pass},
		{world{"PTR 192.0.2.1": {"x.a.test", "mail.a.test"}, "A mail.a.test": {"192.0.2.1"}}, Pass},
		{world{"PTR 192.0.2.1": {"mail.a.test."}, "A mail.a.test": {"192.0.2.2"}}, Fail},
		{world{"PTR 192.0.2.1": {"not a name"}}, Fail},
		{world{"PTR 192.0.2.1": {"1", "2", "3", "4", "5", "mail.a.test"}, "A mail.a.test": {"192.0.2.1"}}, Fail},
		{world{}, PermError},
		{world{"PTR 192.0.2.1": {"!"}}, TempError},
		{world{"PTR 192.0.2.1": {"mail.a.test"}, "A mail.a.test": {"!"}}, TempError},
	} {
		if r := checkIPRev(t.Context(), c.dns, netip.MustParseAddr("192.0.2.1")); r.Result != c.want {
			t.Errorf("%v: %+v", c.dns, r)
		}
	}
}

// TestBudget has resolvers that never answer: the check ends all the same.
func TestBudget(t *testing.T) {
	k := New(Options{Resolver: silent{}, Timeout: 1}).Begin(t.Context(), Peer{Addr: netip.MustParseAddr("192.0.2.1"), From: mail.Address{Local: "x", Domain: "a.test"}})
	k.Write([]byte(crlf(football)))
	r := k.Finish()
	if r.SPF.Result != TempError || r.DKIM[0].Result != TempError || r.DMARC.Result != TempError || r.IPRev.Result != TempError || r.Verdict != Accept {
		t.Errorf("%+v", r)
	}
	New(Options{Resolver: silent{}}).Begin(t.Context(), Peer{}).Cancel()
}

func TestSPFSyntax(t *testing.T) {
	for _, terms := range []string{"", " ", "all", "-ALL", "?a", "a/24", "a//64", "mx/24//64", "a:h.test/0//0", "ptr", "ptr:x.test", "ip4:192.0.2.0/24", "ip6:2001:DB8::/32",
		"ip6:::ffff:192.0.2.1", "include:_spf.x.test", "include:x.test.", "exists:%{ir}.%{l1r-}.%{d2}", "a:%{d}", "a:x.xn--p1ai", "redirect=%{d}.x.test", "exp=e.x.test", "x=", "x.y-z_1=%{s}%%%_%-",
		"a  mx   all "} {
		if !ValidSPF("v=spf1 " + terms) {
			t.Errorf("%q is refused", terms)
		}
	}
	for _, terms := range []string{"alll", "all:x.test", "--all", "a:", "a:top", "a:x.1", "a:x.-", "a/33", "a/024", "a//129", "a/24/24", "mx:x.test/24//", "ptr/24", "ip4:192.0.2", "ip4:192.0.2.1/33",
		"ip4:2001:db8::1", "ip6:192.0.2.1", "ip6:2001:db8::/129", "include", "include:", "exists:%{z}.test", "exists:%{d0}.test", "exists:%{c}.test", "exists:%a.test", "exists:%{d", "redirect=", "-redirect=x.test",
		"redirect=x.test redirect=x.test", "exp=x.test EXP=x.test", "9=x", "x=%", "a\tall", "a:\u00fc.test", "a,"} {
		if ValidSPF("v=spf1 " + terms) {
			t.Errorf("%q is taken", terms)
		}
	}
	for txt, want := range map[string]bool{"v=spf1": true, "V=SPF1 -all": true, "v=spf10 -all": false, "v=spf1\t-all": false, "v=spf": false} {
		if IsSPF(txt) != want {
			t.Errorf("%q: %v", txt, !want)
		}
	}
}

func FuzzSPF(f *testing.F) {
	f.Add("ip4:192.0.2.1 include:%{d2r}.x.test mx/24//64 redirect=x.test")
	f.Fuzz(func(t *testing.T, terms string) {
		if ValidSPF("v=spf1 "+terms) && strings.ContainsFunc(terms, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatal("not ASCII")
		}
	})
}

// TestHalfOfTheAddresses: that the look-up of IPv6 addresses fails is no proof
// about a peer that has one, and none is made of it against others.
func TestHalfOfTheAddresses(t *testing.T) {
	w := world{"TXT a.test": {"v=spf1 a:h.a.test -all"}, "TXT e.test": {"v=spf1 exists:h.a.test -all"}, "TXT f.test": {"v=spf1 exists:only.test -all"},
		"A h.a.test": {"192.0.2.1"}, "AAAA h.a.test": {"!"}, "A only.test": {"192.0.2.1"},
		"PTR 2001:db8::1": {"h.a.test"}, "PTR 192.0.2.1": {"h.a.test"}}
	for _, c := range []struct {
		peer, domain string
		want, iprev  Value
	}{
		{"2001:db8::1", "a.test", TempError, TempError}, {"192.0.2.1", "a.test", Pass, Pass}, {"2001:db8::1", "e.test", TempError, TempError},
		{"2001:db8::1", "f.test", Pass, TempError}, // "exists" is about IPv4, whatever the peer has (RFC 7208 §5.7)
	} {
		p := Peer{Addr: netip.MustParseAddr(c.peer), From: mail.Address{Local: "x", Domain: c.domain}}
		if got := checkSPF(t.Context(), w, &p); got.Result != c.want {
			t.Errorf("%s for %s: %+v", c.peer, c.domain, got)
		}
		if got := checkIPRev(t.Context(), w, p.Addr); got.Result != c.iprev {
			t.Errorf("%s: %+v", c.peer, got)
		}
	}
}
