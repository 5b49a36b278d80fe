package storetest

import (
	"bytes"

	"postrider/mail"
	"postrider/store"
)

func directoryCases() []testCase {
	return []testCase{
		{"domains", domains},
		{"accounts", accounts},
		{"an account's own mailboxes", standardMailboxes},
		{"credentials", credentials},
		{"aliases", aliases},
		{"remove an account", removeAccount},
	}
}

func domains(s *suite) {
	d, err := s.a.AddDomain(s.ctx, "Bücher.Example")
	s.ok(err)
	s.equal("name", d.Name, "xn--bcher-kva.example")
	for _, name := range []string{"bücher.example", "XN--bcher-kva.example"} {
		_, err = s.b.AddDomain(s.ctx, name)
		s.kind(err, store.Exists)
		found, err := s.b.Domain(s.ctx, name)
		s.ok(err)
		s.equal("domain", found, d)
	}
	for _, name := range []string{"", "a..b", "[127.0.0.1]", "a b"} {
		_, err := s.a.AddDomain(s.ctx, name)
		s.kind(err, store.Invalid)
	}
	_, err = s.a.Domain(s.ctx, "b.test")
	s.kind(err, store.NotFound)
	all, err := s.a.Domains(s.ctx)
	s.ok(err)
	if len(all) != 2 || all[0].Name != "a.test" || all[1].Name != d.Name {
		s.Errorf("domains: %+v", all)
	}
	s.kind(s.a.RemoveDomain(s.ctx, "a.test"), store.Exists) // it has accounts
	at := mail.Address{Local: "x", Domain: d.Name}
	s.ok(s.a.SetAlias(s.ctx, store.Alias{Address: at, Targets: []mail.Address{s.alice.Address}}))
	s.kind(s.a.RemoveDomain(s.ctx, d.Name), store.Exists)
	s.ok(s.a.RemoveAlias(s.ctx, at))
	s.ok(s.b.RemoveDomain(s.ctx, "bücher.example"))
	s.kind(s.a.RemoveDomain(s.ctx, d.Name), store.NotFound)
	s.kind(s.a.RemoveDomain(s.ctx, "not a domain"), store.NotFound)
}

func accounts(s *suite) {
	n := store.NewAccount{Address: s.address(`"Carol Smith"@a.test`), Admin: true, Quota: 1000}
	carol, err := s.a.AddAccount(s.ctx, n)
	s.ok(err)
	if carol.Address != n.Address || !carol.Admin || carol.Quota != 1000 || carol.Disabled || carol.Count != 0 {
		s.Errorf("made %+v", carol)
	}
	_, err = s.b.AddAccount(s.ctx, store.NewAccount{Address: s.address("ALICE@A.test")})
	s.kind(err, store.Exists)
	_, err = s.a.AddAccount(s.ctx, store.NewAccount{Address: s.address("alice@b.test")})
	s.kind(err, store.NotFound)
	_, err = s.a.AddAccount(s.ctx, store.NewAccount{Address: mail.Address{Domain: "a.test"}})
	s.kind(err, store.Invalid)
	e, err := s.b.Lookup(s.ctx, s.address(`"carol smith"@A.TEST`))
	s.ok(err)
	if e.Alias != nil || e.Account == nil || *e.Account != carol {
		s.Errorf("looked up %+v", e)
	}
	for _, other := range []string{"alice+tag@a.test", "nobody@a.test", "alice@b.test"} {
		_, err = s.a.Lookup(s.ctx, s.address(other))
		s.kind(err, store.NotFound)
	}
	s.ok(s.b.SetDisabled(s.ctx, carol.ID, true))
	s.ok(s.b.SetQuota(s.ctx, carol.ID, 77, 0))
	now := s.a.again(carol)
	if !now.Disabled || now.Quota != 77 {
		s.Errorf("changed to %+v", now)
	}
	all, err := s.a.Accounts(s.ctx)
	s.ok(err)
	if len(all) != 3 || all[0] != s.a.again(s.alice) {
		s.Errorf("accounts: %+v", all)
	}
	const nobody = 1 << 40
	_, err = s.a.Account(s.ctx, nobody)
	s.kind(err, store.NotFound)
	s.kind(s.a.SetDisabled(s.ctx, nobody, true), store.NotFound)
	s.kind(s.a.SetQuota(s.ctx, nobody, 1, 0), store.NotFound)
	s.kind(s.a.SetQuota(s.ctx, carol.ID, -1, 0), store.Invalid)
	s.kind(s.a.SetCredential(s.ctx, nobody, store.Credential{}), store.NotFound)
	s.kind(s.a.RemoveAccount(s.ctx, nobody), store.NotFound)
}

func standardMailboxes(s *suite) {
	list, err := s.b.List(s.ctx, s.alice.ID)
	s.ok(err)
	uses := map[string]store.Use{"INBOX": store.UseNone, "Drafts": store.UseDrafts, "Sent": store.UseSent,
		"Junk": store.UseJunk, "Trash": store.UseTrash, "Archive": store.UseArchive}
	s.equal("number of mailboxes", len(list), len(uses))
	for _, m := range list {
		use, ok := uses[m.Name]
		if !ok || m.Use != use || m.UIDValidity == 0 || m.UIDNext == 0 || m.ModSeq == 0 || m.Total != 0 {
			s.Errorf("made %+v", m)
		}
	}
	subscribed, err := s.b.Subscriptions(s.ctx, s.alice.ID)
	s.ok(err)
	s.equal("subscribed", subscribed, "[Archive Drafts INBOX Junk Sent Trash]")
}

