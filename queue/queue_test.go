package queue

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postrider/mail"
	"postrider/smtpc"
	"postrider/smtpc/smtpctest"
	"postrider/store"
)

func TestDelivers(t *testing.T) {
	s := smtpctest.New(t, smtpctest.Options{})
	r := newRig(t, s).run()
	id := r.send(nil, "bob@b.test", "carol@b.test")
	m := s.Wait(t, 1)[0]
	if len(m.Rcpts) != 2 || !strings.HasPrefix(m.Data, "Received: by mail.a.test") || !strings.HasSuffix(m.Data, letter) ||
		!strings.Contains(m.Data, string(id)) {
		t.Errorf("got %+v", m)
	}
	r.empty()
	if n := r.inbox(); len(n) != 0 {
		t.Errorf("alice got %q", n)
	}
}

func TestOneConnectionForSeveralMessages(t *testing.T) {
	s := smtpctest.New(t, smtpctest.Options{})
	r := newRig(t, s, func(r *rig) { r.opts.PerDest = 1 })
	for range 20 {
		r.send(nil, "bob@b.test")
	}
	r.run()
	s.Wait(t, 20)
	r.empty()
	if s.Conns() != 1 {
		t.Errorf("%d connections", s.Conns())
	}
}

func TestRetrySchedule(t *testing.T) {
	s := smtpctest.New(t, refuse("RCPT", "450 4.2.0 come back later"))
	r := newRig(t, s, func(r *rig) { r.opts.DelayNotice = -1 }).run()
	r.send(nil, "bob@b.test")
	for n, wait := range []time.Duration{schedule[0], schedule[1], schedule[2], schedule[3], schedule[3]} {
		q := r.tried(n + 1)
		if got := q.Due.Sub(r.clock.Now()); got != wait {
			t.Fatalf("after attempt %d it waits %v, want %v", n+1, got, wait)
		}
		if !strings.Contains(q.Last, "mx.b.test") || !strings.Contains(q.Last, "450 4.2.0 come back later") {
			t.Errorf("last: %q", q.Last)
		}
		r.later(wait - time.Second)
		time.Sleep(20 * time.Millisecond)
		if q := r.queued(); q[0].Tries != n+1 {
			t.Fatalf("attempt %d came too early", n+2)
		}
		r.later(time.Second)
	}
}

func TestRemoteComesBack(t *testing.T) {
	s := smtpctest.New(t, smtpctest.Options{})
	port := s.Addr()
	s.Close()
	r := newRig(t, s).run()
	r.send(nil, "bob@b.test")
	if q := r.tried(1); !strings.Contains(q.Last, "connection refused") {
		t.Errorf("last: %q", q.Last)
	}
	s = smtpctest.New(t, smtpctest.Options{Addr: port.String()})
	// An operator's retry makes a real attempt at once.
	if n, err := r.store.Act(context.Background(), store.OutFilter{}, store.OutRetry, r.clock.Now()); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	s.Wait(t, 1)
	r.empty()
}

