package auth

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"postrider/store"
)

func TestSASL(t *testing.T) {
	type turn struct {
		in        []byte // nil: none
		challenge string
		done      bool
		kind      store.Kind
		fails     bool
	}
	b := func(s string) []byte { return []byte(s) }
	wrong := turn{in: b("\x00bob@example.org\x00wrong"), kind: store.Auth, fails: true}
	for _, tt := range []struct {
		name, mech string
		turns      []turn
	}{
		{"plain at once", "PLAIN", []turn{{in: b("\x00bob@example.org\x00right"), done: true}}},
		{"plain in lower case", "plain", []turn{{in: b("\x00bob@example.org\x00right"), done: true}}},
		{"plain asked", "PLAIN", []turn{{}, {in: b("\x00bob@example.org\x00right"), done: true}}},
		{"plain for oneself", "PLAIN", []turn{{in: b("Bob@EXAMPLE.org\x00bob@example.org\x00right"), done: true}}},
		{"plain for another", "PLAIN", []turn{{in: b("eve@example.org\x00bob@example.org\x00right"), kind: store.Auth, fails: true}}},
		{"plain wrong", "PLAIN", []turn{wrong}},
		{"plain empty", "PLAIN", []turn{{in: b(""), kind: store.Invalid, fails: true}}},
		{"plain one part", "PLAIN", []turn{{in: b("bob"), kind: store.Invalid, fails: true}}},
		{"plain four parts", "PLAIN", []turn{{in: b("\x00a\x00b\x00c"), kind: store.Invalid, fails: true}}},
		{"plain after the end", "PLAIN", []turn{wrong, {in: b("\x00bob@example.org\x00right"), kind: store.Invalid, fails: true}}},
		{"login asked", "LOGIN", []turn{{challenge: "Username:"}, {in: b("bob@example.org"), challenge: "Password:"}, {in: b("right"), done: true}}},
		{"login at once", "LOGIN", []turn{{in: b("bob@example.org"), challenge: "Password:"}, {in: b("right"), done: true}}},
		{"login empty", "LOGIN", []turn{{in: b(""), challenge: "Password:"}, {in: nil, kind: store.Auth, fails: true}}},
		{"login with NUL", "LOGIN", []turn{{in: b("bob@example.org"), challenge: "Password:"}, {in: b("right\x00"), kind: store.Auth, fails: true}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			e, err := w.SASL(context.Background(), from("192.0.2.1"), tt.mech)
			if err != nil {
				t.Fatal(err)
			}
			for i, turn := range tt.turns {
				challenge, done, err := e.Next(turn.in)
				if !bytes.Equal(challenge, []byte(turn.challenge)) || done != turn.done || (err != nil) != turn.fails {
					t.Fatalf("turn %d: %q, %v, %v", i, challenge, done, err)
				}
				if err != nil && store.KindOf(err) != turn.kind {
					t.Errorf("turn %d: kind %v", i, store.KindOf(err))
				}
				if ok := e.Account().ID != 0; ok != turn.done {
					t.Errorf("turn %d: account %v", i, e.Account())
				}
			}
		})
	}
}

func TestSASLRefused(t *testing.T) {
	w := newWorld(t)
	if _, err := w.SASL(context.Background(), from("192.0.2.1"), "CRAM-MD5"); store.KindOf(err) != store.Invalid {
		t.Errorf("unknown mechanism: %v", err)
	}
	p := from("192.0.2.1")
	p.TLS = false
	if _, err := w.SASL(context.Background(), p, "PLAIN"); store.KindOf(err) != store.Denied {
		t.Errorf("without TLS: %v", err)
	}
}

// TestScramOfNobody asks for the salt of users that there are and are not:
// nothing in it tells which, the second time, in another spelling, or after a
// restart.
func TestScramOfNobody(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	for _, name := range []string{"alice", "carol"} { // carol's keys were not imported
		w.dir.add(t, name+"@example.org", "right")
	}
	full, err := NewCredential("right")
	if err != nil {
		t.Fatal(err)
	}
	w.dir.accounts["alice@example.org"].credential = full
	ask := func(a *Authenticator, user string) (salt, iterations string) {
		t.Helper()
		e, err := a.SASL(ctx, from("192.0.2.1"), "SCRAM-SHA-256")
		if err != nil {
			t.Fatal(err)
		}
		challenge, done, err := e.Next([]byte("n,,n=" + user + ",r=rOprNGfwEbeRWgbNEkqO"))
		if err != nil || done {
			t.Fatalf("%s: %v, %v", user, done, err)
		}
		f := strings.Split(string(challenge), ",")
		return strings.TrimPrefix(f[1], "s="), f[2]
	}
	length, rounds := ask(w.Authenticator, "alice@example.org")
	seen := map[string]string{}
	for _, user := range []string{"alice@example.org", "bob@example.org", "carol@example.org", "nobody@example.org", "nobody@example.com", "nobody", "@"} {
		salt, iterations := ask(w.Authenticator, user)
		if len(salt) != len(length) || iterations != rounds {
			t.Errorf("%s: %s %s, others have %s %s", user, salt, iterations, length, rounds)
		}
		if other := seen[salt]; other != "" {
			t.Errorf("%s and %s have one salt", user, other)
		}
		seen[salt] = user
		for _, again := range []*Authenticator{w.Authenticator, New(w.o)} {
			for _, spelt := range []string{user, strings.ToUpper(user)} {
				if got, _ := ask(again, spelt); got != salt {
					t.Errorf("%s is told %s, then %s", spelt, salt, got)
				}
			}
		}
	}
	w.dir.secret = "another"
	if salt, _ := ask(New(w.o), "nobody@example.org"); seen[salt] != "" {
		t.Error("two stores tell one salt")
	}
	w.dir.fail = store.Errorf(store.Busy, "secret", "not now")
	e, _ := New(w.o).SASL(ctx, from("192.0.2.1"), "SCRAM-SHA-256")
	if _, _, err := e.Next([]byte("n,,n=nobody@example.org,r=rOprNGfwEbeRWgbNEkqO")); store.KindOf(err) != store.Busy {
		t.Errorf("the store fails: %v", err)
	}
}

func FuzzSASL(f *testing.F) {
	w := newWorld(f)
	f.Add("PLAIN", []byte("\x00bob@example.org\x00right"), []byte("x"))
	f.Add("LOGIN", []byte("bob@example.org"), []byte("right"))
	f.Fuzz(func(t *testing.T, mech string, a, b []byte) {
		w.memory, w.throttle = newMemory(w.clock.now), newThrottle(w.clock.now)
		e, err := w.SASL(context.Background(), from("192.0.2.1"), mech)
		if err != nil {
			return
		}
		for _, in := range [][]byte{a, b} {
			if _, done, err := e.Next(in); done || err != nil {
				break
			}
		}
		if id := e.Account().ID; id != 0 && !bytes.Contains(append(a, b...), []byte("right")) {
			t.Errorf("%q %q %q logs in", mech, a, b)
		}
	})
}
