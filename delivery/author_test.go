package delivery

import (
	"testing"

	"postrider/store"
)

// TestAuthor tries what may stand in From. In a list in bad form nobody may
// hide an address that some reader shows.
func TestAuthor(t *testing.T) {
	s := newSite(t, Options{})
	s.alias("sales@b.test", "alice@b.test", "bob@b.test")
	p := Peer{Account: s.account("alice@b.test")}
	for _, c := range []struct {
		header string
		ok     bool
	}{
		{"Subject: nobody", true},
		{"From: alice@b.test", true},
		{"From: Alice <ALICE@B.test>", true},
		{"From: alice @ b.test", true},
		{"From: sales@b.test, Alice <alice+x@b.test>", true},
		{"From: team: alice@b.test, sales@b.test;", true},
		{"From: \"bob@b.test\" <alice@b.test>", true},
		{"From: \"a\\\" <bob@b.test>\" <alice@b.test> (bob@b.test (\\) bob@b.test))", true},
		{"From: alice@b.test <alice@b.test>", true},
		{"From: \"alice\"@b.test", true},
		{"From: bob@b.test", false},
		{"From: alice@b.test, bob@b.test", false},
		{"From: alice@b.test\r\nFrom: bob@b.test", false},
		{"From: alice@b.test\r\nSender: bob@b.test", false},
		{"From:", false},
		{"From: <>", false},
		{"From: nobody:;", false},
		{"From: alice@b.test <bob@b.test>", false},
		{"From: bob@b.test <alice@b.test>", false},
		{"From: alice@b.test bob@b.test", false},
		{"From: <alice@b.test> bob@b.test", false},
		{"From: <alice@b.test> <bob@b.test>", false},
		{"From: alice@b.test\r\n <bob@b.test>", false},
		{"From: alice@b.test;bob@b.test", false},
		{"From: <@bob@b.test:alice@b.test>", false},
		{"From: alice@b.test@far.test", false},
		{"From: alice@b.test (bob <bob@b.test>", false},
		{"From: alice@b.test \"bob <bob@b.test>", false},
		{"From: (alice@b.test) bob@b.test", false},
	} {
		m := message(c.header+"\r\n\r\ntext\r\n", "carol@b.test")
		m.Submission, m.Peer = true, p
		_, err := s.Prepare(t.Context(), m)
		if (err == nil) != c.ok || err != nil && store.KindOf(err) != store.Denied {
			t.Errorf("%s: %v", c.header, err)
		}
	}
}
