package storetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"postrider/mail"
	"postrider/store"
)

func queueCases() []testCase {
	return []testCase{
		{"an outgoing message", outgoingMessage},
		{"destinations that are due", dueDests},
		{"lease in parts", leaseInParts},
		{"lease several", leaseSeveral},
		{"outcomes", outcomes},
		{"leases end", leasesEnd},
		{"fences", fences},
		{"leases of a crashed node", unlease},
		{"notices", notices},
		{"actions of an operator", actions},
		{"filters", filters},
		{"many that wait", manyWaiting},
		{"closing a destination", closing},
		{"addresses that are refused", suppression},
		{"limits of sending", sendLimits},
	}
}

const ttl = 10 * time.Minute

// send accepts one outgoing message, due at.
func (h handle) send(due time.Time, rcpts ...string) store.OutID {
	h.s.Helper()
	out := h.s.to(rcpts...)
	out.Due = due
	done, err := h.Accept(h.s.ctx, &store.Acceptance{ID: id(1), Body: body(letter("away")), Outgoing: []store.NewOutgoing{out}})
	h.s.ok(err)
	return done.Out[0]
}

func (h handle) lease(dest string, now time.Time) *store.Leased {
	h.s.Helper()
	l, err := h.Lease(h.s.ctx, "worker", dest, now, ttl, 100)
	h.s.ok(err)
	return l
}

// due returns the names of destinations with work, and when there is more.
func (h handle) due(now time.Time) ([]string, time.Time) {
	h.s.Helper()
	dests, next, err := h.DueDests(h.s.ctx, now, 100)
	h.s.ok(err)
	var names []string
	last := time.Time{}
	for _, d := range dests {
		names = append(names, d.Name)
		if d.Due.After(now) || d.Due.Before(last) {
			h.s.Errorf("at %v, destination %+v after one due %v", now, d, last)
		}
		last = d.Due
	}
	return names, next
}

// queued lists what a filter selects, as "address" or "address held".
func (h handle) queued(f store.OutFilter) []string {
	h.s.Helper()
	list, err := h.Outgoing(h.s.ctx, f)
	h.s.ok(err)
	var all []string
	for _, l := range list {
		for _, r := range l.Rcpts {
			text := r.Recipient.Addr.String()
			if r.State == store.RcptHeld {
				text += " held"
			}
			all = append(all, text)
		}
	}
	return all
}

// start is a time in whole microseconds for queue cases to count from.
func start() time.Time { return time.Now().Truncate(time.Microsecond).UTC() }

func outgoingMessage(s *suite) {
	now := start()
	env := mail.Envelope{From: s.address("alice+x@a.test"), Body: mail.Body8Bit, UTF8: true, RequireTLS: true,
		Ret: mail.RetHeaders, EnvID: "env id+1", Rcpts: []mail.Recipient{
			{Addr: s.address(`"x y"@Bücher.example`), Notify: mail.NotifyDelay | mail.NotifyFailure, ORcpt: "rfc822;o@b.test"},
			{Addr: mail.Address{Local: "lit", Domain: "[127.0.0.1]"}, Notify: mail.NotifyNever},
		}}
	text := letter("all fields")
	expires := now.Add(time.Hour)
	done, err := s.a.Accept(s.ctx, &store.Acceptance{ID: id(7), Body: body(text), Cut: []store.Range{{From: 0, To: 6}},
		Outgoing: []store.NewOutgoing{{Account: s.alice.ID, Envelope: env, Prefix: []byte("P: 1\r\n"), Expires: expires, Due: now}}})
	s.ok(err)
	dests, next := s.b.due(now)
	s.equal("due", dests, "[[127.0.0.1] xn--bcher-kva.example]")
	s.equal("next", next.IsZero(), true)
	l := s.b.lease("xn--bcher-kva.example", now)
	if l == nil || len(l.Rcpts) != 1 {
		s.Fatalf("leased %+v", l)
	}
	r := l.Rcpts[0]
	s.equal("recipient", r.Recipient, env.Rcpts[0])
	if r.Out != done.Out[0] || r.Tries != 0 || r.Last != "" || r.Delayed || !r.Due.Equal(now) || r.Fence == 0 || r.Dest != "xn--bcher-kva.example" {
		s.Errorf("recipient %+v", r)
	}
	env.Rcpts = nil
	s.equal("envelope", l.Envelope, env)
	served := "P: 1\r\n" + text[6:]
	if l.ID != done.Out[0] || l.Account != s.alice.ID || l.Message != id(7) || l.Size != int64(len(served)) ||
		!l.Expires.Equal(expires) || time.Since(l.Created).Abs() > time.Hour {
		s.Errorf("leased %+v", l.Outgoing)
	}
	s.equal("text", s.b.outText(l.ID), served)
	s.kind(s.a.FetchOutgoing(s.ctx, l.ID+1000, func(*store.Content) error { return nil }), store.NotFound)
	stop := fmt.Errorf("stop")
	if err := s.a.FetchOutgoing(s.ctx, l.ID, func(*store.Content) error { return stop }); err != stop {
		s.Errorf("an error of the callback came back as %v", err)
	}
}

func dueDests(s *suite) {
	now := start()
	dests, next := s.a.due(now)
	s.equal("due in an empty queue", len(dests), 0)
	s.equal("next in an empty queue", next.IsZero(), true)
	s.a.send(now.Add(-time.Minute), "1@c.test", "2@b.test")
	s.a.send(now.Add(-time.Hour), "3@b.test")
	s.a.send(now.Add(time.Hour), "4@d.test", "5@c.test")
	dests, next = s.b.due(now)
	s.equal("due", dests, "[b.test c.test]")
	s.equal("next", next, now.Add(time.Hour))
	few, _, err := s.b.DueDests(s.ctx, now, 1)
	s.ok(err)
	if len(few) != 1 || few[0].Name != "b.test" || !few[0].Due.Equal(now.Add(-time.Hour)) {
		s.Errorf("the first that is due: %+v", few)
	}
	s.equal("leased first", s.b.lease("b.test", now).Rcpts[0].Recipient.Addr, "3@b.test")
	s.equal("leased second", s.a.lease("b.test", now).Rcpts[0].Recipient.Addr, "2@b.test")
	if l := s.a.lease("b.test", now); l != nil {
		s.Errorf("leased twice: %+v", l)
	}
	if l := s.a.lease("d.test", now); l != nil {
		s.Errorf("leased before it is due: %+v", l)
	}
	dests, next = s.a.due(now)
	s.equal("due", dests, "[c.test]")
	s.equal("next is a lease's end", next, now.Add(ttl))
	dests, next = s.a.due(now.Add(time.Hour))
	s.equal("due later", dests, "[c.test b.test d.test]")
	s.equal("next later", next.IsZero(), true)
}

func leaseInParts(s *suite) {
	now := start()
	var rcpts []string
	for i := range 5 {
		rcpts = append(rcpts, fmt.Sprintf("r%d@b.test", i), fmt.Sprintf("r%d@c.test", i))
	}
	s.a.send(now, rcpts...)
	seen := map[store.RcptID]bool{}
	for _, want := range []int{2, 2, 1, 0} {
		l, err := s.b.Lease(s.ctx, "w", "b.test", now, ttl, 2)
		s.ok(err)
		if want == 0 {
			s.equal("leased", l == nil, true)
			break
		}
		s.equal("leased", len(l.Rcpts), want)
		for _, r := range l.Rcpts {
			if seen[r.ID] || r.Dest != "b.test" {
				s.Errorf("leased %+v", r)
			}
			seen[r.ID] = true
		}
	}
	dests, _ := s.a.due(now)
	s.equal("due", dests, "[c.test]")
}

