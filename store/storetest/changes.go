package storetest

import (
	"math/rand/v2"
	"slices"
	"time"

	"postrider/mail"
	"postrider/store"
)

func changeCases() []testCase {
	return []testCase{
		{"changes", changes},
		{"changes of runs", changesOfRuns},
		{"changes after trimming", changesAfterTrimming},
		{"a follower at random", followAtRandom},
		{"views of two handles", viewsOfTwoHandles},
		{"the feed", feed},
	}
}

func changes(s *suite) {
	box := s.a.create(s.alice, "Work")
	empty := s.b.changes(box.ID, 0)
	s.equal("mailbox", empty.Mailbox, box)
	s.equal("rows of an empty mailbox", empty.Changed.Len(), 0)
	uids := s.a.fill(box.ID, 5)
	d := s.b.changes(box.ID, box.ModSeq)
	s.equal("five new", d.Changed.Len(), 5)
	known := d.Mailbox.ModSeq
	for _, h := range []handle{s.a, s.b} {
		d = h.changes(box.ID, known)
		if d.Full || d.Changed.Len() != 0 || len(d.Gone) != 0 || d.Mailbox.ModSeq != known {
			s.Errorf("nothing new: %+v", d)
		}
	}
	s.a.expunge(box.ID, uids[0], uids[1])
	passing := s.b.put(box.ID, letter("passing"), store.Flags{})
	s.b.expunge(box.ID, passing)
	last := s.a.put(box.ID, letter("last"), store.Flags{})
	s.a.flag(box.ID, store.FlagsAdd, store.Flags{System: store.Seen}, uids[3])
	d = s.b.changes(box.ID, known)
	if d.Full || d.Changed.Len() != 2 || d.Changed.UID[0] != uids[3] || d.Changed.UID[1] != last {
		s.Errorf("changed: %+v", d.Changed.UID)
	}
	s.equal("gone", d.Gone, store.UIDSet{{Lo: uids[0], Hi: uids[1]}, {Lo: passing, Hi: passing}})
	s.equal("mailbox", d.Mailbox, s.a.box(s.alice, "Work"))
	s.a.fill(s.a.inbox(s.alice), 2) // another mailbox of the account
	if d = s.b.changes(box.ID, d.Mailbox.ModSeq); d.Changed.Len() != 0 || d.Mailbox != s.a.box(s.alice, "Work") {
		s.Errorf("after changes elsewhere: %+v", d)
	}
	_, err := s.a.Changes(s.ctx, store.MailboxID{Account: s.alice.ID, N: 999}, 0)
	s.kind(err, store.NotFound)
}

// changesOfRuns expunges in several pieces what lies side by side.
func changesOfRuns(s *suite) {
	in := s.a.inbox(s.alice)
	uids := s.a.fill(in, 9)
	known := s.a.changes(in, 0).Mailbox.ModSeq
	s.a.expunge(in, uids[4])
	s.b.expunge(in, uids[3], uids[5])
	half := s.a.changes(in, 0).Mailbox.ModSeq
	s.a.expunge(in, uids[1], uids[2], uids[8])
	s.equal("gone since the beginning", s.b.changes(in, known).Gone,
		store.UIDSet{{Lo: uids[1], Hi: uids[5]}, {Lo: uids[8], Hi: uids[8]}})
	s.equal("gone since half", s.b.changes(in, half).Gone,
		store.UIDSet{{Lo: uids[1], Hi: uids[2]}, {Lo: uids[8], Hi: uids[8]}})
}

func changesAfterTrimming(s *suite) {
	trim, ok := s.b.Engine.(Trimmer)
	if !ok {
		s.Fatal("the engine has no ForgetExpunged")
	}
	in := s.a.inbox(s.alice)
	uids := s.a.fill(in, 4)
	old := &replica{}
	s.follow(s.a, old, in)
	s.a.expunge(in, uids[1])
	between := &replica{}
	s.follow(s.a, between, in)
	s.a.expunge(in, uids[2])
	current := &replica{}
	s.follow(s.a, current, in)
	s.ok(trim.ForgetExpunged(s.ctx, in, 0))
	if d := s.a.changes(in, current.known); d.Full {
		s.Error("who knew of everything that was forgotten needs nothing")
	}
	s.a.expunge(in, uids[0])
	for _, r := range []*replica{old, between, current} {
		d := s.b.changes(in, r.known)
		if d.Full != (r != current) {
			s.Errorf("since %d: full is %v", r.known, d.Full)
		}
		s.follow(s.b, r, in)
		if _, ok := r.rows[uids[3]]; len(r.rows) != 1 || !ok {
			s.Errorf("a replica has %v", r.rows)
		}
	}
	st := store.New(s.a.Engine, store.Options{})
	v, err := st.View(s.ctx, in)
	s.ok(err)
	s.a.expunge(in, uids[3])
	s.ok(trim.ForgetExpunged(s.ctx, in, 0))
	w, err := st.View(s.ctx, in)
	s.ok(err)
	s.equal("expunged in a view", store.Diff(v, w).Gone, store.UIDSetOf(uids[3]))
}

