package mailauth

import (
	"bytes"
	"strings"
	"testing"
)

// sealBy returns a message that a sealer has found what it found in.
func sealBy(t testing.TB, w world, k *Key, s string) string {
	t.Helper()
	r := checkFrom(t, w, Options{}, "x@far.test", s)
	head, body := split(s)
	set, err := Seal(k, testNow, "mx."+k.Domain, r.Results(), r.ARC, bytes.NewReader(body), head)
	if err != nil {
		t.Fatal(err)
	}
	return string(set) + s
}

func arcWorld(t testing.TB, lists string) (w world, author, list, gate *Key) {
	w = world{"TXT _dmarc.a.test": {"v=DMARC1; p=reject"}, "TXT _dmarc.list.test": {"v=DMARC1; p=none"}}
	return w, w.key(t, "a.test", "e1", Ed25519), w.key(t, "list.test", "s1", lists), w.key(t, "gate.test", "e1", Ed25519)
}

func TestARC(t *testing.T) {
	w, author, list, gate := arcWorld(t, RSA)
	one := sealBy(t, w, list, sign(t, hello, author))
	two := sealBy(t, w, gate, one)
	change := func(s, old, new string) string {
		out := strings.Replace(s, old, new, 1)
		if out == s {
			t.Fatalf("no %q in %q", old, s)
		}
		return out
	}
	last := sealBy(t, w, list, change(one, "bye", "Bye"))
	for _, c := range []struct {
		what, msg string
		dns       world
		want      Value
		sealers   int
		reason    string
	}{
		{"none", hello, w, None, 0, ""},
		{"one", one, w, Pass, 1, ""},
		{"two", two, w, Pass, 2, ""},
		{"text changed", change(two, "bye", "Bye"), w, Fail, 2, "text was changed"},
		{"header changed", change(two, "Subject: Hello", "Subject: Hullo"), w, Fail, 2, "header was changed"},
		{"results changed", change(two, "dmarc=pass", "dmarc=fail"), w, Fail, 2, "seal"},
		{"first results changed", two[:strings.LastIndex(two, "dmarc=pass")] + "dmarc=fail" + two[strings.LastIndex(two, "dmarc=pass")+10:], w, Fail, 2, "seal"},
		{"closed", last, w, Fail, 2, "found the chain broken"},
		{"a gap", strings.ReplaceAll(one, "i=1;", "i=2;"), w, Fail, 1, "instance"},
		{"twice", one[:len(one)-len(sign(t, hello, author))] + one, w, Fail, 2, "not whole"},
		{"cv", change(one, "cv=none", "cv=pass"), w, Fail, 1, "cv=pass"},
		{"h in the seal", change(one, "cv=none", "h=from; cv=none"), w, Fail, 1, "tag h"},
		{"no key", two, w.with("TXT e1._domainkey.gate.test", ""), Fail, 2, "no key"},
		{"look-up fails", two, w.with("TXT s1._domainkey.list.test", "!"), TempError, 2, ""},
		{"other key", one, w.with("TXT s1._domainkey.list.test", gate.Record()), Fail, 1, "different algorithms"},
		{"no instance", change(one, "ARC-Seal: i=1;", "ARC-Seal:"), w, Fail, 1, "instance"},
		{"no set", "ARC-Seal: i=1; cv=none\r\n" + hello, w, Fail, 1, ""},
		{"many", strings.Repeat("ARC-Seal: i=1; cv=none\r\n", 51) + hello, w, Fail, 0, "more than 50"},
	} {
		r := checkFrom(t, c.dns, Options{}, "x@far.test", c.msg)
		if r.ARC.Result != c.want || len(r.ARC.Sealers) != c.sealers || !strings.Contains(r.ARC.Reason, c.reason) {
			t.Errorf("%s: %+v", c.what, r.ARC)
		}
	}
	// Who has closed a chain has the last word.
	if again := sealBy(t, w, gate, last); again != last {
		t.Errorf("a closed chain grew by %q", again[:len(again)-len(last)])
	}
}

