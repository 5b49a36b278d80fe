package imapd

import (
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
