package auth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/mail"
	"postrider/store"
)

// directory is a store that knows accounts and nothing else.
type directory struct {
	store.Engine
	mu       sync.Mutex
	accounts map[string]*entry
	secret   string // what its secrets are made of
	fail     error
	asked    int // for credentials
}

type entry struct {
	account    store.Account
	credential store.Credential
}

func (d *directory) Feed() *store.Feed { return store.NewFeed() }

func (d *directory) Credential(_ context.Context, a mail.Address) (store.Account, store.Credential, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	if d.fail != nil {
		return store.Account{}, store.Credential{}, d.fail
	}
	e, ok := d.accounts[a.Key()]
	if !ok {
		return store.Account{}, store.Credential{}, store.Errorf(store.NotFound, "credential", "no such account")
	}
	return e.account, e.credential, nil
}

func (d *directory) Secret(_ context.Context, name string, size int) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		return nil, d.fail
	}
	sum := sha256.Sum256([]byte(d.secret + name))
	return sum[:size], nil
}

func (d *directory) add(t testing.TB, addr, password string) *entry {
	t.Helper()
	a, err := mail.ParseAddress(addr)
	if err != nil {
		t.Fatal(err)
	}
	var c store.Credential
	if password != "" {
		c = cheap(t, password)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	e := &entry{store.Account{ID: store.AccountID(len(d.accounts) + 1), Address: a}, c}
	d.accounts[a.Key()] = e
	return e
}

// cheap is a credential that costs little to compare with, so that tests can
// afford hundreds of guesses.
func cheap(t testing.TB, password string) store.Credential {
	t.Helper()
	prepared, err := prepare(password)
	if err != nil {
		t.Fatal(err)
	}
	p := phc{memory: 64, time: 1, threads: 1, salt: random(argonSalt)}
	return store.Credential{Argon2id: p.fill(prepared).String()}
}

// clock is a time that stands until it is moved.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

type world struct {
	*Authenticator
	dir     *directory
	clock   *clock
	slept   time.Duration
	guesses int // of storm so far
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{
		dir:   &directory{accounts: map[string]*entry{}},
		clock: &clock{t: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
	}
	w.Authenticator = New(Options{
		Store:             store.New(w.dir, store.Options{}),
		PlaintextNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		Now:               w.clock.now,
		Sleep:             func(_ context.Context, d time.Duration) { w.slept += d },
	})
	w.dummy = cheap(t, "no account has this one")
	w.dir.add(t, "bob@example.org", "right")
	return w
}

func from(addr string) Peer {
	return Peer{Addr: netip.MustParseAddr(addr), TLS: true, Proto: "test"}
}

// hashes tells how many hashes f costs.
func (w *world) hashes(f func()) int64 {
	before := w.hash.made.Load()
	f()
	return w.hash.made.Load() - before
}

func (w *world) try(p Peer, user, password string) error {
	_, err := w.Login(context.Background(), p, user, password)
	return err
}

func TestLogin(t *testing.T) {
	w := newWorld(t)
	w.dir.add(t, "eve@example.org", "right").account.Disabled = true
	w.dir.add(t, "new@example.org", "")
	w.dir.add(t, "jürgen@bücher.example", "pässword")
	for _, tt := range []struct {
		user, password string
		kind           store.Kind
		ok             bool
	}{
		{"bob@example.org", "right", 0, true},
		{"BOB@Example.ORG", "right", 0, true},
		{"bob@example.org", "wrong", store.Auth, false},
		{"bob@example.org", "Right", store.Auth, false},
		{"bob@example.org", "", store.Auth, false},
		{"bob@example.org", "right\x00", store.Auth, false},
		{"bob@example.org", "r\xffght", store.Auth, false},
		{"bob", "right", store.Auth, false},
		{"", "", store.Auth, false},
		{"bob@example.org\x00", "right", store.Auth, false},
		{"carol@example.org", "right", store.Auth, false},
		{"eve@example.org", "right", store.Auth, false},
		{"new@example.org", "", store.Auth, false},
		// Composed and decomposed letters are one password and one name, an
		// ideographic space is a space (RFC 8265 §4.2.2), and the domain may
		// come in either form.
		{"jürgen@bücher.example", "pa\u0308ssword", 0, true},
		{"ju\u0308rgen@xn--bcher-kva.example", "pässword", 0, true},
	} {
		w.clock.add(24 * time.Hour) // no throttling here
		acc, err := w.Login(context.Background(), from("192.0.2.1"), tt.user, tt.password)
		if (err == nil) != tt.ok || err != nil && (store.KindOf(err) != tt.kind || acc.ID != 0) {
			t.Errorf("Login(%q, %q) = %v, %v", tt.user, tt.password, acc, err)
		}
		if tt.ok && acc.ID == 0 {
			t.Errorf("Login(%q) gives no account", tt.user)
		}
	}
}

// TestSameWork holds that a failed login costs one hash and the same pause,
// whoever was named, and none when the very same is repeated.
func TestSameWork(t *testing.T) {
	w := newWorld(t)
	w.dir.add(t, "eve@example.org", "right").account.Disabled = true
	w.dir.add(t, "new@example.org", "")
	var text string
	for i, user := range []string{"bob@example.org", "nobody@example.org", "eve@example.org", "new@example.org", "no address"} {
		p := from(fmt.Sprintf("192.0.%d.1", i))
		for round, want := range []int64{1, 0} {
			w.slept = 0
			var err error
			if n := w.hashes(func() { err = w.try(p, user, "wrong") }); n != want {
				t.Errorf("%s, round %d: %d hashes, want %d", user, round, n, want)
			}
			if text == "" {
				text = err.Error()
			}
			if err.Error() != text || w.slept != failureTime {
				t.Errorf("%s: %q after %v, want %q after %v", user, err, w.slept, text, failureTime)
			}
		}
	}
	// The right password of a disabled account is no different from a wrong one.
	if n := w.hashes(func() { w.try(from("192.0.2.1"), "eve@example.org", "right") }); n != 1 {
		t.Errorf("disabled: %d hashes", n)
	}
}

// TestSameWorkOfScram holds the same of SCRAM-SHA-256: as many look-ups, no
// hash, a salt that is the same each time, however the address is spelled and
// after a restart, as many iterations, and the same pause.
func TestSameWorkOfScram(t *testing.T) {
	w := newWorld(t)
	real, err := NewCredential("right")
	if err != nil {
		t.Fatal(err)
	}
	w.dir.add(t, "kim@bücher.example", "").credential = real
	off := w.dir.add(t, "off@bücher.example", "")
	off.credential, off.account.Disabled = real, true
	w.dir.add(t, "none@bücher.example", "")
	salts := map[string]string{}
	for i, name := range []string{"kim", "off", "none", "ghost"} {
		for j, user := range []string{name + "@bücher.example", strings.ToUpper(name) + "@Bücher.Example", "\"" + name + "\"@xn--bcher-kva.example"} {
			for r, run := range []*Authenticator{w.Authenticator, New(w.o)} {
				p := from(fmt.Sprintf("10.%d.%d.%d", i, j, r))
				w.dir.asked, w.slept = 0, 0
				var challenge string
				var refused error
				hashes := run.hash.made.Load()
				e, err := run.SASL(context.Background(), p, "SCRAM-SHA-256")
				if err != nil {
					t.Fatal(err)
				}
				c, _, err := e.Next([]byte("n,,n=" + user + ",r=abc"))
				if err != nil {
					t.Fatal(err)
				}
				challenge = string(c)
				nonce, _, _ := strings.Cut(challenge, ",")
				_, _, refused = e.Next([]byte("c=biws," + nonce + ",p=" + base64.StdEncoding.EncodeToString(make([]byte, 32))))
				hashes = run.hash.made.Load() - hashes
				_, rest, _ := strings.Cut(challenge, ",s=")
				salt, iterations, _ := strings.Cut(rest, ",")
				if salts[name] == "" {
					salts[name] = salt
				}
				if salt != salts[name] || len(salt) != 24 || iterations != fmt.Sprintf("i=%d", scramIterations) {
					t.Errorf("%s is told %s, and another spelling or before a restart the salt %s", user, challenge, salts[name])
				}
				if w.dir.asked != 1 || hashes != 0 || w.slept != failureTime || !errors.Is(refused, errWrong) {
					t.Errorf("%s: %d look-ups, %d hashes, %v, %v", user, w.dir.asked, hashes, w.slept, refused)
				}
			}
		}
	}
	for a, x := range salts {
		for b, y := range salts {
			if a != b && x == y {
				t.Errorf("%s and %s have the same salt", a, b)
			}
		}
	}
}

func TestRemembered(t *testing.T) {
	w := newWorld(t)
	p := from("192.0.2.1")
	login := func(password string, wantOK bool, wantHashes int64) {
		t.Helper()
		n := w.hashes(func() {
			if err := w.try(p, "bob@example.org", password); (err == nil) != wantOK {
				t.Errorf("login with %q: %v", password, err)
			}
		})
		if n != wantHashes {
			t.Errorf("login with %q: %d hashes, want %d", password, n, wantHashes)
		}
	}
	login("right", true, 1)
	login("right", true, 0)
	login("wrong", false, 1)
	login("wrong", false, 0)
	w.clock.add(goodFor)
	login("right", true, 1)

	// A new password takes effect at once, and the old one ends at once.
	bob := w.dir.accounts["bob@example.org"]
	bob.credential = cheap(t, "wrong")
	login("right", false, 1)
	login("wrong", true, 1)
	login("wrong", true, 0)
	bob.account.Disabled = true
	login("wrong", false, 1)
}

func TestMemoryIsBounded(t *testing.T) {
	c := &clock{t: time.Unix(0, 0)}
	m := newMemory(c.now)
	for i := range maxRemembered + 10 {
		m.add(memoryKey{byte(i), byte(i >> 8), byte(i >> 16)}, i%2 == 0)
		m.add(memoryKey{byte(i), byte(i >> 8), byte(i >> 16), 1}, true)
	}
	if len(m.good) > maxRemembered || len(m.good) < maxRemembered/2 {
		t.Errorf("%d remembered", len(m.good))
	}
	// Keys differ in every part, and moving a byte from one part to the next
	// is a difference.
	seen := map[memoryKey]bool{}
	for _, k := range []memoryKey{
		m.key(candidate{name: "ab"}, "c"), m.key(candidate{name: "a"}, "bc"),
		m.key(candidate{name: "ab", account: store.Account{ID: 1}}, "c"),
		m.key(candidate{name: "a", credential: store.Credential{Argon2id: "b"}}, "c"),
		newMemory(c.now).key(candidate{name: "ab"}, "c"),
	} {
		if seen[k] {
			t.Error("two keys are equal")
		}
		seen[k] = true
	}
}

func TestPlaintext(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		addr string
		tls  bool
		ok   bool
	}{
		{"127.0.0.1", false, true}, {"127.9.9.9", false, true}, {"::1", false, true}, {"::ffff:127.0.0.1", false, true},
		{"192.0.2.1", false, false}, {"192.0.2.1", true, true}, {"2001:db8::1", false, false}, {"fe80::1%eth0", false, false},
	} {
		p := Peer{Addr: netip.MustParseAddr(tt.addr), TLS: tt.tls}
		if got := w.PlaintextAllowed(p); got != tt.ok {
			t.Errorf("PlaintextAllowed(%v) = %v", p, got)
		}
		if got := len(w.Mechanisms(p)) > 0; got != tt.ok {
			t.Errorf("Mechanisms(%v): %v", p, got)
		}
		err := w.try(p, "bob@example.org", "right")
		if tt.ok && err != nil || !tt.ok && store.KindOf(err) != store.Denied {
			t.Errorf("Login(%v): %v", p, err)
		}
	}
	if w.PlaintextAllowed(Peer{}) {
		t.Error("the zero peer may send passwords in clear")
	}
}

func TestStoreFails(t *testing.T) {
	w := newWorld(t)
	w.dir.fail = store.Errorf(store.Internal, "credential", "disk on fire")
	for range 200 { // failures of ours are not guesses of theirs
		if err := w.try(from("192.0.2.1"), "bob@example.org", "right"); !errors.Is(err, w.dir.fail) {
			t.Fatal(err)
		}
	}
	w.dir.fail = nil
	if err := w.try(from("192.0.2.1"), "bob@example.org", "right"); err != nil {
		t.Error(err)
	}
}

func TestAnyPassword(t *testing.T) {
	w := newWorld(t)
	w.o.AnyPassword = true
	w.o.AutoCreate = func(_ context.Context, a mail.Address) (store.Account, error) {
		if a.Domain != "example.org" {
			return store.Account{}, store.Errorf(store.NotFound, "account", "no such domain")
		}
		return w.dir.add(t, a.String(), "").account, nil
	}
	w.dir.add(t, "off@example.org", "").account.Disabled = true
	for user, ok := range map[string]bool{
		"bob@example.org": true, "fresh@example.org": true, "x@other.example": false, "x": false, "off@example.org": false,
	} {
		for range 2 {
			acc, err := w.Login(context.Background(), from("192.0.2.1"), user, "whatever")
			if (err == nil) != ok || ok && acc.Address.String() != user {
				t.Errorf("%s: %v, %v", user, acc, err)
			}
		}
	}
}

func TestConcurrentLogins(t *testing.T) {
	w := newWorld(t)
	w.o.Sleep = func(context.Context, time.Duration) {}
	var wg sync.WaitGroup
	for range 100 { // far more than the burst, all with the right password
		wg.Go(func() {
			if err := w.try(from("192.0.2.1"), "bob@example.org", "right"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := w.hash.made.Load(); n > maxHashing {
		t.Errorf("%d hashes for one password", n)
	}
}

func TestHashQueueIsBounded(t *testing.T) {
	h := newHasher()
	for range maxHashing {
		h.slots <- struct{}{}
	}
	h.waiting.Store(maxHashQueue)
	if _, err := h.turn(context.Background()); !errors.Is(err, errLoad) {
		t.Errorf("a full queue: %v", err)
	}
	h.waiting.Store(0)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := h.turn(ctx); !errors.Is(err, errLoad) {
		t.Errorf("a peer that left: %v", err)
	}
	if n := h.waiting.Load(); n != 0 {
		t.Errorf("%d still wait", n)
	}
}

// TestManyUsersAtOnce: what is remembered of one user never lets in another,
// also where two store the very same credential.
func TestManyUsersAtOnce(t *testing.T) {
	w := newWorld(t)
	w.o.Sleep = func(context.Context, time.Duration) {}
	same := w.dir.accounts["bob@example.org"].credential
	const users = 20
	for i := range users {
		w.dir.add(t, fmt.Sprintf("user%d@example.org", i), "").credential = same
	}
	var wg sync.WaitGroup
	for i := range 5 * users {
		wg.Go(func() {
			name := fmt.Sprintf("user%d@example.org", i%users)
			acc, err := w.Login(context.Background(), from(fmt.Sprintf("10.0.%d.1", i%users)), name, "right")
			if err != nil || acc.Address.String() != name {
				t.Errorf("%s logs in as %v: %v", name, acc.Address, err)
			}
		})
	}
	wg.Wait()
}

func BenchmarkLogin(b *testing.B) {
	w := newWorld(b)
	for b.Loop() {
		if err := w.try(from("192.0.2.1"), "bob@example.org", "right"); err != nil {
			b.Fatal(err)
		}
	}
}