// TestTrustedSealer spares what a list has changed, if the list is trusted
// and says that it was all right when it came.
func TestTrustedSealer(t *testing.T) {
	w, author, list, gate := arcWorld(t, Ed25519)
	signed := sign(t, hello, author)
	// A list changes the text after it has checked the message, then seals.
	r := checkFrom(t, w, Options{}, "x@far.test", signed)
	changed := signed + "-- \r\nlist.test\r\n"
	head, body := split(changed)
	set, err := Seal(list, testNow, "mx.list.test", r.Results(), r.ARC, bytes.NewReader(body), head)
	if err != nil {
		t.Fatal(err)
	}
	listed := string(set) + changed
	forged := strings.Replace(sealBy(t, w, list, hello), "dmarc=fail", "dmarc=pass", 1)
	said := sealBy(t, w, list, hello) // the list saw that it was not Alice
	for _, c := range []struct {
		what, msg string
		trust     []string
		want      Verdict
	}{
		{"trusted", listed, []string{"list.test"}, Accept},
		{"above", listed, []string{"test"}, Accept},
		{"not trusted", listed, nil, Refuse},
		{"another", listed, []string{"gate.test"}, Refuse},
		{"twice", sealBy(t, w, gate, listed), []string{"list.test", "gate.test"}, Accept},
		{"the last not trusted", sealBy(t, w, gate, listed), []string{"list.test"}, Refuse},
		{"the first not trusted", sealBy(t, w, gate, listed), []string{"gate.test"}, Refuse},
		{"changed after", listed + "x\r\n", []string{"list.test"}, Refuse},
		{"results forged", forged, []string{"list.test"}, Refuse},
		{"had failed there", said, []string{"list.test"}, Refuse},
	} {
		r := checkFrom(t, w, Options{Sealers: c.trust}, "x@far.test", c.msg)
		if r.Verdict != c.want || r.DMARC.Result != Fail {
			t.Errorf("%s: %s %q", c.what, r.Verdict, r.Reasons)
		}
	}
}

// TestSparedWhileUnsure: what the DNS does not tell now, a trusted sealer does.
func TestSparedWhileUnsure(t *testing.T) {
	w, author, list, _ := arcWorld(t, Ed25519)
	listed := sealBy(t, w, list, sign(t, hello, author))
	w = w.with("TXT "+author.RecordName(), "!")
	for _, c := range []struct {
		trust []string
		want  Verdict
	}{{nil, Defer}, {[]string{"gate.test"}, Defer}, {[]string{"list.test"}, Accept}} {
		if r := checkFrom(t, w, Options{Sealers: c.trust}, "x@far.test", listed); r.Verdict != c.want || r.DMARC.Result != TempError {
			t.Errorf("%v: %s %s %q", c.trust, r.Verdict, r.DMARC.Result, r.Reasons)
		}
	}
}

// TestVouchedForEach: a sealer that says that a message is from one of its
// authors does not vouch for the other.
func TestVouchedForEach(t *testing.T) {
	w, _, list, _ := arcWorld(t, Ed25519)
	w["TXT _dmarc.c.test"] = []string{"v=DMARC1; p=reject"}
	both := strings.Replace(hello, "From: Alice <alice@a.test>", "From: Alice <alice@a.test>, carol@c.test", 1)
	for results, want := range map[string]Verdict{
		"dmarc=pass header.from=a.test": Refuse, "dmarc=pass header.from=c.test": Refuse,
		"dmarc=pass header.from=a.test;\x00dmarc=pass header.from=c.test": Accept,
	} {
		head, body := split(both)
		set, err := Seal(list, testNow, "mx.list.test", results, ARC{Result: None}, bytes.NewReader(body), head)
		if err != nil {
			t.Fatal(err)
		}
		if r := checkFrom(t, w, Options{Sealers: []string{"list.test"}}, "x@far.test", string(set)+both); r.Verdict != want {
			t.Errorf("%q: %s %q", results, r.Verdict, r.Reasons)
		}
	}
}

func TestSealedResults(t *testing.T) {
	for _, c := range []struct {
		value      string
		dmarc, arc bool
	}{
		{"i=1; mx.test; dkim=pass header.d=a.test; dmarc=pass header.from=a.test", true, false},
		{"i=1; mx.test; dmarc=pass (p=none) header.from=A.test; arc=pass", true, true},
		{"i=1; mx.test; dmarc=pass header.from=b.test", false, false},
		{"i=1; mx.test; dmarc=fail header.from=a.test", false, false},
		{`i=1; mx.test; spf=none reason="; dmarc=pass header.from=a.test; "`, false, false},
		{"i=1; mx.test; spf=none (; dmarc=pass header.from=a.test; )", false, false},
		{"i=1; mx.test; dmarc=pass", false, false},
		{"", false, false},
	} {
		if d, a := sealedResults(c.value, "a.test"); d != c.dmarc || a != c.arc {
			t.Errorf("%s: %v %v", c.value, d, a)
		}
	}
}

func FuzzARC(f *testing.F) {
	w, author, list, gate := arcWorld(f, Ed25519)
	one := sealBy(f, w, list, sign(f, hello, author))
	f.Add(one)
	f.Add(sealBy(f, w, gate, one))
	f.Add("ARC-Seal: i=1; a=rsa-sha256; cv=none; d=a; s=b; b=AAAA\r\nARC-Message-Signature: i=1\r\nARC-Authentication-Results: i=1; (x;\r\n\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		r := checkFrom(t, w, Options{Sealers: []string{"list.test"}}, "x@far.test", s)
		if r.ARC.Result == Pass && !strings.Contains(strings.ToLower(s), "arc-seal") || r.ARC.Result == "" {
			t.Fatalf("%+v", r.ARC)
		}
		head, body := split(s)
		if _, err := Seal(gate, testNow, "mx.gate.test", r.Results(), r.ARC, bytes.NewReader(body), head); err != nil {
			t.Fatal(err)
		}
	})
}
