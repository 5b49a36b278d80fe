package mail

import (
	"strings"
	"testing"
)

func TestParseAddress(t *testing.T) {
	long := strings.Repeat("a", 63)
	tests := []struct {
		in, out string // out empty: refused
		key     string
	}{
		{"alice@example.com", "alice@example.com", "alice@example.com"},
		{"Alice@Example.COM", "Alice@example.com", "alice@example.com"},
		{"a.b+tag@x", "a.b+tag@x", "a.b+tag@x"},
		{`"a b"@x.org`, `"a b"@x.org`, "a b@x.org"},
		{`"ab"@x.org`, `ab@x.org`, "ab@x.org"},
		{`"a\"\\\b"@x.org`, `"a\"\\b"@x.org`, `a"\b@x.org`},
		{`"a@b>c"@x.org`, `"a@b>c"@x.org`, "a@b>c@x.org"},
		{`""@x.org`, `""@x.org`, "@x.org"},
		{"üser@exämple.de", "üser@exämple.de", "üser@xn--exmple-cua.de"},
		{"u\u0308ser@x", "u\u0308ser@x", "üser@x"},
		{"Ü@x", "Ü@x", "ü@x"},
		{"a@XN--EXMPLE-CUA.de", "a@xn--exmple-cua.de", "a@xn--exmple-cua.de"},
		{"a@EXÄMPLE.de", "a@exämple.de", "a@xn--exmple-cua.de"},
		{"a@faß.de", "a@faß.de", "a@xn--fa-hia.de"},
		{"a@[192.0.2.1]", "a@[192.0.2.1]", "a@[192.0.2.1]"},
		{"a@[ipv6:2001:DB8::1]", "a@[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]"},
		{"a@[x-tag:content]", "a@[x-tag:content]", "a@[x-tag:content]"},
		{"a@foo_bar.example", "a@foo_bar.example", "a@foo_bar.example"},
		{"a@" + long + ".x", "a@" + long + ".x", "a@" + long + ".x"},
		{"a@" + long + "a.x", "", ""},
		{"a@" + strings.Repeat(long+".", 4) + "x", "", ""},
		{strings.Repeat("a", 256) + "@x", "", ""},
		{"", "", ""}, {"a", "", ""}, {"a@", "", ""}, {"@x", "", ""}, {"a@b@c", "", ""},
		{".a@x", "", ""}, {"a.@x", "", ""}, {"a..b@x", "", ""}, {"a b@x", "", ""},
		{"a@x.", "", ""}, {"a@.x", "", ""}, {"a@-x", "", ""}, {"a@x-", "", ""}, {"a@x..y", "", ""},
		{"a@x y", "", ""}, {" a@x", "", ""}, {"a@x ", "", ""}, {"a@x>", "", ""}, {"<a@x>", "", ""},
		{"a@[1.2.3]", "", ""}, {"a@[::1]", "", ""}, {"a@[IPv6:fe80::1%eth0]", "", ""}, {"a@[]", "", ""}, {"a@[1.2.3.4", "", ""},
		{"a\r\n@x", "", ""}, {"a\x00@x", "", ""}, {"\"a\nb\"@x", "", ""}, {"a\u2028b@x", "", ""}, {"a\x80@x", "", ""},
		{`"a@x`, "", ""}, {`"a"b@x`, "", ""}, {`a"b"@x`, "", ""}, {`"a\`, "", ""},
		{"a@x℀y", "", ""}, {"postmaster", "", ""},
	}
	for _, tt := range tests {
		a, err := ParseAddress(tt.in)
		if (err != nil) != (tt.out == "") || a.String() != tt.out {
			t.Errorf("ParseAddress(%q) = %q, %v; want %q", tt.in, a.String(), err, tt.out)
			continue
		}
		if err == nil && a.Key() != tt.key {
			t.Errorf("%q: key %q, want %q", tt.in, a.Key(), tt.key)
		}
	}
}

func TestParsePath(t *testing.T) {
	const bad = "error"
	tests := []struct{ in, addr, rest string }{
		{"<a@b.c>", "a@b.c", ""},
		{" <a@b.c> SIZE=1 BODY=8BITMIME", "a@b.c", "SIZE=1 BODY=8BITMIME"},
		{"<>", "", ""}, {"  <> RET=FULL", "", "RET=FULL"},
		{"a@b.c", "a@b.c", ""}, {"a@b.c SIZE=1", "a@b.c", "SIZE=1"},
		{"<@r1.x,@r2.x:a@b.c>", "a@b.c", ""}, {"<@r1.x:a@b.c> X", "a@b.c", "X"},
		{`<"a> b"@x> Y`, `"a> b"@x`, "Y"},
		{"<postmaster>", "postmaster", ""}, {"<PostMaster> N", "PostMaster", "N"}, {"postmaster", "postmaster", ""},
		{"", bad, ""}, {"<", bad, ""}, {"<a@b", bad, ""}, {"<a@b.c>x", bad, ""}, {"<a>", bad, ""}, {"a@b>", bad, ""},
		{"<@r:>", bad, ""}, {"<@r,a@b>", bad, ""}, {"<@r a@b>", bad, ""}, {"<a@b c>", bad, ""}, {"<<a@b>>", bad, ""}, {"<>x", bad, ""},
	}
	for _, tt := range tests {
		a, rest, err := ParsePath(tt.in)
		if tt.addr == bad {
			if err == nil {
				t.Errorf("ParsePath(%q) = %q, want an error", tt.in, a)
			}
			continue
		}
		if err != nil || a.String() != tt.addr || rest != tt.rest {
			t.Errorf("ParsePath(%q) = %q, %q, %v; want %q, %q", tt.in, a, rest, err, tt.addr, tt.rest)
		}
	}
}

func TestAddressIsASCII(t *testing.T) {
	for in, want := range map[string]bool{"a@b": true, "ü@b": false, "a@ü.de": false} {
		a, err := ParseAddress(in)
		if err != nil || a.IsASCII() != want {
			t.Errorf("%q: IsASCII = %v, %v", in, a.IsASCII(), err)
		}
	}
}

func TestSplitPlus(t *testing.T) {
	for in, want := range map[string][2]string{"a": {"a", ""}, "a+b": {"a", "b"}, "a+b+c": {"a", "b+c"}, "+a": {"+a", ""}, "a+": {"a", ""}} {
		if b, d := SplitPlus(in); b != want[0] || d != want[1] {
			t.Errorf("SplitPlus(%q) = %q, %q", in, b, d)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"a@b", `"a b"@[1.2.3.4]`, "ü@faß.de", "a@xn--fa-hia.de", `"\""@x`, "a@[IPv6:::1]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			return
		}
		b, err := ParseAddress(a.String())
		if err != nil || a != b {
			t.Fatalf("%q → %#v → %q → %#v, %v", s, a, a.String(), b, err)
		}
		if strings.ContainsAny(a.String(), "\r\n\x00") {
			t.Fatalf("%q: control characters in %q", s, a.String())
		}
		if _, err := DomainKey(a.Domain); err != nil {
			t.Fatalf("%q: no key for the domain: %v", s, err)
		}
		if !strings.HasSuffix(a.Key(), "@"+must(DomainKey(a.Domain))) {
			t.Fatalf("%q: key %q", s, a.Key())
		}
	})
}

func must(s string, err error) string {
	if err != nil {
		panic(err)
	}
	return s
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"<a@b> SIZE=1", "<>", "a@b X", "<@x,@y:a@b>", "<postmaster>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, rest, err := ParsePath(s)
		if err != nil {
			return
		}
		b, rest2, err := ParsePath("<" + a.String() + "> " + rest)
		if err != nil || a != b || rest != rest2 {
			t.Fatalf("%q → %#v, %q → %#v, %q, %v", s, a, rest, b, rest2, err)
		}
	})
}
