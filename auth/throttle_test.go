package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"postrider/store"
)

// storm guesses n times, each time something else, and returns how many
// guesses were evaluated.
func (w *world) storm(t *testing.T, n int, guess func(i int) (Peer, string)) int {
	t.Helper()
	return int(w.hashes(func() {
		for i := range n {
			p, user := guess(i)
			w.guesses++
			err := w.try(p, user, fmt.Sprint("guess ", w.guesses))
			if store.KindOf(err) != store.Auth && !errors.Is(err, errThrottled) {
				t.Fatal(err)
			}
		}
	}))
}

const enough = 120 // guesses; every limit lies below

func TestGuessesFromOneNetwork(t *testing.T) {
	w := newWorld(t)
	protos := []string{"smtp", "pop3", "imap", "http"}
	w.clock.add(time.Hour)
	n := 0
	for minute := range 60 {
		n += w.storm(t, enough/30, func(i int) (Peer, string) {
			p := from(fmt.Sprintf("192.0.2.%d", (minute*7+i)%256))
			p.Proto = protos[i%4]
			return p, "bob@example.org"
		})
		w.clock.add(time.Minute)
	}
	if n > 50 || n < networkBurst {
		t.Errorf("%d guesses evaluated in an hour", n)
	}
	// The right password is not tried from there either, and costs nothing.
	for range 3 {
		w.storm(t, networkBurst, func(i int) (Peer, string) { return from("192.0.2.9"), fmt.Sprint(i, "@example.org") })
	}
	hashes := w.hashes(func() {
		if err := w.try(from("192.0.2.77"), "bob@example.org", "right"); !errors.Is(err, errThrottled) {
			t.Errorf("the right password from the guessing network: %v", err)
		}
	})
	if hashes != 0 {
		t.Errorf("%d hashes for a throttled login", hashes)
	}
	if err := w.try(from("198.51.100.1"), "bob@example.org", "right"); err != nil {
		t.Errorf("the real user from elsewhere: %v", err)
	}
	// Time heals.
	w.clock.add(time.Hour)
	if err := w.try(from("192.0.2.77"), "bob@example.org", "right"); err != nil {
		t.Errorf("an hour later: %v", err)
	}
}

func TestGuessesOfManyNames(t *testing.T) {
	w := newWorld(t)
	n := w.storm(t, enough, func(i int) (Peer, string) { return from("192.0.2.1"), fmt.Sprint("user", i, "@example.org") })
	if n != networkBurst {
		t.Errorf("%d evaluated, want %d", n, networkBurst)
	}
}

func TestGuessesFromManyNetworks(t *testing.T) {
	w := newWorld(t)
	home := from("198.51.100.1")
	if err := w.try(home, "bob@example.org", "right"); err != nil {
		t.Fatal(err)
	}
	n := w.storm(t, enough, func(i int) (Peer, string) {
		return from(fmt.Sprintf("2001:db8:0:%x::1", i)), "bob@example.org"
	})
	if n != accountBurst {
		t.Errorf("%d evaluated, want %d", n, accountBurst)
	}
	if err := w.try(home, "bob@example.org", "right"); err != nil {
		t.Errorf("the real user from where he was before: %v", err)
	}
}

func TestOneIPv6NetworkIsASlash64(t *testing.T) {
	w := newWorld(t)
	n := w.storm(t, enough, func(i int) (Peer, string) { return from(fmt.Sprintf("2001:db8::%x", i+1)), "bob@example.org" })
	if n != networkBurst {
		t.Errorf("%d evaluated, want %d", n, networkBurst)
	}
}

// TestKnownPair: who has logged in from a network goes on doing so whatever
// others guess there, and guesses at that very name are bounded too.
func TestKnownPair(t *testing.T) {
	w := newWorld(t)
	p := from("192.0.2.1")
	if err := w.try(p, "bob@example.org", "right"); err != nil {
		t.Fatal(err)
	}
	n := w.storm(t, enough, func(i int) (Peer, string) { return p, fmt.Sprint("user", i, "@example.org") })
	if err := w.try(p, "bob@example.org", "right"); err != nil {
		t.Errorf("after guesses at others: %v", err)
	}
	n += w.storm(t, enough, func(int) (Peer, string) { return p, "bob@example.org" })
	w.clock.add(time.Hour)
	n += w.storm(t, enough, func(int) (Peer, string) { return p, "bob@example.org" })
	n += w.storm(t, enough, func(i int) (Peer, string) { return p, fmt.Sprint("user", i, "@example.org") })
	if n > 50 {
		t.Errorf("%d guesses evaluated in an hour", n)
	}
}

