package authtest

import (
	"context"
	"testing"
	"time"

	"postrider/auth"
	"postrider/mail"
	"postrider/store"
	"postrider/store/sqlite/sqlitetest"
)

// TestCredential shows that the credential lets in whom it should, and nobody
// else.
func TestCredential(t *testing.T) {
	s, ctx := sqlitetest.New(t), context.Background()
	if _, err := s.AddDomain(ctx, "a.test"); err != nil {
		t.Fatal(err)
	}
	alice := mail.Address{Local: "alice", Domain: "a.test"}
	if _, err := s.AddAccount(ctx, store.NewAccount{Address: alice, Credential: Credential(t, "pa\u0308ssword")}); err != nil {
		t.Fatal(err)
	}
	a := auth.New(auth.Options{Store: s, Sleep: func(context.Context, time.Duration) {}})
	tls := auth.Peer{TLS: true}
	if _, err := a.Login(ctx, tls, "alice@a.test", "pässword"); err != nil {
		t.Error(err)
	}
	if _, err := a.Login(ctx, tls, "alice@a.test", "password"); store.KindOf(err) != store.Auth {
		t.Error(err)
	}
}
