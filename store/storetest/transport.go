package storetest

import (
	"slices"
	"time"

	"postrider/store"
)

func transportCases() []testCase {
	return []testCase{
		{"MTA-STS policies", stsPolicies},
		{"counts of TLS connections", tlsCounts},
	}
}

func stsPolicies(s *suite) {
	day := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	_, err := s.a.STSPolicy(s.ctx, "b.test")
	s.kind(err, store.NotFound)
	p := store.STSPolicy{Domain: "b.test", ID: "1", Text: "version: STSv1\r\n", Fetched: day, Expires: day.Add(time.Hour)}
	q := store.STSPolicy{Domain: "c.test", ID: "x", Text: "y", Fetched: day.Add(time.Minute), Expires: day.Add(2 * time.Hour)}
	s.ok(s.a.SetSTSPolicy(s.ctx, store.STSPolicy{Domain: "b.test", ID: "0", Fetched: day, Expires: day}))
	s.ok(s.a.SetSTSPolicy(s.ctx, q))
	s.ok(s.b.SetSTSPolicy(s.ctx, p))
	got, err := s.a.STSPolicy(s.ctx, "b.test")
	s.ok(err)
	if got.ID != "1" || got.Text != p.Text || !got.Fetched.Equal(p.Fetched) || !got.Expires.Equal(p.Expires) {
		s.Errorf("got %+v, want %+v", got, p)
	}
	names := func(before time.Time) (out []string) {
		all, err := s.b.STSPolicies(s.ctx, before)
		s.ok(err)
		for _, p := range all {
			out = append(out, p.Domain)
		}
		return out
	}
	if got := names(day.Add(time.Hour)); !slices.Equal(got, []string{"b.test", "c.test"}) {
		s.Errorf("all: %v", got)
	}
	if got := names(day.Add(time.Second)); !slices.Equal(got, []string{"b.test"}) {
		s.Errorf("the older: %v", got)
	}
	s.ok(s.a.DropSTSPolicies(s.ctx, day.Add(90*time.Minute)))
	if got := names(day.Add(time.Hour)); !slices.Equal(got, []string{"c.test"}) {
		s.Errorf("after the first has ended: %v", got)
	}
}

func tlsCount(d store.TLSDomain, what string, sessions int64) store.TLSCount {
	return store.TLSCount{TLSDomain: d, What: what, Sessions: sessions}
}

func tlsCounts(s *suite) {
	b := store.TLSDomain{Day: store.DayOf(time.Date(2026, 5, 1, 23, 59, 0, 0, time.UTC)), Domain: "b.test"}
	c := store.TLSDomain{Day: b.Day + 1, Domain: "b.test"}
	s.equal("day", b.Day.Begin(), time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC))
	s.ok(s.a.CountTLS(s.ctx, []store.TLSCount{tlsCount(b, "x", 1), tlsCount(b, "y", 2), tlsCount(c, "x", 5)}))
	s.ok(s.b.CountTLS(s.ctx, []store.TLSCount{tlsCount(b, "x", 10)}))
	domains, err := s.a.TLSDomains(s.ctx, c.Day)
	s.ok(err)
	if !slices.Equal(domains, []store.TLSDomain{b, c}) {
		s.Errorf("domains: %v", domains)
	}
	domains, err = s.a.TLSDomains(s.ctx, b.Day)
	s.ok(err)
	if !slices.Equal(domains, []store.TLSDomain{b}) {
		s.Errorf("domains of the first day: %v", domains)
	}
	got, err := s.a.TLSCounts(s.ctx, b)
	s.ok(err)
	if !slices.Equal(got, []store.TLSCount{tlsCount(b, "x", 11), tlsCount(b, "y", 2)}) {
		s.Errorf("counts: %v", got)
	}
	s.ok(s.b.DropTLSCounts(s.ctx, b))
	got, err = s.a.TLSCounts(s.ctx, b)
	s.ok(err)
	if len(got) != 0 {
		s.Errorf("counts that were dropped: %v", got)
	}
	got, err = s.a.TLSCounts(s.ctx, c)
	s.ok(err)
	if len(got) != 1 {
		s.Errorf("counts of another day: %v", got)
	}
}
