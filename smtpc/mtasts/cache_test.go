package mtasts

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"postrider/internal/labdns"
	"postrider/internal/publichttp"
	"postrider/internal/resolve"
	"postrider/smtpc/smtpctest"
)

const (
	patience = 30 * time.Second
	enforce  = "version: STSv1\nmode: enforce\nmx: mx.b.test\nmax_age: 86400\n"
)

// memory is a Store in memory.
type memory struct {
	mu sync.Mutex
	m  map[string]Kept
}

func (m *memory) STSPolicy(_ context.Context, d string) (Kept, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.m[d], nil
}

func (m *memory) SetSTSPolicy(_ context.Context, k Kept) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.m[k.Domain] = k
	return nil
}

func (m *memory) STSPolicies(_ context.Context, before time.Time) (out []Kept, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range m.m {
		if k.Fetched.Before(before) {
			out = append(out, k)
		}
	}
	return out, nil
}

func (m *memory) DropSTSPolicies(_ context.Context, before time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for d, k := range m.m {
		if k.Expires.Before(before) {
			delete(m.m, d)
		}
	}
	return nil
}

// site is the domain b.test with a policy of the test's own.
type site struct {
	*Cache
	o      publichttp.Options
	dns    *labdns.Server
	store  *memory
	now    time.Time
	asked  atomic.Int32
	mu     sync.Mutex
	handle http.HandlerFunc
}

func (s *site) serve(h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handle = h
}

func (s *site) tell(text string) {
	s.serve(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write([]byte(text))
	})
}

func zone(t *testing.T, id string) *labdns.Server {
	t.Helper()
	text := "$ORIGIN b.test.\n$TTL 60\n@ SOA ns h 1 1 1 1 1\nmta-sts A 127.0.0.1\n"
	if id != "" {
		text += `_mta-sts TXT "v=STSv1; id=` + id + `;"` + "\n"
	}
	d, err := labdns.Start("127.0.0.1:0", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func (s *site) resolve(d *labdns.Server) {
	s.dns = d
	s.Resolver = resolve.New(resolve.Options{Server: d.Addr(), Timeout: patience})
	s.o.Resolver = s.Resolver
	s.Fetcher.Client = publichttp.New(s.o)
}

func newSite(t *testing.T, names ...string) *site {
	t.Helper()
	if names == nil {
		names = []string{"mta-sts.b.test"}
	}
	conf, pool := smtpctest.Certificate(t, names...)
	s := &site{store: &memory{m: map[string]Kept{}}, now: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)}
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		s.mu.Lock()
		h := s.handle
		s.mu.Unlock()
		if r.URL.Path != Path || r.Host != "mta-sts.b.test" && !strings.HasPrefix(r.Host, "mta-sts.b.test:") {
			http.Error(w, "what?", http.StatusTeapot)
			return
		}
		h(w, r)
	}))
	web.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	web.TLS = conf
	web.StartTLS()
	t.Cleanup(web.Close)
	_, port, _ := net.SplitHostPort(web.Listener.Addr().String())
	s.Cache = &Cache{Store: s.store, Now: func() time.Time { return s.now }, Log: slog.New(slog.DiscardHandler),
		Fetcher: &Fetcher{}}
	s.o = publichttp.Options{Roots: pool, Port: port, Private: netip.Addr.IsLoopback}
	s.resolve(zone(t, "1"))
	s.tell(enforce)
	return s
}

// policy asks the cache and tells the first host of what it finds, "" if
// nothing.
func (s *site) policy(t *testing.T) string {
	t.Helper()
	f := s.Lookup(context.Background(), "b.test")
	if f.Policy == nil {
		return ""
	}
	return f.Policy.MX[0]
}

