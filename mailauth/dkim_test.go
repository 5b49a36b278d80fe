package mailauth

import (
	"bytes"
	"encoding/hex"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"
)

// football is the message of RFC 8463 appendix A.3, with its keys of A.2.
const football = `DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
`

var footballDNS = world{
	"TXT brisbane._domainkey.football.example.com": {"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="},
	"TXT test._domainkey.football.example.com": {"v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/b" +
		"yYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB"},
}

func TestFootball(t *testing.T) {
	r := check(t, footballDNS, Options{}, crlf(football))
	if len(r.DKIM) != 2 || r.DKIM[0].Result != Pass || r.DKIM[1].Result != Pass || r.DKIM[1].Bits != 1024 {
		t.Errorf("%+v", r.DKIM)
	}
}

// TestCanon is the example of RFC 6376 §3.4.5, and empty bodies.
func TestCanon(t *testing.T) {
	for _, c := range []struct {
		relaxed  bool
		in, want string
	}{
		{true, "A: X\r\n", "a:X\r\n"},
		{true, "B : Y\t\r\n\tZ  \r\n", "b:Y Z\r\n"},
		{false, "B : Y\t\r\n\tZ  \r\n", "B : Y\t\r\n\tZ  \r\n"},
		{true, "C:\r\n \r\n", "c:\r\n"},
		{true, "C: x", "c:x\r\n"},
	} {
		if got := string(canonField(nil, []byte(c.in), c.relaxed)); got != c.want {
			t.Errorf("%q: %q", c.in, got)
		}
	}
	for _, c := range []struct {
		relaxed  bool
		in, want string
	}{
		{true, " C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n"},
		{false, " C \r\nD \t E\r\n\r\n\r\n", " C \r\nD \t E\r\n"},
		{true, "", ""}, {false, "", "\r\n"}, {true, "\r\n \r\n", ""}, {true, "x", "x\r\n"}, {false, "x", "x\r\n"},
		{true, "a\r b\nc \r", "a\r b\nc \r\r\n"},
		{true, strings.Repeat("\r\n", 3) + "x", "\r\n\r\n\r\nx\r\n"},
	} {
		for step := 1; step < 5; step++ {
			got, want := newBodyHash(c.relaxed), newBodyHash(c.relaxed)
			for b := []byte(c.in); len(b) > 0; {
				n := min(step, len(b))
				got.Write(b[:n])
				b = b[n:]
			}
			want.h.Write([]byte(c.want))
			if g, w := got.sum(), want.h.Sum(nil); !bytes.Equal(g, w) {
				t.Errorf("%q by %d: %s", c.in, step, hex.EncodeToString(g))
			}
		}
	}
}

// judged is what go-msgauth says of a message's signatures.
func judged(w world, s string) ([]*dkim.Verification, error) {
	return dkim.VerifyWithOptions(strings.NewReader(s), &dkim.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
		rrs, err := w.get("TXT", name)
		if err == nil && len(rrs) == 0 {
			err = &net.DNSError{IsNotFound: true}
		}
		return rrs, err
	}})
}

// TestSign holds our signatures to another verifier, for messages that are
// hard to sign.
func TestSign(t *testing.T) {
	w := world{}
	keys := []*Key{w.key(t, "a.test", "r1", RSA), w.key(t, "a.test", "e1", Ed25519)}
	for _, s := range []string{
		hello, "From: a@a.test\r\n\r\n", "From: a@a.test\r\n\r\nx", "From: a@a.test\r\n\r\n\r\n\r\n", "From: a@a.test\r\n\r\n \t \r\n x \t y \r\n \r\n",
		"From: a@a.test\r\nTo: " + strings.Repeat("b@b.test,\r\n\t", 100) + "c@b.test\r\nSubject : x \t y \r\n\r\n" + strings.Repeat("long ", 5000) + "\r\n",
		"from: a@a.test\r\nSUBJECT:\r\nReferences: <1@a>\r\n <2@a>\r\nreferences: <3@a>\r\n\r\n..\r\n.\r\n",
	} {
		m := sign(t, s, keys...)
		for line := range strings.SplitSeq(m[:len(m)-len(s)], "\r\n") {
			if len(line) > 80 {
				t.Errorf("long line %q", line)
			}
		}
		r := check(t, w, Options{}, m)
		if len(r.DKIM) != 2 || r.DKIM[0].Result != Pass || r.DKIM[1].Result != Pass {
			t.Errorf("%.60q: we say %+v", s, r.DKIM)
		}
		v, err := judged(w, m)
		if err != nil || len(v) != 2 || v[0].Err != nil || v[1].Err != nil {
			t.Errorf("%.60q: go-msgauth says %v: %+v %+v", s, err, v[0], v[1])
		}
	}
}

// TestVerifyOther verifies what another signer made, in all four forms.
func TestVerifyOther(t *testing.T) {
	w := world{}
	k := w.key(t, "a.test", "r1", RSA)
	for _, head := range []dkim.Canonicalization{"simple", "relaxed"} {
		for _, body := range []dkim.Canonicalization{"simple", "relaxed"} {
			var b bytes.Buffer
			err := dkim.Sign(&b, strings.NewReader(hello), &dkim.SignOptions{Domain: "a.test", Selector: "r1", Signer: k.signer,
				HeaderCanonicalization: head, BodyCanonicalization: body})
			if err != nil {
				t.Fatal(err)
			}
			if r := check(t, w, Options{}, b.String()); r.DKIM[0].Result != Pass {
				t.Errorf("%s/%s: %+v", head, body, r.DKIM)
			}
			if r := check(t, w, Options{}, strings.Replace(b.String(), "bye", "Bye", 1)); r.DKIM[0].Result != Fail {
				t.Errorf("%s/%s changed: %+v", head, body, r.DKIM)
			}
		}
	}
}

// TestDKIMFails makes each thing fail that can.
func TestDKIMFails(t *testing.T) {
	w := world{}
	k := w.key(t, "a.test", "r1", RSA)
	e := w.key(t, "a.test", "e1", Ed25519)
	good := sign(t, hello, k)
	name := "TXT r1._domainkey.a.test"
	rec := k.Record()
	swap := func(old, new string) string {
		s := strings.Replace(good, old, new, 1)
		if s == good {
			t.Fatalf("no %q in %q", old, good)
		}
		return s
	}
	weak := "v=DKIM1; p=MEwwDQYJKoZIhvcNAQEBBQADOwAwOAIxAMIgpVRGHIo0kNrPMSeSAgHmXUhWxIK7PnxzNuyFvUCFPGDrAwPvhwhmNQNVLBlhRwIDAQAB"
	for _, c := range []struct {
		what, msg string
		dns       world
		want      Value
		reason    string
	}{
		{"as sent", good, w, Pass, ""},
		{"text changed", swap("bye", "buy"), w, Fail, "text was changed"},
		{"text added", good + "more\r\n", w, Fail, "text was changed"},
		{"empty lines added", good + "\r\n\r\n", w, Pass, ""},
		{"header changed", swap("Subject: Hello", "Subject: Hullo"), w, Fail, "header was changed"},
		{"header folded anew", swap("Hello\r\n\tthere", "Hello \t there"), w, Pass, ""},
		{"subject added", "Subject: Other\r\n" + good, w, Fail, "header was changed"},
		{"subject added below", swap("\r\n\r\nHello", "\r\nSubject: Other\r\n\r\nHello"), w, Fail, "header was changed"},
		{"reply-to added", "Reply-To: x@evil.test\r\n" + good, w, Fail, "header was changed"},
		{"unsigned field added", "X-Other: x\r\n" + good, w, Pass, ""},
		{"length", swap("v=1;", "v=1; l=5;"), w, Policy, "l="},
		{"SHA-1", swap("rsa-sha256", "rsa-sha1"), w, Policy, "SHA-1"},
		{"other algorithm", swap("rsa-sha256", "ed25519-sha256"), w, PermError, "different algorithms"},
		{"no algorithm", swap("rsa-sha256", "rot13"), w, PermError, "not known"},
		{"version", swap("v=1;", "v=2;"), w, PermError, "version"},
		{"twice", swap("v=1;", "v=1; v=1;"), w, PermError, "twice"},
		{"expired", swap("v=1;", "v=1; x=1;"), w, PermError, "before it begins"},
		{"long expired", strings.Replace(swap("v=1;", "v=1; x=2;"), "t=1795", "y=1795", 1), w, Fail, "expired"},
		{"no time", swap("v=1;", "v=1; x=tomorrow;"), w, PermError, "time"},
		{"From not signed", strings.ReplaceAll(good, "From:From:", "Frim:"), w, PermError, "From"},
		{"no domain", swap("d=a.test", "d=[192.0.2.1]"), w, PermError, "domain"},
		{"other domain", swap("d=a.test", "d=b.test"), w, PermError, "no key"},
		{"strange selector", swap("s=r1", "s=r1/../x"), w, PermError, "no name"},
		{"identity below", swap("v=1;", "v=1; i=x@sub.a.test;"), w, Fail, "header was changed"},
		{"identity elsewhere", swap("v=1;", "v=1; i=x@b.test;"), w, PermError, "identity"},
		{"identity beside", swap("v=1;", "v=1; i=x@xa.test;"), w, PermError, "identity"},
		{"canonicalization", swap("relaxed/relaxed", "relaxed/nowsp"), w, PermError, "canonicalization"},
		{"method", swap("v=1;", "v=1; q=dns/key;"), w, PermError, "DNS"},
		{"no base64", swap("bh=", "bh=!"), w, PermError, "base64"},
		{"no tag", swap("bh=", "hb="), w, PermError, "no tag bh"},
		{"no tags", swap("v=1;", "v1;"), w, PermError, "read"},
		{"long", swap("v=1;", "v=1; z="+strings.Repeat("x ", maxSigField)+";"), w, PermError, "too long"},
		{"no key", good, w.with(name, ""), PermError, "no key"},
		{"revoked", good, w.with(name, "v=DKIM1; p="), PermError, "revoked"},
		{"key of another", good, w.with(name, "v=DKIM1; k=ed25519; p="+strings.SplitN(e.Record(), "p=", 2)[1]), PermError, "algorithms"},
		{"look-up fails", good, w.with(name, "!"), TempError, "looked up"},
		{"weak key", good, w.with(name, weak), Policy, "384 bits"},
		{"no record", good, w.with(name, "hello"), PermError, "record"},
		{"other version", good, w.with(name, strings.Replace(rec, "DKIM1", "DKIM2", 1)), PermError, "version"},
		{"not for mail", good, w.with(name, rec+"; s=tlsrpt"), PermError, "mail"},
		{"for mail", good, w.with(name, rec+"; s=tlsrpt:email"), Pass, ""},
		{"not SHA-256", good, w.with(name, rec+"; h=sha1"), PermError, "SHA-256"},
		{"strict", good, w.with(name, rec+"; t=s"), Pass, ""},
		{"strict, below", swap("v=1;", "v=1; i=x@sub.a.test;"), w.with(name, rec+"; t=s"), PermError, "subdomains"},
		{"testing", good, w.with(name, rec+"; t=y"), Pass, ""},
		{"testing, changed", swap("bye", "buy"), w.with(name, rec+"; t=y"), Neutral, "testing"},
		{"bad key", good, w.with(name, "v=DKIM1; p=AAAA"), PermError, "RSA"},
		{"beside a wildcard", good, world{name: {"v=spf1 -all", rec}}, Pass, ""},
		{"two keys", good, world{name: {rec, rec}}, PermError, "several"},
	} {
		r := check(t, c.dns, Options{}, c.msg)
		if len(r.DKIM) != 1 || r.DKIM[0].Result != c.want || !strings.Contains(r.DKIM[0].Reason, c.reason) {
			t.Errorf("%s: %+v", c.what, r.DKIM)
		}
		if r.Verdict == Refuse {
			t.Errorf("%s: refused: %v", c.what, r.Reasons)
		}
		v, err := judged(c.dns, c.msg)
		// It takes a field of 32 KB, and i= and t=s as they come, and wants
		// one record only.
		if ours, theirs := c.want == Pass, err == nil && len(v) == 1 && v[0].Err == nil; ours != theirs && c.what != "beside a wildcard" {
			t.Errorf("%s: go-msgauth says %v %+v", c.what, err, v)
		}
	}
}

