package delivery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postrider/mail"
	"postrider/mailauth"
	"postrider/store"
	"postrider/store/sqlite/sqlitetest"
)

var testNow = time.Date(2026, 11, 23, 9, 30, 0, 0, time.FixedZone("", 3600))

const testID = mail.ID("0000000000000042")

// site is a store with people in it, and a Deliverer.
type site struct {
	*Deliverer
	t  *testing.T
	st *store.Store
}

func addr(s string) mail.Address {
	a, err := mail.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

func newSite(t *testing.T, o Options) *site {
	t.Helper()
	o.Store, o.Hostname, o.Now = sqlitetest.New(t), "mx.b.test", func() time.Time { return testNow }
	s := &site{Deliverer: New(o), t: t, st: o.Store}
	_, err := s.st.AddDomain(t.Context(), "b.test")
	s.must(err)
	for _, a := range []string{"alice", "bob", "carol"} {
		_, err := s.st.AddAccount(t.Context(), store.NewAccount{Address: addr(a + "@b.test")})
		s.must(err)
	}
	return s
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) alias(a string, targets ...string) {
	s.t.Helper()
	local, domain, _ := strings.Cut(a, "@")
	alias := store.Alias{Address: mail.Address{Local: local, Domain: domain}}
	for _, to := range targets {
		alias.Targets = append(alias.Targets, addr(to))
	}
	s.must(s.st.SetAlias(s.t.Context(), alias))
}

func (s *site) account(a string) *store.Account {
	s.t.Helper()
	e, err := s.st.Lookup(s.t.Context(), addr(a))
	s.must(err)
	return e.Account
}

// message is text from alice for rcpts, from a peer with nothing special.
func message(text string, rcpts ...string) *Message {
	m := &Message{ID: testID, Body: strings.NewReader(text), Envelope: mail.Envelope{From: addr("a@a.test")},
		Peer: Peer{Helo: "pc.a.test", Addr: netip.MustParseAddr("192.0.2.1"), Proto: "ESMTP"}}
	for _, r := range rcpts {
		m.Envelope.Rcpts = append(m.Envelope.Rcpts, mail.Recipient{Addr: addr(r)})
	}
	return m
}

// paths says where an acceptance leads, accounts by address, then the rest.
func (s *site) paths(a *store.Acceptance) string {
	var out []string
	for _, l := range a.Local {
		acct, err := s.st.Account(s.t.Context(), l.Account)
		s.must(err)
		out = append(out, acct.Address.String())
	}
	for _, o := range a.Outgoing {
		for _, r := range o.Envelope.Rcpts {
			out = append(out, "→"+r.Addr.String())
		}
	}
	return strings.Join(out, " ")
}

func TestExpansion(t *testing.T) {
	s := newSite(t, Options{})
	s.alias("team@b.test", "bob@b.test", "carol@b.test", "x@far.test")
	s.alias("all@b.test", "team@b.test", "alice@b.test", "bob@b.test")
	s.alias("ring@b.test", "ring2@b.test", "alice@b.test")
	s.alias("ring2@b.test", "ring@b.test")
	s.alias("stale@b.test", "gone@b.test", "bob@b.test")
	s.alias("away@b.test", "x@far.test")
	s.alias("dead@b.test", "gone@b.test")
	s.alias("loop@b.test", "loop2@b.test")
	s.alias("loop2@b.test", "loop@b.test")
	s.alias("plus+detail@b.test", "carol@b.test")
	for _, c := range []struct{ rcpts, want string }{
		{"bob@b.test", "bob@b.test"},
		{"BOB@B.test bob+x@b.test bob@b.test", "bob@b.test"},
		{"team@b.test", "bob@b.test carol@b.test →x@far.test"},
		{"all@b.test x@far.test X@far.test", "bob@b.test carol@b.test alice@b.test →x@far.test →X@far.test"},
		{"away@b.test x@far.test", "→x@far.test"},
		{"ring@b.test", "alice@b.test"},
		{"stale@b.test", "bob@b.test"},
		{"plus+detail@b.test plus@b.test", "not found"},
		{"plus+detail@b.test", "carol@b.test"},
		{"dead@b.test", "not found"},
		{"loop@b.test", "loop"},
		{"postmaster@b.test", "postmaster@b.test"},
		{"postmaster+x@b.test postmaster@mx.b.test", "postmaster@b.test"},
		{"nobody@b.test", "not found"},
	} {
		a, err := s.Prepare(t.Context(), message("x\r\n", strings.Fields(c.rcpts)...))
		var got string
		switch {
		case errors.Is(err, ErrLoop):
			got = "loop"
		case err != nil:
			got = store.KindOf(err).String()
		default:
			got = s.paths(a)
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.rcpts, got, c.want)
		}
	}
}

// TestWrittenToTwice: who is written to himself and is behind an alias gets one
// copy, under the notices asked for at his own address, and the sender is told
// of that.
func TestWrittenToTwice(t *testing.T) {
	s := newSite(t, Options{})
	s.alias("away@b.test", "x@far.test")
	for _, rcpts := range []string{"away@b.test x@far.test", "x@far.test away@b.test"} {
		m := message("x\r\n", strings.Fields(rcpts)...)
		for i, r := range m.Envelope.Rcpts {
			if m.Envelope.Rcpts[i].Notify = mail.NotifyNever; r.Addr.Domain == "far.test" {
				m.Envelope.Rcpts[i].Notify = mail.NotifyFailure
			}
		}
		a, err := s.Prepare(t.Context(), m)
		s.must(err)
		if len(a.Outgoing) != 1 || len(a.Outgoing[0].Envelope.Rcpts) != 1 {
			t.Fatalf("%s: %+v", rcpts, a.Outgoing)
		}
		r, via := a.Outgoing[0].Envelope.Rcpts[0], a.Outgoing[0].Via[0]
		if via != "x@far.test" || r.Notify != mail.NotifyFailure || r.ORcpt != "" {
			t.Errorf("%s: %+v because of %s", rcpts, r, via)
		}
	}
}

func TestVerify(t *testing.T) {
	s := newSite(t, Options{})
	s.alias("away@b.test", "x@far.test")
	s.must(s.st.SetQuota(t.Context(), s.account("carol@b.test").ID, 100, 0))
	s.must(s.st.SetDisabled(t.Context(), s.account("bob@b.test").ID, true))
	s.alias("both@b.test", "alice@b.test", "bob@b.test")
	s.alias("only@b.test", "bob@b.test")
	alice := s.account("alice@b.test")
	ok := "ok"
	for _, c := range []struct {
		rcpt string
		peer Peer
		want string
	}{
		{"alice@b.test", Peer{}, ok},
		{"away@b.test", Peer{}, ok},
		{"x@far.test", Peer{}, "not permitted"},
		{"x@far.test", Peer{Account: alice}, ok},
		{"x@[192.0.2.7]", Peer{}, "not permitted"},
		{"nobody@b.test", Peer{Account: alice}, "not found"},
		{"carol@b.test", Peer{Size: 100}, ok},
		{"carol@b.test", Peer{Size: 101}, "over quota"},
		{"bob@b.test", Peer{}, "busy"},
		{"only@b.test", Peer{}, "busy"},
		{"both@b.test", Peer{}, ok},
		{"postmaster@b.test", Peer{}, ok},
	} {
		got := ok
		if err := s.Verify(t.Context(), &c.peer, addr(c.rcpt)); err != nil {
			got = store.KindOf(err).String()
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.rcpt, got, c.want)
		}
	}
	if _, err := s.st.Lookup(t.Context(), addr("postmaster@b.test")); store.KindOf(err) != store.NotFound || err == nil {
		t.Errorf("asking for postmaster made it: %v", err)
	}
	s.must(s.Verify(t.Context(), &Peer{}, mail.Address{Local: "PostMaster"}))

	s.o.NoRelay = true
	for _, a := range []string{"x@far.test", "away@b.test"} {
		if err := s.Verify(t.Context(), &Peer{Account: alice}, addr(a)); store.KindOf(err) != store.Denied {
			t.Errorf("%s: %v where nothing may leave", a, err)
		}
	}
}

func TestAutoCreate(t *testing.T) {
	s := newSite(t, Options{AutoCreate: true, NoRelay: true})
	ctx := t.Context()
	s.must(s.Verify(ctx, &Peer{}, addr("new+tag@anywhere.test")))
	if err := s.Verify(ctx, &Peer{Account: s.account("bob@b.test")}, addr("x@[192.0.2.7]")); store.KindOf(err) != store.Denied {
		t.Errorf("literal: %v", err)
	}
	if _, err := s.st.Domain(ctx, "anywhere.test"); err == nil {
		t.Error("asking made the domain")
	}
	_, err := s.Accept(ctx, message("x\r\n", "new+tag@anywhere.test", "fresh@b.test"))
	s.must(err)
	if a := s.account("new@anywhere.test"); a.Count != 1 {
		t.Errorf("%+v", a)
	}
	if a := s.account("fresh@b.test"); a.Count != 1 {
		t.Errorf("%+v", a)
	}
}

