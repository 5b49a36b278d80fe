package resolve

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// patience is longer than anything takes that a test does not wait for on
// purpose.
const patience = 30 * time.Second

// resolving starts a resolver that answers as handle wants.
func resolving(t *testing.T, handle dns.HandlerFunc) *Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var begun sync.WaitGroup
	begun.Add(1)
	s := &dns.Server{PacketConn: pc, Handler: handle, NotifyStartedFunc: begun.Done}
	go s.ActivateAndServe()
	begun.Wait()
	t.Cleanup(func() { s.Shutdown() })
	return New(Options{Server: pc.LocalAddr().String(), Timeout: patience})
}

// says makes an answer with records.
func says(t *testing.T, q *dns.Msg, rrs ...string) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(q)
	for _, s := range rrs {
		rr, err := dns.NewRR(s)
		if err != nil {
			t.Error(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	return m
}

func TestForeignAnswersAreIgnored(t *testing.T) {
	r := resolving(t, func(w dns.ResponseWriter, q *dns.Msg) {
		spoof := says(t, q, "b.test. 60 IN MX 1 evil.test.")
		spoof.Id++
		w.WriteMsg(spoof)
		w.WriteMsg(says(t, q, "other.test. 60 IN MX 1 evil.test.", "b.test. 60 IN MX 5 mx.b.test.", "b.test. 60 IN A 127.0.0.1"))
	})
	mxs, _, err := r.MX(context.Background(), "b.test")
	if err != nil || len(mxs) != 1 || mxs[0].Host != "mx.b.test" {
		t.Errorf("got %v, %v", mxs, err)
	}
}

func TestAnswerToAnotherQuestion(t *testing.T) {
	r := resolving(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := says(t, q, "b.test. 60 IN MX 1 evil.test.")
		m.Question[0].Name = "evil.test."
		w.WriteMsg(m)
	})
	if mxs, _, err := r.MX(context.Background(), "b.test"); err == nil || errors.Is(err, ErrNoDomain) {
		t.Errorf("got %v, %v", mxs, err)
	}
}

func TestAliases(t *testing.T) {
	r := resolving(t, func(w dns.ResponseWriter, q *dns.Msg) {
		name := q.Question[0].Name
		switch {
		case name == "start.test.": // led on only so far
			w.WriteMsg(says(t, q, "start.test. 60 IN CNAME half.test.", "half.test. 60 IN CNAME b.test."))
		case name == "b.test.":
			w.WriteMsg(says(t, q, "b.test. 60 IN MX 5 mx.b.test."))
		case strings.HasPrefix(name, "ring"): // each leads to the next for ever
			w.WriteMsg(says(t, q, name+" 60 IN CNAME ring"+name))
		case name == "self.test.":
			w.WriteMsg(says(t, q, "self.test. 60 IN CNAME self.test."))
		case name == "lost.test.":
			m := says(t, q, "lost.test. 60 IN CNAME nowhere.test.")
			m.Rcode = dns.RcodeNameError
			w.WriteMsg(m)
		}
	})
	if mxs, _, err := r.MX(context.Background(), "start.test"); err != nil || len(mxs) != 1 {
		t.Errorf("got %v, %v", mxs, err)
	}
	if mxs, _, err := r.MX(context.Background(), "ring.test"); err == nil || errors.Is(err, ErrNoDomain) {
		t.Errorf("got %v, %v", mxs, err)
	}
	if mxs, _, err := r.MX(context.Background(), "self.test"); err == nil || errors.Is(err, ErrNoDomain) {
		t.Errorf("got %v, %v", mxs, err)
	}
	if _, _, err := r.MX(context.Background(), "lost.test"); !errors.Is(err, ErrNoDomain) {
		t.Errorf("got %v", err)
	}
}

func TestResolverWithoutEDNS(t *testing.T) {
	r := resolving(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := says(t, q, "b.test. 60 IN MX 5 mx.b.test.")
		if q.IsEdns0() != nil {
			m = new(dns.Msg)
			m.SetRcode(q, dns.RcodeFormatError)
		}
		w.WriteMsg(m)
	})
	if mxs, _, err := r.MX(context.Background(), "b.test"); err != nil || len(mxs) != 1 {
		t.Errorf("got %v, %v", mxs, err)
	}
}

