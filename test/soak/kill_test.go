package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"postrider/internal/lab"
)

// startLimit is how soon a server that was killed must serve again.
const startLimit = 2 * time.Second

// killed sums up what happened to some stores.
type killed struct {
	mu           sync.Mutex
	kills, acked int
	slowest      time.Duration
}

// TestKills ends the server with kill -9 again and again while it takes mail
// in by every way: nothing that it acknowledged is lost or altered, nothing is
// there twice, no number goes back, and it serves again at once.
func TestKills(t *testing.T) {
	_, seed := seeded(t)
	begin := time.Now()
	stores, kills := pick("kill", 1, 20), pick("kill", 8, 50)
	var sum killed
	t.Run("stores", func(t *testing.T) {
		for i := range stores {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				killStore(t, seed+uint64(i)<<32, kills, &sum)
			})
		}
	})
	report(t, "kill -9 under load", begin, "%d kills, %d acknowledged, 0 lost, 0 altered, 0 twice, serving again within %d ms",
		sum.kills, sum.acked, sum.slowest.Milliseconds())
}

// perKill is how many messages are accepted between two kills, on average.
const perKill = 50

func killStore(t *testing.T, seed uint64, kills int, sum *killed) {
	random := rand.New(rand.NewPCG(seed, 11))
	conf, l := siteConfig(t.TempDir()), newLedger(seed)
	s, _ := startTimed(t, conf)
	defer func() { s.Kill() }()
	for round := range kills {
		d := startLoad(t, l, s)
		target := l.ackedNow() + 1 + random.IntN(2*perKill)
		for end := time.Now().Add(patience); l.ackedNow() < target; time.Sleep(200 * time.Microsecond) {
			if time.Now().After(end) {
				t.Fatalf("round %d: nothing is accepted: %q\n%s", round, l.refusals(), s.LogTail())
			}
		}
		time.Sleep(time.Duration(random.IntN(3000)) * time.Microsecond)
		s.Kill()
		d.end()
		if random.IntN(10) == 0 { // and once more while it starts
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(80))*time.Millisecond)
			if early, err := lab.Start(ctx, conf); err == nil {
				early.Kill()
			}
			cancel()
		}
		var took time.Duration
		s, took = startTimed(t, conf)
		verify(t, s, l, false)
		checkClean(t, s)
		if t.Failed() {
			t.Fatalf("store %d, round %d", seed>>32, round)
		}
		sum.mu.Lock()
		sum.kills++
		sum.slowest = max(sum.slowest, took)
		sum.mu.Unlock()
	}
	verify(t, s, l, true)
	sum.mu.Lock()
	sum.acked += l.ackedNow()
	sum.mu.Unlock()
}

// startTimed starts a server, which must greet in time.
func startTimed(t *testing.T, conf lab.Config) (*lab.Site, time.Duration) {
	t.Helper()
	begin := time.Now()
	s, err := lab.Start(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	for _, listener := range []string{"smtp", "imap"} {
		w, err := dial(s.Addr[listener])
		if err == nil {
			_, err = w.line()
			w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	took := time.Since(begin)
	if took > startLimit {
		t.Errorf("it serves again after %v", took)
	}
	return s, took
}
