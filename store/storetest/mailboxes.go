package storetest

import (
	"strings"

	"postrider/store"
)

func mailboxCases() []testCase {
	return []testCase{
		{"create mailboxes", createMailboxes},
		{"names of mailboxes", mailboxNames},
		{"delete mailboxes", deleteMailboxes},
		{"rename mailboxes", renameMailboxes},
		{"rename INBOX", renameInbox},
		{"subscriptions", subscriptions},
		{"UIDVALIDITY rises", validityRises},
	}
}

func createMailboxes(s *suite) {
	m, err := s.a.Create(s.ctx, s.alice.ID, "Work/2026", store.UseFlagged)
	s.ok(err)
	if m.Name != "Work/2026" || m.Use != store.UseFlagged || m.UIDNext == 0 || m.UIDValidity == 0 || m.Total != 0 ||
		m.ModSeq == 0 || m.ID.Account != s.alice.ID || m.ID.N == 0 {
		s.Errorf("made %+v", m)
	}
	s.equal("mailbox", s.b.box(s.alice, "Work/2026"), m)
	_, err = s.a.Mailbox(s.ctx, s.alice.ID, "Work") // parents need not exist
	s.kind(err, store.NotFound)
	_, err = s.b.Create(s.ctx, s.alice.ID, "Work/2026", store.UseNone)
	s.kind(err, store.Exists)
	_, err = s.a.Create(s.ctx, 1<<40, "x", store.UseNone)
	s.kind(err, store.NotFound)
	s.a.create(s.bob, "Work/2026") // accounts have names of their own
	s.equal("names", s.b.names(s.alice), "[Archive Drafts INBOX Junk Sent Trash Work/2026]")
	subscribed, err := s.a.Subscriptions(s.ctx, s.alice.ID)
	s.ok(err)
	s.equal("subscribed", subscribed, "[Archive Drafts INBOX Junk Sent Trash]")
}

func mailboxNames(s *suite) {
	for _, name := range []string{"", "/", "/a", "a//b", "a\x00b", "a\r\nb", "\xff", strings.Repeat("x", 5000)} {
		_, err := s.a.Create(s.ctx, s.alice.ID, name, store.UseNone)
		s.kind(err, store.Invalid)
	}
	for _, name := range []string{"inbox", "InBox"} {
		_, err := s.a.Create(s.ctx, s.alice.ID, name, store.UseNone)
		s.kind(err, store.Exists)
		s.equal("any case of INBOX", s.b.box(s.alice, name).ID, s.b.inbox(s.alice))
	}
	const decomposed, composed = "Entwu\u0308rfe", "Entw\u00fcrfe"
	m := s.a.create(s.alice, decomposed)
	s.equal("name", m.Name, composed)
	s.equal("by its other form", s.b.box(s.alice, decomposed).ID, m.ID)
	_, err := s.a.Create(s.ctx, s.alice.ID, composed, store.UseNone)
	s.kind(err, store.Exists)
	s.a.create(s.alice, "日本語/台北")
	s.a.create(s.alice, "work")
	s.a.create(s.alice, "Work") // only INBOX knows no case
	s.a.create(s.alice, "inbox/child")
}

func deleteMailboxes(s *suite) {
	work, child := s.a.create(s.alice, "Work"), s.a.create(s.alice, "Work/Child")
	s.a.fill(work.ID, 3)
	kept := s.a.fill(child.ID, 2)
	s.ok(s.b.Delete(s.ctx, s.alice.ID, "Work"))
	_, err := s.a.Mailbox(s.ctx, s.alice.ID, "Work")
	s.kind(err, store.NotFound)
	_, err = s.a.Changes(s.ctx, work.ID, 0)
	s.kind(err, store.NotFound)
	_, err = s.a.Changes(s.ctx, work.ID, work.ModSeq)
	s.kind(err, store.NotFound)
	s.equal("the child's messages", s.a.uids(child.ID), kept)
	s.equal("messages of the account", s.a.again(s.alice).Count, 2)
	s.kind(s.a.Delete(s.ctx, s.alice.ID, "Work"), store.NotFound)
	s.kind(s.a.Delete(s.ctx, s.alice.ID, "inbox"), store.Denied)
	s.kind(s.a.Delete(s.ctx, 1<<40, "Work"), store.NotFound)
}

