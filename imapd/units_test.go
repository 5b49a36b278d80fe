package imapd

import (
	"slices"
	"strings"
	"testing"
	"time"

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

func TestMendSearch(t *testing.T) {
	for in, want := range map[string]string{
		"a SEARCH SMALLER 10 SEEN":                  "a SEARCH NOT LARGER 9 SEEN",
		"a UID SEARCH OR SMALLER 0 (smaller 5)":     "a UID SEARCH OR NOT ALL (NOT LARGER 4)",
		`a SEARCH SUBJECT SMALLER FROM "SMALLER 1"`: `a SEARCH SUBJECT SMALLER FROM "SMALLER 1"`,
		"a SEARCH HEADER SMALLER SMALLER 7":         "a SEARCH HEADER SMALLER SMALLER 7",
		"a SEARCH SMALLER x":                        "a SEARCH SMALLER x",
		"SMALLER SEARCH ALL":                        "SMALLER SEARCH ALL",
	} {
		req := &request{name: "SEARCH"}
		if strings.Contains(in, "UID SEARCH") {
			req.name = "UID SEARCH"
		}
		if got := string(mendSearch(req, []byte(in))); got != want {
			t.Errorf("%s\nbecomes %s\n   want %s", in, got, want)
		}
	}
}

func TestBodyItems(t *testing.T) {
	names, body, structure := bodyItems("a UID FETCH 1:* (UID RFC822.SIZE BODY.PEEK[HEADER.FIELDS (\"RFC822\" BODY)] rfc822.header BODY BODYSTRUCTURE BODY[TEXT]<0.5> RFC822)\n")
	if want := []string{"", "RFC822.HEADER", "", "RFC822"}; !slices.Equal(names, want) || !body || !structure {
		t.Errorf("names %q, body %v, structure %v", names, body, structure)
	}
}

func TestLiteralAt(t *testing.T) {
	for _, x := range []struct {
		line string
		size int64
		sync bool
		ok   bool
	}{
		{"a b {5}", 5, true, true},
		{"a b {5+}", 5, false, true},
		{"a b ~{5+}", 5, false, true},
		{"a b {-5}", 0, false, false},
		{"a b {+5}", 0, false, false},
		{"a b {}", 0, false, false},
		{"a b {99999999999999999999}", 0, false, false},
		{"a b 5}", 0, false, false},
		{"{5", 0, false, false},
	} {
		size, sync, ok := literalAt([]byte(x.line))
		if ok != x.ok || ok && (size != x.size || sync != x.sync) {
			t.Errorf("%q: %d %v %v", x.line, size, sync, ok)
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
	if e.messageFlags(f); string(e.b) != `(\Seen $A Work)` {
		t.Errorf("list: %s", e.b)
	}
}

func TestDateTime(t *testing.T) {
	for _, at := range []time.Time{
		time.Date(2024, 1, 5, 3, 4, 59, 0, time.UTC), time.Date(1970, 12, 31, 23, 0, 0, 0, time.UTC),
		time.Date(999, 2, 28, 0, 0, 0, 0, time.UTC), time.Date(2031, 7, 10, 12, 30, 0, 0, time.FixedZone("", 7200)),
	} {
		var e encoder
		e.dateTime(at)
		if want := at.UTC().Format(`"_2-Jan-2006 15:04:05 -0700"`); string(e.b) != want {
			t.Errorf("%v is %s, want %s", at, e.b, want)
		}
	}
}
