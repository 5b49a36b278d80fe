package queue

import (
	"testing"
	"time"

	"postrider/mail"
	"postrider/smtpc"
	"postrider/store"
)

func TestSettle(t *testing.T) {
	const h = time.Hour
	t0 := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	o := New(Options{Retry: schedule, DelayNotice: 4 * h}).o
	T, P, D := smtpc.Temporary, smtpc.Permanent, smtpc.Delivered
	for name, c := range map[string]struct {
		status  smtpc.Status
		dsn     bool
		notify  mail.Notify
		tries   int
		age     time.Duration
		null    bool
		delayed bool

		done   bool
		notice kind
		due    time.Duration // age
	}{
		"delivered":                        {status: D, done: true},
		"delivered, success":               {status: D, notify: mail.NotifySuccess, done: true, notice: relay},
		"delivered, success, remote DSN":   {status: D, dsn: true, notify: mail.NotifySuccess, done: true},
		"delivered, success, null":         {status: D, null: true, notify: mail.NotifySuccess, done: true},
		"refused":                          {status: P, done: true, notice: failure},
		"refused, never":                   {status: P, notify: mail.NotifyNever, done: true},
		"refused, success only":            {status: P, notify: mail.NotifySuccess, done: true},
		"refused, failure":                 {status: P, notify: mail.NotifyFailure, done: true, notice: failure},
		"refused, null":                    {status: P, null: true, done: true},
		"later":                            {status: T, due: 5 * time.Minute},
		"later, second":                    {status: T, tries: 1, age: h, due: h + 15*time.Minute},
		"later, before the notice":         {status: T, tries: 3, age: 2 * h, due: 4 * h},
		"later, never":                     {status: T, notify: mail.NotifyNever, tries: 3, age: 2 * h, due: 5 * h},
		"later, null":                      {status: T, null: true, tries: 9, age: 5 * h, due: 8 * h},
		"late":                             {status: T, tries: 3, age: 4 * h, due: 7 * h, notice: delay},
		"late, told":                       {status: T, tries: 3, age: 9 * h, delayed: true, due: 12 * h},
		"late, failure only":               {status: T, notify: mail.NotifyFailure, tries: 3, age: 5 * h, due: 8 * h},
		"late, delay":                      {status: T, notify: mail.NotifyDelay, tries: 3, age: 5 * h, due: 8 * h, notice: delay},
		"last but one":                     {status: T, tries: 50, age: 119 * h, delayed: true, due: 120 * h},
		"expired":                          {status: T, tries: 50, age: 120 * h, delayed: true, done: true, notice: failure},
		"expired, never":                   {status: T, notify: mail.NotifyNever, age: 121 * h, done: true},
		"delivered after expiry":           {status: D, age: 121 * h, done: true},
		"refused after expiry":             {status: P, age: 121 * h, done: true, notice: failure},
		"expired, wants delay notice only": {status: T, notify: mail.NotifyDelay, age: 121 * h, done: true},
	} {
		m := &store.Outgoing{Created: t0, Expires: t0.Add(120 * h)}
		if !c.null {
			m.Envelope.From = mail.Address{Local: "alice", Domain: "a.test"}
		}
		r := store.OutRcpt{ID: 7, Fence: 3, Tries: c.tries, Delayed: c.delayed, Recipient: mail.Recipient{Notify: c.notify}}
		now := t0.Add(c.age)
		v := o.settle(m, r, smtpc.Outcome{Status: c.status, DSN: c.dsn}, now, 0.5)
		due := v.write.Due
		if c.done {
			due = t0
		}
		if v.write.Done != c.done || v.notice != c.notice || due.Sub(t0) != c.due || v.write.Delayed != (c.notice == delay) ||
			!v.write.Attempt || v.write.ID != 7 || v.write.Fence != 3 {
			t.Errorf("%s: %+v, notice %v, due %v", name, v.write, v.notice, due.Sub(t0))
		}
	}
}

func TestJitterIsWithinTenPercent(t *testing.T) {
	o := New(Options{DelayNotice: -1}).o
	t0 := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	m := &store.Outgoing{Created: t0, Expires: t0.Add(1000 * time.Hour)}
	seen := map[time.Duration]bool{}
	for tries, wait := range DefaultRetry() {
		for _, spread := range []float64{0, 0.25, 0.5, 0.999999} {
			v := o.settle(m, store.OutRcpt{Tries: tries}, smtpc.Outcome{}, t0, spread)
			got := v.write.Due.Sub(t0)
			if diff := (got - wait).Abs(); diff > wait/10 {
				t.Errorf("attempt %d: %v instead of %v", tries, got, wait)
			}
			seen[got] = true
		}
	}
	if len(seen) != 4*len(DefaultRetry()) {
		t.Errorf("only %d different waits", len(seen))
	}
}

// TestJitterKeepsRecipientsTogether shows that recipients of one message that
// failed together are tried again together.
func TestJitterKeepsRecipientsTogether(t *testing.T) {
	n := 0.0
	q := New(Options{Rand: func() float64 { n += 0.3; return n }})
	m := &store.Leased{Outgoing: store.Outgoing{Expires: time.Now().Add(time.Hour * 24)}, Rcpts: make([]store.OutRcpt, 2)}
	r := &result{m: m}
	q.judge(r, broken(m, "x"))
	if a, b := r.verdicts[0].write.Due, r.verdicts[1].write.Due; !a.Equal(b) {
		t.Errorf("due at %v and %v", a, b)
	}
}