func TestDeadDestinationDelaysNobody(t *testing.T) {
	const dead, slow = 10_000, 300 * time.Millisecond
	s := smtpctest.New(t, smtpctest.Options{})
	var dials atomic.Int64
	r := newRig(t, s, func(r *rig) {
		r.opts.Workers = 4
		r.client.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if strings.HasPrefix(addr, "127.0.0.9:") {
				dials.Add(1)
				time.Sleep(slow)
				return nil, context.DeadlineExceeded
			}
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		}
	})
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range 50 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for n := range dead / 50 {
				r.send(nil, fmt.Sprintf("u%d.%d@dead.test", i, n))
			}
		}()
	}
	// Other dead destinations, more than there are workers.
	for i := range 8 {
		r.send(nil, fmt.Sprintf("x@d%d.dead.test", i))
	}
	wg.Wait()
	t.Logf("queued after %v", time.Since(begin))
	r.run()
	start := time.Now()
	r.send(nil, "bob@b.test")
	s.Wait(t, 1)
	if n := dials.Load(); n > 9 {
		t.Errorf("waited for %d attempts to connect elsewhere", n)
	}
	r.until("all are put off", func() bool {
		ds, _, err := r.store.DueDests(context.Background(), r.clock.Now(), 10)
		return err == nil && len(ds) == 0
	})
	tried := map[string]int{}
	r.until("outcomes are written", func() bool {
		clear(tried)
		all := 0
		for _, q := range r.queued() {
			tried[q.Dest] += q.Tries
			all += q.Tries
		}
		return all >= len(tried)
	})
	for _, q := range r.queued() {
		if q.Fence > int64(q.Tries) {
			t.Errorf("%s was leased %d times and tried %d", q.Recipient.Addr, q.Fence, q.Tries)
		}
	}
	for dest, n := range tried {
		if n != 1 {
			t.Errorf("%d messages for %s were tried", n, dest)
		}
	}
	if n := dials.Load(); n > 30 {
		t.Errorf("%d attempts to connect", n)
	}
	t.Logf("%v in all, %d connections tried", time.Since(start), dials.Load())
}

// TestSilentDestinationsDelayNobody: more hosts let us wait than there are
// workers, and none was known to.
func TestSilentDestinationsDelayNobody(t *testing.T) {
	const silent = 12
	s := smtpctest.New(t, smtpctest.Options{})
	var dials atomic.Int64
	answer := make(chan struct{})
	r := newRig(t, s, func(r *rig) {
		r.opts.Workers, r.opts.Patience = 2, 20*time.Millisecond
		r.client.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if !strings.HasPrefix(addr, "127.0.0.9:") {
				return (&net.Dialer{}).DialContext(ctx, network, addr)
			}
			dials.Add(1)
			<-answer
			return nil, context.DeadlineExceeded
		}
	})
	for i := range silent {
		r.send(nil, fmt.Sprintf("x@d%d.dead.test", i))
	}
	r.send(nil, "bob@b.test")
	r.run()
	s.Wait(t, 1)
	r.until("all are tried", func() bool { return dials.Load() == silent })
	close(answer)
	r.until("outcomes are written", func() bool {
		return !slices.ContainsFunc(r.queued(), func(q store.OutRcpt) bool { return q.Tries == 0 })
	})
	// Nothing is left of it in the scheduler: they may all be tried again.
	r.clock.add(schedule[0] * 2)
	r.send(nil, "carol@b.test")
	s.Wait(t, 2)
	r.until("all are tried again", func() bool { return dials.Load() >= 2*silent })
}

func TestPlacesOfWorkersThatWait(t *testing.T) {
	s := &scheduler{q: &Queue{o: Options{Workers: 2, PerDest: 8}}, dests: map[string]*destState{}}
	begin := func(dest string) {
		s.dests[dest] = &destState{running: 1}
		s.busy++
	}
	for i := range 2 + 2*maxStalled {
		dest := fmt.Sprint(i)
		if !s.mayStart(dest) {
			t.Fatalf("number %d may not start", i)
		}
		begin(dest)
		s.take(event{dest, stalls})
	}
	if s.mayStart("more") {
		t.Error("there is no end")
	}
	for i := range 2 + 2*maxStalled {
		dest := fmt.Sprint(i)
		s.take(event{dest, moves})
		s.take(event{dest, failed})
		s.take(event{dest, done})
	}
	if s.busy != 0 || s.stalled != 0 || s.doubted != 0 {
		t.Errorf("left over: %d busy, %d stalled, %d doubted", s.busy, s.stalled, s.doubted)
	}
}

