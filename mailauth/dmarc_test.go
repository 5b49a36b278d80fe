package mailauth

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseRecord(t *testing.T) {
	for _, c := range []struct {
		txt, want string
	}{
		{"v=DMARC1; p=reject", "{reject   false false false 117 [] }"},
		{"v=DMARC1;p=none;sp=quarantine;np=reject;adkim=s;aspf=S;psd=n;t=y", "{none quarantine reject true true true 110 [] }"},
		{"v = DMARC1 ; P=Reject; pct=0", "{reject   false false true 117 [] }"},
		{"v=DMARC1; p=reject; pct=20; ri=1; rf=x; unknown=1", "{reject   false false false 117 [] }"},
		{"v=DMARC1; psd=y; p=none; p=reject", "{none   false false false 121 [] }"},
		{"v=DMARC1; rua=mailto:a@a.test!10m, https://x, mailto:b@b.test", "{none   false false false 117 [a@a.test b@b.test] }"},
		{"v=DMARC1; p=drop; rua=mailto:a@a.test", "{none   false false false 117 [a@a.test] }"},
		{"v=DMARC1; p=reject; sp=drop", "{   false false false 117 [] }"},
		{"v=DMARC1", "{   false false false 117 [] }"},
		{"v=DMARC1; p=reject; rua=mailto:nobody; fo=1", "{reject   false false false 117 [] 1}"},
		{"v=dmarc1; p=reject", ""}, {"v=DMARC2; p=reject", ""}, {"p=reject; v=DMARC1", ""}, {"", ""}, {"v=spf1 -all", ""},
	} {
		r, ok := ParseRecord(c.txt)
		got := ""
		if ok {
			got = fmt.Sprint(r)
		}
		if got != c.want {
			t.Errorf("%s: %s", c.txt, got)
		}
	}
}

// TestTreeWalk has the examples of RFC 9989 §4.10 and appendix B, and the
// places where the public suffix list says otherwise.
func TestTreeWalk(t *testing.T) {
	for _, c := range []struct {
		domain   string
		dns      world
		org, psd string
	}{
		{"mail.example.com", world{"TXT _dmarc.example.com": {"v=DMARC1; p=none"}}, "example.com", ""},
		{"mail.example.com", world{}, "mail.example.com", ""},
		{"a.b.example.com", world{"TXT _dmarc.b.example.com": {"v=DMARC1; p=none"}, "TXT _dmarc.example.com": {"v=DMARC1; p=none"}}, "example.com", ""},
		{"a.b.example.com", world{"TXT _dmarc.b.example.com": {"v=DMARC1; p=none"}}, "b.example.com", ""},
		{"a.b.example.com", world{"TXT _dmarc.b.example.com": {"v=DMARC1; p=none; psd=n"}, "TXT _dmarc.example.com": {"v=DMARC1; p=none"}}, "b.example.com", ""},
		{"a.b.example.com", world{"TXT _dmarc.com": {"v=DMARC1; p=none; psd=y"}}, "example.com", "com"},
		{"a.giant.bank.example", world{"TXT _dmarc.bank.example": {"v=DMARC1; p=none; psd=y"}, "TXT _dmarc.example": {"v=DMARC1; p=none"}}, "giant.bank.example", "bank.example"},
		{"bank.example", world{"TXT _dmarc.bank.example": {"v=DMARC1; p=none; psd=y"}, "TXT _dmarc.example": {"v=DMARC1; p=none"}}, "bank.example", ""},
		{"x.github.io", world{"TXT _dmarc.github.io": {"v=DMARC1; p=none"}}, "github.io", ""},
		{"mail.example.com", world{"TXT _dmarc.example.com": {"v=DMARC1; p=none", "v=DMARC1; p=reject"}}, "mail.example.com", ""},
		{"mail.example.com", world{"TXT _dmarc.example.com": {"v=spf1 -all", "v=DMARC1; p=none"}}, "example.com", ""},
	} {
		org, psd, err := newTree(c.dns).walk(t.Context(), c.domain)
		if org != c.org || psd != c.psd || err != nil {
			t.Errorf("%s in %v: %q %q %v", c.domain, c.dns, org, psd, err)
		}
	}
	if got := strings.Join(names("a.b.c.d.e.f.g.h.i.j.mail.example.com"), " "); got !=
		"a.b.c.d.e.f.g.h.i.j.mail.example.com g.h.i.j.mail.example.com h.i.j.mail.example.com i.j.mail.example.com j.mail.example.com mail.example.com example.com com" {
		t.Errorf("asks %s", got)
	}
	if got := len(names("a.b.c.d.e.f.g.h")); got != 8 {
		t.Errorf("%d names for 8 labels", got)
	}
}

