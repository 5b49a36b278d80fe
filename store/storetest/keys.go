package storetest

import (
	"bytes"
	"slices"
	"sync"
	"time"

	"postrider/store"
)

func keyCases() []testCase {
	return []testCase{
		{"keys of a domain", domainKeys},
		{"secrets", secrets},
		{"counts for DMARC", dmarcCounts},
	}
}

func domainKeys(s *suite) {
	k := func(selector string, state store.KeyState) store.DomainKey {
		return store.DomainKey{Selector: selector, Algorithm: "rsa", Private: []byte("secret " + selector), State: state}
	}
	list := func(domain string) (out []string) {
		all, err := s.b.DomainKeys(s.ctx, domain)
		s.ok(err)
		for _, k := range all {
			out = append(out, k.Domain+" "+k.Selector+" "+[]string{"next", "active", "retired"}[k.State])
			if string(k.Private) != "secret "+k.Selector || k.Algorithm != "rsa" || k.Changed.Before(k.Created) {
				s.Errorf("%+v", k)
			}
		}
		return out
	}
	want := func(what string, got []string, want ...string) {
		s.Helper()
		if !slices.Equal(got, want) {
			s.Errorf("%s: %q", what, got)
		}
	}
	s.kind(s.a.AddDomainKeys(s.ctx, "b.test", []store.DomainKey{k("x", store.KeyActive)}), store.NotFound)
	s.ok(s.a.AddDomainKeys(s.ctx, "a.test", []store.DomainKey{k("one", store.KeyActive)}))
	s.kind(s.a.AddDomainKeys(s.ctx, "a.test", []store.DomainKey{k("two", store.KeyNext), k("one", store.KeyNext)}), store.Exists)
	want("nothing of what failed", list("a.test"), "a.test one active")
	s.kind(s.a.RotateDomainKeys(s.ctx, "a.test", time.Time{}), store.NotFound)
	s.ok(s.a.AddDomainKeys(s.ctx, "A.test", []store.DomainKey{k("two", store.KeyNext)}))
	s.ok(s.b.RotateDomainKeys(s.ctx, "a.test", time.Time{}))
	want("rotated", list("a.test"), "a.test one retired", "a.test two active")
	_, err := s.a.AddDomain(s.ctx, "b.test")
	s.ok(err)
	s.ok(s.a.AddDomainKeys(s.ctx, "b.test", []store.DomainKey{k("one", store.KeyActive), k("two", store.KeyNext)}))
	want("all", list(""), "a.test one retired", "a.test two active", "b.test one active", "b.test two next")
	want("of no domain", list("[192.0.2.1]"))
	s.ok(s.a.RotateDomainKeys(s.ctx, "b.test", time.Now().Add(time.Hour)))
	want("retired long ago", list("b.test"), "b.test two active")
	s.ok(s.a.RemoveDomain(s.ctx, "b.test"))
	want("gone with their domain", list(""), "a.test one retired", "a.test two active")
}

func secrets(s *suite) {
	var wait sync.WaitGroup
	got := make([][]byte, 8)
	for i := range got {
		h := []handle{s.a, s.b}[i%2]
		wait.Go(func() {
			var err error
			if got[i], err = h.Secret(s.ctx, "one", 32); err != nil {
				s.Error(err)
			}
		})
	}
	wait.Wait()
	for _, g := range got {
		if len(g) != 32 || !bytes.Equal(g, got[0]) {
			s.Errorf("%x is not %x", g, got[0])
		}
	}
	other, err := s.a.Secret(s.ctx, "two", 32)
	s.ok(err)
	if bytes.Equal(other, got[0]) {
		s.Error("two secrets are the same")
	}
}

func dmarcCounts(s *suite) {
	b := store.DMARCDomain{Day: 20000, Domain: "b.test"}
	c := store.DMARCDomain{Day: 20001, Domain: "b.test"}
	s.ok(s.a.CountDMARC(s.ctx, []store.DMARCCount{{DMARCDomain: b, What: "x", Messages: 1}, {DMARCDomain: b, What: "y", Messages: 2}, {DMARCDomain: c, What: "x", Messages: 5}}))
	s.ok(s.b.CountDMARC(s.ctx, []store.DMARCCount{{DMARCDomain: b, What: "x", Messages: 10}}))
	domains, err := s.a.DMARCDomains(s.ctx, c.Day)
	s.ok(err)
	if !slices.Equal(domains, []store.DMARCDomain{b, c}) {
		s.Errorf("domains: %v", domains)
	}
	got, err := s.b.DMARCCounts(s.ctx, b)
	s.ok(err)
	if !slices.Equal(got, []store.DMARCCount{{DMARCDomain: b, What: "x", Messages: 11}, {DMARCDomain: b, What: "y", Messages: 2}}) {
		s.Errorf("counts: %v", got)
	}
	s.ok(s.b.DropDMARCCounts(s.ctx, b))
	domains, err = s.a.DMARCDomains(s.ctx, c.Day)
	s.ok(err)
	if !slices.Equal(domains, []store.DMARCDomain{c}) {
		s.Errorf("domains after that: %v", domains)
	}
}
