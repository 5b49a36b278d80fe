package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"postrider/mail"
	"postrider/store"
)

func messageCases() []testCase {
	return []testCase{
		{"append", appendMessages},
		{"append once for an op", appendOnce},
		{"fetch", fetchMessages},
		{"fetch while it changes", fetchWhileChanging},
		{"expunge", expungeMessages},
		{"a context that has ended", endedContext},
		{"threads", threads},
		{"shapes", shapes},
	}
}

func appendMessages(s *suite) {
	box := s.a.box(s.alice, "Drafts")
	at := time.Date(1999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -3600))
	f := store.Flags{System: store.Draft | store.Flagged | store.Deleted, Keywords: "$Forwarded Zebra"}
	text := letter("a draft")
	filed, err := s.a.Append(s.ctx, "", box.ID, body(text), f, at)
	s.ok(err)
	s.equal("filed", filed, store.Filed{Mailbox: box.ID, UIDValidity: box.UIDValidity, UID: box.UIDNext})
	r := s.b.row(box.ID, filed.UID)
	if r.Flags != f || !r.Received.Equal(at) || r.Size != int64(len(text)) || time.Since(r.Saved).Abs() > time.Hour {
		s.Errorf("row %+v", r)
	}
	now := s.b.box(s.alice, "Drafts")
	if now.Total != 1 || now.Unseen != 1 || now.Deleted != 1 || now.Bytes != r.Size || now.DeletedBytes != r.Size ||
		now.UIDNext != box.UIDNext+1 || now.ModSeq <= box.ModSeq || now.ModSeq != r.ModSeq {
		s.Errorf("mailbox %+v, was %+v", now, box)
	}
	s.equal("text", s.b.text(box.ID, filed.UID), text)
	next := s.b.put(box.ID, text, store.Flags{System: store.Seen})
	if next <= filed.UID {
		s.Errorf("UID %d after %d", next, filed.UID)
	}
	s.equal("unseen", s.a.box(s.alice, "Drafts").Unseen, 1)
	_, err = s.a.Append(s.ctx, "", store.MailboxID{Account: s.alice.ID, N: 999}, body(text), f, at)
	s.kind(err, store.NotFound)
	_, err = s.a.Append(s.ctx, "", store.MailboxID{Account: 1 << 40, N: 1}, body(text), f, at)
	s.kind(err, store.NotFound)
	_, err = s.a.Append(s.ctx, "", box.ID, brokenBody{size: 600000}, f, at)
	s.kind(err, store.Internal)
	s.equal("messages", len(s.a.rows(box.ID)), 2)
}

func appendOnce(s *suite) {
	in := s.a.inbox(s.alice)
	add := func(h handle, op store.OpID) store.Filed {
		s.Helper()
		f, err := h.Append(s.ctx, op, in, body(letter("once")), store.Flags{}, time.Now())
		s.ok(err)
		return f
	}
	first := add(s.a, "a")
	s.equal("again", add(s.a, "a"), first)
	s.equal("again, by another handle", add(s.b, "a"), first)
	if second := add(s.b, "b"); second == first {
		s.Error("another op gave the same message")
	}
	other, err := s.a.Append(s.ctx, "a", s.a.inbox(s.bob), body(letter("once")), store.Flags{}, time.Now())
	s.ok(err) // the ops of one account are not those of another
	s.equal("bob's mailbox", other.Mailbox, s.a.inbox(s.bob))
	s.equal("messages", len(s.a.rows(in)), 2)
}

