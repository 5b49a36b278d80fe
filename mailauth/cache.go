package mailauth

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"postrider/internal/resolve"
)

// Limits of what is remembered of the DNS.
const (
	cacheEntries = 8192
	cacheMost    = 5 * time.Minute  // whatever the record's TTL allows
	cacheNothing = 30 * time.Second // that something is not there
	cacheFailed  = 5 * time.Second  // that it could not be found out (RFC 9520 §3.2: 1 s to 5 min)
)

// errBudget is why a check stops waiting for the DNS.
var errBudget = errors.New("no time left for the DNS")

// cache remembers what the DNS has answered, for as long as it allows and not
// long: the same servers send again and again, and a look-up costs more
// processor time than all else about a message without signatures. So are
// failures, for a moment: a dead zone must not cost each message the full wait.
type cache struct {
	r   Resolver
	now func() time.Time

	mu    sync.Mutex
	known map[string]cached
}

type cached struct {
	value any
	info  resolve.Info
	err   error
	until time.Time
}

func newCache(r Resolver, now func() time.Time) *cache {
	return &cache{r: r, now: now, known: map[string]cached{}}
}

// remember answers from memory, or asks and keeps the answer. That a peer left
// while the DNS was asked says nothing of the DNS, and is not kept.
func remember[T any](ctx context.Context, c *cache, key string, ask func() ([]T, resolve.Info, error)) ([]T, resolve.Info, error) {
	c.mu.Lock()
	e, ok := c.known[key]
	c.mu.Unlock()
	if ok && c.now().Before(e.until) {
		return e.value.([]T), e.info, e.err
	}
	value, info, err := ask()
	keep := min(info.TTL, cacheMost)
	switch {
	case err != nil && !nothing(err) && ctx.Err() != nil && context.Cause(ctx) != errBudget:
		keep = 0
	case err != nil && !nothing(err):
		keep = cacheFailed
	case len(value) == 0:
		keep = cacheNothing
	}
	if keep <= 0 {
		return value, info, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= cacheEntries {
		for k := range c.known { // any eighth: what is forgotten costs a look-up
			if delete(c.known, k); len(c.known) <= cacheEntries*7/8 {
				break
			}
		}
	}
	c.known[key] = cached{value, info, err, c.now().Add(keep)}
	return value, info, err
}

func (c *cache) TXT(ctx context.Context, name string) ([]string, resolve.Info, error) {
	return remember(ctx, c, "T"+name, func() ([]string, resolve.Info, error) { return c.r.TXT(ctx, name) })
}

func (c *cache) MX(ctx context.Context, name string) ([]resolve.MX, resolve.Info, error) {
	return remember(ctx, c, "M"+name, func() ([]resolve.MX, resolve.Info, error) { return c.r.MX(ctx, name) })
}

func (c *cache) A(ctx context.Context, name string) ([]netip.Addr, resolve.Info, error) {
	return remember(ctx, c, "A"+name, func() ([]netip.Addr, resolve.Info, error) { return c.r.A(ctx, name) })
}

func (c *cache) AAAA(ctx context.Context, name string) ([]netip.Addr, resolve.Info, error) {
	return remember(ctx, c, "6"+name, func() ([]netip.Addr, resolve.Info, error) { return c.r.AAAA(ctx, name) })
}

func (c *cache) PTR(ctx context.Context, a netip.Addr) ([]string, resolve.Info, error) {
	return remember(ctx, c, "P"+a.String(), func() ([]string, resolve.Info, error) { return c.r.PTR(ctx, a) })
}
