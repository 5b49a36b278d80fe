package storetest

import (
	"fmt"
	"strings"
	"time"

	"postrider/mail"
	"postrider/store"
)

func acceptCases() []testCase {
	return []testCase{
		{"accept for several", acceptSeveral},
		{"accept all or nothing", acceptAllOrNothing},
		{"accept once for an op", acceptOnce},
		{"accept into a mailbox", acceptMailbox},
		{"accept what makes no sense", acceptInvalid},
		{"quota at the edge", quotaEdge},
	}
}

func body(text string) store.Body { return strings.NewReader(text) }

// id is the nth message id.
func id(n int) mail.ID { return mail.ID(fmt.Sprintf("%016d", n)) }

// later is when outgoing messages of the suite expire.
func later() time.Time { return time.Now().Add(120 * time.Hour).Truncate(time.Microsecond) }

// to makes an outgoing row for recipients.
func (s *suite) to(rcpts ...string) store.NewOutgoing {
	s.Helper()
	out := store.NewOutgoing{Account: s.alice.ID, Expires: later(), Due: time.Now(),
		Envelope: mail.Envelope{From: s.alice.Address}}
	for _, r := range rcpts {
		out.Envelope.Rcpts = append(out.Envelope.Rcpts, mail.Recipient{Addr: s.address(r)})
	}
	return out
}

func acceptSeveral(s *suite) {
	text := letter("to several")
	at := time.Unix(1.7e9, 123456000).UTC()
	seen := store.Flags{System: store.Seen, Keywords: "$Junk work"}
	done, err := s.a.Accept(s.ctx, &store.Acceptance{ID: id(1), Body: body(text),
		Local: []store.LocalRcpt{
			{Account: s.bob.ID, Mailbox: "INBOX", Prefix: []byte("Return-Path: <alice@a.test>\r\n"), Received: at},
			{Account: s.alice.ID, Mailbox: "Junk", Flags: seen, Received: at},
			{Account: s.bob.ID, Mailbox: "Archive", Received: at},
		},
		Outgoing: []store.NewOutgoing{s.to("x@b.test"), s.to("y@b.test", "z@c.test")},
	})
	s.ok(err)
	if len(done.Filed) != 3 || len(done.Out) != 2 || done.Out[0] == done.Out[1] || done.Again {
		s.Fatalf("accepted as %+v", done)
	}
	for i, want := range []struct {
		box  store.Mailbox
		text string
		f    store.Flags
	}{
		{s.b.box(s.bob, "INBOX"), "Return-Path: <alice@a.test>\r\n" + text, store.Flags{}},
		{s.b.box(s.alice, "Junk"), text, seen},
		{s.b.box(s.bob, "Archive"), text, store.Flags{}},
	} {
		f := done.Filed[i]
		s.equal("filed", f, store.Filed{Mailbox: want.box.ID, UIDValidity: want.box.UIDValidity, UID: want.box.UIDNext - 1})
		s.equal("text", s.b.text(f.Mailbox, f.UID), want.text)
		r := s.b.row(f.Mailbox, f.UID)
		if r.Size != int64(len(want.text)) || r.Flags != want.f || !r.Received.Equal(at) || r.Saved.IsZero() ||
			r.EmailID == 0 || r.ThreadID == 0 || r.ModSeq != want.box.ModSeq {
			s.Errorf("row %+v", r)
		}
	}
	s.equal("bob's bytes", s.a.again(s.bob).Bytes, 2*len(text)+len("Return-Path: <alice@a.test>\r\n"))
	s.equal("bob's messages", s.a.again(s.bob).Count, 2)
	out, err := s.b.Outgoing(s.ctx, store.OutFilter{})
	s.ok(err)
	if len(out) != 2 || len(out[0].Rcpts) != 1 || len(out[1].Rcpts) != 2 || out[0].Message != id(1) {
		s.Errorf("outgoing: %+v", out)
	}
}