func fetchMessages(s *suite) {
	in := s.a.inbox(s.alice)
	uids := s.a.fill(in, 5)
	s.a.expunge(in, uids[2])
	var got []store.UID
	err := s.b.Fetch(s.ctx, in, store.UIDSet{{Lo: uids[1], Hi: uids[3]}, {Lo: uids[4] + 1, Hi: store.MaxUID}}, 0,
		func(c *store.Content) error {
			got = append(got, c.UID)
			if c.Size == 0 || c.EmailID == 0 {
				s.Errorf("content %+v", c)
			}
			return nil
		})
	s.ok(err)
	s.equal("fetched", got, []store.UID{uids[1], uids[3]})
	got = nil
	err = s.b.Fetch(s.ctx, in, store.UIDSet{{Lo: uids[0], Hi: uids[0]}, {Lo: uids[2], Hi: uids[2]}, {Lo: uids[4], Hi: uids[4]}}, 0,
		func(c *store.Content) error {
			got = append(got, c.UID)
			return nil
		})
	s.ok(err)
	s.equal("fetched one by one", got, []store.UID{uids[0], uids[4]})
	err = s.b.Fetch(s.ctx, in, store.AllUIDs(), store.NeedMeta|store.NeedBody, func(c *store.Content) error {
		if c.Meta == nil || c.Meta.Size+int64(len(c.Prefix)) != c.Size || len(c.Meta.Envelope.Subject) == 0 {
			s.Errorf("meta of %d: %+v", c.UID, c.Meta)
		}
		whole(s, c)
		return nil
	})
	s.ok(err)
	stop := errors.New("the peer went away")
	n := 0
	err = s.b.Fetch(s.ctx, in, store.AllUIDs(), 0, func(*store.Content) error {
		n++
		return stop
	})
	if err != stop || n != 1 {
		s.Errorf("an error of the callback came back as %v after %d messages", err, n)
	}
	none := func(c *store.Content) error {
		s.Errorf("fetched %d", c.UID)
		return nil
	}
	s.ok(s.b.Fetch(s.ctx, in, nil, store.NeedBody, none))
	s.kind(s.b.Fetch(s.ctx, store.MailboxID{Account: s.alice.ID, N: 999}, store.AllUIDs(), store.NeedBody, none), store.NotFound)
}

// fetchWhileChanging writes from within a fetch: no transaction may be open
// there, and what is being read stays readable.
func fetchWhileChanging(s *suite) {
	in := s.a.inbox(s.alice)
	var want []string
	for i := range 3 {
		want = append(want, letter(fmt.Sprint("large ", i))+noise(400_000, uint64(i)))
		s.a.put(in, want[i], store.Flags{})
	}
	n := 0
	err := s.a.Fetch(s.ctx, in, store.AllUIDs(), store.NeedBody, func(c *store.Content) error {
		for _, h := range []handle{s.a, s.b} {
			h.put(in, letter("meanwhile"), store.Flags{})
		}
		s.b.expunge(in, c.UID)
		if whole(s, c) != want[n] {
			s.Errorf("message %d changed while it was read", c.UID)
		}
		if n++; n == 3 {
			return errors.New("enough")
		}
		return nil
	})
	if n != 3 || err == nil {
		s.Errorf("%d messages, %v", n, err)
	}
	s.equal("messages", len(s.a.rows(in)), 6)
}

func expungeMessages(s *suite) {
	box := s.a.create(s.alice, "Work")
	uids := s.a.fill(box.ID, 6)
	flagDeleted := store.FlagChange{Mode: store.FlagsAdd, Flags: store.Flags{System: store.Deleted}}
	_, err := s.a.SetFlags(s.ctx, box.ID, store.UIDSetOf(uids[1], uids[2], uids[4]), flagDeleted, store.Unconditional)
	s.ok(err)
	gone, err := s.b.Expunge(s.ctx, box.ID, store.UIDSet{{Lo: uids[2], Hi: store.MaxUID}}, true)
	s.ok(err)
	s.equal("expunged", gone, store.UIDSetOf(uids[2], uids[4]))
	s.equal("left", s.a.uids(box.ID), []store.UID{uids[0], uids[1], uids[3], uids[5]})
	before := s.a.changes(box.ID, 0).Mailbox.ModSeq
	gone, err = s.a.Expunge(s.ctx, box.ID, store.UIDSetOf(uids[2], uids[4]), false)
	s.ok(err)
	s.equal("expunged again", len(gone), 0)
	s.equal("ModSeq after nothing happened", s.b.changes(box.ID, 0).Mailbox.ModSeq, before)
	gone, err = s.a.Expunge(s.ctx, box.ID, store.AllUIDs(), false)
	s.ok(err)
	s.equal("all expunged", gone, store.UIDSetOf(uids[0], uids[1], uids[3], uids[5]))
	if u := s.b.put(box.ID, letter("next"), store.Flags{}); u <= uids[5] {
		s.Errorf("UID %d was given again", u)
	}
	now := s.a.again(s.alice)
	if now.Count != 1 || now.Bytes != int64(len(letter("next"))) {
		s.Errorf("account %+v", now)
	}
	_, err = s.a.Expunge(s.ctx, store.MailboxID{Account: s.alice.ID, N: 999}, store.AllUIDs(), false)
	s.kind(err, store.NotFound)
}