// What waits at a dead destination is not touched, but its senders are told
// when they have to be; when it is back everything goes.
func TestDeadDestinationTellsAndComesBack(t *testing.T) {
	s := smtpctest.New(t, smtpctest.Options{})
	var down atomic.Bool
	down.Store(true)
	r := newRig(t, s, func(r *rig) {
		r.client.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if down.Load() {
				return nil, context.DeadlineExceeded
			}
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		}
	})
	const n = 30
	for i := range n {
		r.send(func(e *mail.Envelope) {
			if i == 0 {
				e.Rcpts[0].Notify = mail.NotifyNever
			}
		}, fmt.Sprintf("%d@b.test", i))
	}
	r.run()
	closed := func() bool {
		ds, _, err := r.store.DueDests(context.Background(), r.clock.Now(), 10)
		return err == nil && len(ds) == 0
	}
	count := func(f func(store.OutRcpt) bool) (n int) {
		for _, q := range r.queued() {
			if f(q) {
				n++
			}
		}
		return n
	}
	r.until("it is closed", closed)
	tried := func() int { return count(func(q store.OutRcpt) bool { return q.Tries > 0 }) }
	r.until("the outcome is written", func() bool { return tried() > 0 })
	if got := tried(); got != 1 {
		t.Errorf("%d were tried", got)
	}
	r.later(5 * time.Hour) // later than the delay that is told of
	r.until("all are told", func() bool { return count(func(q store.OutRcpt) bool { return q.Delayed }) == n-1 })
	r.until("it is closed again", closed)
	if got := len(r.inbox()); got != n-1 {
		t.Errorf("%d notices of delay", got)
	}
	r.later(10 * time.Minute) // it is closed for a time of its own, not for a message's
	r.until("it is closed again", closed)
	r.later(time.Hour)
	down.Store(false)
	r.store.Feed().Publish(store.Change{Kind: store.OutgoingDue})
	r.later(4 * time.Hour)
	s.Wait(t, n)
	r.empty()
}

func TestDeadDestinationExpires(t *testing.T) {
	r := newRig(t, nil, func(r *rig) { r.opts.DelayNotice = -1 }).run()
	const n = 40
	for i := range n {
		r.send(nil, fmt.Sprintf("%d@dead.test", i))
	}
	r.until("it is closed", func() bool {
		ds, _, err := r.store.DueDests(context.Background(), r.clock.Now(), 10)
		return err == nil && len(ds) == 0
	})
	r.later(6 * 24 * time.Hour)
	r.empty()
	if got := len(r.inbox()); got != n {
		t.Errorf("%d notices of failure", got)
	}
}

// A destination gets more connections as it takes mail, and half as many when
// it wants less.
func TestConcurrencyAdapts(t *testing.T) {
	d := &destState{running: 1, limit: 1}
	for range 9 {
		d.went(8)
	}
	if d.limit != 8 {
		t.Errorf("limit %d after some messages", d.limit)
	}
	d.running = 6
	d.pushed()
	if d.limit != 3 {
		t.Errorf("limit %d after it was pushed back with 6", d.limit)
	}
	for range 3*calmFor - 1 {
		d.went(8)
	}
	if d.limit != 3 {
		t.Errorf("limit %d too early", d.limit)
	}
	if d.went(8); d.limit != 4 {
		t.Errorf("limit %d after a calm time", d.limit)
	}
	for range 5 {
		d.running = 1
		d.pushed()
	}
	if d.limit != 1 {
		t.Errorf("limit %d at least", d.limit)
	}
	for _, c := range []struct {
		o    smtpc.Outcome
		want bool
	}{
		{smtpc.Outcome{Code: 421, Enhanced: "4.0.0"}, true},
		{smtpc.Outcome{Code: 450, Enhanced: "4.7.28"}, true},
		{smtpc.Outcome{Code: 452, Enhanced: "4.2.2"}, false},
		{smtpc.Outcome{Status: smtpc.Permanent, Code: 554, Enhanced: "5.3.2"}, false},
	} {
		if got := wantsLess(c.o); got != c.want {
			t.Errorf("%+v wants less: %v", c.o, got)
		}
	}
}