// One of the two lookups failing proves nothing about the host, nor that its
// zone is not signed.
func TestHalfOfTheAddresses(t *testing.T) {
	r := resolving(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := says(t, q)
		switch name := q.Question[0].Name; {
		case q.Question[0].Qtype == dns.TypeAAAA && name != "six.test.", q.Question[0].Qtype == dns.TypeA && name == "six.test.":
			m.Rcode = dns.RcodeServerFailure
		case name == "good.test." || name == "signed.test.":
			m = says(t, q, name+" 60 IN A 127.0.0.1")
			m.AuthenticatedData = name == "signed.test."
		case name == "six.test.":
			m = says(t, q, name+" 60 IN AAAA ::1")
			m.AuthenticatedData = true
		case name == "none.test.":
			m.Rcode = dns.RcodeNameError
		}
		w.WriteMsg(m)
	})
	for name, secure := range map[string]bool{"good.test": false, "signed.test": true, "six.test": true} {
		if a, info, err := r.Addrs(context.Background(), name); err != nil || len(a) != 1 || info.Secure != secure || info.Name != name || info.TTL == 0 {
			t.Errorf("%s: got %v, %+v, %v", name, a, info, err)
		}
	}
	for _, name := range []string{"empty.test", "none.test"} {
		if a, _, err := r.Addrs(context.Background(), name); err == nil || errors.Is(err, ErrNoDomain) {
			t.Errorf("%s: got %v, %v", name, a, err)
		}
	}
}

func TestLookupEndsWithItsContext(t *testing.T) {
	r := resolving(t, func(dns.ResponseWriter, *dns.Msg) {})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, _, err := r.MX(ctx, "b.test"); err == nil || time.Since(start) > patience/2 {
		t.Errorf("got %v after %v", err, time.Since(start))
	}
}

// TestSecure shows whose word on DNSSEC counts, and that one unsigned step
// spoils the whole.
func TestSecure(t *testing.T) {
	r := resolving(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := says(t, q, q.Question[0].Name+" 60 IN MX 5 mx.b.test.")
		switch q.Question[0].Name {
		case "alias.test.":
			m = says(t, q, "alias.test. 60 IN CNAME open.test.")
			m.AuthenticatedData = q.AuthenticatedData
		case "signed.test.":
			m.AuthenticatedData = q.AuthenticatedData
		}
		w.WriteMsg(m)
	})
	nobody := New(Options{Server: r.o.Server, Timeout: patience, Trusted: []netip.Prefix{}})
	other := New(Options{Server: r.o.Server, Timeout: patience, Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	for _, c := range []struct {
		r    *Resolver
		name string
		want bool
	}{{r, "signed.test", true}, {r, "open.test", false}, {r, "alias.test", false}, {nobody, "signed.test", false}, {other, "signed.test", false}} {
		mxs, info, err := c.r.MX(context.Background(), c.name)
		if err != nil || len(mxs) != 1 || info.Secure != c.want {
			t.Errorf("%s: %v, %+v, %v; want secure %v", c.name, mxs, info, err, c.want)
		}
	}
}

func TestRecords(t *testing.T) {
	r := resolving(t, func(w dns.ResponseWriter, q *dns.Msg) {
		name := q.Question[0].Name
		switch q.Question[0].Qtype {
		case dns.TypeTXT:
			w.WriteMsg(says(t, q, name+` 60 IN TXT "v=x; " "a\"b\\c\255"`, name+` 30 IN TXT ""`))
		case dns.TypeTLSA:
			w.WriteMsg(says(t, q, name+" 60 IN TLSA 3 1 1 00ff"))
		case dns.TypePTR:
			w.WriteMsg(says(t, q, name+" 60 IN PTR Mail.B.test."))
		case dns.TypeMX:
			w.WriteMsg(says(t, q, name+" 60 IN MX 0 ."))
		default:
			w.WriteMsg(says(t, q))
		}
	})
	ctx := context.Background()
	txt, info, err := r.TXT(ctx, "X.test")
	if err != nil || len(txt) != 2 || txt[0] != "v=x; a\"b\\c\xff" || info.Name != "x.test" || info.TTL != 30*time.Second {
		t.Errorf("TXT: %q, %+v, %v", txt, info, err)
	}
	if got, _, err := r.TLSA(ctx, "_25._tcp.x.test"); err != nil || len(got) != 1 || got[0].Usage != 3 || string(got[0].Data) != "\x00\xff" {
		t.Errorf("TLSA: %v, %v", got, err)
	}
	if got, _, err := r.PTR(ctx, netip.MustParseAddr("192.0.2.1")); err != nil || len(got) != 1 || got[0] != "mail.b.test" {
		t.Errorf("PTR: %v, %v", got, err)
	}
	if got, _, err := r.MX(ctx, "x.test"); err != nil || len(got) != 1 || got[0].Host != "" {
		t.Errorf("MX: %v, %v", got, err)
	}
	if got, _, err := r.Addrs(ctx, "x.test"); err != nil || len(got) != 0 {
		t.Errorf("addresses: %v, %v", got, err)
	}
	for _, bad := range []string{"", "a..b", strings.Repeat("x", 64) + ".test"} {
		if _, _, err := r.MX(ctx, bad); !errors.Is(err, ErrBadName) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