// leaseSeveral leases messages that have been due the longest, at one
// destination alone.
func leaseSeveral(s *suite) {
	now := start()
	for i := range 6 {
		s.a.send(now.Add(-time.Duration(i)*time.Minute), fmt.Sprintf("r%d@b.test", i), fmt.Sprintf("r%d@c.test", i))
	}
	s.a.send(now.Add(time.Hour), "later@b.test")
	for _, want := range []string{"[r5@b.test r4@b.test r3@b.test r2@b.test]", "[r1@b.test r0@b.test]", "[]"} {
		ls, err := s.b.LeaseSeveral(s.ctx, "w", "b.test", now, ttl, 10, 4)
		s.ok(err)
		got := []string{}
		for _, l := range ls {
			for _, r := range l.Rcpts {
				got = append(got, r.Recipient.Addr.String())
			}
		}
		s.equal("leased", got, want)
	}
	dests, next := s.a.due(now)
	s.equal("due", dests, "[c.test]")
	s.equal("next", next, now.Add(ttl)) // when the leases end
}

func outcomes(s *suite) {
	now := start()
	s.a.send(now, "1@b.test", "2@b.test", "3@b.test")
	l := s.a.lease("b.test", now)
	due := now.Add(5 * time.Minute)
	s.ok(s.b.Finish(s.ctx, []store.RcptOutcome{
		{ID: l.Rcpts[0].ID, Fence: l.Rcpts[0].Fence, Done: true, Attempt: true},
		{ID: l.Rcpts[1].ID, Fence: l.Rcpts[1].Fence, Due: due, Last: "451 4.7.1 later", Attempt: true, Delayed: true},
		{ID: l.Rcpts[2].ID, Fence: l.Rcpts[2].Fence, Due: due.Add(time.Minute), Last: "no connection"},
	}))
	s.equal("queued", s.a.queued(store.OutFilter{}), "[2@b.test 3@b.test]")
	dests, next := s.a.due(now)
	s.equal("due", len(dests), 0)
	s.equal("next", next, due)
	l = s.b.lease("b.test", due)
	if len(l.Rcpts) != 1 {
		s.Fatalf("leased %+v", l)
	}
	r := l.Rcpts[0]
	if r.Tries != 1 || r.Last != "451 4.7.1 later" || !r.Delayed || !r.Due.Equal(due) || time.Since(r.LastAt).Abs() > time.Hour {
		s.Errorf("leased again: %+v", r)
	}
	s.ok(s.a.Finish(s.ctx, []store.RcptOutcome{{ID: r.ID, Fence: r.Fence, Due: due.Add(2 * time.Minute), Attempt: true, Last: "x"}}))
	l = s.a.lease("b.test", due.Add(time.Hour))
	if len(l.Rcpts) != 2 || l.Rcpts[0].Tries != 0 || l.Rcpts[1].Tries != 2 || !l.Rcpts[1].Delayed {
		s.Fatalf("leased the rest: %+v", l)
	}
	var done []store.RcptOutcome
	for _, r := range l.Rcpts {
		done = append(done, store.RcptOutcome{ID: r.ID, Fence: r.Fence, Done: true})
	}
	s.ok(s.b.Finish(s.ctx, done))
	s.equal("queued at the end", len(s.a.queued(store.OutFilter{})), 0)
	s.kind(s.a.FetchOutgoing(s.ctx, l.ID, func(*store.Content) error { return nil }), store.NotFound)
	_, next = s.a.due(now.Add(1000 * time.Hour))
	s.equal("next at the end", next.IsZero(), true)
}

// leasesEnd lets a worker die between Lease and Finish.
func leasesEnd(s *suite) {
	now := start()
	s.a.send(now, "1@b.test")
	first := s.b.lease("b.test", now)
	s.reopen()
	dests, next := s.a.due(now.Add(ttl - 1000))
	s.equal("due before the lease ends", len(dests), 0)
	s.equal("next", next, now.Add(ttl))
	dests, _ = s.a.due(now.Add(ttl))
	s.equal("due after the lease ended", dests, "[b.test]")
	second := s.a.lease("b.test", now.Add(ttl))
	if second == nil || second.Rcpts[0].ID != first.Rcpts[0].ID || second.Rcpts[0].Fence <= first.Rcpts[0].Fence {
		s.Fatalf("leased %+v after %+v", second, first)
	}
	s.equal("tries without an outcome", second.Rcpts[0].Tries, 0)
}