func TestConcurrencyPerDestination(t *testing.T) {
	var now, most, all atomic.Int64
	three, full := make(chan struct{}), sync.Once{}
	s := smtpctest.New(t, smtpctest.Options{Reply: func(_ *smtpctest.Conn, l string) string {
		if l == "DATA" {
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			if n == 3 {
				full.Do(func() { close(three) })
			}
			if all.Add(1) > 10 { // until then there is trust to be won
				select {
				case <-three:
				case <-time.After(patience / 2):
				}
			}
			time.Sleep(20 * time.Millisecond) // for a fourth, that must not be
			now.Add(-1)
		}
		return smtpctest.Default
	}})
	r := newRig(t, s, func(r *rig) { r.opts.PerDest = 3 })
	for range 30 {
		r.send(nil, "bob@b.test")
	}
	r.run()
	s.Wait(t, 30)
	r.empty()
	if most.Load() != 3 {
		t.Errorf("%d at once", most.Load())
	}
}

func TestAfterACrash(t *testing.T) {
	s := smtpctest.New(t, smtpctest.Options{})
	r := newRig(t, s)
	r.send(nil, "bob@b.test")
	ctx := context.Background()
	for _, owner := range []string{"mail.a.test", "other.a.test"} {
		l, err := r.store.Lease(ctx, owner, "b.test", r.clock.Now(), leaseTime, 10)
		if err != nil || l == nil {
			t.Fatal(l, err)
		}
		r.run() // this node's own lease ends at once
		if owner == "mail.a.test" {
			s.Wait(t, 1)
			r.empty()
			r.stop()
			r.send(nil, "bob@b.test")
			continue
		}
		time.Sleep(50 * time.Millisecond)
		if len(s.Messages()) != 1 {
			t.Fatal("another node's lease was taken")
		}
		r.later(leaseTime) // it ends by itself
		s.Wait(t, 2)
		r.empty()
	}
}

func TestStopsInTheMiddle(t *testing.T) {
	started := make(chan struct{}, 1)
	s := smtpctest.New(t, smtpctest.Options{Reply: func(_ *smtpctest.Conn, l string) string {
		if strings.HasPrefix(l, "MAIL") {
			started <- struct{}{}
			return smtpctest.Hang
		}
		return smtpctest.Default
	}})
	r := newRig(t, s, func(r *rig) {
		r.opts.Grace = 50 * time.Millisecond
		r.client.Timeouts.Command = time.Hour
	}).run()
	r.send(nil, "bob@b.test")
	<-started
	r.stop()
	q := r.queued()
	if len(q) != 1 || q[0].Tries != 0 || q[0].Due.After(r.clock.Now()) {
		t.Errorf("got %+v", q)
	}
	l, err := r.store.Lease(context.Background(), "x", "b.test", r.clock.Now(), time.Minute, 1)
	if err != nil || l == nil {
		t.Errorf("the lease was not given back: %v, %v", l, err)
	}
}

func TestStopLetsAttemptsEnd(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	s := smtpctest.New(t, smtpctest.Options{Reply: func(_ *smtpctest.Conn, l string) string {
		if strings.HasPrefix(l, "MAIL") {
			close(started)
			<-release
		}
		return smtpctest.Default
	}})
	r := newRig(t, s).run()
	r.send(nil, "bob@b.test")
	r.send(nil, "bob@b.test")
	<-started
	r.cancel()
	close(release)
	r.stop()
	if len(s.Messages()) != 1 || len(r.queued()) != 1 {
		t.Errorf("%d delivered, %d queued", len(s.Messages()), len(r.queued()))
	}
}