// nothing wants both accounts, and the queue, to be empty.
func (s *suite) nothing(what string) {
	s.Helper()
	for _, a := range []store.Account{s.alice, s.bob} {
		if now := s.b.again(a); now.Count != 0 || now.Bytes != 0 {
			s.Errorf("%s: account %d has %d messages", what, a.ID, now.Count)
		}
		s.equal(what+": messages", len(s.b.rows(s.b.inbox(a))), 0)
	}
	out, err := s.b.Outgoing(s.ctx, store.OutFilter{})
	s.ok(err)
	s.equal(what+": outgoing", len(out), 0)
}

func acceptAllOrNothing(s *suite) {
	text := letter("all or nothing")
	both := &store.Acceptance{Op: "op", ID: id(1), Body: body(text),
		Local:    []store.LocalRcpt{{Account: s.alice.ID}, {Account: s.bob.ID}},
		Outgoing: []store.NewOutgoing{s.to("x@b.test")}}
	s.ok(s.a.SetQuota(s.ctx, s.bob.ID, 10, 0))
	_, err := s.a.Accept(s.ctx, both)
	s.kind(err, store.Quota)
	s.nothing("one is over quota")

	gone := *both
	gone.Local = []store.LocalRcpt{{Account: s.alice.ID}, {Account: 1 << 40}}
	_, err = s.a.Accept(s.ctx, &gone)
	s.kind(err, store.NotFound)
	s.nothing("one is gone")

	broken := *both
	broken.Body = brokenBody{size: 100000}
	_, err = s.a.Accept(s.ctx, &broken)
	s.kind(err, store.Internal)
	s.nothing("the body cannot be read")

	s.ok(s.a.SetQuota(s.ctx, s.bob.ID, 0, 0))
	done, err := s.b.Accept(s.ctx, both) // what failed did not use up its op
	s.ok(err)
	if len(done.Filed) != 2 || done.Again {
		s.Errorf("accepted as %+v", done)
	}
}

// brokenBody fails in its middle, as a spool file on a bad disk.
type brokenBody struct{ size int64 }

func (b brokenBody) Size() int64 { return b.size }

func (b brokenBody) ReadAt(p []byte, off int64) (int, error) {
	n := min(int64(len(p)), max(0, b.size/2-off))
	for i := range p[:n] {
		p[i] = 'x'
	}
	if int(n) < len(p) {
		return int(n), fmt.Errorf("bad sector")
	}
	return int(n), nil
}

func acceptOnce(s *suite) {
	m := &store.Acceptance{Op: "client-1", ID: id(1), Body: body(letter("once")),
		Local: []store.LocalRcpt{{Account: s.alice.ID}}, Outgoing: []store.NewOutgoing{s.to("x@b.test")}}
	first, err := s.a.Accept(s.ctx, m)
	s.ok(err)
	if first.Again {
		s.Error("the first time is not again")
	}
	for _, h := range []handle{s.a, s.b} {
		second, err := h.Accept(s.ctx, m)
		s.ok(err)
		if !second.Again {
			s.Error("done again")
		}
		second.Again = false
		s.equal("accepted again", second, first)
	}
	other := *m
	other.Op = "client-2"
	third, err := s.b.Accept(s.ctx, &other)
	s.ok(err)
	if third.Again || third.Filed[0].UID <= first.Filed[0].UID {
		s.Errorf("another op: %+v after %+v", third, first)
	}
	other.Op = ""
	for range 2 {
		_, err = s.a.Accept(s.ctx, &other)
		s.ok(err)
	}
	s.equal("messages", len(s.a.rows(s.a.inbox(s.alice))), 4)
	out, err := s.a.Outgoing(s.ctx, store.OutFilter{})
	s.ok(err)
	s.equal("outgoing", len(out), 4)
	s.reopen()
	again, err := s.a.Accept(s.ctx, m)
	s.ok(err)
	if !again.Again || again.Filed[0] != first.Filed[0] {
		s.Errorf("after opening anew: %+v", again)
	}
}