func TestManySignatures(t *testing.T) {
	w := world{}
	k := w.key(t, "a.test", "e1", Ed25519)
	m := hello
	for range maxSignatures + 3 {
		m = sign(t, hello, k)[:len(sign(t, hello, k))-len(hello)] + m
	}
	r := check(t, w, Options{}, m)
	if len(r.DKIM) != maxSignatures || !strings.Contains(strings.Join(r.Reasons, "\n"), "3 more signatures") {
		t.Errorf("%d: %v", len(r.DKIM), r.Reasons)
	}
}

func FuzzDKIM(f *testing.F) {
	w := world{}
	k := w.key(f, "a.test", "e1", Ed25519)
	good := sign(f, hello, k)
	f.Add(good)
	f.Add(crlf(football))
	f.Add("DKIM-Signature: v=1;;a=rsa-sha256; b=\r\n ;b =x; d=a.test; s=e1; h=from:; bh=\r\n\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		r := check(t, w, Options{}, s)
		for _, sig := range r.DKIM {
			if sig.Result == "" || (sig.Result == Pass) != (sig.Reason == "") {
				t.Fatalf("%+v", sig)
			}
			// What passes has the author and text that were signed.
			if sig.Result == Pass && !strings.Contains(s, "alice@a.test") && !strings.Contains(s, "joe@football") {
				t.Fatalf("%q passes", s)
			}
		}
		if field := r.Field("mx.b.test"); strings.Contains(strings.ReplaceAll(field, "\r\n\t", ""), "\n") && !strings.HasSuffix(field, "\r\n") {
			t.Fatalf("%q", field)
		}
	})
}

