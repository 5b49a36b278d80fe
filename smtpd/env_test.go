package smtpd

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/auth"
	"postrider/auth/authtest"
	"postrider/delivery"
	"postrider/internal/resolve"
	"postrider/internal/wiretest"
	"postrider/mail"
	"postrider/mailauth"
	"postrider/store"
	"postrider/store/sqlite/sqlitetest"
)

const (
	testMax      = 65536
	testMaxRcpts = 5
	testHost     = "mx.b.test"
)

// site is a store with people in it and a server of each kind.
type site struct {
	t       testing.TB
	store   *store.Store
	deliver *delivery.Deliverer
	servers map[string]*Server
}

func addr(s string) mail.Address {
	a, err := mail.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

func newSite(t testing.TB, timeouts Timeouts) *site {
	t.Helper()
	s := &site{t: t, store: sqlitetest.New(t), servers: map[string]*Server{}}
	s.people()
	s.deliver = delivery.New(delivery.Options{Store: s.store, Hostname: testHost, Notice: notice})
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	noSleep := func(context.Context, time.Duration) {}
	trusting := auth.New(auth.Options{Store: s.store, PlaintextNetworks: loopback, Sleep: noSleep})
	strict := auth.New(auth.Options{Store: s.store, Sleep: noSleep})
	o := Options{
		Mode: MX, Hostname: testHost, Deliver: s.deliver, TLS: serverTLS(), MaxMessageBytes: testMax,
		MaxRcpts: testMaxRcpts, SpoolDir: t.TempDir(), Timeouts: timeouts,
	}
	s.servers["mx"] = New(o)
	checked := o
	checked.Check = mailauth.New(mailauth.Options{Resolver: testDNS{
		"_dmarc.strict.test": "v=DMARC1; p=reject", "_dmarc.junk.test": "v=DMARC1; p=quarantine", "_dmarc.shaky.test": "v=DMARC1; p=reject",
		"shaky.test": "!", "good.test": "v=spf1 ip4:127.0.0.1 -all", "_dmarc.good.test": "v=DMARC1; p=reject",
	}})
	s.servers["checked"] = New(checked)
	bare := o
	bare.TLS = nil
	s.servers["bare"] = New(bare)
	o.Mode, o.Auth = Submission, trusting
	s.servers["submission"] = New(o)
	o.Auth = strict
	s.servers["strict"] = New(o)
	o.Mode, o.Auth = LMTP, nil
	s.servers["lmtp"] = New(o)
	return s
}

// testDNS has TXT records alone; "!" fails for now.
type testDNS map[string]string

func (d testDNS) TXT(_ context.Context, name string) ([]string, resolve.Info, error) {
	switch txt := d[name]; txt {
	case "":
		return nil, resolve.Info{}, resolve.ErrNoDomain
	case "!":
		return nil, resolve.Info{}, errors.New("timeout")
	default:
		return []string{txt}, resolve.Info{}, nil
	}
}

func (testDNS) MX(context.Context, string) ([]resolve.MX, resolve.Info, error) {
	return nil, resolve.Info{}, resolve.ErrNoDomain
}

func (testDNS) A(context.Context, string) ([]netip.Addr, resolve.Info, error) {
	return nil, resolve.Info{}, resolve.ErrNoDomain
}

func (testDNS) AAAA(context.Context, string) ([]netip.Addr, resolve.Info, error) {
	return nil, resolve.Info{}, resolve.ErrNoDomain
}

func (testDNS) PTR(context.Context, netip.Addr) ([]string, resolve.Info, error) {
	return nil, resolve.Info{}, resolve.ErrNoDomain
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) people() {
	ctx := s.t.Context()
	for _, d := range []string{"b.test", "c.test"} {
		_, err := s.store.AddDomain(ctx, d)
		s.must(err)
	}
	for _, a := range []store.NewAccount{
		{Address: addr("alice@b.test"), Credential: authtest.Credential(s.t, "secret")},
		{Address: addr("bob@b.test")},
		{Address: addr("carol@b.test")},
		{Address: addr("dave@b.test")},
		{Address: addr("small@b.test"), Quota: 5000},
	} {
		acct, err := s.store.AddAccount(ctx, a)
		s.must(err)
		if a.Address.Local == "dave" {
			s.must(s.store.SetDisabled(ctx, acct.ID, true))
		}
	}
	for a, targets := range map[string][]string{
		"sales@b.test": {"alice@b.test", "carol@b.test"},
		"team@b.test":  {"bob@b.test", "friend@elsewhere.test"},
		"away@b.test":  {"away@elsewhere.test"},
		"loop@b.test":  {"pool@b.test"},
		"pool@b.test":  {"loop@b.test"},
		"@c.test":      {"carol@b.test"},
	} {
		alias := store.Alias{Address: mail.Address{Domain: "c.test"}}
		if a[0] != '@' {
			alias.Address = addr(a)
		}
		for _, to := range targets {
			alias.Targets = append(alias.Targets, addr(to))
		}
		s.must(s.store.SetAlias(ctx, alias))
	}
}

// notice is as small a notice as can be told from others.
func notice(_ context.Context, m *delivery.Message, rcpts []mail.Recipient) (*delivery.Message, error) {
	text := fmt.Sprintf("Subject: delivered to <%s>\r\n\r\n%s\r\n", rcpts[0].Addr, m.ID)
	return &delivery.Message{
		ID: mail.NewID(time.Now()), Body: strings.NewReader(text),
		Envelope: mail.Envelope{Rcpts: []mail.Recipient{{Addr: m.Envelope.From}}},
	}, nil
}

// inbox calls fn for each message of an account, oldest first.
func (s *site) inbox(ctx context.Context, a string, fn func(text string)) error {
	e, err := s.store.Lookup(ctx, addr(a))
	if err != nil {
		return err
	}
	box, err := s.store.Mailbox(ctx, e.Account.ID, store.Inbox)
	if err != nil {
		return err
	}
	return s.store.Fetch(ctx, box.ID, store.AllUIDs(), store.NeedBody, func(c *store.Content) error {
		b := make([]byte, c.Size)
		if _, err := c.ReadAt(b, 0); err != nil && err != io.EOF {
			return err
		}
		fn(string(b))
		return nil
	})
}

// messages returns what is in an account's INBOX.
func (s *site) messages(a string) []string {
	s.t.Helper()
	var all []string
	s.must(s.inbox(s.t.Context(), a, func(text string) { all = append(all, text) }))
	return all
}

// body is a message less the header fields that were put in front.
func body(text string) string {
	_, text, _ = strings.Cut(text, ";\r\n\t")
	_, text, _ = strings.Cut(text, "\r\n")
	return strings.TrimPrefix(text, "\r\n")
}

// serveBox is a protocol for dialogues to look into the store: COUNT, SHOW,
// BODY and SIZE of an account's newest message, OUT for the outgoing queue.
func (s *site) serveBox(ctx context.Context, nc net.Conn) {
	in := bufio.NewScanner(nc)
	for in.Scan() {
		verb, arg, _ := strings.Cut(strings.TrimSuffix(in.Text(), "\r"), " ")
		if verb == "OUT" {
			io.WriteString(nc, s.outgoing(ctx))
			continue
		}
		n, last := 0, ""
		if err := s.inbox(ctx, arg, func(text string) { n++; last = text }); err != nil {
			fmt.Fprintf(nc, "error: %v\r\n", err)
			continue
		}
		switch verb {
		case "COUNT":
			fmt.Fprintf(nc, "%d\r\n", n)
		case "SIZE":
			fmt.Fprintf(nc, "%d\r\n", len(body(last)))
		case "SHOW":
			io.WriteString(nc, last+"--\r\n")
		case "BODY":
			io.WriteString(nc, body(last)+"--\r\n")
		}
	}
}

func (s *site) outgoing(ctx context.Context) string {
	var b strings.Builder
	all, err := s.store.Outgoing(ctx, store.OutFilter{})
	if err != nil {
		fmt.Fprintf(&b, "error: %v\r\n", err)
	}
	for _, l := range all {
		for _, r := range l.Rcpts {
			line := fmt.Sprintf("<%s> -> <%s> at %s notify %d orcpt %s", l.Envelope.From, r.Recipient.Addr, r.Dest, r.Recipient.Notify, r.Recipient.ORcpt)
			if l.Envelope.Ret != "" {
				line += " ret " + string(l.Envelope.Ret)
			}
			if l.Envelope.EnvID != "" {
				line += " envid " + l.Envelope.EnvID
			}
			b.WriteString(strings.TrimRight(line, " ") + "\r\n")
		}
	}
	return b.String() + "--\r\n"
}

// dial returns what opens a connection by its kind: "1" is to the MX.
func (s *site) dial() func(name string) net.Conn {
	dials := map[string]func(string) net.Conn{"box": wiretest.Listen(s.t, s.serveBox)}
	for kind, server := range s.servers {
		dials[kind] = wiretest.Listen(s.t, server.Serve)
	}
	return func(name string) net.Conn {
		_, kind, found := strings.Cut(name, ":")
		if !found {
			kind = "mx"
		}
		if dials[kind] == nil {
			return nil
		}
		return dials[kind](name)
	}
}

var serverTLS = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{testHost}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
})

func clientTLS() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }
