package mailauth

import (
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/authres"

	"postrider/mail"
)

// TestField reads our Authentication-Results with another reader.
func TestField(t *testing.T) {
	w, author, list, _ := arcWorld(t, Ed25519)
	w["PTR 192.0.2.1"], w["A mail.a.test"] = []string{"mail.a.test"}, []string{"192.0.2.1"}
	w["TXT far.test"] = []string{"v=spf1 -all"}
	r := checkFrom(t, w, Options{}, "x@far.test", sealBy(t, w, list, sign(t, hello, author)))
	field := r.Field("mx.b.test")
	want := "Authentication-Results: mx.b.test;\r\n" +
		"\tdkim=pass header.d=a.test header.s=e1 header.a=ed25519-sha256\r\n" +
		"\theader.b=" + pvalue(r.DKIM[0].b[:8]) + ";\r\n" +
		"\tspf=fail reason=\"the domain does not send from this address\"\r\n" +
		"\tsmtp.mailfrom=far.test;\r\n" +
		"\tdmarc=pass header.from=a.test policy.dmarc=reject;\r\n" +
		"\tarc=pass smtp.remote-ip=192.0.2.1;\r\n" +
		"\tiprev=pass policy.iprev=192.0.2.1\r\n"
	if field != want {
		t.Errorf("%s", field)
	}
	for f := range mail.Fields([]byte(field)) {
		id, results, err := authres.Parse(f.Value())
		if err != nil || id != "mx.b.test" || len(results) != 5 {
			t.Errorf("%q %d %v", id, len(results), err)
		}
	}
}

// TestHostileValues puts into a message what could end a field or a result.
func TestHostileValues(t *testing.T) {
	r := &Result{SPF: SPF{Result: Fail, Domain: "a.test; dmarc=pass", Reason: "\"\r\nX: y"}, IPRev: IPRev{Result: None, Name: "x\x00\r\n"},
		DKIM: []Signature{{Result: Fail, Domain: "é\n", Selector: "(", b: "a=b/+"}}, ARC: ARC{Result: None}, DMARC: DMARC{Result: None}}
	got := r.Field("mx.b.test")
	if n := len(strings.Split(strings.TrimSuffix(got, "\r\n"), "\r\n\t")) - 1; strings.Count(got, "\n") != n+1 || strings.Contains(got, " dmarc=pass;") {
		t.Errorf("%q", got)
	}
	for _, c := range got {
		if c >= 0x80 || c < ' ' && c != '\r' && c != '\n' && c != '\t' {
			t.Errorf("%q", got)
		}
	}
}

func TestForged(t *testing.T) {
	for _, c := range []struct {
		field string
		want  bool
	}{
		{"Authentication-Results: mx.b.test; none", true},
		{"authentication-results : MX.b.test;none", true},
		{"Authentication-Results: mx.b.test 1; none", true},
		{"Authentication-Results:\r\n\t(a (nested\\)) comment) mx.b.test; dkim=pass", true},
		{"Authentication-Results: \"mx.b\\.test\"; dkim=pass", true},
		{"Authentication-Results: mx.b.test", true},
		{"Authentication-Results: mx.b.test(x); dkim=pass", true},
		{"Authentication-Results: mx.b.test/1; dkim=pass", true},
		{"Authentication-Results: mx.b.test=1; dkim=pass", true},
		{"Authentication-Results: mx.b.test.; dkim=pass", true},
		{"Authentication-Results: mx.b.test,other.test; dkim=pass", true},
		{"Authentication-Results: \" mx.b.test. \"; dkim=pass", true},
		{"Authentication-Results: mx.b.test\x01; dkim=pass", true},
		{"Authentication-Results: \uff4d\uff58.b.test; dkim=pass", true}, // what IDNA maps to mx
		{"AUTHENTICATION-RESULTS:\r\n  MX.B.TEST\r\n\t; dkim=pass", true},
		{"Authentication-Results: mx.b.test.other.test; dkim=pass", false},
		{"Authentication-Results: other.test; dkim=pass", false},
		{"Authentication-Results: xmx.b.test; dkim=pass", false},
		{"Authentication-Results: ; dkim=pass", false},
		{"Authentication-Results: (unclosed mx.b.test", false},
		{"ARC-Authentication-Results: i=1; mx.b.test; none", false},
		{"X-Authentication-Results: mx.b.test; none", false},
	} {
		for f := range mail.Fields([]byte(c.field + "\r\n")) {
			if Forged(f, "mx.b.test") != c.want {
				t.Errorf("%s: not %v", c.field, c.want)
			}
			break
		}
	}
}

func FuzzAuthservID(f *testing.F) {
	f.Add("(c(\\))) \"mx\\.b\" ; x")
	f.Fuzz(func(t *testing.T, s string) {
		if id := authservID(s); len(id) > len(s) {
			t.Fatalf("%q", id)
		}
		stripQuotes(s)
	})
}
