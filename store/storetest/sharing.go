package storetest

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"postrider/store"
)

func sharingCases() []testCase {
	return []testCase{
		{"rights in a mailbox", rights},
		{"rights go with the mailbox and the account", rightsGo},
		{"rights of new mailboxes", rightsInherited},
		{"shared mailboxes", sharedMailboxes},
		{"annotations", annotations},
		{"annotations go with the mailbox and the account", annotationsGo},
		{"limits of annotations", annotationLimits},
		{"special uses", specialUses},
		{"what is announced of sharing", sharingFeed},
		{"append several", appendSeveral},
		{"replace", replaceMessage},
		{"replace in a full account", replaceFull},
		{"replace once", replaceOnce},
		{"quota of messages", quotaOfMessages},
		{"copy to another account", copyAcross},
		{"flags that stay", flagsThatStay},
		{"copy without flags", copyWithout},
	}
}

func (h handle) grant(box store.MailboxID, who store.AccountID, negative bool, mode store.FlagMode, letters string) {
	h.s.Helper()
	r, ok := store.ParseRights(letters)
	if !ok {
		h.s.Fatalf("rights %q", letters)
	}
	h.s.ok(h.SetACL(h.s.ctx, box, who, negative, mode, r))
}

func (h handle) rights(box store.MailboxID, who store.AccountID) string {
	h.s.Helper()
	r, err := h.Rights(h.s.ctx, box, who)
	h.s.ok(err)
	return r.String()
}

// acl is what is granted in a mailbox, in one line.
func (h handle) acl(box store.MailboxID) string {
	h.s.Helper()
	list, err := h.ACL(h.s.ctx, box)
	h.s.ok(err)
	var b strings.Builder
	for _, g := range list {
		sign := "+"
		if g.Negative {
			sign = "-"
		}
		fmt.Fprintf(&b, "%s%s:%s ", sign, g.Address, g.Rights)
	}
	return strings.TrimSpace(b.String())
}

func rights(s *suite) {
	work := s.a.create(s.alice, "Work").ID
	carol := s.account("carol@a.test").ID
	s.equal("the owner's", s.a.rights(work, s.alice.ID), "lrswipkxtea")
	s.equal("bob's", s.a.rights(work, s.bob.ID), "")
	s.a.grant(work, s.bob.ID, false, store.FlagsSet, "lr")
	s.equal("bob's", s.b.rights(work, s.bob.ID), "lr")
	s.b.grant(work, s.bob.ID, false, store.FlagsAdd, "ws")
	s.a.grant(work, s.bob.ID, false, store.FlagsRemove, "r")
	s.equal("bob's", s.b.rights(work, s.bob.ID), "lsw")
	s.a.grant(work, store.Anyone, false, store.FlagsSet, "lri")
	s.equal("bob's", s.a.rights(work, s.bob.ID), "lrswi")
	s.equal("carol's", s.a.rights(work, carol), "lri")
	s.a.grant(work, carol, true, store.FlagsSet, "ip")
	s.a.grant(work, store.Anyone, true, store.FlagsSet, "r")
	s.equal("carol's", s.b.rights(work, carol), "l")
	s.equal("bob's", s.b.rights(work, s.bob.ID), "lswi")
	s.equal("acl", s.b.acl(work), "+:lri -:r +bob@a.test:lsw -carol@a.test:ip")
	s.a.grant(work, s.bob.ID, false, store.FlagsSet, "")
	s.a.grant(work, carol, true, store.FlagsRemove, "pi")
	s.a.grant(work, carol, true, store.FlagsRemove, "pi")
	s.equal("acl", s.b.acl(work), "+:lri -:r")
	s.equal("the owner's", s.a.rights(work, s.alice.ID), "lrswipkxtea")

	s.kind(s.a.SetACL(s.ctx, work, s.alice.ID, false, store.FlagsSet, store.RightRead), store.Invalid)
	s.kind(s.a.SetACL(s.ctx, work, 1<<40, false, store.FlagsSet, store.RightRead), store.NotFound)
	nowhere := store.MailboxID{Account: s.alice.ID, N: 999}
	s.kind(s.a.SetACL(s.ctx, nowhere, s.bob.ID, false, store.FlagsSet, store.RightRead), store.NotFound)
	_, err := s.a.Rights(s.ctx, nowhere, s.bob.ID)
	s.kind(err, store.NotFound)
	_, err = s.a.ACL(s.ctx, nowhere)
	s.kind(err, store.NotFound)
}

func rightsGo(s *suite) {
	work, play := s.a.create(s.alice, "Work").ID, s.a.create(s.alice, "Play").ID
	carol := s.account("carol@a.test").ID
	s.a.grant(work, s.bob.ID, false, store.FlagsSet, "lr")
	s.a.grant(play, s.bob.ID, false, store.FlagsSet, "lr")
	s.a.grant(play, carol, false, store.FlagsSet, "lr")
	s.ok(s.a.Rename(s.ctx, s.alice.ID, "Work", "Job"))
	s.equal("renamed", s.a.acl(work), "+bob@a.test:lr")
	s.ok(s.a.Delete(s.ctx, s.alice.ID, "Job"))
	s.equal("named as the old one", s.a.acl(s.a.create(s.alice, "Work").ID), "")
	s.ok(s.a.RemoveAccount(s.ctx, carol))
	s.equal("without carol", s.a.acl(play), "+bob@a.test:lr")
	s.ok(s.a.RemoveAccount(s.ctx, s.alice.ID))
	list, err := s.b.Shared(s.ctx, s.bob.ID)
	s.ok(err)
	s.equal("shared", list, "[]")
}

func rightsInherited(s *suite) {
	work := s.a.create(s.alice, "Work")
	s.a.grant(work.ID, s.bob.ID, false, store.FlagsSet, "lrk")
	s.a.grant(work.ID, store.Anyone, true, store.FlagsSet, "w")
	child := s.b.create(s.alice, "Work/Not/There")
	s.equal("the child's", s.a.acl(child.ID), "-:w +bob@a.test:lrk")
	s.equal("a neighbour's", s.a.acl(s.a.create(s.alice, "Workshop").ID), "")
	s.a.grant(work.ID, s.bob.ID, false, store.FlagsSet, "")
	s.equal("the child's", s.a.acl(child.ID), "-:w +bob@a.test:lrk")
}

func sharedMailboxes(s *suite) {
	work := s.a.create(s.alice, "Work")
	mine := s.a.create(s.bob, "Work")
	other := s.account("aaron@a.test")
	s.a.grant(s.a.inbox(other), store.Anyone, false, store.FlagsSet, "lr")
	s.a.grant(work.ID, store.Anyone, false, store.FlagsSet, "lrs")
	s.a.grant(work.ID, s.bob.ID, true, store.FlagsSet, "s")
	s.a.grant(work.ID, s.bob.ID, false, store.FlagsSet, "i")
	s.a.grant(s.a.inbox(s.alice), s.bob.ID, true, store.FlagsSet, "l")
	s.a.grant(mine.ID, s.alice.ID, false, store.FlagsSet, "l")
	s.a.fill(work.ID, 3)
	shared := func(who store.Account) string {
		list, err := s.b.Shared(s.ctx, who.ID)
		s.ok(err)
		var b strings.Builder
		for _, m := range list {
			fmt.Fprintf(&b, "%s/%s:%s:%d ", m.Owner, m.Name, m.Rights, m.Total)
		}
		return strings.TrimSpace(b.String())
	}
	s.equal("with bob", shared(s.bob), "aaron@a.test/INBOX:lr:0 alice@a.test/Work:lri:3")
	s.equal("with alice", shared(s.alice), "aaron@a.test/INBOX:lr:0 bob@a.test/Work:l:0")
	list, err := s.a.Shared(s.ctx, s.bob.ID)
	s.ok(err)
	s.equal("the mailbox", list[1].Mailbox, s.a.box(s.alice, "Work"))
}

func (h handle) annotate(box store.MailboxID, who store.AccountID, name, value string) {
	h.s.Helper()
	h.s.ok(h.Annotate(h.s.ctx, box, []store.Annotation{{Who: who, Name: name, Value: []byte(value)}}))
}

// notes is what is noted about a mailbox, in one line.
func (h handle) notes(box store.MailboxID, who store.AccountID) string {
	h.s.Helper()
	list, err := h.Annotations(h.s.ctx, box, who)
	h.s.ok(err)
	var b strings.Builder
	for _, a := range list {
		kind := "shared"
		if a.Who != 0 {
			kind = "private"
		}
		fmt.Fprintf(&b, "%s%s=%s ", kind, a.Name, a.Value)
	}
	return strings.TrimSpace(b.String())
}

func annotations(s *suite) {
	work := s.a.create(s.alice, "Work").ID
	server := store.MailboxID{}
	s.a.annotate(work, 0, "/comment", "for all")
	s.a.annotate(work, s.bob.ID, "/comment", "bob's")
	s.a.annotate(work, s.alice.ID, "/comment", "alice's")
	s.a.annotate(work, s.alice.ID, "/vendor/x/empty", "")
	s.b.annotate(server, 0, "/admin", "mailto:root@a.test")
	s.b.annotate(server, s.bob.ID, "/comment", "binary \x00\xff")
	s.equal("bob sees", s.b.notes(work, s.bob.ID), "shared/comment=for all private/comment=bob's")
	s.equal("alice sees", s.b.notes(work, s.alice.ID), "shared/comment=for all private/comment=alice's private/vendor/x/empty=")
	s.equal("of the server", s.a.notes(server, s.bob.ID), "shared/admin=mailto:root@a.test private/comment=binary \x00\xff")
	s.equal("of the server", s.a.notes(server, s.alice.ID), "shared/admin=mailto:root@a.test")
	s.ok(s.a.Annotate(s.ctx, work, []store.Annotation{{Name: "/comment"}, {Who: s.bob.ID, Name: "/comment", Value: []byte("new")}, {Name: "/not/there"}}))
	s.equal("bob sees", s.b.notes(work, s.bob.ID), "private/comment=new")

	for _, name := range []string{"", "/", "x", "/x/", "/a//b", "/Comment", "/a*", "/a%", "/a\x00", "/\xff", "/" + strings.Repeat("x", 2000)} {
		s.kind(s.a.Annotate(s.ctx, work, []store.Annotation{{Name: name, Value: []byte("x")}}), store.Invalid)
	}
	nowhere := store.MailboxID{Account: s.alice.ID, N: 999}
	s.kind(s.a.Annotate(s.ctx, nowhere, []store.Annotation{{Name: "/a", Value: []byte("x")}}), store.NotFound)
	s.kind(s.a.Annotate(s.ctx, work, []store.Annotation{{Who: 1 << 40, Name: "/a", Value: []byte("x")}}), store.NotFound)
	_, err := s.a.Annotations(s.ctx, nowhere, s.bob.ID)
	s.kind(err, store.NotFound)
}

func annotationsGo(s *suite) {
	work, in := s.a.create(s.alice, "Work").ID, s.a.inbox(s.alice)
	carol := s.account("carol@a.test").ID
	s.a.annotate(work, 0, "/comment", "work")
	s.a.annotate(work, carol, "/comment", "carol's")
	s.a.annotate(in, s.alice.ID, "/comment", "the inbox")
	s.a.annotate(store.MailboxID{}, carol, "/comment", "carol's")
	s.ok(s.a.Rename(s.ctx, s.alice.ID, "Work", "Job"))
	s.equal("renamed", s.a.notes(work, carol), "shared/comment=work private/comment=carol's")
	s.ok(s.a.Rename(s.ctx, s.alice.ID, "INBOX", "Saved")) // RFC 5464 §4.1
	s.equal("what was INBOX", s.a.notes(s.a.box(s.alice, "Saved").ID, s.alice.ID), "private/comment=the inbox")
	s.equal("INBOX", s.a.notes(in, s.alice.ID), "private/comment=the inbox")
	s.ok(s.a.RemoveAccount(s.ctx, carol))
	s.equal("without carol", s.a.notes(work, carol), "shared/comment=work")
	s.ok(s.a.Delete(s.ctx, s.alice.ID, "Job"))
	s.equal("named as before", s.a.notes(s.a.create(s.alice, "Job").ID, 0), "")
	s.ok(s.a.RemoveAccount(s.ctx, s.alice.ID))
}

func annotationLimits(s *suite) {
	in := s.a.inbox(s.alice)
	large := bytes.Repeat([]byte("x"), store.MaxAnnotation)
	s.ok(s.a.Annotate(s.ctx, in, []store.Annotation{{Name: "/large", Value: large}}))
	s.kind(s.a.Annotate(s.ctx, in, []store.Annotation{{Name: "/other", Value: []byte("x")}, {Name: "/large", Value: append(large, 'x')}}), store.TooBig)
	var many []store.Annotation
	for i := range store.MaxAnnotations - 1 {
		many = append(many, store.Annotation{Name: fmt.Sprint("/n/", i), Value: []byte("x")})
	}
	s.ok(s.a.Annotate(s.ctx, in, many))
	more := []store.Annotation{{Name: "/n/0", Value: []byte("changed")}, {Name: "/more", Value: []byte("x")}}
	s.kind(s.b.Annotate(s.ctx, in, more), store.Quota)
	list, err := s.b.Annotations(s.ctx, in, s.alice.ID)
	s.ok(err)
	s.equal("annotations", len(list), store.MaxAnnotations)
	s.equal("one of them", string(list[1].Value), "x")
	s.ok(s.b.Annotate(s.ctx, in, more[:1]))
	s.a.annotate(in, s.alice.ID, "/more", "a limit of its own")
	s.ok(s.b.Annotate(s.ctx, in, []store.Annotation{{Name: "/large"}, more[1]}))

	box := s.a.create(s.alice, "Work").ID
	for i := range store.MaxAnnotationBytes/store.MaxAnnotation - 1 {
		s.ok(s.a.Annotate(s.ctx, box, []store.Annotation{{Who: s.alice.ID, Name: fmt.Sprint("/n/", i), Value: large}}))
	}
	fill := []store.Annotation{{Who: s.alice.ID, Name: "/over", Value: large}}
	s.kind(s.b.Annotate(s.ctx, s.a.create(s.alice, "Play").ID, fill), store.Quota)
	fill[0].Who = s.bob.ID // what one notes does not take from another
	s.ok(s.b.Annotate(s.ctx, box, fill))
}

func specialUses(s *suite) {
	s.kind(s.a.SetUse(s.ctx, s.alice.ID, "INBOX", store.UseTrash), store.Exists)
	s.ok(s.a.SetUse(s.ctx, s.alice.ID, "Trash", store.UseNone))
	s.ok(s.b.SetUse(s.ctx, s.alice.ID, "INBOX", store.UseTrash))
	s.ok(s.b.SetUse(s.ctx, s.alice.ID, "inbox", store.UseTrash))
	s.equal("use", s.a.box(s.alice, "INBOX").Use, store.UseTrash)
	s.ok(s.b.SetUse(s.ctx, s.alice.ID, "Trash", store.UseNone))
	s.kind(s.a.SetUse(s.ctx, s.alice.ID, "None", store.UseTrash), store.NotFound)
}

func sharingFeed(s *suite) {
	work := s.a.create(s.alice, "Work").ID
	sub := s.a.Feed().Subscribe(100, nil)
	defer sub.Close()
	s.a.grant(work, s.bob.ID, false, store.FlagsSet, "lr")
	s.a.grant(work, s.bob.ID, false, store.FlagsSet, "lr")
	s.a.annotate(work, s.bob.ID, "/comment", "x")
	s.a.annotate(work, s.bob.ID, "/comment", "x")
	s.a.annotate(store.MailboxID{}, 0, "/comment", "x")
	s.ok(s.a.SetUse(s.ctx, s.alice.ID, "Trash", store.UseNone))
	s.ok(s.a.Delete(s.ctx, s.alice.ID, "Work"))
	var got []string
	for len(got) == 0 || !strings.HasPrefix(got[len(got)-1], "4") {
		c := <-sub.C()
		kind := map[store.ChangeKind]int{store.RightsChanged: 1, store.Annotated: 2, store.MailboxChanged: 3, store.MailboxDeleted: 4}[c.Kind]
		got = append(got, fmt.Sprintf("%d of %v, by %d, %s", kind, c.Mailbox.Account, c.Who, c.Name))
	}
	s.equal("announced", strings.Join(got, "; "), fmt.Sprintf("1 of %[1]d, by %[2]d, ; 2 of %[1]d, by %[2]d, /comment; 2 of 0, by 0, /comment; 2 of %[1]d, by %[1]d, /specialuse; 4 of %[1]d, by 0, Work",
		s.alice.ID, s.bob.ID))
}

func newMessage(text string, f store.Flags) store.NewMessage {
	return store.NewMessage{Body: body(text), Flags: f, Received: time.Unix(1e9, 0)}
}

func appendSeveral(s *suite) {
	box := s.a.box(s.alice, "Drafts")
	large := letter("large") + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 20_000)
	add := func(op store.OpID, texts ...string) ([]store.Filed, error) {
		var msgs []store.NewMessage
		for i, text := range texts {
			msgs = append(msgs, newMessage(text, store.Flags{System: store.System(i) & store.Seen}))
		}
		return s.a.AppendAll(s.ctx, op, box.ID, msgs)
	}
	filed, err := add("several", letter("one"), large, letter("three"))
	s.ok(err)
	s.equal("filed", filed, []store.Filed{{Mailbox: box.ID, UIDValidity: box.UIDValidity, UID: 1},
		{Mailbox: box.ID, UIDValidity: box.UIDValidity, UID: 2}, {Mailbox: box.ID, UIDValidity: box.UIDValidity, UID: 3}})
	again, err := add("several", letter("one"), large, letter("three"))
	s.ok(err)
	s.equal("again", again, filed)
	s.equal("texts", s.b.texts(box.ID), []string{letter("one"), large, letter("three")})
	now := s.b.box(s.alice, "Drafts")
	if now.Total != 3 || now.Unseen != 2 || now.UIDNext != 4 {
		s.Errorf("mailbox %+v", now)
	}
	size := s.a.again(s.alice).Bytes
	s.ok(s.a.SetQuota(s.ctx, s.alice.ID, size+int64(len(letter("four"))), 0))
	_, err = add("full", letter("four"), letter("five"))
	s.kind(err, store.Quota)
	_, err = add("", letter("four"), large)
	s.kind(err, store.Quota)
	_, err = s.a.AppendAll(s.ctx, "", box.ID, []store.NewMessage{newMessage(letter("x"), store.Flags{}), {Body: brokenBody{size: 600000}}})
	s.kind(err, store.Internal)
	_, err = add("")
	s.kind(err, store.Invalid)
	s.equal("mailbox", s.b.box(s.alice, "Drafts"), now)
	_, err = add("full", letter("four"))
	s.ok(err) // what failed was not done
}

func replaceMessage(s *suite) {
	drafts, sent := s.a.box(s.alice, "Drafts"), s.a.box(s.alice, "Sent")
	uids := s.a.fill(drafts.ID, 3)
	r := &replica{}
	s.follow(s.b, r, drafts.ID)
	filed, err := s.b.Replace(s.ctx, "", drafts.ID, uids[1], drafts.ID, newMessage(letter("new"), store.Flags{System: store.Draft}))
	s.ok(err)
	s.equal("filed", filed, store.Filed{Mailbox: drafts.ID, UIDValidity: drafts.UIDValidity, UID: uids[2] + 1})
	s.follow(s.a, r, drafts.ID)
	s.equal("texts", s.a.texts(drafts.ID), []string{letter("number 0"), letter("number 2"), letter("new")})
	filed, err = s.a.Replace(s.ctx, "", drafts.ID, filed.UID, sent.ID, newMessage(letter("sent"), store.Flags{}))
	s.ok(err)
	s.equal("filed", filed.Mailbox, sent.ID)
	s.equal("texts", s.b.texts(sent.ID), []string{letter("sent")})
	other := s.b.box(s.bob, "Archive")
	_, err = s.a.Replace(s.ctx, "", sent.ID, filed.UID, other.ID, newMessage(letter("bob's"), store.Flags{}))
	s.ok(err)
	s.equal("sent", s.a.box(s.alice, "Sent").Total, 0)
	s.equal("bob's messages", s.a.again(s.bob).Count, 1)
	_, err = s.a.Replace(s.ctx, "", drafts.ID, uids[1], drafts.ID, newMessage(letter("no"), store.Flags{}))
	s.kind(err, store.Expunged)
	for _, no := range []store.MailboxID{{Account: s.alice.ID, N: 999}, {Account: 1 << 40, N: 1}} {
		_, err = s.a.Replace(s.ctx, "", drafts.ID, uids[0], no, newMessage(letter("no"), store.Flags{}))
		s.kind(err, store.NotFound)
		_, err = s.a.Replace(s.ctx, "", no, uids[0], drafts.ID, newMessage(letter("no"), store.Flags{}))
		s.kind(err, store.NotFound)
	}
	_, err = s.a.Replace(s.ctx, "", drafts.ID, uids[0], drafts.ID, store.NewMessage{Body: brokenBody{size: 600000}})
	s.kind(err, store.Internal)
	s.equal("texts", s.a.texts(drafts.ID), []string{letter("number 0"), letter("number 2")})
}

// What goes makes room for what comes; what does not fit leaves all as it was.
func replaceFull(s *suite) {
	in := s.a.inbox(s.alice)
	uid := s.a.put(in, letter("number one"), store.Flags{})
	size := int64(len(letter("number one")))
	s.ok(s.a.SetQuota(s.ctx, s.alice.ID, size, 1))
	before := s.a.box(s.alice, "INBOX")
	_, err := s.a.Replace(s.ctx, "", in, uid, in, newMessage(letter("number three"), store.Flags{}))
	s.kind(err, store.Quota)
	s.equal("mailbox", s.b.box(s.alice, "INBOX"), before)
	_, err = s.a.Append(s.ctx, "", in, body("x"), store.Flags{}, time.Now()) // the writer has to know the old numbers again
	s.kind(err, store.Quota)
	_, err = s.a.Replace(s.ctx, "", in, uid, in, newMessage(letter("number two"), store.Flags{}))
	s.ok(err)
	s.equal("texts", s.b.texts(in), []string{letter("number two")})
}

func replaceOnce(s *suite) {
	in := s.a.inbox(s.alice)
	uid := s.a.put(in, letter("old"), store.Flags{})
	first, err := s.a.Replace(s.ctx, "r", in, uid, in, newMessage(letter("new"), store.Flags{}))
	s.ok(err)
	again, err := s.b.Replace(s.ctx, "r", in, uid, in, newMessage(letter("new"), store.Flags{}))
	s.ok(err)
	s.equal("again", again, first)
	s.equal("texts", s.a.texts(in), []string{letter("new")})
}

func quotaOfMessages(s *suite) {
	in, trash := s.a.inbox(s.alice), s.a.box(s.alice, "Trash").ID
	uids := s.a.fill(in, 2)
	s.ok(s.b.SetQuota(s.ctx, s.alice.ID, 0, 3))
	s.equal("quota", s.a.again(s.alice).QuotaCount, 3)
	s.a.fill(in, 1)
	_, err := s.a.Append(s.ctx, "", in, body("x"), store.Flags{}, time.Now())
	s.kind(err, store.Quota)
	_, err = s.a.Copy(s.ctx, "", in, store.UIDSetOf(uids[0]), trash, false)
	s.kind(err, store.Quota)
	_, err = s.a.Copy(s.ctx, "", in, store.UIDSetOf(uids[0]), trash, true)
	s.ok(err)
	s.kind(s.a.SetQuota(s.ctx, s.alice.ID, 0, -1), store.Invalid)
	s.ok(s.a.SetQuota(s.ctx, s.alice.ID, 0, 0))
	s.a.fill(in, 1)
}