func TestVerifySender(t *testing.T) {
	s := newSite(t, Options{})
	s.alias("sales@b.test", "alice@b.test", "bob@b.test")
	s.alias("shop@b.test", "sales@b.test")
	s.alias("alice+taken@b.test", "bob@b.test")
	p := &Peer{Account: s.account("alice@b.test")}
	for from, want := range map[string]bool{
		"alice@b.test": true, "Alice@B.TEST": true, "alice+x@b.test": true, "sales@b.test": true, "shop@b.test": true,
		"bob@b.test": false, "nobody@b.test": false, "alice@far.test": false, "alice+taken@b.test": false,
		"postmaster@b.test": false, "shop+x@b.test": true,
	} {
		err := s.VerifySender(t.Context(), p, addr(from))
		if (err == nil) != want || err != nil && store.KindOf(err) != store.Denied {
			t.Errorf("%s: %v", from, err)
		}
	}
	s.must(s.VerifySender(t.Context(), p, mail.Address{}))
	s.alias("@b.test", "alice@b.test")
	s.must(s.VerifySender(t.Context(), p, addr("anything@b.test")))

	s.must(s.st.SetDisabled(t.Context(), p.Account.ID, true))
	for _, from := range []string{"alice@b.test", ""} {
		var a mail.Address
		if from != "" {
			a = addr(from)
		}
		if err := s.VerifySender(t.Context(), p, a); store.KindOf(err) != store.Auth {
			t.Errorf("a disabled account sends as <%s>: %v", from, err)
		}
	}
}

// served is what a local recipient will read.
func served(t *testing.T, a *store.Acceptance, prefix []byte) string {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(a.Body, 0, a.Body.Size()))
	if err != nil {
		t.Fatal(err)
	}
	for i := len(a.Cut) - 1; i >= 0; i-- {
		b = append(b[:a.Cut[i].From:a.Cut[i].From], b[a.Cut[i].To:]...)
	}
	return string(prefix) + string(b)
}

func TestPrefix(t *testing.T) {
	const stamp = "Received: from pc.a.test ([192.0.2.1])\r\n\tby mx.b.test with ESMTP\r\n\tid 0000000000000042\r\n" +
		"\tfor <bob@b.test>;\r\n\tMon, 23 Nov 2026 09:30:00 +0100\r\n"
	const local = "Return-Path: <a@a.test>\r\n" + stamp
	s := newSite(t, Options{})
	for _, c := range []struct{ name, text, want string }{
		{"header", "Subject: x\r\n\r\ntext\r\n", local + "Subject: x\r\n\r\ntext\r\n"},
		{"no header", "text\r\nSubject: x\r\n", local + "\r\ntext\r\nSubject: x\r\n"},
		{"empty header", "\r\ntext\r\n", local + "\r\ntext\r\n"},
		{"nothing", "", local + "\r\n"},
		{"only a header", "Subject: x\r\n", local + "Subject: x\r\n"},
		{"a foreign return path", "A: 1\r\nReturn-Path: <x@y>\r\nReturn-path:\r\n <z>\r\nB: 2\r\n\r\nReturn-Path: <t>\r\n",
			local + "A: 1\r\nB: 2\r\n\r\nReturn-Path: <t>\r\n"},
		{"nothing but a foreign return path", "Return-Path: <x@y>\r\n", local + "\r\n"},
	} {
		a, err := s.Prepare(t.Context(), message(c.text, "bob@b.test"))
		s.must(err)
		if got := served(t, a, a.Local[0].Prefix); got != c.want {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, c.want)
		}
	}
	// Who relays leaves a Return-Path alone, and adds none.
	a, err := s.Prepare(t.Context(), message("Return-Path: <x@y>\r\n\r\n", "x@far.test"))
	s.must(err)
	want := strings.Replace(stamp, "bob@b.test", "x@far.test", 1) + "Return-Path: <x@y>\r\n\r\n"
	if got := served(t, a, a.Outgoing[0].Prefix); got != want {
		t.Errorf("relayed:\n got %q\nwant %q", got, want)
	}
	// Who is sent to by Bcc is shown to nobody, whatever a user's program leaves in.
	const blind = "bcc: z@far.test,\r\n y@far.test\r\nSubject: x\r\nResent-Bcc: w@far.test\r\n\r\nBcc: text\r\n"
	for _, submitted := range []bool{true, false} {
		m := message(blind, "bob@b.test", "z@far.test")
		m.Submission = submitted
		a, err := s.Prepare(t.Context(), m)
		s.must(err)
		for _, p := range [][]byte{a.Local[0].Prefix, a.Outgoing[0].Prefix} {
			if got := served(t, a, p); strings.HasSuffix(got, "Subject: x\r\n\r\nBcc: text\r\n") != submitted || strings.HasSuffix(got, blind) == submitted {
				t.Errorf("submitted %v: %q", submitted, got)
			}
		}
	}
	if due := a.Outgoing[0]; !due.Due.Equal(testNow) || !due.Expires.Equal(testNow.Add(defaultExpire)) {
		t.Errorf("due %v, expires %v", due.Due, due.Expires)
	}
}

