package imapd_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"postrider/auth"
	"postrider/imapd"
	"postrider/internal/maillog"
	"postrider/internal/wiretest"
	"postrider/mail"
	"postrider/store"
	"postrider/store/sqlite/sqlitetest"
)

// FuzzSession sends what a client may send, and much that it may not, to a
// server where alice has a few messages or none. The server neither panics nor
// stays behind when the client has gone. What one execution does to the
// accounts, the next does not see: an input fails by itself.
func FuzzSession(f *testing.F) {
	for i, in := range wiretest.Inputs(f, "testdata") {
		if len(in) < 8<<10 {
			f.Add(in, byte(i))
		}
	}
	f.Add([]byte("a LOGIN alice@a.test x\r\na SELECT INBOX\r\na SEARCH NOT NOT NOT OR ALL (((ALL))) ALL\r\n"), byte(3))
	f.Add([]byte("a LOGIN alice@a.test x\r\na IDLE\r\n\r\nDONE\r\na ENABLE IMAP4rev2\r\na LIST \"\" (((\r\n"), byte(3))
	w := &world{store: sqlitetest.New(f)}
	ctx := context.Background()
	must := func(err error) {
		if err != nil {
			f.Fatal(err)
		}
	}
	_, err := w.store.AddDomain(ctx, "a.test")
	must(err)
	guard := auth.New(auth.Options{Store: w.store, AnyPassword: true, PlaintextNetworks: loopback(),
		Sleep: func(context.Context, time.Duration) {}})
	kept := -1 // messages of the accounts, if they are as they were made
	f.Fuzz(func(t *testing.T, in []byte, messages byte) {
		if n := int(messages % 4); n != kept {
			must(w.renew(ctx, n))
			kept = n
		}
		logs := &bytes.Buffer{}
		srv := imapd.New(imapd.Options{Hostname: "mail.a.test", Store: w.store, MaxMessageBytes: 1 << 16, Auth: guard,
			Log: slog.New(slog.NewTextHandler(logs, nil))})
		tape := wiretest.NewTape(in, 1000)
		done := make(chan struct{})
		go func() { defer close(done); srv.Serve(ctx, tape) }()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Fatal("the server does not end")
		}
		for line := range strings.Lines(logs.String()) {
			if strings.Contains(line, " msg="+maillog.Login+" ") {
				kept = -1
			}
			if strings.Contains(line, " msg="+maillog.Panic+" ") || strings.Contains(line, " msg="+maillog.Failed+" ") {
				t.Errorf("%q: %s", in, line)
			}
		}
	})
}

// renew makes new accounts of alice, with messages in INBOX, and carol in
// place of those that may be there.
func (w *world) renew(ctx context.Context, messages int) error {
	accounts, err := w.store.Accounts(ctx)
	if err != nil {
		return err
	}
	for _, a := range accounts {
		if err := w.store.RemoveAccount(ctx, a.ID); err != nil {
			return err
		}
	}
	for name, acc := range map[string]*store.Account{"alice": &w.alice, "carol": &w.carol} {
		if *acc, err = w.store.AddAccount(ctx, store.NewAccount{Address: mail.Address{Local: name, Domain: "a.test"}}); err != nil {
			return err
		}
	}
	for _, name := range []string{"nested", "plain", "jpeg"}[:messages] {
		if err := w.deliver(name, store.Inbox); err != nil {
			return err
		}
	}
	return nil
}
