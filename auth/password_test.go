package auth

import (
	"bytes"
	"strings"
	"testing"

	"github.com/xdg-go/scram"

	"postrider/store"
)

func TestNewCredential(t *testing.T) {
	a, err := NewCredential("pässword")
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewCredential("pässword")
	if err != nil {
		t.Fatal(err)
	}
	if a.Argon2id == b.Argon2id || bytes.Equal(a.ScramSalt, b.ScramSalt) {
		t.Error("two credentials share a salt")
	}
	if !strings.HasPrefix(a.Argon2id, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash %q", a.Argon2id)
	}
	// What stands in for a missing account costs the same, and fits nothing.
	dummy, err := parsePHC(New(Options{}).dummy.Argon2id)
	if err != nil {
		t.Fatal(err)
	}
	if real, _ := parsePHC(a.Argon2id); dummy.memory != real.memory || dummy.time != real.time ||
		dummy.threads != real.threads || len(dummy.key) != len(real.key) {
		t.Errorf("the dummy hash %s costs another time than %s", dummy, real)
	}
	if a.ScramIterations < 4096 { // RFC 7677 §4
		t.Errorf("%d iterations", a.ScramIterations)
	}
}

// TestScram logs in over SCRAM-SHA-256 with the stored keys.
func TestScram(t *testing.T) {
	c, err := NewCredential("pa\u0308ssword")
	if err != nil {
		t.Fatal(err)
	}
	server, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) {
		return scram.StoredCredentials{
			KeyFactors: scram.KeyFactors{Salt: string(c.ScramSalt), Iters: c.ScramIterations},
			StoredKey:  c.StoredKey, ServerKey: c.ServerKey,
		}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for password, ok := range map[string]bool{"pässword": true, "password": false} {
		client, err := scram.SHA256.NewClient("bob@example.org", password, "")
		if err != nil {
			t.Fatal(err)
		}
		cc, sc := client.NewConversation(), server.NewConversation()
		msg := ""
		for !sc.Done() {
			if msg, err = cc.Step(msg); err != nil {
				t.Fatal(err)
			}
			msg, _ = sc.Step(msg)
		}
		if sc.Valid() != ok {
			t.Errorf("%q: valid is %v", password, sc.Valid())
		}
	}
}

func TestPasswordsThatCannotBe(t *testing.T) {
	for _, p := range []string{"", "a\x00b", "a\r\nb", "\xff", strings.Repeat("x", maxPassword+1)} {
		if _, err := NewCredential(p); store.KindOf(err) != store.Invalid {
			t.Errorf("%.10q: %v", p, err)
		}
	}
	for _, p := range []string{"x", " ", "a b", strings.Repeat("x", maxPassword), "日本語", "a\u3000b"} {
		if _, err := NewCredential(p); err != nil {
			t.Errorf("%.10q: %v", p, err)
		}
	}
}

func TestPHC(t *testing.T) {
	// The reference implementation's answer to "password" with the salt
	// "somesalt", as its own test suite has it for these parameters.
	const known = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	p, err := parsePHC(known)
	if err != nil {
		t.Fatal(err)
	}
	if p.String() != known {
		t.Errorf("%s", p)
	}
	if !p.matches("password") || p.matches("Password") {
		t.Error("the known hash does not match its password alone")
	}
	for _, s := range []string{
		"", "x", "$2b$12$abcdefghijklmnopqrstuv", strings.Replace(known, "argon2id", "argon2i", 1),
		strings.Replace(known, "v=19", "v=16", 1), strings.Replace(known, "m=65536", "m=4294967295", 1),
		strings.Replace(known, "t=2", "t=0", 1), strings.Replace(known, "p=1", "p=0", 1), strings.Replace(known, "p=1", "p=256", 1),
		strings.Replace(known, "c29tZXNhbHQ", "c2", 1), strings.TrimSuffix(known, "PPc") + "!!!", known + "$",
	} {
		if _, err := parsePHC(s); err == nil {
			t.Errorf("parsePHC(%q) succeeds", s)
		}
	}
}

func FuzzPHC(f *testing.F) {
	f.Add(dummyHash())
	f.Add("$argon2id$v=19$m=1,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePHC(s)
		if err != nil {
			return
		}
		if q, err := parsePHC(p.String()); err != nil || q.String() != p.String() {
			t.Errorf("%q becomes %q: %v", s, p, err)
		}
	})
}
