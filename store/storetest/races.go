package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"postrider/store"
)

func raceCases() []testCase {
	return []testCase{
		{"sixteen writers and a follower", writersAndFollower},
		{"UIDs rise in commit order", uidsRise},
		{"race to create", raceCreate},
		{"race to rename", raceRename},
		{"race to expunge", raceExpunge},
		{"race for the quota", raceQuota},
		{"race to do one op", raceOp},
		{"race to lease", raceLease},
		{"race to copy and expunge", raceCopyExpunge},
		{"race to replace", raceReplace},
		{"race in shared mailboxes", raceShared},
	}
}

// both runs fn n times at once on each of the two handles, and waits. fn may
// not end the test.
func (s *suite) both(n int, fn func(h handle, i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { fn(s.a, i) })
		wg.Go(func() { fn(s.b, n+i) })
	}
	wg.Wait()
}

// count counts outcomes of a race: "" for success, else the error's kind.
type count struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *count) add(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	if err == nil {
		c.n["done"]++
		return
	}
	c.n[store.KindOf(err).String()]++
}

// writersAndFollower has many writers change one mailbox through both handles
// while one replica follows through each: at the end all must be equal.
func writersAndFollower(s *suite) {
	in, work := s.a.inbox(s.alice), s.a.create(s.alice, "Work").ID
	stop := make(chan struct{})
	var followers sync.WaitGroup
	replicas := []*replica{{}, {}}
	for i, h := range []handle{s.a, s.b} {
		followers.Go(func() {
			for {
				if d, err := h.Changes(s.ctx, in, replicas[i].known); err != nil {
					s.Errorf("follower: %v", err)
				} else if wrong := replicas[i].apply(d); len(wrong) > 0 {
					s.Errorf("follower: %v", wrong)
					return
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	s.both(8, func(h handle, i int) {
		r := rand.New(rand.NewPCG(uint64(i), 3))
		for range 12 {
			if err := s.disturb(h, r, in, work); err != nil {
				s.Errorf("writer: %v", err)
			}
		}
	})
	close(stop)
	followers.Wait()
	want := s.a.rows(in)
	for i, h := range []handle{s.a, s.b} {
		s.follow(h, replicas[i], in)
		s.sameRows("a follower", replicas[i], want)
	}
}

// disturb does one thing to a mailbox, as something does, but on any
// goroutine and with messages of all kinds of size.
func (s *suite) disturb(h handle, r *rand.Rand, in, work store.MailboxID) error {
	low := store.UID(1 + r.IntN(60))
	some := store.UIDSet{{Lo: low, Hi: low + store.UID(r.IntN(20))}}
	flags := store.Flags{System: store.System(r.IntN(32)), Keywords: []string{"", "a", "a b"}[r.IntN(3)]}
	var err error
	switch r.IntN(9) {
	case 0, 1, 2:
		text := letter("x") + noise(r.IntN(1000)*r.IntN(200), r.Uint64())
		_, err = h.Append(s.ctx, "", in, body(text), flags, time.Now())
	case 3:
		_, err = h.Accept(s.ctx, &store.Acceptance{ID: id(1), Body: body(letter("y")),
			Local: []store.LocalRcpt{{Account: s.alice.ID}, {Account: s.bob.ID}}})
	case 4, 5:
		_, err = h.SetFlags(s.ctx, in, some, store.FlagChange{Mode: store.FlagMode(r.IntN(3)), Flags: flags}, store.Unconditional)
	case 6:
		_, err = h.Expunge(s.ctx, in, some, r.IntN(4) > 0)
	case 7:
		_, err = h.Copy(s.ctx, "", in, some, work, r.IntN(4) == 0)
	case 8:
		_, err = h.Copy(s.ctx, "", work, some, in, true)
	}
	return err
}

// uidsRise lets a follower look while many append: what it has not seen yet
// must always be above what it has.
func uidsRise(s *suite) {
	in := s.a.inbox(s.alice)
	const writers, each = 8, 8
	var mu sync.Mutex
	given := map[store.UID]bool{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.both(writers, func(h handle, i int) {
			last := store.UID(0)
			for range each {
				f, err := h.Append(s.ctx, "", in, body(letter("x")), store.Flags{}, time.Now())
				if err != nil || f.UID <= last {
					s.Errorf("UID %d after %d: %v", f.UID, last, err)
					return
				}
				last = f.UID
				mu.Lock()
				if given[f.UID] {
					s.Errorf("UID %d was given twice", f.UID)
				}
				given[f.UID] = true
				mu.Unlock()
			}
		})
	}()
	r := &replica{}
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		s.follow(s.b, r, in)
	}
	s.equal("messages", len(r.rows), 2*writers*each)
}

func raceCreate(s *suite) {
	var c count
	s.both(4, func(h handle, i int) {
		for k := range 3 {
			_, err := h.Create(s.ctx, s.alice.ID, fmt.Sprintf("Race/%d", k), store.UseNone)
			c.add(err)
		}
	})
	s.equal("outcomes", c.n, map[string]int{"done": 3, store.Exists.String(): 21})
	list, err := s.a.List(s.ctx, s.alice.ID)
	s.ok(err)
	validities := map[uint32]bool{}
	for _, m := range list {
		validities[m.UIDValidity] = true
	}
	s.equal("different UIDVALIDITYs", len(validities), len(list))
}

func raceRename(s *suite) {
	from := s.a.create(s.alice, "From")
	s.a.create(s.alice, "From/Child")
	uids := s.a.fill(from.ID, 2)
	var c count
	s.both(3, func(h handle, i int) {
		c.add(h.Rename(s.ctx, s.alice.ID, "From", fmt.Sprintf("To%d", i)))
	})
	s.equal("outcomes", c.n, map[string]int{"done": 1, store.NotFound.String(): 5})
	s.equal("number of mailboxes", len(s.b.names(s.alice)), 8)
	s.equal("messages", s.b.uids(from.ID), uids)
	name := s.a.changes(from.ID, 0).Mailbox.Name
	s.a.box(s.alice, name+"/Child")
}

func raceExpunge(s *suite) {
	in := s.a.inbox(s.alice)
	uids := s.a.fill(in, 30)
	r := &replica{}
	s.follow(s.a, r, in)
	var mu sync.Mutex
	times := map[store.UID]int{}
	s.both(3, func(h handle, i int) {
		for k := range 5 {
			lo := uids[(i*5+k*3)%20]
			went, err := h.Expunge(s.ctx, in, store.UIDSet{{Lo: lo, Hi: lo + 10}}, false)
			if err != nil {
				s.Errorf("expunge: %v", err)
			}
			mu.Lock()
			for u := range went.All() {
				times[u]++
			}
			mu.Unlock()
		}
	})
	s.follow(s.b, r, in)
	for _, u := range uids {
		_, left := r.rows[u]
		if want := map[bool]int{true: 0, false: 1}[left]; times[u] != want {
			s.Errorf("message %d was expunged %d times, and is it left: %v", u, times[u], left)
		}
	}
}

func raceQuota(s *suite) {
	in := s.a.inbox(s.alice)
	text := letter("quota")
	s.ok(s.a.SetQuota(s.ctx, s.alice.ID, 5*int64(len(text))+1, 0))
	var c count
	s.both(6, func(h handle, i int) {
		_, err := h.Append(s.ctx, "", in, body(text), store.Flags{}, time.Now())
		c.add(err)
	})
	s.equal("outcomes", c.n, map[string]int{"done": 5, store.Quota.String(): 7})
	s.equal("messages", len(s.a.rows(in)), 5)
}

func raceOp(s *suite) {
	in := s.a.inbox(s.alice)
	var mu sync.Mutex
	var all []store.Accepted
	s.both(6, func(h handle, i int) {
		done, err := h.Accept(s.ctx, &store.Acceptance{Op: "one", ID: id(1), Body: body(letter("once") + noise(300_000, 1)),
			Local: []store.LocalRcpt{{Account: s.alice.ID}}, Outgoing: []store.NewOutgoing{s.to("x@b.test")}})
		if err != nil {
			s.Errorf("accept: %v", err)
		}
		mu.Lock()
		all = append(all, done)
		mu.Unlock()
	})
	first := 0
	for _, done := range all {
		if !done.Again {
			first++
		}
		done.Again = all[0].Again
		s.equal("accepted", done, all[0])
	}
	s.equal("times done", first, 1)
	s.equal("messages", len(s.a.rows(in)), 1)
	s.both(6, func(h handle, i int) {
		_, err := h.Append(s.ctx, "two", in, body(letter("once")), store.Flags{}, time.Now())
		if err == nil {
			_, err = h.Copy(s.ctx, "three", in, store.UIDSetOf(all[0].Filed[0].UID), in, true)
		}
		if err != nil {
			s.Errorf("append or move: %v", err)
		}
	})
	s.equal("messages after an append and a move", len(s.a.rows(in)), 2)
	s.equal("outgoing", len(s.a.queued(store.OutFilter{})), 1)
}

// raceLease has workers at both handles empty a queue: each recipient must be
// leased once.
func raceLease(s *suite) {
	now := start()
	const messages = 12
	for i := range messages {
		s.a.send(now, fmt.Sprintf("a%d@b.test", i), fmt.Sprintf("b%d@b.test", i), fmt.Sprintf("c%d@b.test", i))
	}
	var mu sync.Mutex
	times := map[store.RcptID]int{}
	s.both(4, func(h handle, i int) {
		for {
			ls, err := h.LeaseSeveral(s.ctx, fmt.Sprint("worker ", i), "b.test", now, ttl, 2, 1+i%3)
			if err != nil {
				s.Errorf("lease: %v", err)
			}
			if len(ls) == 0 {
				return
			}
			var done []store.RcptOutcome
			mu.Lock()
			for _, l := range ls {
				for _, r := range l.Rcpts {
					times[r.ID]++
					done = append(done, store.RcptOutcome{ID: r.ID, Fence: r.Fence, Done: true})
				}
			}
			mu.Unlock()
			if err := h.Finish(s.ctx, done); err != nil {
				s.Errorf("finish: %v", err)
			}
		}
	})
	s.equal("recipients", len(times), 3*messages)
	for id, n := range times {
		if n != 1 {
			s.Errorf("recipient %d was leased %d times", id, n)
		}
	}
	s.equal("left", len(s.a.queued(store.OutFilter{})), 0)
}

// raceCopyExpunge moves and copies messages while they are expunged: no body
// may be lost or left over.
func raceCopyExpunge(s *suite) {
	in, work := s.a.inbox(s.alice), s.a.create(s.alice, "Work").ID
	uids := s.a.fill(in, 12)
	big := s.a.put(in, letter("big")+noise(400_000, 5), store.Flags{})
	uids = append(uids, big)
	s.both(4, func(h handle, i int) {
		some := store.UIDSet{{Lo: uids[i], Hi: uids[i] + 6}}
		var err error
		switch i % 4 {
		case 0, 1:
			_, err = h.Copy(s.ctx, "", in, some, work, i%4 == 1)
		case 2:
			_, err = h.Expunge(s.ctx, in, some, false)
		case 3:
			_, err = h.Copy(s.ctx, "", work, store.AllUIDs(), in, true)
		}
		if err != nil {
			s.Errorf("racer %d: %v", i, err)
		}
	})
	texts := append(s.a.texts(in), s.b.texts(work)...)
	sizes := int64(0)
	for _, text := range texts {
		sizes += int64(len(text))
	}
	s.equal("bytes of the account", s.b.again(s.alice).Bytes, sizes)
	if slices.Contains(texts, "") {
		s.Error("a message has lost its body")
	}
}

// raceReplace has one message replaced by many at once, some of which find no
// room: it is replaced once, and what failed counts for nothing.
func raceReplace(s *suite) {
	in := s.a.inbox(s.alice)
	uid := s.a.put(in, letter("old"), store.Flags{})
	s.ok(s.a.SetQuota(s.ctx, s.alice.ID, 2*int64(len(letter("old"))), 0))
	var c count
	s.both(6, func(h handle, i int) {
		text := letter("new")
		if i%3 == 0 {
			text = noise(1000, uint64(i))
		}
		_, err := h.Replace(s.ctx, "", in, uid, in, newMessage(text, store.Flags{}))
		c.add(err)
	})
	if c.n["done"] != 1 || c.n["done"]+c.n[store.Expunged.String()]+c.n[store.Quota.String()] != 12 {
		s.Errorf("outcomes %v", c.n)
	}
	s.equal("texts", s.b.texts(in), []string{letter("new")})
}

// raceShared has two accounts' mailboxes filled, emptied and moved between by
// all there is, while their rights and quotas change.
func raceShared(s *suite) {
	boxes := []store.MailboxID{s.a.inbox(s.alice), s.a.box(s.bob, "Archive").ID, s.a.box(s.alice, "Trash").ID}
	accounts := []store.AccountID{s.alice.ID, s.bob.ID}
	s.both(4, func(h handle, i int) {
		rnd := rand.New(rand.NewPCG(7, uint64(i)))
		for n := range 12 {
			from, to := boxes[rnd.IntN(3)], boxes[rnd.IntN(3)]
			text := letter(fmt.Sprint(i, " ", n))
			uid := store.UID(1 + rnd.IntN(20))
			var err error
			switch rnd.IntN(6) {
			case 0:
				_, err = h.AppendAll(s.ctx, "", from, []store.NewMessage{newMessage(text, store.Flags{System: store.Seen}), newMessage(text+"x", store.Flags{Keywords: "k"})})
			case 1:
				_, err = h.Replace(s.ctx, "", from, uid, to, newMessage(text, store.Flags{}))
			case 2:
				_, err = h.CopyWithout(s.ctx, "", from, store.UIDSetOf(uid, uid+1), to, rnd.IntN(2) == 0, store.FlagMask{System: store.Seen, Keywords: true})
			case 3:
				err = h.SetQuota(s.ctx, accounts[rnd.IntN(2)], int64(rnd.IntN(2))*4000, int64(rnd.IntN(3))*10)
			case 4:
				err = h.SetACL(s.ctx, boxes[0], s.bob.ID, rnd.IntN(2) == 0, store.FlagMode(rnd.IntN(3)), store.Rights(rnd.IntN(1<<11)))
			case 5:
				_, err = h.SetFlags(s.ctx, from, store.AllUIDs(), store.FlagChange{Mode: store.FlagsAdd, Flags: store.Flags{System: store.Deleted},
					Keep: store.FlagMask{System: store.System(rnd.IntN(32))}}, store.Unconditional)
			}
			if k := store.KindOf(err); err != nil && k != store.Quota && k != store.Expunged {
				s.Errorf("%v", err)
			}
		}
	})
}
