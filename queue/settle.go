package queue

import (
	"time"

	"postrider/mail"
	"postrider/smtpc"
	"postrider/store"
)

// jitter is how far from the schedule an attempt may be, to either side, as a
// part of the wait. It keeps messages that failed together from coming back
// together.
const jitter = 0.05

// kind is what a notice tells; none if there is none.
type kind uint8

const (
	none    kind = iota
	failure      // not delivered, and given up (RFC 3464 §2.3.3: failed)
	delay        // not delivered yet (delayed)
	relay        // handed to a server that will not tell more (relayed)
	deliver      // in its mailbox (delivered)
)

// verdict is what becomes of one recipient after an attempt.
type verdict struct {
	rcpt    store.OutRcpt
	outcome smtpc.Outcome
	write   store.RcptOutcome
	notice  kind
	expired bool // given up for its age
}

// settle decides what an outcome means for a recipient. It is pure: now is
// when the attempt ended, spread a random number of [0, 1).
func (o *Options) settle(m *store.Outgoing, r store.OutRcpt, out smtpc.Outcome, now time.Time, spread float64) verdict {
	v := verdict{rcpt: r, outcome: out}
	v.write = store.RcptOutcome{ID: r.ID, Fence: r.Fence, Last: out.String(), Attempt: true}
	silent := m.Envelope.From.IsZero() // RFC 5321 §4.5.5: never a notice of a notice
	switch {
	case out.Status == smtpc.Delivered:
		v.write.Done, v.write.Taken = true, true
		// A server that knows DSN has taken the duty with the message (RFC
		// 3461 §5.2.2).
		if !silent && !out.DSN && r.Recipient.Notify&mail.NotifySuccess != 0 {
			v.notice = relay
		}
	case out.Status == smtpc.Permanent, !now.Before(m.Expires):
		v.write.Done = true
		v.expired = out.Status != smtpc.Permanent
		if o.SuppressAfter > 0 && noSuchAddress(out) {
			v.write.Refused = &store.Refused{Reason: out.String(), After: o.SuppressAfter, For: o.SuppressFor}
		}
		if !silent && wants(r.Recipient.Notify, mail.NotifyFailure) {
			v.notice = failure
		}
	default:
		o.again(&v, m, now, spread)
	}
	return v
}

// noSuchAddress tells whether a server said that it is the address that will
// never do (RFC 3463 §3.2, §3.3).
func noSuchAddress(out smtpc.Outcome) bool {
	if out.Code == 0 || out.Status != smtpc.Permanent {
		return false
	}
	switch out.Enhanced {
	case "5.1.1", "5.1.3", "5.1.6", "5.2.1":
		return true
	}
	return false
}

// again schedules the next attempt, and a notice of delay if it is time.
func (o *Options) again(v *verdict, m *store.Outgoing, now time.Time, spread float64) {
	r := v.rcpt
	wait := o.Retry[min(r.Tries, len(o.Retry)-1)]
	wait += time.Duration(float64(wait) * jitter * (2*spread - 1))
	due := now.Add(wait)
	tell := o.DelayNotice > 0 && !r.Delayed && !m.Envelope.From.IsZero() && wants(r.Recipient.Notify, mail.NotifyDelay)
	late := m.Created.Add(o.DelayNotice)
	switch {
	case tell && !now.Before(late):
		v.notice, v.write.Delayed = delay, true
	case tell && due.After(late):
		due = late // one attempt more, and then the notice
	}
	if due.After(m.Expires) {
		due = m.Expires // the last attempt
	}
	v.write.Due = due
}

// wants tells whether a sender asked for notices of a condition. Who did not
// say gets those of failure and delay (RFC 3461 §4.1).
func wants(n, condition mail.Notify) bool {
	return n == 0 || n&mail.NotifyNever == 0 && n&condition != 0
}

// release gives a lease back as if nothing had been tried.
func release(r store.OutRcpt, now time.Time) verdict {
	return verdict{rcpt: r, write: store.RcptOutcome{ID: r.ID, Fence: r.Fence, Due: now, Last: r.Last}}
}