// TestPlaintextNetworkIsNeverLockedOut: behind a container bridge everybody
// has one address.
func TestPlaintextNetworkIsNeverLockedOut(t *testing.T) {
	w := newWorld(t)
	w.dir.add(t, "carol@example.org", "right")
	for _, addr := range []string{"127.0.0.1", "::1"} {
		p := from(addr)
		n := w.storm(t, enough, func(int) (Peer, string) { return p, "bob@example.org" })
		if n != pairBurst {
			t.Errorf("%s: %d evaluated, want %d", addr, n, pairBurst)
		}
		w.storm(t, 2*networkBurst, func(i int) (Peer, string) { return p, fmt.Sprint("user", i, "@example.org") })
		if err := w.try(p, "carol@example.org", "right"); err != nil {
			t.Errorf("%s: another user: %v", addr, err)
		}
	}
	if err := w.try(Peer{TLS: true}, "bob@example.org", "right"); err != nil {
		t.Errorf("over a unix socket: %v", err)
	}
}

// TestStubbornClient: an old password repeated for days takes nothing away
// from the user who has set a new one.
func TestStubbornClient(t *testing.T) {
	w := newWorld(t)
	p := from("192.0.2.1")
	for range enough {
		if err := w.try(p, "bob@example.org", "old"); store.KindOf(err) != store.Auth {
			t.Fatal(err)
		}
		w.clock.add(time.Minute)
	}
	if err := w.try(p, "bob@example.org", "right"); err != nil {
		t.Error(err)
	}
}

func TestTablesAreBounded(t *testing.T) {
	c := &clock{t: time.Unix(1e9, 0)}
	th := newThrottle(c.now)
	fail := func(name string, ip netip.Addr) {
		if g, err := th.begin(context.Background(), name, ip, false); err == nil {
			g.wrong()
		}
	}
	attacker := netip.MustParseAddr("192.0.2.1")
	for range networkBurst {
		fail("victim@example.org", attacker)
	}
	for i := range maxCounters {
		ip := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, byte(i >> 16), byte(i >> 8), byte(i)})
		fail("victim@example.org", ip)
		if g, err := th.begin(context.Background(), fmt.Sprint(i), ip, false); err == nil {
			g.right()
		}
	}
	for i := range 50 {
		fail(fmt.Sprint("other", i), netip.AddrFrom4([4]byte{10, byte(i), 1, 1}))
	}
	if len(th.counters) > maxCounters+1 || len(th.known) > maxKnown {
		t.Errorf("%d counters, %d known", len(th.counters), len(th.known))
	}
	// What is dropped are full counters, not the one that is exhausted.
	if _, err := th.begin(context.Background(), "x", attacker, false); !errors.Is(err, errThrottled) {
		t.Errorf("the guessing network was forgotten: %v", err)
	}
}

func TestTurnIsWaitedFor(t *testing.T) {
	c := &clock{t: time.Unix(1e9, 0)}
	th := newThrottle(c.now)
	ip := netip.MustParseAddr("192.0.2.1")
	var under []*guess
	for range networkBurst {
		g, err := th.begin(context.Background(), "a", ip, false)
		if err != nil {
			t.Fatal(err)
		}
		under = append(under, g)
	}
	// All guesses are taken by attempts under way: the next has to wait, and
	// gets its turn when one of them proves right.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := th.begin(ctx, "a", ip, false); !errors.Is(err, errLoad) {
		t.Errorf("with all taken: %v", err)
	}
	turn := make(chan error)
	go func() {
		g, err := th.begin(context.Background(), "b", ip, false)
		if err == nil {
			g.untried()
		}
		turn <- err
	}()
	under[0].right()
	if err := <-turn; err != nil {
		t.Error(err)
	}
	for _, g := range under[1:] {
		g.wrong()
	}
	for range 2 {
		if g, err := th.begin(context.Background(), "c", ip, false); err == nil {
			g.wrong()
		}
	}
	if _, err := th.begin(context.Background(), "c", ip, false); !errors.Is(err, errThrottled) {
		t.Errorf("with none left: %v", err)
	}
}