// TestDMARC goes through who vouches for a message and what its domain asks.
func TestDMARC(t *testing.T) {
	base := world{"A mail.a.test": {"192.0.2.1"}, "PTR 192.0.2.1": {"mail.a.test."}, "A a.test": {"192.0.2.9"}, "A sub.a.test": {"192.0.2.9"}}
	k := base.key(t, "a.test", "e1", Ed25519)
	below := base.key(t, "mail.a.test", "e1", Ed25519)
	other := base.key(t, "c.test", "e1", Ed25519)
	reject := base.with("TXT _dmarc.a.test", "v=DMARC1; p=reject")
	spf := reject.with("TXT a.test", "v=spf1 ip4:192.0.2.1 -all", "TXT mail.a.test", "v=spf1 a -all", "TXT c.test", "v=spf1 +all")
	sub := strings.Replace(hello, "alice@a.test", "alice@sub.a.test", 1)
	lost := strings.Replace(hello, "alice@a.test", "alice@lost.a.test", 1)
	for _, c := range []struct {
		what, from, msg string
		dns             world
		want            Value
		verdict         Verdict
		reason          string
	}{
		{"nothing published", "x@c.test", hello, base, None, Accept, ""},
		{"nothing shown", "x@c.test", hello, reject, Fail, Refuse, "it is not signed"},
		{"signed", "x@c.test", sign(t, hello, k), reject, Pass, Accept, "DMARC: it is from a.test"},
		{"signed below", "x@c.test", sign(t, hello, below), reject, Pass, Accept, ""},
		{"signed below, strict", "x@c.test", sign(t, hello, below), base.with("TXT _dmarc.a.test", "v=DMARC1; p=reject; adkim=s"), Fail, Refuse, "mail.a.test only"},
		{"signed by another", "x@c.test", sign(t, hello, other), reject, Fail, Refuse, "signed by c.test only"},
		{"signed by both", "x@c.test", sign(t, hello, other, k), reject, Pass, Accept, ""},
		{"SPF", "x@a.test", hello, spf, Pass, Accept, "SPF: a.test sends"},
		{"SPF below", "x@mail.a.test", hello, spf, Pass, Accept, ""},
		{"SPF below, strict", "x@mail.a.test", hello, spf.with("TXT _dmarc.a.test", "v=DMARC1; p=reject; aspf=s"), Fail, Refuse, ""},
		{"SPF of another", "x@c.test", hello, spf, Fail, Refuse, "which is another domain"},
		{"SPF of HELO", "", hello, spf, Pass, Accept, ""},
		{"changed", "x@c.test", sign(t, hello, k) + "more\r\n", reject, Fail, Refuse, "text was changed"},
		{"quarantine", "x@c.test", hello, base.with("TXT _dmarc.a.test", "v=DMARC1; p=quarantine"), Fail, Junk, "asks to quarantine"},
		{"none", "x@c.test", hello, base.with("TXT _dmarc.a.test", "v=DMARC1; p=none"), Fail, Accept, "asks for nothing"},
		{"testing", "x@c.test", hello, base.with("TXT _dmarc.a.test", "v=DMARC1; p=reject; t=y"), Fail, Junk, ""},
		{"testing quarantine", "x@c.test", hello, base.with("TXT _dmarc.a.test", "v=DMARC1; p=quarantine; t=y"), Fail, Accept, ""},
		{"subdomain", "x@c.test", sub, reject, Fail, Refuse, ""},
		{"subdomain policy", "x@c.test", sub, base.with("TXT _dmarc.a.test", "v=DMARC1; p=reject; sp=none"), Fail, Accept, ""},
		{"no such subdomain", "x@c.test", lost, base.with("TXT _dmarc.a.test", "v=DMARC1; p=none; np=reject"), Fail, Refuse, ""},
		{"such a subdomain", "x@c.test", sub, base.with("TXT _dmarc.a.test", "v=DMARC1; p=none; np=reject"), Fail, Accept, ""},
		{"public suffix", "x@c.test", hello, base.with("TXT _dmarc.test", "v=DMARC1; p=reject; psd=y"), Fail, Refuse, ""},
		{"aligned below a public suffix", "x@c.test", sign(t, hello, other), base.with("TXT _dmarc.test", "v=DMARC1; p=reject; psd=y"), Fail, Refuse, ""},
		{"policy look-up fails", "x@c.test", hello, base.with("TXT _dmarc.a.test", "!"), TempError, Accept, "could not be looked up"},
		{"parent look-up fails", "x@c.test", hello, reject.with("TXT _dmarc.test", "!"), TempError, Defer, ""},
		{"parent look-up fails, signed", "x@c.test", sign(t, hello, k), reject.with("TXT _dmarc.test", "!"), Pass, Accept, ""},
		{"key look-up fails", "x@c.test", sign(t, hello, k), reject.with("TXT e1._domainkey.a.test", "!"), TempError, Defer, "look-up failed"},
		{"key look-up of another fails", "x@c.test", sign(t, hello, other), reject.with("TXT e1._domainkey.c.test", "!"), Fail, Refuse, ""},
		{"SPF look-up fails", "x@a.test", hello, reject.with("TXT a.test", "!"), TempError, Defer, ""},
		{"SPF look-up fails, none", "x@a.test", hello, base.with("TXT a.test", "!", "TXT _dmarc.a.test", "v=DMARC1; p=none"), TempError, Accept, ""},
		{"SPF record wrong", "x@a.test", hello, base.with("TXT a.test", "v=spf1 nonsense"), None, Accept, "permerror"},
		{"two authors, one forged", "x@c.test", strings.Replace(sign(t, hello, other), "alice@a.test>", "carol@c.test>, x@a.test", 1), spf, Fail, Refuse, ""},
		{"two authors, one unsure that asks for nothing", "x@c.test", strings.Replace(hello, "alice@a.test>", "x@c.test>, alice@a.test", 1),
			base.with("TXT _dmarc.a.test", "v=DMARC1; p=quarantine", "TXT _dmarc.c.test", "v=DMARC1; p=none", "TXT c.test", "!"), Fail, Junk, "asks to quarantine"},
		{"no author", "x@c.test", "Subject: x\r\n\r\n", reject, None, Accept, "it has no From"},
		{"no header", "x@c.test", "hello", reject, None, Accept, ""},
		{"empty group", "x@c.test", "From: nobody:;\r\n\r\n", reject, None, Accept, "names no domain"},
		{"group", "x@c.test", "From: us: x@c.test, alice@a.test;\r\n\r\n", spf, Fail, Refuse, ""},
		{"comment", "x@c.test", "From: (x@c.test) alice@a.test (x@c.test)\r\n\r\n", spf, Fail, Refuse, ""},
		{"display name", "x@c.test", "From: \"alice@a.test\" <x@c.test>\r\n\r\n", spf, None, Accept, ""},
		{"bare display name", "x@c.test", "From: alice@a.test <x@c.test>\r\n\r\n", spf, Fail, Refuse, ""},
		{"two From", "x@c.test", "From: x@c.test\r\nFrom: alice@a.test\r\n\r\n", spf, Fail, Refuse, "2 From fields"},
		{"folded name", "x@c.test", "From:\r\n alice@a.test\r\n\r\n", spf, Fail, Refuse, ""},
		{"space before the colon", "x@c.test", "From : alice@a.test\r\n\r\n", spf, Fail, Refuse, ""},
		{"many authors", "x@c.test", "From: a@1.test, a@2.test, a@3.test, a@4.test, a@5.test, a@6.test\r\n\r\n", spf, None, Junk, "more than 5"},
		{"address literal", "x@c.test", "From: a@[192.0.2.1]\r\n\r\n", spf, None, Accept, ""},
	} {
		r := checkFrom(t, c.dns, Options{}, c.from, c.msg)
		if r.DMARC.Result != c.want || r.Verdict != c.verdict || !strings.Contains(strings.Join(append(r.Reasons, r.DMARC.Reason), "\n"), c.reason) {
			t.Errorf("%s: %s %s %q", c.what, r.DMARC.Result, r.Verdict, r.Reasons)
		}
		if (r.Reply != nil) != (r.Verdict == Refuse || r.Verdict == Defer) {
			t.Errorf("%s: %s with %+v", c.what, r.Verdict, r.Reply)
		}
	}
}