func copyAcross(s *suite) {
	from, to := s.a.inbox(s.alice), s.a.box(s.bob, "Archive").ID
	uids := s.a.fill(from, 3)
	s.ok(s.a.SetQuota(s.ctx, s.bob.ID, 0, 2))
	_, err := s.a.Copy(s.ctx, "", from, store.AllUIDs(), to, true)
	s.kind(err, store.Quota)
	got, err := s.b.Copy(s.ctx, "", from, store.UIDSetOf(uids[0]), to, false)
	s.ok(err)
	s.equal("copied", got.Source, uids[:1])
	_, err = s.b.Copy(s.ctx, "", from, store.UIDSetOf(uids[2]), to, true)
	s.ok(err)
	s.equal("alice's", s.a.texts(from), []string{letter("number 0"), letter("number 1")})
	s.equal("bob's", s.a.texts(to), []string{letter("number 0"), letter("number 2")})
	s.equal("one message in two accounts", s.a.row(to, 1).EmailID, s.a.row(from, uids[0]).EmailID)
	s.equal("counts", fmt.Sprint(s.a.again(s.alice).Count, s.a.again(s.bob).Count), "2 2")
}

func flagsThatStay(s *suite) {
	in := s.a.inbox(s.alice)
	uid := s.a.put(in, letter("x"), store.Flags{System: store.Seen | store.Deleted, Keywords: "old"})
	set := func(keep store.FlagMask, mode store.FlagMode, system store.System, keywords string) string {
		s.Helper()
		_, err := s.a.SetFlags(s.ctx, in, store.UIDSetOf(uid), store.FlagChange{Mode: mode, Flags: store.Flags{System: system, Keywords: keywords}, Keep: keep}, store.Unconditional)
		s.ok(err)
		f := s.b.row(in, uid).Flags
		return fmt.Sprint(f.System, " ", f.Keywords)
	}
	s.equal("all but \\Deleted and keywords", set(store.FlagMask{System: store.Deleted, Keywords: true}, store.FlagsSet, store.Flagged, "new"),
		fmt.Sprint(store.Deleted|store.Flagged, " old"))
	s.equal("only keywords", set(store.FlagMask{System: 0xff}, store.FlagsSet, store.Seen, "new"), fmt.Sprint(store.Deleted|store.Flagged, " new"))
	s.equal("not \\Flagged", set(store.FlagMask{System: store.Flagged}, store.FlagsRemove, store.Flagged|store.Deleted, ""), fmt.Sprint(store.Flagged, " new"))
	s.equal("not \\Seen", set(store.FlagMask{System: store.Seen, Keywords: true}, store.FlagsAdd, store.Seen|store.Draft, "x"), fmt.Sprint(store.Flagged|store.Draft, " new"))
	before := s.a.row(in, uid).ModSeq
	set(store.FlagMask{System: store.Seen}, store.FlagsAdd, store.Seen, "")
	s.equal("changed by nothing", s.a.row(in, uid).ModSeq, before)
}

func copyWithout(s *suite) {
	in, to := s.a.inbox(s.alice), s.a.box(s.bob, "Archive").ID
	all := store.Flags{System: store.Seen | store.Deleted | store.Flagged, Keywords: "work"}
	for range 2 {
		s.a.put(in, letter("x"), all)
	}
	_, err := s.a.CopyWithout(s.ctx, "", in, store.UIDSetOf(1), to, false, store.FlagMask{System: store.Deleted, Keywords: true})
	s.ok(err)
	_, err = s.b.CopyWithout(s.ctx, "", in, store.UIDSetOf(2), to, true, store.FlagMask{System: store.Seen})
	s.ok(err)
	s.equal("copied", s.b.row(to, 1).Flags, store.Flags{System: store.Seen | store.Flagged})
	s.equal("moved", s.b.row(to, 2).Flags, store.Flags{System: store.Deleted | store.Flagged, Keywords: "work"})
	s.equal("left", s.b.row(in, 1).Flags, all)
	m := s.a.box(s.bob, "Archive")
	s.equal("counted", fmt.Sprint(m.Total, m.Unseen, m.Deleted), "2 1 1")
}
