package auth

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// How many wrong passwords are tried before more are refused: burst at once,
// then perHour. From one network that is at most 24 in the first hour for
// all names, and as many again for a name that has logged in from there; both
// together stay below 50.
const (
	networkBurst, networkPerHour = 10, 14
	pairBurst, pairPerHour       = 10, 14
	accountBurst, accountPerHour = 60, 60

	networkBits4, networkBits6 = 24, 64 // what counts as one network

	maxCounters = 100_000             // of networks, accounts and pairs together
	maxKnown    = 100_000             // pairs that logged in
	knownFor    = 60 * 24 * time.Hour // since the last login
	maxTurnWait = 20 * time.Second
	sample      = 16 // counters looked at to find one to drop
	sweepEvery  = time.Minute
)

// throttle counts wrong passwords, over all protocols. Each attempt has to
// pass the counters that guard it and, when it proves wrong, is charged to
// all that know of it:
//
//   - From a network where the account has logged in before (a known pair),
//     only the pair's own counter guards. Guesses elsewhere, or at other
//     names, cannot lock that user out.
//   - From a trusted (plaintext) network the pair and the account guard. Such
//     a network is often one address for everybody, loopback or a container
//     bridge, so it is never locked out as a whole.
//   - From elsewhere the network and the account guard.
//
// A name that does not exist is counted like any other.
type throttle struct {
	now func() time.Time

	mu       sync.Mutex
	counters map[counterKey]*counter
	known    map[pair]time.Time // last login
	swept    time.Time
}

type pair struct {
	name string
	net  netip.Prefix
}

// counterKey is a network if name is empty, an account if net is zero, a pair
// if both are set.
type counterKey pair

// counter is a bucket of guesses that fills with time. held counts attempts
// under way, each of which may yet take one.
type counter struct {
	left           float64
	at             time.Time
	held           int
	freed          chan struct{} // closed when an attempt under way ends; nil if nobody waits
	burst, perHour float64
}

func newThrottle(now func() time.Time) *throttle {
	return &throttle{now: now, counters: map[counterKey]*counter{}, known: map[pair]time.Time{}}
}

// guess is an attempt under way; exactly one of its methods ends it.
type guess struct {
	t      *throttle
	guards []*counter
	other  []counterKey // charged as well
	pair   pair
}

// begin admits an attempt, or says errThrottled. If attempts under way might
// use up all that is left, it waits for them: a client that opens ten
// connections at once is not refused for that.
func (t *throttle) begin(ctx context.Context, name string, ip netip.Addr, trusted bool) (*guess, error) {
	ctx, cancel := context.WithTimeout(ctx, maxTurnWait)
	defer cancel()
	for {
		g, wait, err := t.try(pair{name, Network(ip)}, trusted)
		if g != nil || err != nil {
			return g, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, errLoad
		}
	}
}

// Network is what ip counts under; unix sockets, with the zero Addr, are one
// network of their own.
func Network(ip netip.Addr) netip.Prefix {
	ip = plainAddr(ip)
	if !ip.IsValid() {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 128)
	}
	bits := networkBits6
	if ip.Is4() {
		bits = networkBits4
	}
	p, _ := ip.Prefix(bits) // cannot fail: the bits fit the family
	return p
}

// try returns a guess, or what to wait for, or errThrottled.
func (t *throttle) try(p pair, trusted bool) (*guess, <-chan struct{}, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	byNet, byName, byPair := counterKey{net: p.net}, counterKey{name: p.name}, counterKey(p)
	guards, other := []counterKey{byNet, byName}, []counterKey(nil)
	if last, ok := t.known[p]; ok && t.now().Sub(last) < knownFor {
		guards, other = []counterKey{byPair}, []counterKey{byNet, byName}
	} else if trusted {
		guards = []counterKey{byPair, byName}
	}
	if trusted && len(other) > 0 {
		other = []counterKey{byName}
	}
	g := &guess{t: t, other: other, pair: p}
	for _, k := range guards {
		c := t.counter(k)
		c.refill(t.now())
		switch {
		case c.left < 1:
			return nil, nil, errThrottled
		case c.left-float64(c.held) < 1:
			return nil, c.wait(), nil
		}
		g.guards = append(g.guards, c)
	}
	for _, c := range g.guards {
		c.held++
	}
	return g, nil, nil
}

func (c *counter) refill(now time.Time) {
	if d := now.Sub(c.at); d > 0 {
		c.left = min(c.burst, c.left+d.Hours()*c.perHour)
	}
	c.at = now
}

func (c *counter) wait() <-chan struct{} {
	if c.freed == nil {
		c.freed = make(chan struct{})
	}
	return c.freed
}

func (c *counter) charge() { c.left = max(0, c.left-1) }

// release gives back what a guess holds and wakes who waits for it.
func (g *guess) release() {
	for _, c := range g.guards {
		c.held--
		if c.freed != nil {
			close(c.freed)
			c.freed = nil
		}
	}
}

// untried ends an attempt that was not carried out.
func (g *guess) untried() {
	g.t.mu.Lock()
	defer g.t.mu.Unlock()
	g.release()
}

// wrong ends an attempt with a wrong password.
func (g *guess) wrong() {
	t := g.t
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range g.guards {
		c.charge()
	}
	for _, k := range g.other {
		c := t.counter(k)
		c.refill(t.now())
		c.charge()
	}
	g.release()
}

// right ends an attempt with the right password: the pair is known now.
func (g *guess) right() {
	t := g.t
	t.mu.Lock()
	defer t.mu.Unlock()
	g.release()
	if _, ok := t.known[g.pair]; !ok && len(t.known) >= maxKnown {
		t.forgetOne()
	}
	t.known[g.pair] = t.now()
}

// counter finds a counter or makes it, full.
func (t *throttle) counter(k counterKey) *counter {
	if c, ok := t.counters[k]; ok {
		return c
	}
	if len(t.counters) >= maxCounters {
		t.makeRoom()
	}
	c := &counter{at: t.now()}
	switch {
	case k.name == "":
		c.burst, c.perHour = networkBurst, networkPerHour
	case !k.net.IsValid():
		c.burst, c.perHour = accountBurst, accountPerHour
	default:
		c.burst, c.perHour = pairBurst, pairPerHour
	}
	c.left = c.burst
	t.counters[k] = c
	return c
}

// makeRoom drops counters that are full again, which loses nothing, and if
// there are none, of a few the one with the most left.
func (t *throttle) makeRoom() {
	now := t.now()
	if now.Sub(t.swept) >= sweepEvery {
		t.swept = now
		for k, c := range t.counters {
			if c.refill(now); c.left == c.burst && c.held == 0 {
				delete(t.counters, k)
			}
		}
	}
	if len(t.counters) < maxCounters {
		return
	}
	var best *counter
	var bestKey counterKey
	n := 0
	for k, c := range t.counters {
		if c.held == 0 && (best == nil || c.left/c.burst > best.left/best.burst) {
			best, bestKey = c, k
		}
		if n++; n >= sample && best != nil {
			break
		}
	}
	if best != nil {
		delete(t.counters, bestKey)
	}
}

// forgetOne drops the pair among a few that logged in the longest ago.
func (t *throttle) forgetOne() {
	var oldest pair
	var at time.Time
	n := 0
	for p, last := range t.known {
		if n == 0 || last.Before(at) {
			oldest, at = p, last
		}
		if n++; n >= sample {
			break
		}
	}
	delete(t.known, oldest)
}