// Messages that were leased together with one that takes long, and with the
// queue's end, are due as they were, and nothing is told of them.
func TestLeasesAreGivenBack(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	var mails atomic.Int64
	s := smtpctest.New(t, smtpctest.Options{Reply: func(_ *smtpctest.Conn, l string) string {
		if strings.HasPrefix(l, "MAIL") && mails.Add(1) == 3 {
			close(started)
			<-release
		}
		return smtpctest.Default
	}})
	r := newRig(t, s, func(r *rig) { r.opts.PerDest = 1 })
	for range 12 {
		r.send(nil, "bob@b.test")
	}
	before := r.queued()
	r.run()
	<-started
	leased := 0
	for _, q := range r.queued() {
		if q.Due.After(r.clock.Now()) {
			leased++
		}
	}
	if leased != maxLeases-1 { // the second message was leased with them
		t.Errorf("%d leased, want %d", leased, maxLeases-1)
	}
	r.cancel()
	close(release)
	r.stop()
	after := r.queued()
	if len(after) != 9 || len(s.Messages()) != 3 {
		t.Fatalf("%d queued, %d delivered", len(after), len(s.Messages()))
	}
	for i, q := range after {
		if was := before[len(before)-len(after)+i]; q.ID != was.ID || !q.Due.Equal(was.Due) || q.Tries != 0 || q.Last != "" {
			t.Errorf("it was\n%+v and is\n%+v", was, q)
		}
	}
}

// The leases of a slow destination's worker do not keep others from its mail.
func TestSlowDestinationIsLeasedOneByOne(t *testing.T) {
	s := smtpctest.New(t, smtpctest.Options{Reply: func(_ *smtpctest.Conn, l string) string {
		if l == "." {
			time.Sleep(quickTime + 20*time.Millisecond)
		}
		return smtpctest.Default
	}})
	r := newRig(t, s, func(r *rig) { r.opts.PerDest = 1 })
	for range 5 {
		r.send(nil, "bob@b.test")
	}
	r.run()
	for n := 1; n < 5; n++ {
		s.Wait(t, n)
		leased := 0
		for _, q := range r.queued() {
			if q.Due.After(r.clock.Now()) {
				leased++
			}
		}
		if leased > 2 { // one may be sent while the last outcome is written
			t.Errorf("%d leased at once", leased)
		}
	}
	r.empty()
}

func TestMailAcceptedWhileRunning(t *testing.T) {
	s := smtpctest.New(t, smtpctest.Options{})
	r := newRig(t, s).run()
	for i := range 50 {
		r.send(nil, "bob@b.test")
		if i%10 == 0 {
			s.Wait(t, i+1)
		}
	}
	s.Wait(t, 50)
	r.empty()
}

// A mailbox that is full when the notice comes must not swallow it.
func TestNoticeWaitsForRoom(t *testing.T) {
	s := smtpctest.New(t, refuse("RCPT", "550 5.1.1 no such user"))
	r := newRig(t, s)
	r.send(nil, "bob@b.test")
	ctx := context.Background()
	if err := r.store.SetQuota(ctx, r.alice.ID, 10, 0); err != nil {
		t.Fatal(err)
	}
	r.run()
	r.until("it waits", func() bool { q := r.queued(); return len(q) == 1 && q[0].Tries == 1 })
	if got := r.queued()[0].Due.Sub(r.clock.Now()); got != noticeWait {
		t.Errorf("due in %v", got)
	}
	if err := r.store.SetQuota(ctx, r.alice.ID, 0, 0); err != nil {
		t.Fatal(err)
	}
	r.later(noticeWait)
	r.empty()
	if n := r.inbox(); len(n) != 1 {
		t.Errorf("alice has %q", n)
	}
}

func TestSenderIsGone(t *testing.T) {
	s := smtpctest.New(t, refuse("RCPT", "550 5.1.1 no such user"))
	r := newRig(t, s)
	r.send(nil, "bob@b.test")
	if err := r.store.RemoveAccount(context.Background(), r.alice.ID); err != nil {
		t.Fatal(err)
	}
	r.run()
	r.empty()
}

