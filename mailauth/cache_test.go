package mailauth

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/resolve"
	"postrider/mail"
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
		{"bad.test", 0, time.Hour, 1}, {"bad.test", cacheFailed - 1, time.Hour, 0}, {"bad.test", 1, time.Hour, 1},
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

// stubborn is a DNS that says nothing for as long as it is asked, and counts.
type stubborn struct {
	silent
	asked atomic.Int64
}

func (s *stubborn) TXT(ctx context.Context, name string) ([]string, resolve.Info, error) {
	s.asked.Add(1)
	return s.silent.TXT(ctx, name)
}

// TestSilenceIsRemembered has a peer leave while the DNS is asked, which says
// nothing of the DNS, and one whose message the DNS was too slow for.
func TestSilenceIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := &stubborn{}
		c := New(Options{Resolver: dns, Timeout: time.Second})
		peer := Peer{Addr: netip.MustParseAddr("192.0.2.1"), From: mail.Address{Local: "x", Domain: "a.test"}}
		asks := func(what string, more bool, end func(*Check)) {
			t.Helper()
			before := dns.asked.Load()
			k := c.Begin(t.Context(), peer)
			k.Write([]byte("From: x@b.test\r\n\r\n"))
			synctest.Wait()
			end(k)
			synctest.Wait()
			if got := dns.asked.Load() - before; got > 0 != more {
				t.Errorf("%s: %d questions", what, got)
			}
		}
		finish := func(k *Check) {
			if r := k.Finish(); r.SPF.Result != TempError || r.DMARC.Result != TempError {
				t.Errorf("%+v", r)
			}
		}
		asks("a peer that leaves", true, (*Check).Cancel)
		asks("the first message", true, finish)
		asks("the next", false, finish)
		time.Sleep(cacheFailed)
		asks("after a while", true, finish)
	})
}
