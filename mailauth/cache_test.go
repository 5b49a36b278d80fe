package mailauth

import (
	"context"
	"fmt"
	"testing"
	"time"

	"postrider/internal/resolve"
)

// counting is a DNS that counts, and whose answers are good for a while.
type counting struct {
	world
	n   int
	ttl time.Duration
}

func (c *counting) TXT(ctx context.Context, name string) ([]string, resolve.Info, error) {
	c.n++
	out, _, err := c.world.TXT(ctx, name)
	return out, resolve.Info{TTL: c.ttl}, err
}

func TestCache(t *testing.T) {
	dns := &counting{world: world{"TXT a.test": {"x"}, "TXT bad.test": {"!"}}, ttl: time.Minute}
	now := testNow
	c := newCache(dns, func() time.Time { return now })
	for _, s := range []struct {
		name  string
		after time.Duration
		ttl   time.Duration
		asks  int
	}{
		{"a.test", 0, time.Minute, 1}, {"a.test", 59 * time.Second, time.Minute, 0}, {"a.test", time.Second, time.Hour, 1},
		{"a.test", cacheMost - 1, 0, 0}, {"a.test", 1, 0, 1}, {"a.test", 0, 0, 1}, // an hour is too long, and 0 is not kept
		{"none.test", 0, 0, 1}, {"none.test", 29 * time.Second, 0, 0}, {"none.test", time.Second, 0, 1},
		{"bad.test", 0, time.Hour, 1}, {"bad.test", 0, time.Hour, 1},
	} {
		now, dns.n, dns.ttl = now.Add(s.after), 0, s.ttl
		got, _, err := c.TXT(t.Context(), s.name)
		want, _, werr := dns.world.TXT(t.Context(), s.name)
		if dns.n != s.asks || fmt.Sprint(got, err) != fmt.Sprint(want, werr) {
			t.Errorf("%s after %v: %d questions, %v %v", s.name, s.after, dns.n, got, err)
		}
	}
	dns.ttl = time.Hour
	for i := range 2 * cacheEntries {
		dns.world = world{}
		c.TXT(t.Context(), fmt.Sprint(i, ".test"))
	}
	if len(c.known) > cacheEntries {
		t.Errorf("%d answers", len(c.known))
	}
}
