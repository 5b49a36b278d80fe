package main

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"postrider/internal/maillog"
	"postrider/internal/publichttp"
	"postrider/mail"
	"postrider/smtpc"
	"postrider/smtpc/mtasts"
	"postrider/store"
	"postrider/tlsrpt"
)

// refreshEvery is how often MTA-STS policies are looked through.
const refreshEvery = 6 * time.Hour

// secureTransport gives outgoing mail what other domains demand of it, and
// their reports.
func (s *server) secureTransport(o *smtpc.Options) {
	q := s.cfg.Queue
	fetch := publichttp.New(publichttp.Options{Resolver: s.admin.resolver, Private: within(q.PrivateNetworks)})
	if q.MTASTS {
		cache := &mtasts.Cache{Resolver: s.admin.resolver, Fetcher: &mtasts.Fetcher{Client: fetch},
			Store: stsStore{s.store}, Now: time.Now, Log: s.log}
		o.Policies = cache
		s.background(func(ctx context.Context) { s.refreshPolicies(ctx, cache) })
	}
	if q.TLSReports {
		counter := &tlsrpt.Counter{Store: s.store, Now: time.Now}
		o.TLSResult = counter.Add
		s.background(func(ctx context.Context) {
			origin, err := s.admin.origin(ctx)
			if err != nil {
				s.log.Error(maillog.Failed, "doing", "TLS reports", "err", err)
				return
			}
			sender := &tlsrpt.Sender{Counter: counter, Store: s.store, Deliver: s.admin.deliver, Resolver: s.admin.resolver, Client: fetch,
				Hostname: s.cfg.hostname(), Contact: mail.Address{Local: "postmaster", Domain: origin}, Spread: rand.Float64(),
				Now: time.Now, Log: s.log}
			sender.Run(ctx)
		})
	}
}

func (s *server) refreshPolicies(ctx context.Context, c *mtasts.Cache) {
	t := time.NewTicker(refreshEvery)
	defer t.Stop()
	for {
		if err := c.Refresh(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn(maillog.Warning, "doing", "refresh MTA-STS policies", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// within tells whether an address lies in one of some networks.
func within(networks []netip.Prefix) func(netip.Addr) bool {
	return func(a netip.Addr) bool {
		return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(a.Unmap()) })
	}
}

// background runs f until the server stops; the store is open that long.
func (s *server) background(f func(context.Context)) {
	if s.jobs == nil {
		s.jobs, s.stopJobs = context.WithCancel(context.Background())
	}
	s.jobsDone.Go(func() { f(s.jobs) })
}

// endBackground ends what background began.
func (s *server) endBackground() {
	if s.stopJobs != nil {
		s.stopJobs()
		s.jobsDone.Wait()
	}
}

// stsStore keeps policies in the store.
type stsStore struct{ st *store.Store }

func (s stsStore) STSPolicy(ctx context.Context, domain string) (mtasts.Kept, error) {
	p, err := s.st.STSPolicy(ctx, domain)
	if err != nil && store.KindOf(err) == store.NotFound {
		return mtasts.Kept{}, nil
	}
	return mtasts.Kept(p), err
}

func (s stsStore) SetSTSPolicy(ctx context.Context, k mtasts.Kept) error {
	return s.st.SetSTSPolicy(ctx, store.STSPolicy(k))
}

func (s stsStore) STSPolicies(ctx context.Context, before time.Time) ([]mtasts.Kept, error) {
	all, err := s.st.STSPolicies(ctx, before)
	out := make([]mtasts.Kept, len(all))
	for i, p := range all {
		out[i] = mtasts.Kept(p)
	}
	return out, err
}

func (s stsStore) DropSTSPolicies(ctx context.Context, before time.Time) error {
	return s.st.DropSTSPolicies(ctx, before)
}