func fences(s *suite) {
	now := start()
	s.a.send(now, "1@b.test", "2@b.test")
	first := s.a.lease("b.test", now)
	second := s.b.lease("b.test", now.Add(ttl))
	notice := &store.Acceptance{Op: "dsn/1", ID: id(2), Body: body(letter("notice")), Local: []store.LocalRcpt{{Account: s.alice.ID}}}
	finish := func(l *store.Leased, notices ...*store.Acceptance) error {
		var all []store.RcptOutcome
		for _, r := range l.Rcpts {
			all = append(all, store.RcptOutcome{ID: r.ID, Fence: r.Fence, Done: true})
		}
		return s.a.Finish(s.ctx, all, notices...)
	}
	s.kind(finish(first, notice), store.Expunged)
	mixed := *second
	mixed.Rcpts = []store.OutRcpt{second.Rcpts[0], first.Rcpts[1]}
	s.kind(finish(&mixed, notice), store.Expunged)
	s.equal("queued", len(s.a.queued(store.OutFilter{})), 2)
	s.equal("notices", len(s.a.rows(s.a.inbox(s.alice))), 0)
	s.ok(finish(second, notice))
	s.equal("notices", len(s.a.rows(s.a.inbox(s.alice))), 1)
	s.kind(finish(second, notice), store.Expunged)
	s.kind(finish(first), store.Expunged)
	s.equal("queued", len(s.a.queued(store.OutFilter{})), 0)

	s.a.send(now, "3@b.test") // a lease is used up by its outcome
	l := s.a.lease("b.test", now)
	later := []store.RcptOutcome{{ID: l.Rcpts[0].ID, Fence: l.Rcpts[0].Fence, Due: now.Add(time.Hour)}}
	s.ok(s.a.Finish(s.ctx, later))
	s.kind(s.b.Finish(s.ctx, later), store.Expunged)
}

func unlease(s *suite) {
	now := start()
	s.a.send(now, "1@b.test", "2@c.test")
	first := s.a.lease("b.test", now)
	other, err := s.b.Lease(s.ctx, "other", "c.test", now, ttl, 1)
	s.ok(err)
	n, err := s.b.Unlease(s.ctx, "worker")
	s.ok(err)
	s.equal("leases that ended", n, 1)
	soon := time.Now().Add(time.Second)
	dests, _ := s.a.due(soon)
	s.equal("due", dests, "[b.test]")
	s.kind(s.a.Finish(s.ctx, []store.RcptOutcome{{ID: first.Rcpts[0].ID, Fence: first.Rcpts[0].Fence, Done: true}}), store.Expunged)
	second := s.a.lease("b.test", soon)
	if second == nil || second.Rcpts[0].Fence <= first.Rcpts[0].Fence {
		s.Fatalf("leased %+v after %+v", second, first)
	}
	s.ok(s.a.Finish(s.ctx, []store.RcptOutcome{{ID: other.Rcpts[0].ID, Fence: other.Rcpts[0].Fence, Done: true}}))
	n, err = s.b.Unlease(s.ctx, "nobody")
	s.ok(err)
	s.equal("leases of nobody", n, 0)
}

func notices(s *suite) {
	now := start()
	s.a.send(now, "1@b.test", "2@b.test")
	l := s.a.lease("b.test", now)
	outcome := func(i int) []store.RcptOutcome {
		return []store.RcptOutcome{{ID: l.Rcpts[i].ID, Fence: l.Rcpts[i].Fence, Done: true, Last: "550 no"}}
	}
	text := letter("it failed")
	local := &store.Acceptance{Op: "dsn/local", ID: id(2), Body: body(text), Local: []store.LocalRcpt{{Account: s.alice.ID}}}
	away := &store.Acceptance{Op: "dsn/away", ID: id(3), Body: body(text), Outgoing: []store.NewOutgoing{s.to("s@c.test")}}
	toNobody := &store.Acceptance{Op: "dsn/nobody", ID: id(4), Body: body(text), Local: []store.LocalRcpt{{Account: 1 << 40}}}
	s.kind(s.a.Finish(s.ctx, outcome(0), local, toNobody), store.NotFound)
	s.equal("queued", s.a.queued(store.OutFilter{}), "[1@b.test 2@b.test]")
	s.equal("notices", len(s.a.rows(s.a.inbox(s.alice))), 0)
	s.ok(s.a.Finish(s.ctx, outcome(0), local, away))
	s.equal("queued", s.a.queued(store.OutFilter{}), "[2@b.test s@c.test]")
	s.equal("notices", s.b.texts(s.b.inbox(s.alice)), []string{text})
	s.ok(s.b.Finish(s.ctx, outcome(1), local)) // the op was done: not twice
	s.equal("notices", len(s.a.rows(s.a.inbox(s.alice))), 1)
	dests, _ := s.b.due(now.Add(time.Hour))
	s.equal("due", dests, "[c.test]")
}

// act does an operator's action and wants it to apply to n recipients.
func (h handle) act(f store.OutFilter, a store.OutAction, now time.Time, n int) {
	h.s.Helper()
	got, err := h.Act(h.s.ctx, f, a, now)
	h.s.ok(err)
	h.s.equal("acted on", got, n)
}

func actions(s *suite) {
	now := start()
	out := s.a.send(now.Add(time.Hour), "1@b.test", "2@b.test", "3@c.test")
	all := store.OutFilter{}
	dests, _ := s.a.due(now)
	s.equal("due", len(dests), 0)
	s.b.act(store.OutFilter{Dest: "b.test"}, store.OutRetry, now, 2)
	dests, next := s.a.due(now)
	s.equal("due after a retry", dests, "[b.test]")
	s.equal("next", next, now.Add(time.Hour))

	s.a.act(all, store.OutHold, now, 3)
	dests, next = s.b.due(now.Add(2 * time.Hour))
	s.equal("due while held", len(dests), 0)
	s.equal("next while held", next.IsZero(), true)
	s.equal("leased while held", s.b.lease("b.test", now.Add(2*time.Hour)) == nil, true)
	s.equal("queued", s.b.queued(all), "[1@b.test held 2@b.test held 3@c.test held]")
	s.b.act(store.OutFilter{Dest: "c.test"}, store.OutRelease, now, 1)
	dests, _ = s.a.due(now)
	s.equal("due after a release", dests, "[c.test]")
	s.a.act(all, store.OutRelease, now, 2)

	l := s.a.lease("b.test", now) // what a worker has in hand is left to it
	s.b.act(store.OutFilter{Dest: "b.test"}, store.OutDrop, now, 0)
	s.b.act(store.OutFilter{Dest: "b.test"}, store.OutRetry, now, 0)
	s.b.act(store.OutFilter{Dest: "b.test"}, store.OutHold, now, 2)
	s.ok(s.a.Finish(s.ctx, []store.RcptOutcome{
		{ID: l.Rcpts[0].ID, Fence: l.Rcpts[0].Fence, Done: true},
		{ID: l.Rcpts[1].ID, Fence: l.Rcpts[1].Fence, Due: now}}))
	s.equal("queued", s.a.queued(all), "[2@b.test held 3@c.test]")
	s.equal("held while leased", s.a.lease("b.test", now) == nil, true)

	s.b.act(store.OutFilter{Out: out}, store.OutDrop, now, 2)
	s.equal("queued after a drop", len(s.a.queued(all)), 0)
	s.kind(s.a.FetchOutgoing(s.ctx, out, func(*store.Content) error { return nil }), store.NotFound)
	s.b.act(all, store.OutDrop, now, 0)
}

