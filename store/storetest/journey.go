package storetest

import (
	"encoding/json"
	"fmt"
	"time"

	"postrider/mail"
	"postrider/store"
)

func journeyCases() []testCase {
	return []testCase{
		{"journey of a message that is filed", journeyFiled},
		{"journey through the queue", journeyQueued},
		{"what is under way", underWay},
		{"journeys are found", journeysFound},
		{"journey of a message that was refused", journeyRefused},
		{"first reading", journeyFetched},
	}
}

// events are a journey's, as "kind data" without what differs from run to run.
func (s *suite) events(id mail.ID) []string {
	s.Helper()
	j, err := s.b.Journey(s.ctx, id)
	s.ok(err)
	var list []string
	for _, ev := range j.Events {
		var d map[string]any
		s.ok(json.Unmarshal(ev.Data, &d))
		for _, k := range []string{"uidvalidity", "box", "out", "rcpts"} {
			delete(d, k)
		}
		text, _ := json.Marshal(d)
		list = append(list, string(ev.Kind)+" "+string(text))
	}
	return list
}

// arrived is an acceptance under an id that is made now.
func (s *suite) arrived(text string) *store.Acceptance {
	now := time.Now()
	return &store.Acceptance{ID: mail.NewID(now), Body: body(text), Events: []store.Event{
		store.NewEvent(store.EventReceived, now, map[string]string{"from": "x@c.test"})}}
}

func journeyFiled(s *suite) {
	a := s.arrived(letter("filed"))
	a.Local = []store.LocalRcpt{
		{Account: s.alice.ID, Mailbox: "No such", To: []mail.Address{s.address("list@a.test"), s.address(`"a\"b"@a.test`)}},
		{Account: s.bob.ID, Mailbox: store.Inbox}}
	done, err := s.a.Accept(s.ctx, a)
	s.ok(err)
	want := []string{
		`received {"from":"x@c.test"}`,
		`filed {"account":1,"mailbox":"INBOX","to":["list@a.test","\"a\\\"b\"@a.test"],"uid":1}`,
		`filed {"account":2,"mailbox":"INBOX","uid":1}`}
	s.equal("journey", s.events(a.ID), want)
	_, err = s.a.Expunge(s.ctx, done.Filed[1].Mailbox, store.AllUIDs(), false)
	s.ok(err)
	s.equal("after expunge", s.events(a.ID), append(want, `expunged {"account":2,"mailbox":"INBOX","uid":1}`))
	j, err := s.a.Journey(s.ctx, a.ID)
	s.ok(err)
	if at := j.Events[3].At; time.Since(at).Abs() > time.Hour {
		s.Errorf("expunged at %v", at)
	}
	_, err = s.a.Journey(s.ctx, mail.NewID(time.Now()))
	s.kind(err, store.NotFound)

	// A message that is not taken in leaves nothing.
	no := s.arrived(letter("no"))
	no.Local = []store.LocalRcpt{{Account: 99, Mailbox: store.Inbox}}
	_, err = s.a.Accept(s.ctx, no)
	s.kind(err, store.NotFound)
	_, err = s.a.Journey(s.ctx, no.ID)
	s.kind(err, store.NotFound)

	// What was done before is not told again.
	again := s.arrived(letter("again"))
	again.Op, again.Local = "again", []store.LocalRcpt{{Account: s.bob.ID, Mailbox: store.Inbox}}
	for range 2 {
		_, err = s.a.Accept(s.ctx, again)
		s.ok(err)
	}
	s.equal("done twice", len(s.events(again.ID)), 2)
}

func journeyQueued(s *suite) {
	a := s.arrived(letter("queued"))
	out := s.to("1@b.test", "2@b.test")
	out.Via = []string{"1@b.test", "alias@a.test"}
	a.Outgoing = []store.NewOutgoing{out}
	_, err := s.a.Accept(s.ctx, a)
	s.ok(err)
	now := time.Now().Add(time.Minute)
	l := s.a.lease("b.test", now)
	rs := l.Rcpts
	event := func(kind store.EventKind, n int) []store.Event {
		return []store.Event{store.NewEvent(kind, now, map[string]any{"n": 1, "rcpts": []store.RcptID{rs[n].ID}})}
	}
	s.ok(s.a.Finish(s.ctx, []store.RcptOutcome{
		{ID: rs[0].ID, Fence: rs[0].Fence, Done: true, Events: append(event(store.EventAttempt, 0), event(store.EventDelivered, 0)...)},
		{ID: rs[1].ID, Fence: rs[1].Fence, Due: now, Events: event(store.EventDeferred, 1)}}))
	s.kind(s.a.Finish(s.ctx, []store.RcptOutcome{{ID: rs[0].ID, Fence: rs[0].Fence, Done: true, Events: event(store.EventBounced, 0)}}), store.Expunged)
	l = s.b.lease("b.test", now)
	s.ok(s.b.Finish(s.ctx, []store.RcptOutcome{{ID: rs[1].ID, Fence: l.Rcpts[0].Fence, Done: true, Events: event(store.EventBounced, 1)}}))
	got := s.events(a.ID)
	s.equal("events", got, []string{`received {"from":"x@c.test"}`, `queued {"account":1,"from":"` + out.Envelope.From.String() + `"}`,
		`attempt {"n":1}`, `delivered {"n":1}`, `deferred {"n":1}`, `bounced {"n":1}`})
	ids, err := s.a.FindJourneys(s.ctx, store.JourneyQuery{Queue: int64(rs[1].ID)})
	s.ok(err)
	s.equal("found after it has left", ids, []mail.ID{a.ID})
}