func credentials(s *suite) {
	c := store.Credential{Argon2id: "$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA", ScramSalt: []byte{0, 1, 2},
		ScramIterations: 4096, StoredKey: []byte{3, 0}, ServerKey: []byte{255}}
	same := func(got store.Credential) {
		s.Helper()
		if got.Argon2id != c.Argon2id || got.ScramIterations != c.ScramIterations || !bytes.Equal(got.ScramSalt, c.ScramSalt) ||
			!bytes.Equal(got.StoredKey, c.StoredKey) || !bytes.Equal(got.ServerKey, c.ServerKey) {
			s.Errorf("got %+v, want %+v", got, c)
		}
	}
	carol, err := s.a.AddAccount(s.ctx, store.NewAccount{Address: s.address("carol@a.test"), Credential: c})
	s.ok(err)
	acct, got, err := s.b.Credential(s.ctx, s.address("Carol@a.test"))
	s.ok(err)
	s.equal("account", acct, carol)
	same(got)
	c.Argon2id, c.StoredKey = "another", []byte{9}
	s.ok(s.b.SetCredential(s.ctx, carol.ID, c))
	_, got, err = s.a.Credential(s.ctx, carol.Address)
	s.ok(err)
	same(got)
	_, got, err = s.a.Credential(s.ctx, s.alice.Address)
	s.ok(err)
	c = store.Credential{}
	same(got)
	s.ok(s.a.SetAlias(s.ctx, store.Alias{Address: s.address("info@a.test"), Targets: []mail.Address{s.alice.Address}}))
	for _, other := range []string{"info@a.test", "nobody@a.test", "carol@b.test"} {
		_, _, err = s.a.Credential(s.ctx, s.address(other))
		s.kind(err, store.NotFound)
	}
}

func aliases(s *suite) {
	info := store.Alias{Address: s.address("Info@a.test"), Targets: []mail.Address{s.bob.Address, s.alice.Address,
		s.address(`"x y"@far.example`)}}
	s.ok(s.a.SetAlias(s.ctx, info))
	e, err := s.b.Lookup(s.ctx, s.address("INFO@a.test"))
	s.ok(err)
	if e.Account != nil || e.Alias == nil {
		s.Fatalf("looked up %+v", e)
	}
	s.equal("alias", *e.Alias, info)
	info.Targets = info.Targets[2:]
	s.ok(s.b.SetAlias(s.ctx, info))
	all := store.Alias{Address: mail.Address{Domain: "a.test"}, Targets: []mail.Address{s.bob.Address}}
	s.ok(s.a.SetAlias(s.ctx, all))
	e, err = s.b.Lookup(s.ctx, all.Address)
	s.ok(err)
	s.equal("catch-all", *e.Alias, all)
	list, err := s.a.Aliases(s.ctx)
	s.ok(err)
	s.equal("aliases", list, []store.Alias{all, info})

	s.kind(s.a.SetAlias(s.ctx, store.Alias{Address: s.alice.Address, Targets: info.Targets}), store.Exists)
	s.kind(s.a.SetAlias(s.ctx, store.Alias{Address: s.address("x@b.test"), Targets: info.Targets}), store.NotFound)
	s.kind(s.a.SetAlias(s.ctx, store.Alias{Address: s.address("x@a.test")}), store.Invalid)
	_, err = s.a.AddAccount(s.ctx, store.NewAccount{Address: s.address("info@a.test")})
	s.kind(err, store.Exists)
	s.kind(s.a.RemoveAlias(s.ctx, s.alice.Address), store.NotFound)
	s.ok(s.a.RemoveAlias(s.ctx, s.address("info@A.test")))
	s.kind(s.a.RemoveAlias(s.ctx, info.Address), store.NotFound)
	_, err = s.a.Lookup(s.ctx, info.Address)
	s.kind(err, store.NotFound)
}

func removeAccount(s *suite) {
	in := s.a.inbox(s.alice)
	s.a.fill(in, 3)
	_, err := s.a.Accept(s.ctx, &store.Acceptance{ID: id(1), Body: body(letter("to both")),
		Local: []store.LocalRcpt{{Account: s.alice.ID}, {Account: s.bob.ID}}})
	s.ok(err)
	s.a.expunge(in, 1)
	s.ok(s.b.RemoveAccount(s.ctx, s.alice.ID))
	s.kind(s.a.RemoveAccount(s.ctx, s.alice.ID), store.NotFound)
	_, err = s.a.Lookup(s.ctx, s.alice.Address)
	s.kind(err, store.NotFound)
	_, err = s.a.Account(s.ctx, s.alice.ID)
	s.kind(err, store.NotFound)
	_, err = s.a.Changes(s.ctx, in, 0)
	s.kind(err, store.NotFound)
	_, err = s.a.Append(s.ctx, "", in, body(letter("too late")), store.Flags{}, s.alice.Created)
	s.kind(err, store.NotFound)
	s.equal("what bob has", s.a.texts(s.a.inbox(s.bob)), []string{letter("to both")})
	anew := s.account("alice@a.test")
	if anew.ID == s.alice.ID {
		s.Errorf("the number of a removed account was given again")
	}
	s.equal("what the new alice has", len(s.b.rows(s.b.inbox(anew))), 0)
	_, err = s.a.List(s.ctx, s.alice.ID)
	s.kind(err, store.NotFound)
}