func filters(s *suite) {
	now := start()
	first := s.a.send(now, "1@b.test", "2@c.test")
	second := s.a.send(now, "3@b.test", "4@c.test")
	all, err := s.a.Outgoing(s.ctx, store.OutFilter{})
	s.ok(err)
	if len(all) != 2 || all[0].ID != first || all[1].ID != second || len(all[0].Rcpts) != 2 {
		s.Fatalf("all: %+v", all)
	}
	s.a.act(store.OutFilter{IDs: []store.RcptID{all[0].Rcpts[0].ID, all[1].Rcpts[1].ID}}, store.OutHold, now, 2)
	held, active := store.RcptHeld, store.RcptActive
	for _, tt := range []struct {
		f    store.OutFilter
		want string
	}{
		{store.OutFilter{}, "[1@b.test held 2@c.test 3@b.test 4@c.test held]"},
		{store.OutFilter{State: &held}, "[1@b.test held 4@c.test held]"},
		{store.OutFilter{State: &active, Dest: "b.test"}, "[3@b.test]"},
		{store.OutFilter{Out: second}, "[3@b.test 4@c.test held]"},
		{store.OutFilter{Out: second, Dest: "c.test"}, "[4@c.test held]"},
		{store.OutFilter{IDs: []store.RcptID{all[1].Rcpts[0].ID, 12345}}, "[3@b.test]"},
		{store.OutFilter{IDs: []store.RcptID{all[1].Rcpts[0].ID}, Out: first}, "[]"},
		{store.OutFilter{Limit: 3}, "[1@b.test held 2@c.test 3@b.test]"},
		{store.OutFilter{Dest: "d.test"}, "[]"},
		{store.OutFilter{Rcpt: "2@C"}, "[2@c.test]"},
		{store.OutFilter{Rcpt: "b.test", Sender: "Alice@"}, "[1@b.test held 3@b.test]"},
		{store.OutFilter{Sender: "nobody"}, "[]"},
		{store.OutFilter{Before: time.Now().Add(-time.Hour)}, "[]"},
		{store.OutFilter{Before: time.Now().Add(time.Hour), Limit: 1}, "[1@b.test held]"},
		{store.OutFilter{Last: "451"}, "[]"},
		{store.OutFilter{Message: id(1), Dest: "c.test"}, "[2@c.test 4@c.test held]"},
	} {
		s.equal(fmt.Sprintf("filter %+v", tt.f), s.b.queued(tt.f), tt.want)
	}
	l := s.a.lease("b.test", now)
	s.ok(s.a.Finish(s.ctx, []store.RcptOutcome{{ID: l.Rcpts[0].ID, Fence: l.Rcpts[0].Fence, Due: now, Last: "mx: 451 4.7.1 Later"}}))
	s.equal("by the last outcome", s.b.queued(store.OutFilter{Last: "451 4.7.1 later"}), "[3@b.test]")
	s.a.act(store.OutFilter{Rcpt: "1@", Sender: "alice"}, store.OutBounce, now, 1)
	l = s.a.lease("b.test", now)
	if r := l.Rcpts[0]; !r.Doomed || r.Recipient.Addr.Local != "1" {
		s.Errorf("leased %+v", r)
	}
	s.ok(s.a.Finish(s.ctx, []store.RcptOutcome{{ID: l.Rcpts[0].ID, Fence: l.Rcpts[0].Fence, Due: now}}))
	s.a.act(store.OutFilter{IDs: []store.RcptID{l.Rcpts[0].ID}}, store.OutHold, now, 1)
	s.a.act(store.OutFilter{Limit: 1, State: &active}, store.OutDrop, now, 1)
	s.equal("queued", s.a.queued(store.OutFilter{}), "[1@b.test held 3@b.test 4@c.test held]")
}

