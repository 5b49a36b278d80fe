package smtpc

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// resolving starts a resolver that answers as handle wants.
func resolving(t *testing.T, handle dns.HandlerFunc) *resolver {
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
	return &resolver{server: pc.LocalAddr().String(), timeout: patience}
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
	mxs, err := r.mx(context.Background(), "b.test")
	if err != nil || len(mxs) != 1 || mxs[0].Mx != "mx.b.test." {
		t.Errorf("got %v, %v", mxs, err)
	}
}

func TestAnswerToAnotherQuestion(t *testing.T) {
	r := resolving(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := says(t, q, "b.test. 60 IN MX 1 evil.test.")
		m.Question[0].Name = "evil.test."
		w.WriteMsg(m)
	})
	if mxs, err := r.mx(context.Background(), "b.test"); err == nil || errors.Is(err, errNoDomain) {
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
	if mxs, err := r.mx(context.Background(), "start.test"); err != nil || len(mxs) != 1 {
		t.Errorf("got %v, %v", mxs, err)
	}
	if mxs, err := r.mx(context.Background(), "ring.test"); err == nil || errors.Is(err, errNoDomain) {
		t.Errorf("got %v, %v", mxs, err)
	}
	if mxs, err := r.mx(context.Background(), "self.test"); err == nil || errors.Is(err, errNoDomain) {
		t.Errorf("got %v, %v", mxs, err)
	}
	if _, err := r.mx(context.Background(), "lost.test"); !errors.Is(err, errNoDomain) {
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
	if mxs, err := r.mx(context.Background(), "b.test"); err != nil || len(mxs) != 1 {
		t.Errorf("got %v, %v", mxs, err)
	}
}

// One of the two lookups failing proves nothing about the host.
func TestHalfOfTheAddresses(t *testing.T) {
	r := resolving(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := says(t, q)
		switch name := q.Question[0].Name; {
		case q.Question[0].Qtype == dns.TypeAAAA:
			m.Rcode = dns.RcodeServerFailure
		case name == "good.test.":
			m = says(t, q, "good.test. 60 IN A 127.0.0.1")
		case name == "none.test.":
			m.Rcode = dns.RcodeNameError
		}
		w.WriteMsg(m)
	})
	if a, err := r.addrs(context.Background(), "good.test"); err != nil || len(a) != 1 {
		t.Errorf("got %v, %v", a, err)
	}
	for _, name := range []string{"empty.test", "none.test"} {
		if a, err := r.addrs(context.Background(), name); err == nil || errors.Is(err, errNoDomain) {
			t.Errorf("%s: got %v, %v", name, a, err)
		}
	}
}

func TestLookupEndsWithItsContext(t *testing.T) {
	r := resolving(t, func(dns.ResponseWriter, *dns.Msg) {})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := r.mx(ctx, "b.test"); err == nil || time.Since(start) > patience/2 {
		t.Errorf("got %v after %v", err, time.Since(start))
	}
}
