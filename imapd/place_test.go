package imapd_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"postrider/auth/authtest"
	"postrider/internal/wiretest"
	"postrider/mail"
	"postrider/store"
)

// Mailboxes that had a name of the other users' namespace before there was one
// can be opened, and renamed away.
func TestOwnMailboxNamedAsOthers(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"Other Users/x", "Other Users/carol@a.test/y"} {
		if _, err := w.store.Create(context.Background(), w.alice.ID, name, store.UseNone); err != nil {
			t.Fatal(err)
		}
	}
	answers, err := wiretest.Play(w.dial, fmt.Sprintf("a LOGIN alice@a.test %q\r\nb SELECT \"Other Users/x\"\r\nc CLOSE\r\n"+
		"d RENAME \"Other Users/carol@a.test/y\" y\r\ne LIST \"\" y\r\nf LOGOUT\r\n", password), wiretest.Shut)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\r\nb OK ", "\r\nd OK ", `* LIST (\HasNoChildren) "/" "y"`} {
		if !strings.Contains(answers, want) {
			t.Errorf("no %q in\n%s", want, answers)
		}
	}
}

// An address may have the hierarchy's delimiter in it, or what must be quoted.
func TestOddAddressesOfOthers(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	cred := authtest.Credential(t, password)
	for _, local := range []string{"a/b", `odd "one"`, "per%cent*"} {
		a, err := w.store.AddAccount(ctx, store.NewAccount{Address: mail.Address{Local: local, Domain: "a.test"}, Credential: cred})
		if err != nil {
			t.Fatal(err)
		}
		in, err := w.store.Mailbox(ctx, a.ID, store.Inbox)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.store.SetACL(ctx, in.ID, w.alice.ID, false, store.FlagsSet, store.RightLookup|store.RightRead); err != nil {
			t.Fatal(err)
		}
		quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace("Other Users/" + a.Address.String() + "/INBOX")
		answers, err := wiretest.Play(w.dial, fmt.Sprintf("a LOGIN alice@a.test %q\r\nb LIST \"\" *INBOX\r\nc SELECT \"%s\"\r\nd LOGOUT\r\n", password, quoted), wiretest.Shut)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`* LIST (\HasNoChildren) "/" "` + quoted + `"`, "\r\nc OK [READ-ONLY]"} {
			if !strings.Contains(answers, want) {
				t.Errorf("no %q in\n%s", want, answers)
			}
		}
	}
}