func endedContext(s *suite) {
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	in := s.a.inbox(s.alice)
	_, err := s.a.Append(ctx, "", in, body(letter("no")), store.Flags{}, time.Now())
	s.kind(err, store.Busy)
	_, err = s.a.Accept(ctx, &store.Acceptance{ID: id(1), Body: body(letter("no")), Local: []store.LocalRcpt{{Account: s.alice.ID}}})
	s.kind(err, store.Busy)
	_, err = s.a.Changes(ctx, in, 0)
	s.kind(err, store.Busy)
	s.nothing("a context that has ended")
}

func threads(s *suite) {
	in := s.a.inbox(s.alice)
	mail := func(id, refs string) string {
		return "Message-ID: <" + id + "@a.test>\r\nReferences: " + refs + "\r\nSubject: x\r\n\r\nx\r\n"
	}
	root := s.a.put(in, mail("1", ""), store.Flags{})
	reply := s.b.put(in, mail("2", "<1@a.test>"), store.Flags{})
	other := s.a.put(in, mail("3", ""), store.Flags{})
	thread := s.a.row(in, root).ThreadID
	if thread == 0 || s.a.row(in, reply).ThreadID != thread || s.a.row(in, other).ThreadID == thread {
		s.Errorf("threads %+v", s.a.rows(in))
	}
	if s.a.row(in, root).EmailID == s.a.row(in, reply).EmailID {
		s.Error("two messages have one email id")
	}
}

// shapes are known of what is served, whatever brought the message.
func shapes(s *suite) {
	in := s.a.inbox(s.alice)
	want := map[store.UID]store.Shape{}
	for _, c := range []struct {
		text  string
		shape store.Shape
	}{
		{letter("plain"), 0}, {"", 0}, {"\r\n", 0}, {"Subject: x\r\n\r\nü\r\n", 0},
		{"Subject: x\r\n\r\ntext", store.ShapeOpen}, {"x", store.ShapeOpen}, {"\n", store.ShapeOpen}, {"x\r\n\r", store.ShapeOpen},
		{"Subject: ü\r\n\r\ntext\r\n", store.ShapeHighHeader}, {"Subject: x\r\nX: \xff\r\n", store.ShapeHighHeader},
		{"Subject: ü", store.ShapeOpen | store.ShapeHighHeader},
	} {
		if uid := s.a.put(in, c.text, store.Flags{}); c.shape != 0 {
			want[uid] = c.shape
		}
	}
	uid := s.a.box(s.alice, store.Inbox).UIDNext
	for i, prefix := range []string{"X: ascii\r\n", "X: ü\r\n"} {
		// Only the cut hides that it is ASCII and ends well.
		_, err := s.a.Accept(s.ctx, &store.Acceptance{
			ID: mail.NewID(time.Now()), Body: body("X: ü\r\nY: z\r\n\r\ntext\r\nopen"), Cut: []store.Range{{From: 0, To: 7}, {From: 21, To: 25}},
			Local: []store.LocalRcpt{{Account: s.alice.ID, Mailbox: store.Inbox, Prefix: []byte(prefix), Received: time.Now()}},
		})
		s.ok(err)
		if i == 1 {
			want[uid+1] = store.ShapeHighHeader
		}
	}
	got, err := s.b.Shapes(s.ctx, in)
	s.ok(err)
	s.equal("shapes", got, want)
	box := s.a.create(s.alice, "copies")
	r := s.a.copied(in, box.ID, false, slices.Collect(maps.Keys(want))...)
	copies := map[store.UID]store.Shape{}
	for i, uid := range r.Source {
		copies[r.Dest[i]] = want[uid]
	}
	got, err = s.b.Shapes(s.ctx, box.ID)
	s.ok(err)
	s.equal("shapes of copies", got, copies)
	_, err = s.a.Shapes(s.ctx, store.MailboxID{Account: s.alice.ID, N: 999})
	s.kind(err, store.NotFound)
}