func TestReceived(t *testing.T) {
	s := newSite(t, Options{})
	v6 := netip.MustParseAddr("2001:db8::1")
	for _, c := range []struct {
		peer Peer
		want string
	}{
		{Peer{}, "by mx.b.test"},
		{Peer{Helo: "a.test", Proto: "LMTP"}, "from a.test\r\n\tby mx.b.test with LMTP"},
		{Peer{Helo: "a.test", Addr: v6, Proto: "ESMTPS", TLS: "TLS 1.3 X"}, "from a.test ([IPv6:2001:db8::1])\r\n\tby mx.b.test with ESMTPS (TLS 1.3 X)"},
		{Peer{Helo: "[IPv6:2001:db8::1]", Addr: v6}, "from [IPv6:2001:db8::1] ([IPv6:2001:db8::1])\r\n\tby mx.b.test"},
		{Peer{Helo: "a b;(", Addr: v6}, "from [IPv6:2001:db8::1] ([IPv6:2001:db8::1])\r\n\tby mx.b.test"},
		{Peer{Helo: "grün.test", Addr: netip.MustParseAddr("::ffff:192.0.2.1")}, "from xn--grn-ioa.test ([192.0.2.1])\r\n\tby mx.b.test"},
	} {
		m := message("", "bob@b.test", "carol@b.test")
		m.Peer = c.peer
		want := "Received: " + c.want + "\r\n\tid 0000000000000042;\r\n\tMon, 23 Nov 2026 09:30:00 +0100\r\n"
		if got := s.received(m, testNow); got != want {
			t.Errorf("got %q\nwant %q", got, want)
		}
	}
}

func TestLoop(t *testing.T) {
	s := newSite(t, Options{MaxReceived: 3})
	received := "received: from x by y; Mon, 1 Jan 2024 00:00:00 +0000\r\n"
	_, err := s.Accept(t.Context(), message(strings.Repeat(received, 3)+"\r\n"+received, "bob@b.test"))
	s.must(err)
	// A list that leads back to itself doubles its mail with each time round.
	s = newSite(t, Options{})
	for i, c := range []struct {
		by    string
		times int
		loop  bool
	}{{"mx.b.test", maxPasses, false}, {"MX.b.test", maxPasses + 1, true}, {"mx.far.test", 40, false}} {
		passed := strings.Repeat("Received: from by by x\r\n\tby "+c.by+" with ESMTPS (TLS 1.3);\r\n\tMon, 1 Jan 2024 00:00:00 +0000\r\n", c.times)
		if _, err := s.Accept(t.Context(), message(passed+"\r\n", "bob@b.test")); errors.Is(err, ErrLoop) != c.loop {
			t.Errorf("%d: %d times by %s: %v", i, c.times, c.by, err)
		}
	}
	s = newSite(t, Options{MaxReceived: 3})
	// However far down in a long header.
	text := strings.Repeat("X-Filler: "+strings.Repeat("y", 200)+"\r\n", 400) + strings.Repeat(received, 4)
	if _, err := s.Accept(t.Context(), message(text, "bob@b.test")); !errors.Is(err, ErrLoop) {
		t.Errorf("got %v", err)
	}
}

// TestLongHeader makes sure that nobody hides a From beyond what is read.
func TestLongHeader(t *testing.T) {
	s := newSite(t, Options{})
	m := message(strings.Repeat("X-Filler: "+strings.Repeat("y", 900)+"\r\n", 1200)+"From: bob@b.test\r\n\r\n", "bob@b.test")
	_, err := s.Accept(t.Context(), m)
	s.must(err)
	m.Submission, m.Peer.Account = true, s.account("alice@b.test")
	if _, err := s.Accept(t.Context(), m); store.KindOf(err) != store.TooBig || err == nil {
		t.Errorf("got %v", err)
	}
}

