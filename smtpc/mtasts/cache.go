package mtasts

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"postrider/internal/maillog"
	"postrider/internal/resolve"
)

// Limits of keeping policies.
const (
	retryFetch  = 5 * time.Minute // after one failed (RFC 8461 §3.3 asks for that)
	refreshAge  = 24 * time.Hour  // a policy that is older is fetched anew before it ends
	maxFailures = 10_000          // domains remembered as failing
)

// Kept is a policy as it is remembered.
type Kept struct {
	Domain, ID, Text string // the id is that of the TXT record that announced it
	Fetched, Expires time.Time
}

// Store remembers policies across restarts.
type Store interface {
	// STSPolicy finds what is kept of a domain; a zero Kept if nothing.
	STSPolicy(ctx context.Context, domain string) (Kept, error)
	SetSTSPolicy(ctx context.Context, k Kept) error
	// STSPolicies returns all that were fetched before a time.
	STSPolicies(ctx context.Context, before time.Time) ([]Kept, error)
	// DropSTSPolicies forgets those that ended before a time.
	DropSTSPolicies(ctx context.Context, before time.Time) error
}

// Cache finds the policy that holds for a domain. It is safe for many
// goroutines.
type Cache struct {
	Resolver *resolve.Resolver
	Fetcher  *Fetcher
	Store    Store
	Now      func() time.Time
	Log      *slog.Logger

	mu     sync.Mutex
	flying map[string]*flight
	failed map[string]failure
}

// flight is a look-up that several callers wait for.
type flight struct {
	done  chan struct{}
	found Found
}

type failure struct {
	id  string
	at  time.Time
	err error
}

// Found is what Lookup finds.
type Found struct {
	Policy *Policy // nil if none holds
	// Err says why the newest policy that the domain announces could not be
	// had. An older one may still hold.
	Err error
}

// Lookup finds the policy that holds for a domain now. Nobody waits for the
// same domain twice.
func (c *Cache) Lookup(ctx context.Context, domain string) Found {
	c.mu.Lock()
	if f := c.flying[domain]; f != nil {
		c.mu.Unlock()
		select {
		case <-f.done:
			return f.found
		case <-ctx.Done():
			return Found{Err: ctx.Err()}
		}
	}
	if c.flying == nil {
		c.flying, c.failed = map[string]*flight{}, map[string]failure{}
	}
	f := &flight{done: make(chan struct{})}
	c.flying[domain] = f
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.flying, domain)
		c.mu.Unlock()
		close(f.done)
	}()
	// Others may wait for this too, so that it does not end with the first.
	f.found = c.lookup(context.WithoutCancel(ctx), domain)
	return f.found
}

func (c *Cache) lookup(ctx context.Context, domain string) Found {
	kept, err := c.Store.STSPolicy(ctx, domain)
	if err != nil {
		c.Log.Error(maillog.Failed, "doing", "read MTA-STS policy", "domain", domain, "err", err)
	}
	held := c.holding(kept)
	txts, _, err := c.Resolver.TXT(ctx, "_mta-sts."+domain)
	if err != nil && !errors.Is(err, resolve.ErrNoDomain) {
		// What is kept holds: that the DNS can be silenced is why it is kept
		// (RFC 8461 §10.2).
		return Found{Policy: orNone(held)}
	}
	id, announced := ParseRecord(txts)
	if !announced || held != nil && id == kept.ID {
		return Found{Policy: orNone(held)}
	}
	p, err := c.fetch(ctx, domain, id)
	if err != nil {
		return Found{Policy: orNone(held), Err: err}
	}
	return Found{Policy: orNone(p)}
}

// holding is the policy that is kept, if it has not ended.
func (c *Cache) holding(k Kept) *Policy {
	if k.Domain == "" || !c.Now().Before(k.Expires) {
		return nil
	}
	p, err := ParsePolicy(k.Text)
	if err != nil {
		return nil
	}
	return p
}

// orNone is nil for a policy that says that there is none. It is kept like
// others, so as not to be fetched every time.
func orNone(p *Policy) *Policy {
	if p == nil || p.Mode == None {
		return nil
	}
	return p
}

// fetch fetches a policy and remembers it, unless that failed a moment ago.
func (c *Cache) fetch(ctx context.Context, domain, id string) (*Policy, error) {
	now := c.Now()
	c.mu.Lock()
	f, again := c.failed[domain]
	c.mu.Unlock()
	if again && f.id == id && now.Sub(f.at) < retryFetch {
		return nil, f.err
	}
	p, err := c.Fetcher.Fetch(ctx, domain)
	if err == nil {
		err = c.Store.SetSTSPolicy(ctx, Kept{domain, id, p.Text, now, now.Add(p.MaxAge)})
		if err != nil {
			c.Log.Error(maillog.Failed, "doing", "keep MTA-STS policy", "domain", domain, "err", err)
		}
		c.mu.Lock()
		delete(c.failed, domain)
		c.mu.Unlock()
		return p, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.failed) >= maxFailures {
		c.failed = map[string]failure{}
	}
	c.failed[domain] = failure{id, now, err}
	return nil, err
}

// Refresh fetches anew what is older than a day, so that a policy does not end
// while its domain still has one, and forgets what has ended. It is to be
// called every few hours.
func (c *Cache) Refresh(ctx context.Context) error {
	now := c.Now()
	if err := c.Store.DropSTSPolicies(ctx, now); err != nil {
		return err
	}
	old, err := c.Store.STSPolicies(ctx, now.Add(-refreshAge))
	for _, k := range old {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		txts, _, terr := c.Resolver.TXT(ctx, "_mta-sts."+k.Domain)
		if id, ok := ParseRecord(txts); terr == nil && ok {
			if p, ferr := c.Fetcher.Fetch(ctx, k.Domain); ferr == nil {
				err = errors.Join(err, c.Store.SetSTSPolicy(ctx, Kept{k.Domain, id, p.Text, now, now.Add(p.MaxAge)}))
			}
		}
	}
	return err
}
