package queue

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/delivery"
	"postrider/internal/labdns"
	"postrider/internal/resolve"
	"postrider/mail"
	"postrider/smtpc"
	"postrider/smtpc/smtpctest"
	"postrider/store"
	"postrider/store/sqlite"
	"postrider/store/sqlite/sqlitetest"
)

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// patience is how long a test waits for what should take no time.
const patience = time.Minute

// rig is server a.test with alice, and a DNS that leads b.test to loopback.
type rig struct {
	t       testing.TB
	clock   *clock
	store   *store.Store
	deliver *delivery.Deliverer
	dns     *labdns.Server
	alice   store.Account
	log     *logBuffer
	opts    Options
	client  smtpc.Options
	cancel  func() // begins to stop the queue
	stop    func()
	done    chan error
}

const labZone = `
$TTL 60
b.test.    SOA ns.b.test. h.b.test. 1 1 1 1 1
b.test.    MX 10 mx.b.test.
mx.b.test. A 127.0.0.1
dead.test. SOA ns.b.test. h.b.test. 1 1 1 1 1
*.dead.test. MX 10 mx.dead.test.
dead.test. MX 10 mx.dead.test.
mx.dead.test. A 127.0.0.9
nomail.test. SOA ns.b.test. h.b.test. 1 1 1 1 1
nomail.test. MX 0 .
`

var schedule = []time.Duration{5 * time.Minute, 15 * time.Minute, time.Hour, 3 * time.Hour}

func newRig(t testing.TB, remote *smtpctest.Server, change ...func(*rig)) *rig {
	t.Helper()
	r := &rig{t: t, clock: &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}, log: &logBuffer{}}
	r.store = sqlitetest.NewWith(t, sqlite.Options{Now: r.clock.Now})
	dns, err := labdns.Start("127.0.0.1:0", strings.NewReader(labZone))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dns.Close)
	r.dns = dns
	ctx := context.Background()
	if _, err := r.store.AddDomain(ctx, "a.test"); err != nil {
		t.Fatal(err)
	}
	if r.alice, err = r.store.AddAccount(ctx, store.NewAccount{Address: address(t, "alice@a.test")}); err != nil {
		t.Fatal(err)
	}
	wait := 30 * time.Second // on a busy machine
	r.client = smtpc.Options{Hostname: "mail.a.test", Resolver: resolve.New(resolve.Options{Server: dns.Addr(), Timeout: wait}), Now: r.clock.Now, Timeouts: smtpc.Timeouts{
		Dial: wait, Handshake: wait, Command: wait, Block: wait, End: wait}}
	if remote != nil {
		r.client.Port = int(remote.Addr().Port())
	} else {
		r.client.Port = 1
	}
	log := slog.New(slog.NewTextHandler(r.log, nil))
	r.opts = Options{Store: r.store, Hostname: "mail.a.test", Retry: schedule, Now: r.clock.Now, Log: log,
		Rand: func() float64 { return 0.5 }}
	for _, f := range change {
		f(r)
	}
	notifier := NewNotifier("mail.a.test", r.clock.Now)
	r.deliver = delivery.New(delivery.Options{Store: r.store, Hostname: "mail.a.test", Now: r.clock.Now, Notice: notifier.Delivered})
	r.opts.Deliver, r.opts.Client = r.deliver, smtpc.New(r.client)
	return r
}

// logBuffer keeps what is logged.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// run starts the queue, to be stopped with the test.
func (r *rig) run() *rig {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r.done = make(chan error, 1)
	q := New(r.opts)
	go func() { r.done <- q.Run(ctx) }()
	r.cancel = cancel
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-r.done:
			if err != nil {
				r.t.Error(err)
			}
		case <-time.After(patience):
			r.t.Error("the queue does not stop")
		}
	}
	r.t.Cleanup(r.stop)
	return r
}

func address(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return a
}

const letter = "From: Alice <alice@a.test>\r\nTo: Bob <bob@b.test>\r\nSubject: Lunch on Friday\r\nMessage-ID: <lunch@a.test>\r\n\r\nhello\r\n"

// send accepts a message from alice.
func (r *rig) send(change func(*mail.Envelope), rcpts ...string) mail.ID {
	r.t.Helper()
	return r.sendText(letter, change, rcpts...)
}

func (r *rig) sendText(text string, change func(*mail.Envelope), rcpts ...string) mail.ID {
	r.t.Helper()
	m := &delivery.Message{ID: mail.NewID(r.clock.Now()), Body: strings.NewReader(text)}
	m.Envelope.From = address(r.t, "alice@a.test")
	for _, a := range rcpts {
		m.Envelope.Rcpts = append(m.Envelope.Rcpts, mail.Recipient{Addr: address(r.t, a)})
	}
	if change != nil {
		change(&m.Envelope)
	}
	if _, err := r.deliver.Accept(context.Background(), m); err != nil {
		r.t.Fatal(err)
	}
	return m.ID
}

// queued are the recipients in the queue.
func (r *rig) queued() []store.OutRcpt {
	r.t.Helper()
	ls, err := r.store.Outgoing(context.Background(), store.OutFilter{})
	if err != nil {
		r.t.Fatal(err)
	}
	var out []store.OutRcpt
	for _, l := range ls {
		out = append(out, l.Rcpts...)
	}
	return out
}

// until waits for a condition that the queue brings about.
func (r *rig) until(what string, cond func() bool) {
	r.t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			q, log := r.queued(), r.log.String()
			r.t.Fatalf("never: %s; %d queued, first %+v; log:\n%s", what, len(q), q[:min(len(q), 2)], log[max(0, len(log)-2000):])
		}
	}
}

// empty waits until nothing is queued.
func (r *rig) empty() {
	r.t.Helper()
	r.until("the queue is empty", func() bool { return len(r.queued()) == 0 })
}

// tried waits until the only recipient has been tried n times and is no
// longer leased.
func (r *rig) tried(n int) store.OutRcpt {
	r.t.Helper()
	r.until(fmt.Sprintf("%d tries", n), func() bool { q := r.queued(); return len(q) == 1 && q[0].Tries == n })
	return r.queued()[0]
}

// later moves the clock and wakes the queue.
func (r *rig) later(d time.Duration) {
	r.clock.add(d)
	r.store.Feed().Publish(store.Change{Kind: store.OutgoingDue})
}

// inbox are the messages in alice's INBOX.
func (r *rig) inbox() []string {
	r.t.Helper()
	ctx := context.Background()
	box, err := r.store.Mailbox(ctx, r.alice.ID, store.Inbox)
	if err != nil {
		r.t.Fatal(err)
	}
	var out []string
	err = r.store.Fetch(ctx, box.ID, store.AllUIDs(), store.NeedBody, func(c *store.Content) error {
		b, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size))
		out = append(out, string(b))
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// refuse makes a server that answers a verb with a line.
func refuse(verb, line string) smtpctest.Options {
	return smtpctest.Options{Reply: func(_ *smtpctest.Conn, l string) string {
		if strings.HasPrefix(l, verb) {
			return line
		}
		return smtpctest.Default
	}}
}
