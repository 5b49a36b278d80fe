package pop3d

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/auth"
	"postrider/auth/authtest"
	"postrider/internal/wiretest"
	"postrider/mail"
	"postrider/store"
	"postrider/store/sqlite/sqlitetest"
)

// bobs are the messages in bob's INBOX; the first has a prefix.
const bobPrefix = "Return-Path: <alice@example.org>\r\n"

var bobs = []string{
	"From: alice@example.org\r\nSubject: one\r\n\r\nHello, Bob\r\nsecond line\r\n",
	"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\nx.\r\n.bare\n.\nmiddle . dot\r\n..\r\n",
	"Subject: open\r\n\r\nno line end at all",
}

const jims = "From: Jürgen Süß <jürgen@example.org>, \"Plain, Name\" <plain@example.org>\r\n" +
	"To: Gruppe: <a@example.org>, ü@example.org;\r\n" +
	"Subject: Grüße aus Köln\r\n" +
	"Content-Type: text/plain; charset=utf-8; name=\"ä.txt\"\r\n" +
	"X-Other: ö\r\n" +
	"Date: Fri, 2 Jan 2026 03:04:05 +0000\r\n" +
	"\r\nSchöne Grüße\r\n"

// certificate makes the test server's, once.
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail.example.org"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"mail.example.org"},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// world is a store with accounts and mail, and how to make servers on it.
type world struct {
	t       testing.TB
	store   *store.Store
	inboxes map[string]store.MailboxID
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, store: sqlitetest.New(t), inboxes: map[string]store.MailboxID{}}
	if _, err := w.store.AddDomain(t.Context(), "example.org"); err != nil {
		t.Fatal(err)
	}
	bob := w.account("bob", "secret")
	w.account("eve", "secret")
	jim := w.account("jim", "secret")
	off := w.account("off", "secret")
	if err := w.store.SetDisabled(t.Context(), off, true); err != nil {
		t.Fatal(err)
	}
	w.accept(bob, bobPrefix, bobs[0])
	w.accept(bob, "", bobs[1])
	w.accept(bob, "", bobs[2])
	w.accept(jim, "", jims)
	return w
}

func (w *world) account(local, password string) store.AccountID {
	w.t.Helper()
	a, err := w.store.AddAccount(w.t.Context(), store.NewAccount{
		Address: mail.Address{Local: local, Domain: "example.org"}, Credential: authtest.Credential(w.t, password)})
	if err != nil {
		w.t.Fatal(err)
	}
	box, err := w.store.Mailbox(w.t.Context(), a.ID, store.Inbox)
	if err != nil {
		w.t.Fatal(err)
	}
	w.inboxes[local] = box.ID
	return a.ID
}

func (w *world) accept(a store.AccountID, prefix, body string) {
	w.t.Helper()
	now := time.Now()
	_, err := w.store.Accept(context.Background(), &store.Acceptance{
		ID: mail.NewID(now), Body: bytes.NewReader([]byte(body)),
		Local: []store.LocalRcpt{{Account: a, Mailbox: store.Inbox, Prefix: []byte(prefix), Received: now}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// server makes a server; to one that is far, this peer is in no plaintext
// network.
func (w *world) server(far, noTLS bool) *Server {
	var near []netip.Prefix
	if !far {
		near = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}
	o := Options{
		Hostname: "mail.example.org", Version: "test", Store: w.store,
		Auth: auth.New(auth.Options{Store: w.store, PlaintextNetworks: near,
			Sleep: func(context.Context, time.Duration) {}}),
		TLS: &tls.Config{Certificates: []tls.Certificate{certificate()}},
	}
	if noTLS {
		o.TLS = nil
	}
	return New(o)
}

// env makes the world of a dialogue. A connection's name chooses what it
// leads to: nothing, far, notls, tls, or store, which is a door to the store.
func (w *world) env() *wiretest.Env {
	w.account("spaces", " two words ")
	w.account("jörg", "pässword")
	near := w.server(false, false)
	dials := map[string]func(string) net.Conn{
		"":      wiretest.Listen(w.t, near.Serve),
		"far":   wiretest.Listen(w.t, w.server(true, false).Serve),
		"notls": wiretest.Listen(w.t, w.server(false, true).Serve),
		"store": wiretest.Listen(w.t, func(_ context.Context, c net.Conn) { w.door(near, c) }),
		"tls": wiretest.Listen(w.t, func(ctx context.Context, c net.Conn) {
			near.Serve(ctx, tls.Server(c, near.o.TLS))
		}),
	}
	return &wiretest.Env{
		Dial: func(name string) net.Conn {
			_, kind, _ := strings.Cut(name, ":")
			if dial, ok := dials[kind]; ok {
				return dial(name)
			}
			return nil
		},
		TLS: &tls.Config{InsecureSkipVerify: true},
	}
}

// door lets a dialogue look into bob's INBOX and change it, as an IMAP session
// would.
func (w *world) door(s *Server, c net.Conn) {
	ctx := context.Background()
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		verb, arg, _ := strings.Cut(lines.Text(), " ")
		answer := "done"
		switch verb {
		case "uids":
			answer = w.list(func(store.Row) bool { return true })
		case "unseen":
			answer = w.list(func(r store.Row) bool { return r.Flags.System&store.Seen == 0 })
		case "expunge":
			n, _ := strconv.Atoi(arg)
			if _, err := w.store.Expunge(ctx, w.inboxes["bob"], store.UIDSetOf(store.UID(n)), false); err != nil {
				answer = err.Error()
			}
		case "deliver":
			w.accept(w.inboxes["bob"].Account, "", "Subject: new\r\n\r\n")
		case "wait":
			answer = w.waitFree(s)
		}
		fmt.Fprintf(c, "%s\r\n", answer)
	}
}

func (w *world) list(want func(store.Row) bool) string {
	v, err := w.store.View(context.Background(), w.inboxes["bob"])
	if err != nil {
		return err.Error()
	}
	var uids []string
	for i := range v.Len() {
		if r := v.At(i); want(r) {
			uids = append(uids, fmt.Sprint(r.UID))
		}
	}
	if uids == nil {
		return "none"
	}
	return strings.Join(uids, " ")
}

// waitFree waits until no session has a maildrop.
func (w *world) waitFree(s *Server) string {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		s.mu.Lock()
		n := len(s.held)
		s.mu.Unlock()
		if n == 0 {
			return "free"
		}
	}
	return "still in use"
}

func TestDialogues(t *testing.T) {
	wiretest.Dir(t, "testdata", func(t *testing.T) *wiretest.Env { return newWorld(t).env() })
}
