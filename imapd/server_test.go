package imapd_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/auth"
	"postrider/auth/authtest"
	"postrider/imapd"
	"postrider/internal/wiretest"
	"postrider/mail"
	"postrider/store"
	"postrider/store/sqlite/sqlitetest"
)

const password = "correct horse"

// certificate is the test server's own, and the pool that trusts it.
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"mail.a.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
})

// world is a store with alice@a.test, carol@a.test and the administrator
// root@a.test, and servers for it.
type world struct {
	store *store.Store
	alice store.Account
	carol store.Account
	dial  func(name string) net.Conn
	tls   *tls.Config
}

var received = time.Date(2024, time.January, 15, 10, 20, 30, 0, time.UTC)

func newWorld(t testing.TB) *world {
	t.Helper()
	ctx := context.Background()
	w := &world{store: sqlitetest.New(t)}
	cred := authtest.Credential(t, password)
	if _, err := w.store.AddDomain(ctx, "a.test"); err != nil {
		t.Fatal(err)
	}
	var root store.Account
	for name, acc := range map[string]*store.Account{"alice": &w.alice, "carol": &w.carol, "root": &root} {
		a, err := w.store.AddAccount(ctx, store.NewAccount{Address: mail.Address{Local: name, Domain: "a.test"}, Credential: cred, Admin: name == "root"})
		if err != nil {
			t.Fatal(err)
		}
		*acc = a
	}
	cert := certificate()
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	w.tls = &tls.Config{ServerName: "mail.a.test", RootCAs: roots}
	serverTLS := &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert}
	trusting := w.server(serverTLS, "127.0.0.0/8")
	strict := w.server(serverTLS)
	few := w.fewServer()
	dials := map[string]func(string) net.Conn{
		"":       wiretest.Listen(t, trusting.Serve),
		"few":    wiretest.Listen(t, few.Serve),
		"strict": wiretest.Listen(t, strict.Serve),
		"tls": wiretest.Listen(t, func(ctx context.Context, c net.Conn) {
			strict.Serve(ctx, tls.Server(c, serverTLS))
		}),
		"chatty":  wiretest.Listen(t, w.chatty().Serve),
		"deliver": wiretest.Listen(t, w.serveDeliveries),
		"refuse":  wiretest.Listen(t, func(_ context.Context, c net.Conn) { trusting.Refuse(c) }),
	}
	w.dial = func(name string) net.Conn {
		_, kind, _ := strings.Cut(name, ":")
		d, ok := dials[kind]
		if !ok {
			return nil
		}
		c := d(name)
		if kind == "tls" {
			return tls.Client(c, w.tls)
		}
		return c
	}
	return w
}

func (w *world) server(cfg *tls.Config, plaintext ...string) *imapd.Server {
	return imapd.New(w.options(cfg, plaintext...))
}

// chatty tells how far it is all the time.
func (w *world) chatty() *imapd.Server {
	o := w.options(nil, "127.0.0.0/8")
	o.ProgressEvery = 1
	return imapd.New(o)
}

// fewServer carries a command out for three messages at most.
func (w *world) fewServer() *imapd.Server {
	o := w.options(nil, "127.0.0.0/8")
	o.MessageLimit, o.MessagesAtOnce = 2, 3
	return imapd.New(o)
}

func (w *world) options(cfg *tls.Config, plaintext ...string) imapd.Options {
	var nets []netip.Prefix
	for _, p := range plaintext {
		nets = append(nets, netip.MustParsePrefix(p))
	}
	return imapd.Options{
		Hostname: "mail.a.test", Version: "test", Store: w.store, TLS: cfg, MaxMessageBytes: 1 << 20,
		Auth: auth.New(auth.Options{Store: w.store, PlaintextNetworks: nets, ClientCAs: authority().pool}),
		Now:  func() time.Time { return received },
	}
}

// prefix is what the server puts before the messages of testdata/mail.
const prefix = "Return-Path: <bob@b.test>\r\nReceived: from b.test by mail.a.test; Mon, 15 Jan 2024 10:20:30 +0000\r\n"

// deliver files a message from testdata/mail into a mailbox of alice's.
func (w *world) deliver(name, mailbox string) error {
	raw, err := os.ReadFile(filepath.Join("testdata", "mail", name+".eml"))
	if err != nil {
		return err
	}
	return w.accept(bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n")), mailbox)
}

func (w *world) accept(raw []byte, mailbox string) error {
	_, err := w.store.Accept(context.Background(), &store.Acceptance{
		ID: mail.NewID(time.Now()), Body: bytes.NewReader(raw),
		Local: []store.LocalRcpt{{Account: w.alice.ID, Mailbox: mailbox, Prefix: []byte(prefix), Received: received}},
	})
	return err
}

// serveDeliveries lets a dialogue deliver mail: a line has the name of a file
// in testdata/mail, or "name*count", and may have a mailbox.
func (w *world) serveDeliveries(_ context.Context, c net.Conn) {
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		name, mailbox, _ := strings.Cut(lines.Text(), " ")
		count := 1
		if n, times, ok := strings.Cut(name, "*"); ok {
			name = n
			fmt.Sscan(times, &count)
		}
		if mailbox == "" {
			mailbox = store.Inbox
		}
		var err error
		for ; count > 0 && err == nil; count-- {
			err = w.deliver(name, mailbox)
		}
		if err != nil {
			fmt.Fprintf(c, "%v\r\n", err)
			return
		}
		fmt.Fprintf(c, "delivered\r\n")
	}
}

func loopback() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }
