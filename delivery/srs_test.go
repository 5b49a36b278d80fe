package delivery

import (
	"strings"
	"testing"
	"time"

	"postrider/mail"
	"postrider/store"
)

func srsAt(t *time.Time) *srs { return &srs{key: []byte("key"), now: func() time.Time { return *t }} }

func TestSRS(t *testing.T) {
	now := testNow
	s := srsAt(&now)
	for _, from := range []string{"a@a.test", "A.b+c=d@sub.a.test", `"a b"@a.test`, "é@a.test", "SRS@a.test", "x=y=z@a.test", "srs2=x@a.test"} {
		a := addr(from)
		out := s.forward(a, "b.test")
		if out.Domain != "b.test" || !strings.HasPrefix(out.Local, "SRS0=") {
			t.Errorf("%s: %s", from, out)
		}
		if got, ok := s.back(out.Local); !ok || got != a {
			t.Errorf("%s: %s leads to %s, %v", from, out, got, ok)
		}
		if a.Local == strings.ToLower(a.Local) {
			if got, ok := s.back(strings.ToUpper(out.Local)); !ok || !strings.EqualFold(got.String(), a.String()) {
				t.Errorf("%s in upper case leads to %s, %v", from, got, ok)
			}
		}
	}
	// What has been forwarded before keeps its first forwarder, whose address
	// it is, and grows no more.
	first := s.forward(addr("a@a.test"), "b.test")
	other := &srs{key: []byte("other"), now: s.now}
	second := other.forward(first, "c.test")
	third := (&srs{key: []byte("third"), now: s.now}).forward(second, "d.test")
	if !strings.HasPrefix(second.Local, "SRS1=") || len(third.Local) != len(second.Local) {
		t.Errorf("%s %s", second, third)
	}
	if got, ok := other.back(second.Local); !ok || got != first {
		t.Errorf("%s leads to %s, %v", second, got, ok)
	}
	// What others write behind SRS0 is kept as it is.
	if got, ok := s.back(s.forward(addr("SRS0+hash=tt=a.test=a@far.test"), "b.test").Local); !ok || got.String() != "SRS0+hash=tt=a.test=a@far.test" {
		t.Errorf("leads to %s, %v", got, ok)
	}
	for _, bad := range []string{"SRS0=", "SRS0=x", "SRS0=aaaaaaaa=aa=a.test=a", "SRS1=aaaaaaaa=a.test==x", "a", "SRS0", "srs1=",
		strings.Replace(first.Local, "=a.test", "=b.test", 1), first.Local + "x", second.Local, strings.Replace(first.Local, "SRS0", "SRS1", 1)} {
		if got, ok := s.back(bad); ok {
			t.Errorf("%s leads to %s", bad, got)
		}
	}
	for days, good := range map[int]bool{0: true, 20: true, 21: true, 22: false, 500: false, -1: true, -3: false} {
		now = testNow.AddDate(0, 0, days)
		if _, ok := s.back(first.Local); ok != good {
			t.Errorf("after %d days: %v", days, ok)
		}
	}
	for _, keep := range []mail.Address{{}, {Local: "postmaster"}, {Local: "a", Domain: "[192.0.2.1]"}, {Local: strings.Repeat("x", 250), Domain: "a.test"}} {
		if got := s.forward(keep, "b.test"); got != keep {
			t.Errorf("%s became %s", keep, got)
		}
	}
}

func FuzzSRS(f *testing.F) {
	now := testNow
	s := srsAt(&now)
	f.Add(s.forward(mail.Address{Local: "a", Domain: "a.test"}, "b.test").Local)
	f.Add("SRS1=x=a.test==y=z=b.test=c")
	f.Fuzz(func(t *testing.T, local string) {
		if a, ok := s.back(local); ok && !strings.EqualFold(s.forward(a, "b.test").Local, local) && !strings.HasPrefix(strings.ToUpper(a.Local), "SRS") {
			t.Fatalf("%q leads to %s", local, a)
		}
		if a, err := mail.ParseAddress(local + "@a.test"); err == nil {
			kind, _ := srsKind(a.Local) // SRS1 goes back to whom it came from first
			if got, ok := s.back(s.forward(a, "b.test").Local); ok && !strings.EqualFold(got.String(), a.String()) && kind != srs1 {
				t.Fatalf("%s became %s", a, got)
			}
		}
	})
}

// TestForward sends on what an alias gets from elsewhere, and takes the notice
// back to where it came from.
func TestForward(t *testing.T) {
	s := newSite(t, Options{})
	s.alias("away@b.test", "x@far.test")
	s.alias("team@b.test", "bob@b.test", "y@far.test")
	from := func(m *Message) (all []string) {
		a, err := s.Prepare(t.Context(), m)
		s.must(err)
		for _, o := range a.Outgoing {
			f := o.Envelope.From.String()
			if len(o.Envelope.Rcpts) != len(o.Via) {
				t.Errorf("%v via %v", o.Envelope.Rcpts, o.Via)
			}
			if strings.HasPrefix(f, "SRS0=") {
				f = f[strings.Index(f, "=a.test="):]
			}
			for _, r := range o.Envelope.Rcpts {
				all = append(all, "<"+f+"> "+r.Addr.String())
			}
		}
		return all
	}
	want := func(what string, got []string, want string) {
		t.Helper()
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: %v", what, got)
		}
	}
	want("aliases", from(message("x\r\n", "away@b.test", "team@b.test", "z@far.test")),
		"<=a.test=a@b.test> x@far.test, <=a.test=a@b.test> y@far.test, <a@a.test> z@far.test")
	m := message("x\r\n", "away@b.test")
	m.Envelope.From = addr("alice@b.test")
	want("from our domain", from(m), "<alice@b.test> x@far.test")
	m.Envelope.From = mail.Address{}
	want("a notice", from(m), "<> x@far.test")
	m = message("x\r\n", "away@b.test")
	m.Submission = true
	want("submitted", from(m), "<a@a.test> x@far.test")

	// The way back, for notices alone.
	a, err := s.Prepare(t.Context(), message("x\r\n", "away@b.test"))
	s.must(err)
	back := message("x\r\n", a.Outgoing[0].Envelope.From.String())
	peer := back.Peer
	peer.Notice = true
	s.must(s.Verify(t.Context(), &peer, back.Envelope.Rcpts[0].Addr))
	back.Envelope.From = mail.Address{}
	want("back", from(back), "<> a@a.test")
	peer.Notice = false
	if err := s.Verify(t.Context(), &peer, back.Envelope.Rcpts[0].Addr); store.KindOf(err) != store.NotFound {
		t.Errorf("not a notice: %v", err)
	}
	back.Envelope.From = addr("spam@far.test")
	if _, err := s.Prepare(t.Context(), back); store.KindOf(err) != store.NotFound {
		t.Errorf("not a notice: %v", err)
	}
	peer.Notice = true
	for _, bad := range []string{"SRS0=aaaaaaaa=aa=a.test=a@b.test", "SRS1=aaaaaaaa=a.test==x=y=z=w@b.test"} {
		if err := s.Verify(t.Context(), &peer, addr(bad)); store.KindOf(err) != store.NotFound {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if err := s.Verify(t.Context(), &peer, addr("SRS0=aaaaaaaa=aa=a.test=a@far.test")); store.KindOf(err) != store.Denied {
		t.Errorf("of another: %v", err)
	}
}