// followAtRandom changes a mailbox at random through both handles, and keeps
// replicas that look at different times.
func followAtRandom(s *suite) {
	r := rand.New(rand.NewPCG(7, 7))
	in, work := s.a.inbox(s.alice), s.a.create(s.alice, "Work").ID
	replicas := []*replica{{}, {}, {}}
	views := []*store.Store{store.New(s.a.Engine, store.Options{}), store.New(s.b.Engine, store.Options{ViewBytes: 1})}
	for range 80 {
		h := s.a
		if r.IntN(2) == 0 {
			h = s.b
		}
		s.something(h, r, in, work)
		for i, rep := range replicas {
			if r.IntN(i+1) == 0 {
				s.follow(s.b, rep, in)
			}
		}
	}
	want := s.a.rows(in)
	for _, rep := range replicas {
		s.follow(s.a, rep, in)
		s.sameRows("a replica", rep, want)
	}
	for _, st := range views {
		v, err := st.View(s.ctx, in)
		s.ok(err)
		rep := &replica{rows: map[store.UID]store.Row{}}
		for i := range v.Len() {
			rep.rows[v.UID(i)] = v.At(i)
		}
		s.sameRows("a view", rep, want)
	}
}

// something does one thing to a mailbox, sometimes with another one.
func (s *suite) something(h handle, r *rand.Rand, in, other store.MailboxID) {
	s.Helper()
	some := store.UIDSet{{Lo: store.UID(1 + r.IntN(40)), Hi: store.UID(41 + r.IntN(20))}}
	few := store.UIDSetOf(store.UID(1 + r.IntN(60)))
	flags := store.Flags{System: store.System(r.IntN(32)), Keywords: []string{"", "a", "a b"}[r.IntN(3)]}
	var err error
	switch r.IntN(8) {
	case 0, 1, 2:
		h.put(in, letter("at random"), flags)
	case 3, 4:
		_, err = h.SetFlags(s.ctx, in, some, store.FlagChange{Mode: store.FlagMode(r.IntN(3)), Flags: flags}, store.Unconditional)
	case 5:
		_, err = h.Expunge(s.ctx, in, some, true)
	case 6:
		_, err = h.Copy(s.ctx, "", in, few, other, r.IntN(2) == 0)
	case 7:
		_, err = h.Copy(s.ctx, "", other, few, in, r.IntN(2) == 0)
	}
	s.ok(err)
}

// sameRows wants a replica to have exactly the rows want.
func (s *suite) sameRows(what string, r *replica, want []store.Row) {
	s.Helper()
	var got []store.Row
	for _, x := range r.rows {
		got = append(got, x)
	}
	slices.SortFunc(got, func(a, b store.Row) int { return int(int64(a.UID) - int64(b.UID)) })
	s.equal("number of messages of "+what, len(got), len(want))
	for i := range min(len(got), len(want)) {
		g, w := got[i], want[i]
		if !g.Received.Equal(w.Received) || !g.Saved.Equal(w.Saved) {
			s.Errorf("%s: times of message %d", what, g.UID)
		}
		g.Received, g.Saved = w.Received, w.Saved
		if g != w {
			s.Errorf("%s has %+v, the mailbox %+v", what, g, w)
		}
	}
}