// underWay: the end of a lease is not when the next attempt is, and what waits
// for a destination that does not answer says so.
func underWay(s *suite) {
	now := time.Now()
	a := s.arrived(letter("under way"))
	a.Outgoing = []store.NewOutgoing{s.to("1@b.test", "2@c.test", "3@d.test")}
	_, err := s.a.Accept(s.ctx, a)
	s.ok(err)
	s.a.lease("b.test", now.Add(time.Second))
	s.ok(s.a.CloseDest(s.ctx, "c.test", now.Add(time.Hour), 1))
	list, err := s.b.Outgoing(s.ctx, store.OutFilter{})
	s.ok(err)
	var got []string
	for _, m := range list {
		for _, r := range m.Rcpts {
			got = append(got, fmt.Sprint(r.Dest, " leased ", r.Leased, " closed ", r.Closed))
		}
	}
	s.equal("list", got, []string{"b.test leased true closed false", "c.test leased false closed true", "d.test leased false closed false"})
	j, err := s.b.Journey(s.ctx, a.ID)
	s.ok(err)
	got = nil
	for _, ev := range j.Events {
		if ev.Kind == store.EventWaiting {
			var w store.Waiting
			s.ok(json.Unmarshal(ev.Data, &w))
			got = append(got, fmt.Sprint(w.To, " now ", w.Now, " next ", !w.Next.IsZero(), " dead ", w.Dead))
		}
	}
	s.equal("journey", got, []string{"[1@b.test] now true next false dead ", "[2@c.test] now false next true dead c.test", "[3@d.test] now false next true dead "})
}

func journeysFound(s *suite) {
	text := "Message-ID: <found@c.test>\r\nSubject: x\r\n\r\nx\r\n"
	one, two, other := s.arrived(text), s.arrived(text), s.arrived(letter("other"))
	for _, a := range []*store.Acceptance{one, two, other} {
		a.Outgoing = []store.NewOutgoing{s.to("1@b.test")}
		_, err := s.a.Accept(s.ctx, a)
		s.ok(err)
	}
	for _, q := range []string{"<found@c.test>", "found@c.test", " <found@c.test> "} {
		ids, err := s.b.FindJourneys(s.ctx, store.JourneyQuery{MessageID: q})
		s.ok(err)
		if len(ids) != 2 || ids[0] < ids[1] {
			s.Errorf("%q found %v", q, ids)
		}
	}
	ids, err := s.b.FindJourneys(s.ctx, store.JourneyQuery{MessageID: "<" + string(other.ID) + "@mail.a.test>"})
	s.ok(err)
	s.equal("a Message-ID of ours", ids, []mail.ID{other.ID})
	ids, err = s.b.FindJourneys(s.ctx, store.JourneyQuery{MessageID: "<nothing@c.test>"})
	s.ok(err)
	s.equal("unknown", len(ids), 0)
	list, err := s.a.Outgoing(s.ctx, store.OutFilter{})
	s.ok(err)
	for _, n := range []int64{int64(list[1].ID), int64(list[1].Rcpts[0].ID)} {
		ids, err = s.b.FindJourneys(s.ctx, store.JourneyQuery{Queue: n})
		s.ok(err)
		s.equal("by queue id", ids, []mail.ID{list[1].Message})
	}
	ids, err = s.b.FindJourneys(s.ctx, store.JourneyQuery{Queue: 12})
	s.ok(err)
	s.equal("unknown queue id", len(ids), 0)
}

func journeyRefused(s *suite) {
	now := time.Now()
	u := store.Untaken{ID: mail.NewID(now), MessageID: "<refused@c.test>", Events: []store.Event{
		store.NewEvent(store.EventRefused, now, &store.Refusal{Code: 550, Enhanced: "5.7.1", Text: "no\nand no"})}}
	s.ok(s.a.NoteUntaken(s.ctx, []store.Untaken{u, u}))
	s.equal("events", s.events(u.ID)[0], `refused {"code":550,"enhanced":"5.7.1","text":"no\nand no"}`)
	ids, err := s.b.FindJourneys(s.ctx, store.JourneyQuery{MessageID: "refused@c.test"})
	s.ok(err)
	if len(ids) == 0 || ids[0] != u.ID {
		s.Errorf("found %v", ids)
	}
}

func journeyFetched(s *suite) {
	a := s.arrived(letter("read"))
	a.Local = []store.LocalRcpt{{Account: s.alice.ID, Mailbox: store.Inbox}, {Account: s.bob.ID, Mailbox: store.Inbox}}
	done, err := s.a.Accept(s.ctx, a)
	s.ok(err)
	now := time.Now()
	f := store.Fetch{Mailbox: done.Filed[0].Mailbox, UIDs: store.UIDSetOf(done.Filed[0].UID), How: "imap", At: now}
	later, none := f, f
	later.How, later.At = "pop3", now.Add(time.Minute)
	none.UIDs = store.UIDSetOf(77)
	s.ok(s.a.NoteFetched(s.ctx, []store.Fetch{f, none}))
	s.ok(s.b.NoteFetched(s.ctx, []store.Fetch{later, f}))
	got := s.events(a.ID)
	s.equal("events", got[3:], []string{`fetched {"account":1,"how":"imap"}`})
}