// TestKept shows when a policy is fetched, and that nothing but a newer one or
// its own end makes it go.
func TestKept(t *testing.T) {
	s := newSite(t)
	step := func(what, want string, asked int32) {
		t.Helper()
		if got := s.policy(t); got != want || s.asked.Load() != asked {
			t.Errorf("%s: %q after %d fetches, want %q after %d", what, got, s.asked.Load(), want, asked)
		}
	}
	step("first", "mx.b.test", 1)
	s.tell(strings.Replace(enforce, "mx.b", "other.b", 1))
	step("the same id", "mx.b.test", 1)
	s.resolve(zone(t, "2"))
	step("a new id", "other.b.test", 2)
	s.dns.SetFail("_mta-sts.b.test", dns.RcodeServerFailure)
	step("the DNS fails", "other.b.test", 2)
	s.resolve(zone(t, ""))
	step("the record is gone", "other.b.test", 2)
	s.resolve(zone(t, "3"))
	s.serve(http.NotFound)
	step("a new id, and no policy there", "other.b.test", 3)
	step("not again at once", "other.b.test", 3)
	s.now = s.now.Add(retryFetch)
	step("after a while", "other.b.test", 4)
	s.now = s.now.Add(24 * time.Hour)
	step("it has ended", "", 5)
	s.now = s.now.Add(retryFetch)
	s.tell(enforce)
	step("a new one", "mx.b.test", 6)
	s.tell("version: STSv1\nmode: none\nmax_age: 86400\n")
	s.resolve(zone(t, "4"))
	step("none any more", "", 7)
	step("which is remembered too", "", 7)
}

func TestRefresh(t *testing.T) {
	s := newSite(t)
	s.tell(strings.Replace(enforce, "86400", "864000", 1))
	s.policy(t)
	s.store.m["gone.test"] = Kept{"gone.test", "1", enforce, s.now, s.now.Add(time.Hour)}
	s.now = s.now.Add(25 * time.Hour)
	if err := s.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	k := s.store.m["b.test"]
	if s.asked.Load() != 2 || !k.Fetched.Equal(s.now) || !k.Expires.Equal(s.now.Add(240*time.Hour)) {
		t.Errorf("%d fetches, %+v", s.asked.Load(), k)
	}
	if _, there := s.store.m["gone.test"]; there {
		t.Error("what has ended is still kept")
	}
}

func TestTogether(t *testing.T) {
	s := newSite(t)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if f := s.Lookup(context.Background(), "b.test"); f.Policy == nil {
				t.Errorf("%v", f.Err)
			}
		})
	}
	all.Wait()
	if n := s.asked.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

// TestUnsafe goes through what a policy's server must not get away with.
func TestUnsafe(t *testing.T) {
	fetch := func(s *site) error {
		_, err := s.Fetcher.Fetch(context.Background(), "b.test")
		return err
	}
	for name, c := range map[string]struct {
		h    http.HandlerFunc
		want string
	}{
		"redirect": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, "answers 302"},
		"long": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.Write([]byte(enforce + strings.Repeat("x: y\n", 20_000)))
		}, "too long"},
		"html": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.Write([]byte(enforce))
		}, "not text/plain"},
		"error": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, enforce, http.StatusInternalServerError) }, "answers 500"},
		"nonsense": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.Write([]byte("hello"))
		}, "not valid"},
		"header": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 100_000))
		}, "header"},
	} {
		s := newSite(t)
		s.serve(c.h)
		if err := fetch(s); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if s.asked.Load() != 1 {
			t.Errorf("%s: asked %d times", name, s.asked.Load())
		}
	}
	if err := fetch(newSite(t, "www.b.test")); !errors.Is(err, ErrWebPKI) {
		t.Errorf("another name's certificate: %v", err)
	}
	s := newSite(t)
	s.o.Roots = x509.NewCertPool()
	s.resolve(s.dns)
	if err := fetch(s); !errors.Is(err, ErrWebPKI) {
		t.Errorf("an unknown authority: %v", err)
	}
	s = newSite(t)
	s.o.Private = nil
	s.resolve(s.dns)
	if err := fetch(s); err == nil || !strings.Contains(err.Error(), "no public address") || s.asked.Load() != 0 {
		t.Errorf("a private address: %v", err)
	}
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	if err := fetch(newSite(t)); err != nil {
		t.Errorf("the environment's proxy was asked: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s = newSite(t)
	over := make(chan struct{})
	s.serve(func(http.ResponseWriter, *http.Request) { cancel(); <-over })
	_, err := s.Fetcher.Fetch(ctx, "b.test")
	close(over)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a server that does not answer: %v", err)
	}
}
