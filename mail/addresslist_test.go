package mail

import (
	"fmt"
	"strings"
	"testing"
)

// listString writes a list as an ENVELOPE does, with - for what is empty.
func listString(list []ListAddress) string {
	var out []string
	dash := func(s string) string {
		if s == "" {
			return "-"
		}
		return s
	}
	for _, a := range list {
		switch a.Group {
		case GroupStart:
			out = append(out, "{"+dash(a.Local))
		case GroupEnd:
			out = append(out, "}")
		default:
			out = append(out, fmt.Sprintf("(%s|%s|%s|%s)", dash(a.Name), dash(a.Route), dash(a.Local), dash(a.Domain)))
		}
	}
	return strings.Join(out, " ")
}

func TestParseAddressList(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""},
		{"a@b", "(-|-|a|b)"},
		{"<a@b>", "(-|-|a|b)"},
		{"Name <a@b>, c@d", "(Name|-|a|b) (-|-|c|d)"},
		{`"Last, First" <a@b>`, "(Last, First|-|a|b)"},
		{`"a \"q\" b" <c@d>`, `(a "q" b|-|c|d)`},
		{"a@b (Comment)", "(Comment|-|a|b)"},
		{`a@b (x (y) \) z)`, "(x (y) ) z|-|a|b)"},
		{"(before) a@b", "(-|-|a|b)"},
		{"Name (c) <a@b> (d)", "(Name|-|a|b)"},
		{"  spaced   name\t<a@b>", "(spaced name|-|a|b)"},
		{"J. Doe <j@d>", "(J. Doe|-|j|d)"},
		{"[List] <x@y>", "([List]|-|x|y)"},
		{"Name<a@b>,<c@d>", "(Name|-|a|b) (-|-|c|d)"},
		{"<@r,@s:a@b>", "(-|@r,@s|a|b)"},
		{"X <@r , @s : a@b>", "(X|@r,@s|a|b)"},
		{`"x y"@z`, "(-|-|x y|z)"},
		{"x . y @ z . w", "(-|-|x.y|z.w)"},
		{"a@[1.2.3.4]", "(-|-|a|[1.2.3.4])"},
		{"G: a@b, C <c@d>;, e@f", "{G (-|-|a|b) (C|-|c|d) } (-|-|e|f)"},
		{"u:;", "{u }"},
		{"undisclosed recipients: ;, x@y", "{undisclosed recipients } (-|-|x|y)"},
		{"G: a@b", "{G (-|-|a|b) }"},
		{":a@b;", "{- (-|-|a|b) }"},
		{"=?utf-8?q?J=C3=B6rg?= <j@x>", "(=?utf-8?q?J=C3=B6rg?=|-|j|x)"},
		{"Jörg <jörg@x>", "(Jörg|-|jörg|x)"},
		// Broken ones.
		{"a b c@d, e@f", "(a b|-|c|d) (-|-|e|f)"},
		{"some text, e@f", "(some text|-|-|-) (-|-|e|f)"},
		{"foo, e@f", "(-|-|foo|-) (-|-|e|f)"},
		{"<foo>", "(-|-|foo|-)"},
		{"@foo", "(-|-|-|foo)"},
		{"<@foo>", "(-|@foo|-|-)"},
		{"<>", "(-|-|-|-)"},
		{"Name <>", "(Name|-|-|-)"},
		{`"a" <b@c> x, e@f`, "(a|-|b|c) (-|-|e|f)"},
		{"x <a@b, e@f", "(x|-|a|b) (-|-|e|f)"},
		{"a@b>, e@f", "(-|-|a|b) (-|-|e|f)"},
		{"a@b;c@d", "(-|-|a|b) (-|-|c|d)"},
		{",a@b,,c@d,", "(-|-|a|b) (-|-|c|d)"},
		{"(unterminated a@b", ""},
		{`"unterminated`, "(-|-|unterminated|-)"},
		{"a@", "(-|-|a|-)"},
		{"a\x00\x01@b", "(-|-|a|b)"},
		{`a@[x\]y], b@c`, `(-|-|a|[x\]y]) (-|-|b|c)`},
		{`a@[x\`, `(-|-|a|[x\)`},
		{"a@[1.2.3.4, b@c", "(-|-|a|[1.2.3.4) (-|-|b|c)"},
	}
	for _, tt := range tests {
		if got := listString(ParseAddressList(tt.in)); got != tt.want {
			t.Errorf("%q\n got %s\nwant %s", tt.in, got, tt.want)
		}
	}
}

func TestListAddressAddress(t *testing.T) {
	for in, want := range map[string]string{"N <a@B.c>": "a@b.c", `"a b"@x`: `"a b"@x`, "foo": "", "a@b c": "a@b", "<>": "", "g:;": "", "a@-x": ""} {
		a, ok := ParseAddressList(in)[0].Address()
		if a.String() != want || ok != (want != "") {
			t.Errorf("%q: %q, %v; want %q", in, a, ok, want)
		}
	}
}

func FuzzAddressList(f *testing.F) {
	for _, s := range []string{"a@b, N <c@d> (x), G: e@f;", `"q\"" <@r:a@b>, a@[1.2.3.4]`, "x . y @ z", "(a(b)c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		inGroup := false
		for _, a := range ParseAddressList(s) {
			switch a.Group {
			case GroupStart:
				if inGroup {
					t.Fatalf("%q: a group inside a group", s)
				}
				inGroup = true
			case GroupEnd:
				if !inGroup {
					t.Fatalf("%q: the end of no group", s)
				}
				inGroup = false
			default:
				addr, ok := a.Address()
				if !ok {
					continue
				}
				if again, err := ParseAddress(addr.String()); err != nil || again != addr {
					t.Fatalf("%q: %#v → %q → %#v, %v", s, addr, addr, again, err)
				}
				formatted := FormatAddress(a.Name, addr)
				back := ParseAddressList(formatted)
				if len(back) != 1 || back[0].Local != addr.Local || !strings.EqualFold(back[0].Domain, addr.Domain) {
					t.Fatalf("%q: %#v → %q → %#v", s, a, formatted, back)
				}
			}
		}
		if inGroup {
			t.Fatalf("%q: a group without an end", s)
		}
	})
}
