package smtpc

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postrider/internal/labdns"
	"postrider/internal/resolve"
	"postrider/mail"
	"postrider/smtpc/smtpctest"
)

// zoned serves records under b.test.
func zoned(t *testing.T, records string) *labdns.Server {
	t.Helper()
	d, err := labdns.Start("127.0.0.1:0", strings.NewReader(
		"$ORIGIN b.test.\n$TTL 60\n@ SOA ns h 1 1 1 1 1\n"+records))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// patience is longer than anything takes that a test does not wait for on
// purpose, on a machine that is busy with other things.
const patience = 30 * time.Second

func resolver(server string) *resolve.Resolver {
	return resolve.New(resolve.Options{Server: server, Timeout: patience})
}

// client makes a client that looks up in d and connects to port.
func client(t *testing.T, d *labdns.Server, port uint16, change ...func(*Options)) *Client {
	t.Helper()
	o := Options{Hostname: "a.test", Port: int(port), Resolver: resolver("127.0.0.1:1"), Timeouts: Timeouts{
		Dial: patience, Handshake: patience, Command: patience, Block: patience, End: patience}}
	if d != nil {
		o.Resolver = resolver(d.Addr())
	}
	for _, f := range change {
		f(&o)
	}
	return New(o)
}

func addr(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return a
}

// letter makes a message to rcpts.
func letter(t testing.TB, rcpts ...string) *Message {
	t.Helper()
	return letterOf(t, "From: alice@a.test\r\nSubject: hi\r\n\r\nhello\r\n.dot\r\n", rcpts...)
}

func letterOf(t testing.TB, text string, rcpts ...string) *Message {
	t.Helper()
	m := &Message{ID: "0123456789abcdef", Body: strings.NewReader(text), Size: int64(len(text))}
	m.Envelope.From = addr(t, "alice@a.test")
	for _, r := range rcpts {
		m.Envelope.Rcpts = append(m.Envelope.Rcpts, mail.Recipient{Addr: addr(t, r)})
	}
	return m
}

func send(t testing.TB, c *Client, dest string, m *Message) *Result {
	t.Helper()
	s := c.Session(dest)
	defer s.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	r := s.Send(ctx, m)
	if len(r.Outcomes) != len(m.Envelope.Rcpts) {
		t.Fatalf("%d outcomes for %d recipients", len(r.Outcomes), len(m.Envelope.Rcpts))
	}
	for _, o := range r.Outcomes {
		if o.Enhanced == "" || o.Text == "" {
			t.Errorf("outcome without words: %+v", o)
		}
	}
	return r
}

// want compares an outcome with "status code enhanced" and a part of its
// text.
func want(t testing.TB, o Outcome, status string, text string) {
	t.Helper()
	if got := fmt.Sprintf("%s %d %s", o.Status, o.Code, o.Enhanced); got != status || !strings.Contains(o.Text, text) {
		t.Errorf("got %q, %q; want %q, %q", got, o.Text, status, text)
	}
}

const oneMX = "@ MX 10 mx\nmx A 127.0.0.1\n"

func TestDelivers(t *testing.T) {
	s := smtpctest.New(t, smtpctest.Options{})
	c := client(t, zoned(t, oneMX), s.Addr().Port())
	r := send(t, c, "b.test", letter(t, "bob@b.test", "carol@b.test"))
	for _, o := range r.Outcomes {
		want(t, o, "delivered 250 2.0.0", "queued as 42")
		if o.Host != "mx.b.test" || o.Addr != s.Addr().String() || !o.DSN {
			t.Errorf("got %+v", o)
		}
	}
	m := s.Messages()
	if len(m) != 1 || m[0].From != "<alice@a.test> SIZE=48" || len(m[0].Rcpts) != 2 || m[0].Rcpts[1] != "<carol@b.test>" ||
		m[0].Data != "From: alice@a.test\r\nSubject: hi\r\n\r\nhello\r\n.dot\r\n" {
		t.Errorf("got %+v", m)
	}
}

func TestTranscript(t *testing.T) {
	s := smtpctest.New(t, smtpctest.Options{Ext: []string{"SIZE"}})
	var traced []string
	c := client(t, zoned(t, oneMX), s.Addr().Port(), func(o *Options) {
		o.Trace = func(l Line) {
			traced = append(traced, fmt.Sprintf("%s %c %s", l.Phase, l.Dir, l.Text))
			if l.Message != "0123456789abcdef" || l.Dest != "b.test" {
				t.Errorf("line without its message: %+v", l)
			}
		}
	})
	r := send(t, c, "b.test", letter(t, "bob@b.test"))
	wanted := strings.Join([]string{
		"lookup = MX b.test: 10 mx.b.test",
		"handshake = connected to " + s.Addr().String(),
		"handshake < 220 remote.test ESMTP", "handshake > EHLO a.test", "handshake < 250-remote.test", "handshake < 250 SIZE",
		"transfer > MAIL FROM:<alice@a.test> SIZE=48", "transfer < 250 2.1.0 ok",
		"transfer > RCPT TO:<bob@b.test>", "transfer < 250 2.1.5 ok",
		"transfer > DATA", "transfer < 354 go ahead", "transfer > [48 bytes]", "transfer > .", "transfer < 250 2.0.0 queued as 42",
		"closure > QUIT", "closure < 221 2.0.0 bye",
	}, "\n")
	if got := strings.Join(traced, "\n"); got != wanted {
		t.Errorf("got\n%s\nwant\n%s", got, wanted)
	}
	if n := len(r.Lines); n != len(traced)-2 {
		t.Errorf("%d lines kept of %d before QUIT", n, len(traced)-2)
	}
}

func TestReusesTheConnection(t *testing.T) {
	s := smtpctest.New(t, smtpctest.Options{Reply: func(c *smtpctest.Conn, line string) string {
		if line == "RCPT TO:<nobody@b.test>" {
			return "550 5.1.1 no such user"
		}
		return smtpctest.Default
	}})
	se := client(t, zoned(t, oneMX), s.Addr().Port()).Session("b.test")
	defer se.Close()
	for i, to := range []string{"bob@b.test", "nobody@b.test", "bob@b.test"} {
		o := se.Send(context.Background(), letter(t, to)).Outcomes[0]
		if (i == 1) != (o.Status == Permanent) || (i != 1) != (o.Status == Delivered) {
			t.Errorf("message %d: %v", i, o)
		}
	}
	if s.Conns() != 1 || len(s.Messages()) != 2 {
		t.Errorf("%d connections, %d messages", s.Conns(), len(s.Messages()))
	}
}

func TestReconnectsAfterTheServerLeft(t *testing.T) {
	s := smtpctest.New(t, smtpctest.Options{Reply: func(c *smtpctest.Conn, line string) string {
		if c.N == 1 && strings.HasPrefix(line, "MAIL") && len(c.Server.Messages()) == 1 {
			return "421 4.4.2 idle for too long"
		}
		return smtpctest.Default
	}})
	se := client(t, zoned(t, oneMX), s.Addr().Port()).Session("b.test")
	defer se.Close()
	for range 3 {
		want(t, se.Send(context.Background(), letter(t, "bob@b.test")).Outcomes[0], "delivered 250 2.0.0", "")
	}
	if s.Conns() != 2 || len(s.Messages()) != 3 {
		t.Errorf("%d connections, %d messages", s.Conns(), len(s.Messages()))
	}
}

func TestMixedRecipients(t *testing.T) {
	s := smtpctest.New(t, smtpctest.Options{Reply: func(c *smtpctest.Conn, line string) string {
		switch {
		case strings.Contains(line, "later@"):
			return "450-4.7.1 come back\r\n450 4.7.1 later"
		case strings.Contains(line, "nobody@"):
			return "550 No such user"
		}
		return smtpctest.Default
	}})
	c := client(t, zoned(t, oneMX), s.Addr().Port())
	r := send(t, c, "b.test", letter(t, "bob@b.test", "nobody@b.test", "later@b.test", "carol@b.test"))
	want(t, r.Outcomes[0], "delivered 250 2.0.0", "")
	want(t, r.Outcomes[1], "permanent 550 5.0.0", "No such user")
	want(t, r.Outcomes[2], "temporary 450 4.7.1", "come back later")
	want(t, r.Outcomes[3], "delivered 250 2.0.0", "")
	if m := s.Messages(); len(m) != 1 || len(m[0].Rcpts) != 2 {
		t.Errorf("got %+v", m)
	}
}

func TestTooManyRecipients(t *testing.T) {
	n := 0
	s := smtpctest.New(t, smtpctest.Options{Reply: func(c *smtpctest.Conn, line string) string {
		switch {
		case strings.HasPrefix(line, "MAIL"):
			n = 0
		case strings.HasPrefix(line, "RCPT"):
			if n++; n > 2 {
				return "452 4.5.3 too many recipients"
			}
		}
		return smtpctest.Default
	}})
	c := client(t, zoned(t, oneMX), s.Addr().Port())
	r := send(t, c, "b.test", letter(t, "a@b.test", "b@b.test", "c@b.test", "d@b.test", "e@b.test"))
	for _, o := range r.Outcomes {
		want(t, o, "delivered 250 2.0.0", "")
	}
	if m := s.Messages(); len(m) != 3 || len(m[2].Rcpts) != 1 {
		t.Errorf("got %+v", m)
	}
}

func TestNoRoute(t *testing.T) {
	d := zoned(t, `
null MX 0 .
ours MX 10 MX.A.Test.
bad  MX 10 nowhere
half MX 10 nowhere
half MX 20 sick
ownaddr MX 10 here
here A 127.0.0.1
empty TXT "no address"
broken MX 10 here
sick A 127.0.0.1
alias CNAME null
dots MX 0 .
dots MX 10 .
`)
	d.SetFail("broken.b.test", 2)
	d.SetFail("sick.b.test", 2)
	c := client(t, d, 1, func(o *Options) {
		o.Hostname = "mx.a.test"
		o.Local = ListensAt(netip.MustParseAddrPort("0.0.0.0:1"))
	})
	for dest, w := range map[string][2]string{
		"nx.b.test":      {"permanent 0 5.1.2", "does not exist"},
		"null.b.test":    {"permanent 0 5.1.10", "accepts no mail"},
		"alias.b.test":   {"permanent 0 5.1.10", "accepts no mail"},
		"ours.b.test":    {"permanent 0 5.4.6", "comes back"},
		"ownaddr.b.test": {"permanent 0 5.4.6", "comes back"},
		"here.b.test":    {"permanent 0 5.4.6", "comes back"},
		"bad.b.test":     {"permanent 0 5.4.4", "has no address"},
		"half.b.test":    {"temporary 0 4.4.3", "sick.b.test"},
		"empty.b.test":   {"permanent 0 5.1.2", "has no mail host"},
		"broken.b.test":  {"temporary 0 4.4.3", "SERVFAIL"},
		"dots.b.test":    {"permanent 0 5.4.4", "no usable"},
		"elsewhere.test": {"temporary 0 4.4.3", "REFUSED"},
		"[IPv6:::1]":     {"permanent 0 5.4.6", "comes back"},
		"[127.0.0.1]":    {"permanent 0 5.4.6", "comes back"},
		"[nonsense]":     {"permanent 0 5.1.2", "no address"},
		"mx.a.test":      {"temporary 0 4.4.3", "REFUSED"},
	} {
		m := letter(t, "bob@b.test")
		r := send(t, c, dest, m)
		t.Run(dest, func(t *testing.T) { want(t, r.Outcomes[0], w[0], w[1]) })
		if !r.Unreachable {
			t.Errorf("%s: not said to be unreachable", dest)
		}
	}
}

func TestDNSTimeoutIsTemporary(t *testing.T) {
	d := zoned(t, oneMX)
	d.SetFail("b.test", labdns.Drop)
	c := client(t, d, 1, func(o *Options) {
		o.Resolver = resolve.New(resolve.Options{Server: d.Addr(), Timeout: 50 * time.Millisecond})
	})
	want(t, send(t, c, "b.test", letter(t, "bob@b.test")).Outcomes[0], "temporary 0 4.4.3", "no answer in time")
}

// dialTo connects to a server whatever the address says.
func dialTo(server string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server)
	}
}

func TestLimitsAnnounced(t *testing.T) {
	s := smtpctest.New(t, smtpctest.Options{Ext: []string{"LIMITS MAILMAX=9 RCPTMAX=2"}})
	r := send(t, client(t, zoned(t, oneMX), s.Addr().Port()), "b.test", letter(t, "a@b.test", "b@b.test", "c@b.test"))
	for _, o := range r.Outcomes {
		want(t, o, "delivered 250 2.0.0", "")
	}
	if m := s.Messages(); len(m) != 2 || len(m[0].Rcpts) != 2 || len(m[1].Rcpts) != 1 {
		t.Errorf("got %+v", m)
	}
}