func acceptMailbox(s *suite) {
	work := s.a.create(s.alice, "Lists/Übung")
	done, err := s.a.Accept(s.ctx, &store.Acceptance{ID: id(1), Body: body(letter("sorted")), Local: []store.LocalRcpt{
		{Account: s.alice.ID, Mailbox: "Lists/U\u0308bung"},
		{Account: s.alice.ID, Mailbox: "inbox"},
		{Account: s.alice.ID, Mailbox: "Not/There"},
		{Account: s.alice.ID},
	}})
	s.ok(err)
	in := s.a.inbox(s.alice)
	for i, want := range []store.MailboxID{work.ID, in, in, in} {
		s.equal(fmt.Sprint("mailbox of recipient ", i), done.Filed[i].Mailbox, want)
	}
	s.equal("messages in INBOX", len(s.a.rows(in)), 3)
}

func acceptInvalid(s *suite) {
	text := letter("nonsense")
	for what, m := range map[string]store.Acceptance{
		"nobody":                {},
		"a cut beyond the end":  {Local: []store.LocalRcpt{{Account: s.alice.ID}}, Cut: []store.Range{{From: 0, To: 1000}}},
		"cuts out of order":     {Local: []store.LocalRcpt{{Account: s.alice.ID}}, Cut: []store.Range{{From: 9, To: 10}, {From: 1, To: 2}}},
		"a cut before the body": {Local: []store.LocalRcpt{{Account: s.alice.ID}}, Cut: []store.Range{{From: -2, To: 2}}},
		"outgoing to nobody":    {Outgoing: []store.NewOutgoing{s.to()}},
		"a cut that goes back":  {Local: []store.LocalRcpt{{Account: s.alice.ID}}, Cut: []store.Range{{From: 9, To: 8}}},
	} {
		m.ID, m.Body = id(1), body(text)
		if _, err := s.a.Accept(s.ctx, &m); store.KindOf(err) != store.Invalid {
			s.Errorf("%s: %v", what, err)
		}
	}
	s.nothing("nonsense")
}

func quotaEdge(s *suite) {
	text := letter("quota")
	size := int64(len(text))
	in, archive := s.a.inbox(s.alice), s.a.box(s.alice, "Archive").ID
	s.ok(s.a.SetQuota(s.ctx, s.alice.ID, 2*size, 0))
	first := s.a.put(in, text, store.Flags{})
	_, err := s.b.Append(s.ctx, "", in, body(text+"x"), store.Flags{}, time.Now())
	s.kind(err, store.Quota)
	second := s.b.put(in, text, store.Flags{}) // to the last byte
	_, err = s.a.Append(s.ctx, "", in, body("x"), store.Flags{}, time.Now())
	s.kind(err, store.Quota)
	_, err = s.a.Copy(s.ctx, "", in, store.UIDSetOf(first), archive, false)
	s.kind(err, store.Quota)
	_, err = s.a.Accept(s.ctx, &store.Acceptance{ID: id(1), Body: body("x"), Local: []store.LocalRcpt{{Account: s.alice.ID}}})
	s.kind(err, store.Quota)
	s.equal("messages", s.a.again(s.alice).Count, 2)
	moved, err := s.a.Copy(s.ctx, "", in, store.UIDSetOf(first), archive, true) // takes no room
	s.ok(err)
	s.equal("moved", len(moved.Dest), 1)
	s.a.expunge(in, second)
	_, err = s.a.Copy(s.ctx, "", archive, store.AllUIDs(), in, false)
	s.ok(err)
	s.ok(s.a.SetQuota(s.ctx, s.alice.ID, 1, 0)) // what is there stays
	s.equal("messages", s.a.again(s.alice).Count, 2)
	_, err = s.a.Append(s.ctx, "", in, body("x"), store.Flags{}, time.Now())
	s.kind(err, store.Quota)
	_, err = s.a.SetFlags(s.ctx, in, store.AllUIDs(), store.FlagChange{Mode: store.FlagsAdd,
		Flags: store.Flags{System: store.Deleted}}, store.Unconditional)
	s.ok(err)
	moved, err = s.a.Copy(s.ctx, "", in, store.AllUIDs(), archive, true)
	s.ok(err)
	s.equal("moved over quota", len(moved.Dest), 1)
}