// suppression counts refusals until nothing is sent to an address.
func suppression(s *suite) {
	now := start()
	refuse := func() {
		s.Helper()
		s.a.send(now, "Bob@b.test")
		l := s.a.lease("b.test", now)
		if !l.Rcpts[0].Suppressed.IsZero() {
			s.Errorf("suppressed too early: %+v", l.Rcpts[0])
		}
		s.ok(s.b.Finish(s.ctx, []store.RcptOutcome{{ID: l.Rcpts[0].ID, Fence: l.Rcpts[0].Fence, Done: true,
			Refused: &store.Refused{Reason: "550 5.1.1 no", After: 2, For: time.Hour}}}))
	}
	refuse()
	list, err := s.b.Suppressions(s.ctx)
	s.ok(err)
	if len(list) != 1 || !list[0].Until.IsZero() || list[0].Refused != 1 || list[0].Address.String() != "bob@b.test" || list[0].Reason != "550 5.1.1 no" {
		s.Errorf("after one: %+v", list)
	}
	// What is taken in between proves that the address is good.
	s.a.send(now, "bob@b.test", "2@b.test")
	for _, r := range s.a.lease("b.test", now).Rcpts {
		s.ok(s.b.Finish(s.ctx, []store.RcptOutcome{{ID: r.ID, Fence: r.Fence, Done: true, Taken: true}}))
	}
	list, err = s.b.Suppressions(s.ctx)
	s.ok(err)
	s.equal("after a message was taken", len(list), 0)
	refuse()
	refuse()
	s.a.send(now, "bob@B.test")
	l := s.a.lease("b.test", now)
	if d := time.Until(l.Rcpts[0].Suppressed); d < 50*time.Minute || d > 70*time.Minute {
		s.Errorf("suppressed until %v", l.Rcpts[0].Suppressed)
	}
	s.ok(s.a.Finish(s.ctx, []store.RcptOutcome{{ID: l.Rcpts[0].ID, Fence: l.Rcpts[0].Fence, Due: now}}))
	s.ok(s.b.Unsuppress(s.ctx, s.address("BOB@b.test")))
	s.kind(s.b.Unsuppress(s.ctx, s.address("bob@b.test")), store.NotFound)
	until := now.Add(48 * time.Hour)
	s.ok(s.b.Suppress(s.ctx, store.Suppression{Address: s.address("Bob@b.test"), Until: until, Reason: "by hand"}))
	l = s.a.lease("b.test", now)
	s.equal("suppressed until", l.Rcpts[0].Suppressed, until)
	s.ok(s.a.Finish(s.ctx, []store.RcptOutcome{{ID: l.Rcpts[0].ID, Fence: l.Rcpts[0].Fence, Done: true, Taken: true}}))
	list, err = s.b.Suppressions(s.ctx)
	s.ok(err)
	s.equal("an operator's word stays", len(list), 1)
}

// sendLimits counts what an account submits.
func sendLimits(s *suite) {
	submit := func(l store.SendLimit, rcpts ...string) error {
		a := s.arrived(letter("limited"))
		a.Limit = &l
		a.Outgoing = []store.NewOutgoing{s.to(rcpts...)}
		_, err := s.a.Accept(s.ctx, a)
		return err
	}
	refused := func(err error, want store.SendLimitError) {
		s.Helper()
		s.kind(err, store.Busy)
		var got *store.SendLimitError
		if !errors.As(err, &got) || *got != want {
			s.Errorf("got %v, want %+v", err, want)
		}
	}
	l := store.SendLimit{Account: s.alice.ID, Messages: 3, Fresh: 2}
	s.ok(submit(l, "1@b.test"))
	s.ok(submit(l, "1@B.test", "2@b.test"))
	refused(submit(l, "1@b.test", "3@b.test"), store.SendLimitError{Limit: 2, Fresh: true})
	refused(submit(store.SendLimit{Account: s.bob.ID, Fresh: 2}, "1@b.test", "2@b.test", "3@b.test"), store.SendLimitError{Limit: 2, Fresh: true, Always: true})
	s.ok(submit(l, "2@b.test"))
	refused(submit(l, "2@b.test"), store.SendLimitError{Limit: 3})
	s.ok(submit(store.SendLimit{Account: s.bob.ID, Messages: 1}, "2@b.test"))
	s.equal("queued", len(s.a.queued(store.OutFilter{})), 5)
	s.a.act(store.OutFilter{}, store.OutDrop, time.Now(), 5)
}