func FuzzKey(f *testing.F) {
	f.Add("v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
	f.Add(footballDNS["TXT test._domainkey.football.example.com"][0])
	f.Fuzz(func(t *testing.T, s string) {
		if k, err := parseKey(s); err == nil && (k.key == nil || k.bits < 256) {
			t.Fatalf("%+v", k)
		}
	})
}

// FuzzBodyHash compares both forms with another maker of them.
func FuzzBodyHash(f *testing.F) {
	f.Add("a \t b\r\n\r\n \r\nc \r\n\r\n")
	w := world{}
	k := w.key(f, "a.test", "e1", Ed25519)
	f.Fuzz(func(t *testing.T, body string) {
		body = crlf(strings.ReplaceAll(body, "\r", ""))
		for _, form := range []dkim.Canonicalization{"simple", "relaxed"} {
			var b bytes.Buffer
			if err := dkim.Sign(&b, strings.NewReader("From: a@a.test\r\n\r\n"+body), &dkim.SignOptions{Domain: "a.test", Selector: "e1",
				Signer: k.signer, BodyCanonicalization: form, Expiration: testNow.Add(1000 * time.Hour)}); err != nil {
				t.Fatal(err)
			}
			if r := check(t, w, Options{}, b.String()); r.DKIM[0].Result != Pass && r.DKIM[0].Reason != "the signature is of the future" {
				t.Fatalf("%s %q: %+v", form, body, r.DKIM)
			}
		}
	})
}
