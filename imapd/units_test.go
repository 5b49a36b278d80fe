package imapd

import (
	"math/rand/v2"
	"strings"
	"testing"

	"postrider/store"
)

func TestGlob(t *testing.T) {
	for _, x := range []struct {
		ref, pattern, name string
		want               bool
	}{
		{"", "*", "a/b", true},
		{"", "%", "a/b", false},
		{"", "%/%", "a/b", true},
		{"", "a*", "a", true},
		{"", "a%", "a", true},
		{"a/", "%", "a/b", true},
		{"a/", "/%", "b", true},
		{"a", "/b", "b", true},
		{"", "inbox", "INBOX", true},
		{"", "inbox/%", "INBOX/x", true},
		{"inbox", "/x", "x", true},
		{"", "Inbox*", "INBOX", true},
		{"", "Inbox*", "inboxes", false},
		{"", "*b", "a/b", true},
		{"", "*a%c", "xa/bc", false},
		{"", "*a*c", "xa/bc", true},
		{"", "", "", true},
		{"", strings.Repeat("*a", 500) + "b", strings.Repeat("a", 900), false},
	} {
		if got := newGlob(x.ref, x.pattern).match(x.name); got != x.want {
			t.Errorf("%q %.20q matches %.20q: %v", x.ref, x.pattern, x.name, got)
		}
	}
}

func TestFlags(t *testing.T) {
	f := store.Flags{System: store.Seen, Keywords: "$A Work"}
	got := apply(f, store.FlagChange{Mode: store.FlagsAdd, Flags: store.Flags{System: store.Deleted, Keywords: "b WORK"}})
	if got.System != store.Seen|store.Deleted || got.Keywords != "$A b Work" {
		t.Errorf("add: %+v", got)
	}
	got = apply(f, store.FlagChange{Mode: store.FlagsRemove, Flags: store.Flags{System: store.Seen, Keywords: "work"}})
	if got.System != 0 || got.Keywords != "$A" {
		t.Errorf("remove: %+v", got)
	}
	var e encoder
	if e.messageFlags(f); string(e.Bytes()) != `(\Seen $A Work)` {
		t.Errorf("list: %s", e.Bytes())
	}
}

func TestGlobs(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "a/b", true}, {"%", "a/b", false}, {"%/%", "a/b", true}, {"a%", "a", true}, {"a*b", "a/x/b", true}, {"a%b", "a/b", false},
		{"%%%%", "abc", true}, {"*%*%", "a/b", true}, {"%*%a", "b/a", true}, {"inb*", "INBOX", true}, {"inbox/x", "INBOX/x", true},
		{"inbox/x", "INBOX/X", false}, {"", "a", false}, {"%a%b%c%", "abc", true}, {"%a%b%c%d%", "abc", false},
		{strings.Repeat("*a", 5000), "aaaa", false}, {strings.Repeat("*", 60000), "aaaa", true}, {"a/", "a", false},
	} {
		if got := newGlob("", c.pattern).match(c.name); got != c.want {
			t.Errorf("%.20q matches %q: %t", c.pattern, c.name, got)
		}
	}
}

// TestGlobModel compares matches of random patterns, of more than a word of
// places too, with a matcher that tries everything.
func TestGlobModel(t *testing.T) {
	var slow func(p, name string) bool
	slow = func(p, name string) bool {
		switch {
		case p == "":
			return name == ""
		case p[0] == '*' || p[0] == '%':
			return slow(p[1:], name) || name != "" && (p[0] == '*' || name[0] != '/') && slow(p, name[1:])
		}
		return name != "" && name[0] == p[0] && slow(p[1:], name[1:])
	}
	rnd := rand.New(rand.NewPCG(7, 8))
	text := func(of string, n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = of[rnd.IntN(len(of))]
		}
		return string(b)
	}
	matched := 0
	for range 20000 {
		head := text("ab/", 60*rnd.IntN(3)) // so that wildcards stand at the end of a word of places
		pattern, name := head+text("ab/*%", rnd.IntN(9)), head+text("ab/*%", rnd.IntN(9))
		want := slow(pattern, name)
		if want {
			matched++
		}
		if got := placesOf(collapse(pattern)).match(name); got != want {
			t.Fatalf("%q matches %q: %t", pattern, name, got)
		}
	}
	if matched < 1000 {
		t.Errorf("only %d match", matched)
	}
}