// TestUnreadAuthor has in From what is no address, and what somebody may take
// for one of a.test all the same. What is of bad form and shows nobody else is
// let through.
func TestUnreadAuthor(t *testing.T) {
	w := world{"TXT _dmarc.a.test": {"v=DMARC1; p=reject"}, "TXT c.test": {"v=spf1 +all"}, "TXT _dmarc.c.test": {"v=DMARC1; p=reject"}}
	for want, forms := range map[Verdict][]string{
		Refuse: {"alice@a.test.", "<alice@a.test.>", "<<alice@a.test>>", "'alice@a.test'", "<'alice@a.test'>", "<mailto:alice@a.test>", "[alice@a.test]", "{alice@a.test}", "alice@@a.test",
			"x@c.test@a.test", "alice@a.test@c.test", "alice@[a.test]", "alice@\"a.test\"", "alice@a.test#", "<alice@a.test/x>", "alice@a.test!", "alice@a.test\\", "<alice@a.test\u00a0>",
			"alice@a.test\u3002", "<alice@a\u3002test.>", "\xe9lice@a.test", "\"alice@a.test <x@c.test>", "(alice@a.test x@c.test", "x@c.test, alice@a.test.", "alice@A.TEST."},
		Accept: {"x@c.test", "Doe, John <x@c.test>", "'x@c.test' <x@c.test>", "x@c.test <x@c.test>", "\"alice@a.test\" <x@c.test>", "MAILER-DAEMON", "<>", "x@[192.0.2.1]", "x@", "@", "a@."},
	} {
		for _, f := range forms {
			if r := checkFrom(t, w, Options{}, "x@c.test", "From: "+f+"\r\nSubject: x\r\n\r\nhello\r\n"); r.Verdict != want {
				t.Errorf("%s: %s, %q", f, r.Verdict, r.Reasons)
			}
		}
	}
}

