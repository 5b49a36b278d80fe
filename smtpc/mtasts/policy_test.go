package mtasts

import (
	"strings"
	"testing"
	"time"
)

func TestParsePolicy(t *testing.T) {
	for text, want := range map[string]string{
		"version: STSv1\nmode: enforce\nmx: mail.b.test\nmx: *.Example.NET\nmax_age: 86400\n":            "enforce mail.b.test,*.example.net 24h0m0s",
		"version: STSv1\r\nmode: testing\r\nmx: a.test.\r\nmax_age: 1\r\nmode: enforce\r\n\r\nfuture: x": "testing a.test 1s",
		" version :  STSv1 \nmode:enforce\nmax_age:99999999999\nmx:bücher.test":                          "enforce xn--bcher-kva.test 8766h0m0s",
		"version: STSv1\nmode: none\nmax_age: 0":                                                         "none  0s",
		"version: STSv1\nmode: enforce\nmax_age: 1":                                                      "names no host",
		"version: STSv2\nmode: none\nmax_age: 1":                                                         "unknown version",
		"version: STSv1\nmode: strict\nmx: a.test\nmax_age: 1":                                           "unknown mode",
		"version: STSv1\nmode: none\nmax_age: -1":                                                        "no number",
		"version: STSv1\nmode: none":                                                                     "no max_age",
		"version: STSv1\nmax_age: 1":                                                                     "no mode",
		"mode: none\nmax_age: 1":                                                                         "no version",
		"version: STSv1\nmode: enforce\nmx: a.*.test\nmax_age: 1":                                        "no host name",
		"version: STSv1\nmode: enforce\nmx: *\nmax_age: 1":                                               "no host name",
		"version: STSv1\nmode: enforce\nmx: [127.0.0.1]\nmax_age: 1":                                     "no host name",
		"<html>":                    "without a colon",
		"":                          "no version",
		strings.Repeat("a", 65<<10): "too long",
	} {
		p, err := ParsePolicy(text)
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = string(p.Mode) + " " + strings.Join(p.MX, ",") + " " + p.MaxAge.String()
		}
		if err == nil && got != want || err != nil && !strings.Contains(got, want) {
			t.Errorf("%.60q: %s, want %s", text, got, want)
		}
	}
}

func TestMatches(t *testing.T) {
	p := &Policy{MX: []string{"mail.b.test", "*.example.net"}}
	for host, want := range map[string]bool{"mail.b.test": true, "MAIL.b.test.": true, "x.mail.b.test": false, "b.test": false,
		"a.example.net": true, "A.Example.NET": true, "a.b.example.net": false, "example.net": false, ".example.net": false, "": false} {
		if p.Matches(host) != want {
			t.Errorf("%q: %v", host, !want)
		}
	}
}

func TestParseRecord(t *testing.T) {
	for txt, want := range map[string]string{
		"v=STSv1; id=20160831085700Z;":           "20160831085700Z",
		"v=STSv1;id=1":                           "1",
		"v=STSv1 ; x=y; id=abc; id=def":          "abc",
		"v=STSv1;":                               "",
		"v=STSv1; id=a-b":                        "",
		"v=STSv1; id=" + strings.Repeat("x", 33): "",
		"v=STSv2; id=1":                          "",
		"v=spf1 -all":                            "",
		"id=1; v=STSv1":                          "",
		"v=STSv1|v=STSv1;x":                      "",
		"v=spf1 -all|v=STSv1; id=2":              "2",
		"v=STSv1; id=1|v=STSv1; id=2":            "",
	} {
		if id, ok := ParseRecord(strings.Split(txt, "|")); id != want || ok != (want != "") {
			t.Errorf("%q: %q, %v, want %q", txt, id, ok, want)
		}
	}
}

func TestNew(t *testing.T) {
	p := New(Enforce, 7*24*time.Hour, "mail.a.test", "mx2.a.test")
	got, err := ParsePolicy(p.Text)
	if err != nil || got.Mode != Enforce || !got.Matches("mx2.a.test") || got.MaxAge != 7*24*time.Hour || len(got.Lines()) != 5 {
		t.Errorf("%q: %+v, %v", p.Text, got, err)
	}
	if id, ok := ParseRecord([]string{Record("abc")}); !ok || id != "abc" {
		t.Errorf("record: %q", Record("abc"))
	}
}

// FuzzPolicy reads anything as a policy: what is accepted can be read again
// from its own lines and matches nothing that it does not name.
func FuzzPolicy(f *testing.F) {
	f.Add("version: STSv1\nmode: enforce\nmx: mail.b.test\nmx: *.example.net\nmax_age: 86400\n", "a.example.net")
	f.Add("version: STSv1\r\nmode: none\r\nmax_age: 0\r\n", "")
	f.Fuzz(func(t *testing.T, text, host string) {
		ParseRecord(strings.Split(text, "\n"))
		p, err := ParsePolicy(text)
		if err != nil {
			return
		}
		again, err := ParsePolicy(strings.Join(p.Lines(), "\n"))
		if err != nil || again.Mode != p.Mode || len(again.MX) != len(p.MX) || again.MaxAge != p.MaxAge {
			t.Errorf("%q: %+v, then %+v, %v", text, p, again, err)
		}
		if p.Matches(host) && len(p.MX) == 0 {
			t.Errorf("%q matches nothing", host)
		}
	})
}