// closing puts off a destination as a whole.
func closing(s *suite) {
	now := start()
	s.a.send(now, "1@b.test")
	late := s.a.send(now, "2@b.test")
	s.a.send(now, "x@c.test")
	until := now.Add(time.Hour)
	s.ok(s.b.CloseDest(s.ctx, "b.test", until, 3))
	dests, next := s.a.due(now)
	s.equal("due", dests, "[c.test]")
	s.equal("next", next, until)
	s.a.send(now, "3@b.test") // what comes meanwhile waits too
	dests, _ = s.a.due(now)
	s.equal("due", dests, "[c.test]")
	list, _, err := s.b.DueDests(s.ctx, until, 5)
	s.ok(err)
	if len(list) != 2 || list[1].Name != "b.test" || list[1].Fails != 3 || !list[1].Due.Equal(until) {
		s.Errorf("due when it is open: %+v", list)
	}
	ids, err := s.a.Late(s.ctx, "b.test", now, now.Add(-time.Hour), 10)
	s.ok(err)
	s.equal("late", len(ids), 0)
	ids, err = s.a.Late(s.ctx, "b.test", now.Add(time.Hour), time.Now().Add(time.Hour), 2)
	s.ok(err)
	s.equal("late", len(ids), 2)
	ids, err = s.a.Late(s.ctx, "b.test", later().Add(time.Second), now.Add(-time.Hour), 10)
	s.ok(err)
	s.equal("expired", len(ids), 3)
	l, err := s.a.LeaseMessage(s.ctx, "w", "b.test", late, now, time.Minute, 10)
	s.ok(err)
	if l == nil || l.ID != late {
		s.Fatalf("leased %+v", l)
	}
	again, err := s.b.LeaseMessage(s.ctx, "w", "b.test", late, now, time.Minute, 10)
	s.ok(err)
	s.equal("leased twice", again == nil, true)
	s.ok(s.a.Finish(s.ctx, []store.RcptOutcome{{ID: l.Rcpts[0].ID, Fence: l.Rcpts[0].Fence, Done: true}}))
	again, err = s.b.LeaseMessage(s.ctx, "w", "b.test", late, now, time.Minute, 10)
	s.ok(err)
	s.equal("leased when it has left", again == nil, true)
	dests, _ = s.a.due(now)
	s.equal("due", dests, "[c.test]")
	s.a.act(store.OutFilter{Dest: "b.test", Limit: 1}, store.OutRetry, now, 1)
	dests, _ = s.a.due(now)
	s.equal("due after a retry", dests, "[b.test c.test]")
	s.ok(s.b.CloseDest(s.ctx, "b.test", until, 4))
	s.ok(s.b.CloseDest(s.ctx, "b.test", time.Time{}, 0))
	dests, _ = s.a.due(now)
	s.equal("due when it was opened", dests, "[b.test c.test]")
	s.ok(s.b.CloseDest(s.ctx, "nowhere.test", until, 1))
	s.ok(s.b.CloseDest(s.ctx, "b.test", until, 4))
	s.a.act(store.OutFilter{}, store.OutDrop, now, 3)
	s.a.send(now, "4@b.test")
	dests, _ = s.a.due(now)
	s.equal("due when all that waited has gone", dests, "[b.test]")
}

// manyWaiting puts a dead domain's mail beside one other message.
func manyWaiting(s *suite) {
	now := start()
	const messages, each = 20, 50
	for i := range messages {
		var rcpts []string
		for j := range each {
			rcpts = append(rcpts, fmt.Sprintf("%d-%d@dead.test", i, j))
		}
		s.a.send(now.Add(time.Duration(i)*time.Second+time.Hour), rcpts...)
	}
	s.a.send(now, "x@b.test")
	dests, next := s.a.due(now)
	s.equal("due", dests, "[b.test]")
	s.equal("next", next, now.Add(time.Hour))
	later := now.Add(2 * time.Hour)
	leased := 0
	var lastDue time.Time
	for {
		l := s.a.lease("dead.test", later)
		if l == nil {
			break
		}
		if l.Rcpts[0].Due.Before(lastDue) {
			s.Errorf("a message due %v was leased after one due %v", l.Rcpts[0].Due, lastDue)
		}
		lastDue = l.Rcpts[0].Due
		leased += len(l.Rcpts)
		slices.Reverse(l.Rcpts)
		var out []store.RcptOutcome
		for _, r := range l.Rcpts {
			out = append(out, store.RcptOutcome{ID: r.ID, Fence: r.Fence, Due: later.Add(time.Hour), Attempt: true})
		}
		s.ok(s.b.Finish(s.ctx, out))
	}
	s.equal("leased", leased, messages*each)
	_, next = s.a.due(later)
	s.equal("next", next, later.Add(time.Hour))
}