func TestActions(t *testing.T) {
	w := world{"TXT _dmarc.a.test": {"v=DMARC1; p=reject"}, "TXT c.test": {"v=spf1 -all"}}
	for _, c := range []struct {
		o       Options
		from    string
		verdict Verdict
	}{
		{Options{}, "x@b.test", Refuse}, {Options{Act: ActJunk}, "x@b.test", Junk}, {Options{Act: ActReport}, "x@b.test", Accept},
	} {
		if r := checkFrom(t, w, c.o, c.from, hello); r.Verdict != c.verdict || r.DMARC.Result != Fail {
			t.Errorf("%+v: %s", c.o, r.Verdict)
		}
	}
	delete(w, "TXT _dmarc.a.test")
	k := w.key(t, "a.test", "e1", Ed25519)
	for _, c := range []struct {
		a       SPFAction
		msg     string
		verdict Verdict
	}{
		{SPFAccept, hello, Accept}, {SPFJunk, hello, Junk}, {SPFRefuse, hello, Refuse}, {SPFRefuse, sign(t, hello, k), Accept},
	} {
		if r := checkFrom(t, w, Options{SPFFail: c.a}, "x@c.test", c.msg); r.Verdict != c.verdict || r.SPF.Result != Fail {
			t.Errorf("%v: %s %+v", c.a, r.Verdict, r.SPF)
		}
	}
	long := "From: a@a.test\r\nX: " + strings.Repeat(strings.Repeat("x", 70)+"\r\n\t", maxHeader/70) + "\r\n\r\n"
	if r := check(t, w, Options{}, long); r.Verdict != Refuse || r.Reply.Code != 552 {
		t.Errorf("%s %v", r.Verdict, r.Reasons)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add("v=DMARC1; p=reject; rua=mailto:a@a.test!10m")
	f.Fuzz(func(t *testing.T, s string) {
		r, ok := ParseRecord(s)
		if ok && !strings.Contains(s, "DMARC1") || len(r.RUA) > maxReportURIs {
			t.Fatalf("%+v", r)
		}
	})
}
