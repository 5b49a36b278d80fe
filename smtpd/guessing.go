package smtpd

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"postrider/auth"
	"postrider/store"
)

// maxGuessers bounds the networks that are remembered.
const maxGuessers = 50_000

var errGuessing = refuse(450, 4, 7, 1, "Your network has named too many unknown recipients, try again later")

// guessing counts the unknown recipients that each network names, over all its
// connections. RCPT has to tell who exists, but not to whom goes through a list
// of names. What is used up comes back in an hour, evenly.
type guessing struct {
	perHour float64 // 0 is no limit
	now     func() time.Time

	mu   sync.Mutex
	nets map[netip.Prefix]*guesser
}

type guesser struct {
	used float64 // at the time at
	at   time.Time
}

func (g *guesser) fade(now time.Time, perHour float64) {
	g.used = max(0, g.used-max(now.Sub(g.at), 0).Hours()*perHour)
	g.at = now
}

// spent tells whether net has to wait.
func (g *guessing) spent(net netip.Prefix) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.nets[net]
	if n == nil {
		return false
	}
	n.fade(g.now(), g.perHour)
	return n.used > g.perHour-1
}

// wrong counts an unknown recipient.
func (g *guessing) wrong(net netip.Prefix) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.nets[net]
	if n == nil {
		g.makeRoom()
		n = &guesser{at: g.now()}
		g.nets[net] = n
	}
	n.fade(g.now(), g.perHour)
	n.used++
}

// makeRoom forgets a network if there are many: of a few, the one that has
// used the least.
func (g *guessing) makeRoom() {
	const sample = 16
	if len(g.nets) < maxGuessers {
		return
	}
	var least netip.Prefix
	seen := 0
	for net, n := range g.nets {
		n.fade(g.now(), g.perHour)
		if seen == 0 || n.used < g.nets[least].used {
			least = net
		}
		if seen++; seen == sample {
			break
		}
	}
	delete(g.nets, least)
}

// stranger tells whether the peer's recipients are counted: it is no user, and
// neither on a local socket nor one of the networks that are trusted.
func (c *conn) stranger() bool {
	return c.o.Mode == MX && c.guesses.perHour > 0 && c.account == nil && c.ip.IsValid() &&
		!slices.ContainsFunc(c.o.Exempt, func(p netip.Prefix) bool { return p.Contains(c.ip) })
}

// guard has verify look at a recipient, unless the peer's network has named too
// many unknown ones: then known and unknown are answered alike.
func (c *conn) guard(verify func() error) error {
	if !c.stranger() {
		return verify()
	}
	net := auth.Network(c.ip)
	if c.guesses.spent(net) {
		return errGuessing
	}
	err := verify()
	if store.KindOf(err) == store.NotFound {
		c.guesses.wrong(net)
	}
	return err
}