func renameMailboxes(s *suite) {
	work := s.a.create(s.alice, "Work")
	s.a.create(s.alice, "Work/A")
	deep := s.a.create(s.alice, "Work/A/B")
	s.a.create(s.alice, "Workshop")
	s.a.create(s.alice, "Play/A")
	uids := s.a.fill(deep.ID, 2)

	s.kind(s.a.Rename(s.ctx, s.alice.ID, "Work", "Play"), store.Exists) // Work/A would become Play/A
	s.kind(s.a.Rename(s.ctx, s.alice.ID, "Work", "Workshop"), store.Exists)
	s.kind(s.a.Rename(s.ctx, s.alice.ID, "Work", "INBOX"), store.Exists)
	s.kind(s.a.Rename(s.ctx, s.alice.ID, "None", "Other"), store.NotFound)
	s.kind(s.a.Rename(s.ctx, s.alice.ID, "Work", "a//b"), store.Invalid)
	s.ok(s.b.Rename(s.ctx, s.alice.ID, "Work", "Old/Job"))
	s.equal("names", s.a.names(s.alice),
		"[Archive Drafts INBOX Junk Old/Job Old/Job/A Old/Job/A/B Play/A Sent Trash Workshop]")
	now := s.a.box(s.alice, "Old/Job")
	if now.ID != work.ID || now.UIDValidity != work.UIDValidity {
		s.Errorf("%+v was renamed to %+v", work, now)
	}
	s.equal("messages of the renamed child", s.a.uids(s.a.box(s.alice, "Old/Job/A/B").ID), uids)
	s.equal("the name in a delta", s.a.changes(work.ID, work.ModSeq).Mailbox.Name, "Old/Job")
	_, err := s.a.Mailbox(s.ctx, s.alice.ID, "Work")
	s.kind(err, store.NotFound)

	s.kind(s.a.Rename(s.ctx, s.alice.ID, "Old", "Workshop"), store.Exists) // though nothing is in its way
	s.kind(s.a.Rename(s.ctx, s.alice.ID, "Old", "Old"), store.NotFound)
	s.ok(s.a.Rename(s.ctx, s.alice.ID, "Old", "New"))
	s.equal("names", s.a.names(s.alice),
		"[Archive Drafts INBOX Junk New/Job New/Job/A New/Job/A/B Play/A Sent Trash Workshop]")
	s.kind(s.a.Rename(s.ctx, s.alice.ID, "Old", "New2"), store.NotFound)
}

func renameInbox(s *suite) {
	in := s.a.box(s.alice, "INBOX")
	child := s.a.create(s.alice, "INBOX/Child")
	uids := s.a.fill(in.ID, 3)
	s.a.expunge(in.ID, uids[1])
	r := &replica{}
	s.follow(s.a, r, in.ID)
	s.ok(s.b.Rename(s.ctx, s.alice.ID, "inbox", "Saved/Mail"))
	s.follow(s.a, r, in.ID)
	s.equal("messages left in INBOX", len(r.rows), 0)
	now, saved := s.a.box(s.alice, "INBOX"), s.a.box(s.alice, "Saved/Mail")
	if now.ID != in.ID || now.UIDValidity != in.UIDValidity || saved.ID == in.ID || saved.Total != 2 {
		s.Errorf("INBOX %+v, its messages in %+v", now, saved)
	}
	s.equal("texts", s.a.texts(saved.ID), []string{letter("number 0"), letter("number 2")})
	s.equal("INBOX/Child", s.a.box(s.alice, "INBOX/Child").ID, child.ID)
	if u := s.a.put(in.ID, letter("next"), store.Flags{}); u <= uids[2] {
		s.Errorf("INBOX gave UID %d again", u)
	}
	s.kind(s.a.Rename(s.ctx, s.alice.ID, "INBOX", "Saved/Mail"), store.Exists)
}

func subscriptions(s *suite) {
	s.a.create(s.alice, "Work")
	s.ok(s.a.Subscribe(s.ctx, s.alice.ID, "Work", true))
	s.ok(s.a.Subscribe(s.ctx, s.alice.ID, "Work", true))
	s.ok(s.a.Subscribe(s.ctx, s.alice.ID, "Not/Here", true))
	s.ok(s.a.Subscribe(s.ctx, s.alice.ID, "inbox", false))
	s.ok(s.a.Subscribe(s.ctx, s.alice.ID, "Nothing", false))
	s.kind(s.a.Subscribe(s.ctx, s.alice.ID, "\xff", true), store.Invalid)
	s.ok(s.b.Delete(s.ctx, s.alice.ID, "Work"))
	got, err := s.b.Subscriptions(s.ctx, s.alice.ID)
	s.ok(err)
	s.equal("subscribed", got, "[Archive Drafts Junk Not/Here Sent Trash Work]")
	s.ok(s.b.Subscribe(s.ctx, s.alice.ID, "Work", false))
	got, err = s.a.Subscriptions(s.ctx, s.alice.ID)
	s.ok(err)
	s.equal("subscribed", got, "[Archive Drafts Junk Not/Here Sent Trash]")
}

func validityRises(s *suite) {
	last := uint32(0)
	var ids []store.MailboxID
	for i := range 6 {
		h := s.a
		if i%2 == 1 {
			h = s.b
		}
		m := h.create(s.alice, "Again")
		if m.UIDValidity <= last {
			s.Errorf("UIDVALIDITY %d after %d", m.UIDValidity, last)
		}
		last = m.UIDValidity
		for _, id := range ids {
			if id == m.ID {
				s.Errorf("mailbox id %v was given again", id)
			}
		}
		ids = append(ids, m.ID)
		h.fill(m.ID, 1)
		s.ok(h.Delete(s.ctx, s.alice.ID, "Again"))
	}
}