func viewsOfTwoHandles(s *suite) {
	in := s.a.inbox(s.alice)
	st := store.New(s.a.Engine, store.Options{})
	view := func() *store.View {
		s.Helper()
		v, err := st.View(s.ctx, in)
		s.ok(err)
		return v
	}
	v := view()
	if view() != v {
		s.Error("nothing changed, and another view")
	}
	uids := s.b.fill(in, 3) // the other handle's feed is not ours
	w := view()
	s.equal("added", store.Diff(v, w).Added, 3)
	s.b.flag(in, store.FlagsAdd, store.Flags{System: store.Seen}, uids[1])
	s.b.expunge(in, uids[0])
	x := view()
	c := store.Diff(w, x)
	if !slices.Equal(c.Expunged, []int{0}) || !slices.Equal(c.Updated, []int{0}) || c.Added != 0 || x.At(0).UID != uids[1] {
		s.Errorf("changes %+v", c)
	}
	s.equal("messages of the older view", w.Len(), 3)
	s.ok(s.b.Rename(s.ctx, s.alice.ID, "Archive", "Old"))
	if view() != x {
		s.Error("another mailbox was renamed, and another view")
	}
	work := s.a.create(s.alice, "Work")
	_, err := st.View(s.ctx, work.ID)
	s.ok(err)
	s.ok(s.b.Delete(s.ctx, s.alice.ID, "Work"))
	_, err = st.View(s.ctx, work.ID)
	s.kind(err, store.NotFound)
}

// feed wants each change to be announced after its commit, in commit order.
func feed(s *suite) {
	sub := s.a.Feed().Subscribe(1000, nil)
	defer sub.Close()
	watch := s.a.Feed().Watch(s.a.inbox(s.alice))
	defer watch.Close()
	next := func(kind store.ChangeKind) store.Change {
		s.Helper()
		for {
			select {
			case c := <-sub.C():
				if c.Kind == kind {
					return c
				}
			case <-time.After(10 * time.Second):
				s.Fatalf("a change of kind %d was not announced", kind)
			}
		}
	}
	in := s.a.inbox(s.alice)
	s.a.put(in, letter("announced"), store.Flags{})
	if c := next(store.MailboxChanged); c.Mailbox != in || c.Account != s.alice.ID || c.ModSeq != s.a.box(s.alice, "INBOX").ModSeq {
		s.Errorf("announced %+v", c)
	}
	select {
	case <-watch.C():
	default:
		s.Error("the watch on the mailbox was not woken")
	}
	work := s.a.create(s.alice, "Work")
	if c := next(store.MailboxCreated); c.Mailbox != work.ID || c.Name != "Work" {
		s.Errorf("announced %+v", c)
	}
	s.ok(s.a.Rename(s.ctx, s.alice.ID, "Work", "Play"))
	if c := next(store.MailboxRenamed); c.Mailbox != work.ID || c.OldName != "Work" || c.Name != "Play" {
		s.Errorf("announced %+v", c)
	}
	s.ok(s.a.Delete(s.ctx, s.alice.ID, "Play"))
	if c := next(store.MailboxDeleted); c.Mailbox != work.ID || c.Name != "Play" {
		s.Errorf("announced %+v", c)
	}
	s.ok(s.a.Subscribe(s.ctx, s.alice.ID, "Play", true))
	if c := next(store.Subscribed); c.Account != s.alice.ID {
		s.Errorf("announced %+v", c)
	}
	s.ok(s.a.SetDisabled(s.ctx, s.bob.ID, true))
	if c := next(store.AccountChanged); c.Account != s.bob.ID {
		s.Errorf("announced %+v", c)
	}
	for _, change := range []func() error{
		func() error { _, err := s.a.AddDomain(s.ctx, "new.test"); return err },
		func() error {
			return s.a.SetAlias(s.ctx, store.Alias{Address: s.address("all@new.test"), Targets: []mail.Address{s.bob.Address}})
		},
		func() error { return s.a.RemoveAlias(s.ctx, s.address("all@new.test")) },
		func() error { return s.a.RemoveDomain(s.ctx, "new.test") },
	} {
		s.ok(change())
		next(store.DirectoryChanged)
	}
	_, err := s.a.Accept(s.ctx, &store.Acceptance{ID: id(1), Body: body(letter("away")), Outgoing: []store.NewOutgoing{s.to("x@B.test")}})
	s.ok(err)
	if c := next(store.OutgoingDue); c.Dest != "b.test" {
		s.Errorf("announced %+v", c)
	}
	s.a.expunge(in, s.a.uids(in)...)
	last := next(store.MailboxChanged)
	if last.Mailbox != in || last.ModSeq != s.a.box(s.alice, "INBOX").ModSeq {
		s.Errorf("announced %+v", last)
	}
}