// A notice for somebody elsewhere is queued, with the null sender; when that
// fails too there is nobody left to tell.
func TestNoticeForAForeignSender(t *testing.T) {
	s := smtpctest.New(t, refuse("RCPT TO:<nobody@", "550 5.1.1 no such user"))
	r := newRig(t, s).run()
	r.send(func(e *mail.Envelope) { e.From = address(t, "sam@b.test") }, "nobody@b.test")
	m := s.Wait(t, 1)[0]
	if !strings.HasPrefix(m.From, "<>") || !strings.HasPrefix(m.Rcpts[0], "<sam@b.test> NOTIFY=NEVER") {
		t.Errorf("got %+v", m)
	}
	r.empty()
	r.send(func(e *mail.Envelope) { e.From = address(t, "nobody@b.test") }, "nobody@b.test")
	r.empty()
	if len(s.Messages()) != 1 || len(r.inbox()) != 0 {
		t.Errorf("%d at the remote server, %d here", len(s.Messages()), len(r.inbox()))
	}
}

func TestLocalDeliveryNotice(t *testing.T) {
	r := newRig(t, nil)
	if _, err := r.store.AddAccount(context.Background(), store.NewAccount{Address: address(t, "carol@a.test")}); err != nil {
		t.Fatal(err)
	}
	r.send(func(e *mail.Envelope) { e.Rcpts[0].Notify = mail.NotifySuccess; e.EnvID = "E1" }, "carol@a.test")
	n := r.inbox()
	if len(n) != 1 {
		t.Fatalf("alice has %d messages", len(n))
	}
	p := pythonReads(t, n[0])
	if p.Status[0]["Original-Envelope-Id"] != "E1" || p.Status[1]["Action"] != "delivered" || p.Status[1]["Status"] != "2.1.5" ||
		p.Status[1]["Final-Recipient"] != "rfc822; carol@a.test" || p.Third != "text/rfc822-headers" {
		t.Errorf("got %+v", p)
	}
}

// An operator gives a recipient up: nothing is sent, and the sender is told.
func TestOperatorGivesUp(t *testing.T) {
	s := smtpctest.New(t, refuse("RCPT TO:<bob", "450 4.2.0 come back later"))
	r := newRig(t, s).run()
	id := r.send(nil, "bob@b.test")
	r.tried(1)
	n, err := r.store.Act(context.Background(), store.OutFilter{Message: id, Rcpt: "BOB@"}, store.OutBounce, r.clock.Now())
	if err != nil || n != 1 {
		t.Fatal(n, err)
	}
	r.empty()
	if got := r.inbox(); len(got) != 1 || !strings.Contains(got[0], "given the message up") {
		t.Errorf("alice got %q", got)
	}
	r.wantJourney(id, "submitted", "queued", "attempt S: 250 2.0.0 ok", `deferred ["bob@b.test"] mx.b.test says to come back later, as servers do with strangers and when too much comes at once`,
		"operator", `bounced ["bob@b.test"] the administrator of this server has given the message up`, "notice failed")
	if len(s.Messages()) != 0 {
		t.Error("it was sent")
	}
}

// An address that was refused for good often enough is not tried any more.
func TestSuppressedAddress(t *testing.T) {
	s := smtpctest.New(t, refuse("RCPT TO:<bob", "550 5.1.1 no such user"))
	r := newRig(t, s, func(r *rig) { r.opts.SuppressAfter, r.opts.SuppressFor = 2, 365*24*time.Hour }).run()
	for range 2 {
		r.send(nil, "bob@b.test")
		r.empty()
	}
	tried := len(s.Lines())
	id := r.send(nil, "bob@b.test", "carol@b.test")
	r.empty()
	if s.Wait(t, 1); strings.Contains(strings.Join(s.Lines()[tried:], "\n"), "bob") {
		t.Error("bob was tried again")
	}
	got := r.inbox()
	if len(got) != 3 || !strings.Contains(got[2], "sends nothing to this address") {
		t.Errorf("alice got %d notices", len(got))
	}
	if j := strings.Join(r.journey(id), "\n"); !strings.Contains(j, `delivered ["carol@b.test"]`) || !strings.Contains(j, `bounced ["bob@b.test"] this server sends nothing`) {
		t.Errorf("journey:\n%s", j)
	}
}