func TestNotify(t *testing.T) {
	var told []string
	s := newSite(t, Options{Notice: func(_ context.Context, m *Message, rcpts []mail.Recipient) (*Message, error) {
		for _, r := range rcpts {
			told = append(told, r.Addr.String())
		}
		n := message("Subject: notice\r\n\r\n", m.Envelope.From.String())
		n.ID = "0000000000000043"
		return n, nil
	}})
	s.alias("one@b.test", "x@far.test")
	s.alias("many@b.test", "x@far.test", "y@far.test")
	m := message("x\r\n", "bob@b.test", "carol@b.test", "one@b.test", "many@b.test", "z@far.test")
	m.Op = "op"
	m.Envelope.From = addr("alice@b.test")
	for i := range m.Envelope.Rcpts {
		m.Envelope.Rcpts[i].Notify = mail.NotifySuccess
	}
	m.Envelope.Rcpts[1].Notify = mail.NotifyFailure
	got, err := s.Accept(t.Context(), m)
	s.must(err)
	if len(got.Filed) != 2 || len(got.Out) != 1 {
		t.Errorf("%+v", got)
	}
	if fmt.Sprint(told) != "[bob@b.test many@b.test]" {
		t.Errorf("told of %v", told)
	}
	if a := s.account("alice@b.test"); a.Count != 1 {
		t.Errorf("%d notices", a.Count)
	}
	// The same again is not done again, and tells nobody twice.
	if got, err = s.Accept(t.Context(), m); err != nil || !got.Again {
		t.Errorf("%+v, %v", got, err)
	}
	if a := s.account("alice@b.test"); a.Count != 1 {
		t.Errorf("%d notices", a.Count)
	}
	// Nor is who may not have sent it, here or by who gets it from here.
	for result, want := range map[mailauth.Value]string{mailauth.Pass: "[bob@b.test many@b.test]", mailauth.Fail: "[]", mailauth.None: "[]"} {
		m := message("x\r\n", "bob@b.test", "one@b.test", "many@b.test")
		m.Peer.Proto, m.Checked = "ESMTP", &mailauth.Result{SPF: mailauth.SPF{Result: result}}
		for i := range m.Envelope.Rcpts {
			m.Envelope.Rcpts[i].Notify = mail.NotifySuccess
		}
		told = nil
		_, err := s.Accept(t.Context(), m)
		s.must(err)
		if fmt.Sprint(told) != want {
			t.Errorf("SPF %s: told of %v", result, told)
		}
		a, err := s.Prepare(t.Context(), m)
		s.must(err)
		for _, o := range a.Outgoing {
			for _, r := range o.Envelope.Rcpts {
				if asked := r.Notify&mail.NotifySuccess != 0; asked != (result == mailauth.Pass && r.ORcpt == "rfc822;one@b.test") {
					t.Errorf("SPF %s: %s: notify %v", result, r.Addr, r.Notify)
				}
			}
		}
	}
	// What an alias sends on comes back to nobody if it is forged.
	for i, c := range []struct {
		r     mailauth.Result
		never bool
	}{
		{mailauth.Result{SPF: mailauth.SPF{Result: mailauth.Fail}}, true},
		{mailauth.Result{SPF: mailauth.SPF{Result: mailauth.Fail}, DMARC: mailauth.DMARC{Result: mailauth.Pass}}, false},
		{mailauth.Result{SPF: mailauth.SPF{Result: mailauth.None}, Verdict: mailauth.Junk}, true},
		{mailauth.Result{SPF: mailauth.SPF{Result: mailauth.SoftFail}}, false},
		{mailauth.Result{SPF: mailauth.SPF{Result: mailauth.None}}, false},
	} {
		m := message("x\r\n", "one@b.test")
		m.Checked = &c.r
		a, err := s.Prepare(t.Context(), m)
		s.must(err)
		if r := a.Outgoing[0].Envelope.Rcpts[0]; (r.Notify == mail.NotifyNever) != c.never {
			t.Errorf("%d: notify %v", i, r.Notify)
		}
	}
	// Nobody is told on behalf of the null sender (RFC 5321 §6.1).
	m.Op, m.Envelope.From, told = "", mail.Address{}, nil
	_, err = s.Accept(t.Context(), m)
	s.must(err)
	if len(told) > 0 {
		t.Errorf("told of %v", told)
	}
}
