package sqlite

import (
	"strings"
	"testing"
	"time"

	"postrider/store"
)

func TestCleanName(t *testing.T) {
	long := strings.Repeat("x", maxName)
	for in, want := range map[string]string{
		"Work":              "Work",
		"inbox":             "INBOX",
		"InBox/child":       "INBOX/child",
		"Work/inbox":        "Work/inbox",
		"cafe\u0301":        "café",
		"../../etc/passwd":  "../../etc/passwd",
		"a b%*&":            "a b%*&",
		long:                long,
		long + "x":          "",
		"":                  "",
		"/":                 "",
		"/a":                "",
		"a/":                "",
		"a//b":              "",
		"a\x00b":            "",
		"a\r\nb":            "",
		"a\x7fb":            "",
		"a\u0085b":          "",
		"a\u2028b":          "",
		"\xff":              "",
		"a\xc0\xafb":        "",
		"INBOX/a/b/c/d/e/f": "INBOX/a/b/c/d/e/f",
	} {
		got, err := cleanName("test", in)
		if got != want || (err == nil) != (want != "") || err != nil && store.KindOf(err) != store.Invalid {
			t.Errorf("%.20q: got %.20q, %v, want %.20q", in, got, err, want)
		}
	}
}

// Whatever is accepted stays as it is when it is cleaned again.
func FuzzCleanName(f *testing.F) {
	for _, s := range []string{"INBOX", "a/b", "e\u0301/\u1100\u1161", "inbox/\u212b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once, err := cleanName("test", s)
		if err != nil {
			return
		}
		if twice, err := cleanName("test", once); err != nil || twice != once {
			t.Errorf("%q becomes %q, then %q, %v", s, once, twice, err)
		}
	})
}

func TestRenameOntoItself(t *testing.T) {
	e := openTest(t, t.TempDir(), Options{})
	a, _ := addAccount(t, e, "bob")
	for _, c := range []struct {
		from, to string
		kind     store.Kind
	}{
		{"Trash", "Trash", store.Exists},
		{"INBOX", "inbox", store.Exists},
		{"Trash", "Trash/old", store.Invalid},
		{"Trash", "Sent", store.Exists},
		{"none", "none", store.NotFound},
		{"a//b", "x", store.NotFound},
		{"Trash", "x/", store.Invalid},
	} {
		if err := e.Rename(t.Context(), a.ID, c.from, c.to); store.KindOf(err) != c.kind || err == nil {
			t.Errorf("%s to %s: %v, want %v", c.from, c.to, err, c.kind)
		}
	}
	clean(t, e)
}

// A mailbox that is made again never has a UIDVALIDITY that it had, though
// the clock stands still and the account itself was made again.
func TestUIDValidityRises(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	e := openTest(t, t.TempDir(), Options{Now: func() time.Time { return now }})
	last := uint32(0)
	for range 3 {
		a, _ := addAccount(t, e, "bob")
		for range 3 {
			m, err := e.Create(t.Context(), a.ID, "x", store.UseNone)
			if err != nil || m.UIDValidity <= last {
				t.Fatalf("UIDVALIDITY %d after %d, %v", m.UIDValidity, last, err)
			}
			last = m.UIDValidity
			if err := e.Delete(t.Context(), a.ID, "x"); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.RemoveAccount(t.Context(), a.ID); err != nil {
			t.Fatal(err)
		}
	}
	clean(t, e)
}

func TestApplyFlags(t *testing.T) {
	kw := func(s store.System, k string) store.Flags { return store.Flags{System: s, Keywords: k} }
	for _, c := range []struct {
		mode            store.FlagMode
		have, arg, want store.Flags
	}{
		{store.FlagsAdd, kw(store.Seen, "b"), kw(store.Flagged, "A c"), kw(store.Seen|store.Flagged, "A b c")},
		{store.FlagsAdd, kw(0, "Foo"), kw(0, "foo"), kw(0, "Foo")},
		{store.FlagsRemove, kw(store.Seen|store.Draft, "A Foo c"), kw(store.Draft, "fOO"), kw(store.Seen, "A c")},
		{store.FlagsRemove, kw(0, "a"), kw(0, "a"), kw(0, "")},
		{store.FlagsSet, kw(store.Seen, "Foo x"), kw(store.Answered, "foo"), kw(store.Answered, "Foo")},
		{store.FlagsSet, kw(store.Seen, "x"), kw(0, ""), kw(0, "")},
	} {
		if got := apply(c.have, store.FlagChange{Mode: c.mode, Flags: cleanFlags(c.arg)}); got != c.want {
			t.Errorf("%v of %+v to %+v: %+v, want %+v", c.mode, c.arg, c.have, got, c.want)
		}
	}
	if got := cleanFlags(kw(0xff, " z  B b a ")); got != kw(31, "a B z") {
		t.Errorf("clean: %+v", got)
	}
}
