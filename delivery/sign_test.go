package delivery

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postrider/internal/resolve"
	"postrider/mailauth"
	"postrider/store"
)

// published is a DNS that has TXT records alone.
type published map[string]string

func (p published) TXT(_ context.Context, name string) ([]string, resolve.Info, error) {
	if txt, ok := p[name]; ok {
		return []string{txt}, resolve.Info{}, nil
	}
	return nil, resolve.Info{}, resolve.ErrNoDomain
}

func (published) MX(context.Context, string) ([]resolve.MX, resolve.Info, error) {
	return nil, resolve.Info{}, resolve.ErrNoDomain
}

func (published) A(context.Context, string) ([]netip.Addr, resolve.Info, error) {
	return nil, resolve.Info{}, resolve.ErrNoDomain
}

func (published) AAAA(context.Context, string) ([]netip.Addr, resolve.Info, error) {
	return nil, resolve.Info{}, resolve.ErrNoDomain
}

func (published) PTR(context.Context, netip.Addr) ([]string, resolve.Info, error) {
	return nil, resolve.Info{}, resolve.ErrNoDomain
}

// check checks a message as another server would.
func (p published) check(t *testing.T, text string) *mailauth.Result {
	t.Helper()
	c := mailauth.New(mailauth.Options{Resolver: p, Now: func() time.Time { return testNow }})
	k := c.Begin(t.Context(), mailauth.Peer{Addr: netip.MustParseAddr("192.0.2.1"), Helo: "mx.b.test", From: addr("x@far.test")})
	k.Write([]byte(text))
	return k.Finish()
}

// keySite has keys for b.test, which are published.
func keySite(t *testing.T, o Options) (*site, published) {
	o.Sign = true
	s := newSite(t, o)
	dns := published{"_dmarc.b.test": "v=DMARC1; p=reject"}
	for selector, algorithm := range map[string]string{"e1": mailauth.Ed25519, "r1": mailauth.RSA} {
		der, err := mailauth.NewKey(algorithm)
		s.must(err)
		s.must(s.st.AddDomainKeys(t.Context(), "b.test", []store.DomainKey{{Selector: selector, Algorithm: algorithm, Private: der, State: store.KeyActive}}))
		k, err := mailauth.ParseKey("b.test", selector, der)
		s.must(err)
		dns[k.RecordName()] = k.Record()
	}
	return s, dns
}

func TestSigned(t *testing.T) {
	s, dns := keySite(t, Options{})
	alice := &Peer{Account: s.account("alice@b.test"), Proto: "ESMTPSA"}
	for _, c := range []struct {
		what, text string
		peer       *Peer
		passes     int
	}{
		{"submitted", "From: Alice <alice@b.test>\r\nSubject: x\r\n\r\ntext\r\n", alice, 2},
		{"no text", "From: alice@b.test\r\n\r\n", alice, 2},
		{"a forged result", "From: alice@b.test\r\nAuthentication-Results: mx.b.test; dmarc=pass\r\nSubject: x\r\n\r\ntext\r\n", alice, 2},
		{"no author", "Subject: x\r\n\r\ntext\r\n", alice, 0},
		{"the server's own", "From: <mailer-daemon@mx.b.test>\r\n\r\ntext\r\n", &Peer{}, 2},
		{"of another domain", "From: <x@far.test>\r\n\r\ntext\r\n", &Peer{}, 0},
		{"from elsewhere", "From: alice@b.test\r\n\r\ntext\r\n", &Peer{Proto: "ESMTP", Helo: "x"}, 0},
	} {
		m := message(c.text, "bob@b.test", "x@far.test")
		m.Peer, m.Submission = *c.peer, c.peer.Account != nil
		a, err := s.Prepare(t.Context(), m)
		s.must(err)
		for _, prefix := range [][]byte{a.Local[0].Prefix, a.Outgoing[0].Prefix} {
			text := served(t, a, prefix)
			r := dns.check(t, text)
			passes := 0
			for _, sig := range r.DKIM {
				if sig.Result == mailauth.Pass && sig.Domain == "b.test" {
					passes++
				}
			}
			if passes != c.passes || len(r.DKIM) != c.passes {
				t.Errorf("%s: %+v\n%s", c.what, r.DKIM, text)
			}
			if c.passes > 0 && (r.DMARC.Result != mailauth.Pass || strings.Contains(text, "Authentication-Results")) {
				t.Errorf("%s: %+v\n%s", c.what, r.DMARC, text)
			}
		}
		if n := len(a.Events); n != 1+min(c.passes, 1) {
			t.Errorf("%s: %d events", c.what, n)
		}
	}
	// A retired key signs no more, once that has got about.
	der, err := mailauth.NewKey(mailauth.Ed25519)
	s.must(err)
	s.must(s.st.AddDomainKeys(t.Context(), "b.test", []store.DomainKey{{Selector: "e2", Algorithm: mailauth.Ed25519, Private: der}}))
	s.must(s.st.RotateDomainKeys(t.Context(), "b.test", time.Time{}))
	s.ring.parsed = nil
	keys, err := s.keys(t.Context(), "b.test")
	s.must(err)
	if len(keys) != 1 || keys[0].Selector != "e2" {
		t.Errorf("%+v", keys)
	}
}

// TestChecked files by what was found, shows it, and seals what is sent on.
func TestChecked(t *testing.T) {
	s, dns := keySite(t, Options{})
	s.alias("away@b.test", "bob@b.test", "x@far.test")
	const text = "Authentication-Results: other.test; dkim=pass\r\nAuthentication-Results: mx.b.test; dmarc=pass\r\n" +
		"From: a@a.test\r\nSubject: x\r\n\r\ntext\r\n"
	m := message(text, "away@b.test")
	m.Checked, m.Foreign = dns.check(t, text), true
	a, err := s.Prepare(t.Context(), m)
	s.must(err)
	got := served(t, a, a.Local[0].Prefix)
	if !strings.HasPrefix(got, "Return-Path: <a@a.test>\r\nAuthentication-Results: mx.b.test;\r\n\tdkim=none;\r\n") || strings.Contains(got, "dmarc=pass") ||
		!strings.Contains(got, "other.test; dkim=pass") || strings.Contains(got, "ARC-Seal") {
		t.Errorf("%s", got)
	}
	out := served(t, a, a.Outgoing[0].Prefix)
	r := dns.check(t, out)
	if r.ARC.Result != mailauth.Pass || r.ARC.Sealers[0] != "b.test" {
		t.Errorf("%+v\n%s", r.ARC, out)
	}
	if a.Local[0].Mailbox != store.Inbox {
		t.Errorf("filed in %s", a.Local[0].Mailbox)
	}
	m.Checked.Verdict = mailauth.Junk
	s.must(s.st.Rename(t.Context(), s.account("bob@b.test").ID, "Junk", "Spam"))
	a, err = s.Prepare(t.Context(), m)
	s.must(err)
	if a.Local[0].Mailbox != "Spam" {
		t.Errorf("junk filed in %s", a.Local[0].Mailbox)
	}
	// Nor does a server that checks nothing let others speak for it; another
	// one of ours may.
	m.Checked = nil
	for _, m.Foreign = range []bool{true, false} {
		a, err = s.Prepare(t.Context(), m)
		s.must(err)
		if got := served(t, a, a.Local[0].Prefix); strings.Contains(got, "dmarc=pass") == m.Foreign {
			t.Errorf("%s", got)
		}
	}
}
