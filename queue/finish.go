package queue

import (
	"context"
	"errors"
	"time"

	"postrider/delivery"
	"postrider/internal/maillog"
	"postrider/smtpc"
	"postrider/store"
)

// Limits of writing outcomes down.
const (
	finishTries = 6                      // while the store is busy or full
	finishWait  = 500 * time.Millisecond // doubled after each
	noticeWait  = time.Hour              // until a failure whose notice could not be filed is looked at again
	noticeGrace = 48 * time.Hour         // after expiry, until it is given up
)

// flush begins to write down what is held.
func (w *worker) flush() {
	held := w.held
	w.held = nil
	if len(held) > 0 {
		w.writing.Go(func() { w.q.record(held) })
	}
}

// record writes results down and tells of them.
func (q *Queue) record(rs []*result) {
	err := q.write(rs...)
	if err != nil && len(rs) > 1 {
		// One of them may be at fault; the others must not suffer.
		for _, r := range rs {
			q.finish(r, q.write(r))
		}
		return
	}
	for _, r := range rs {
		q.finish(r, err)
	}
}

// write puts results into the store in one transaction. It tries again where
// that may help: what was delivered and is not written down will be sent
// twice.
func (q *Queue) write(rs ...*result) error {
	var outcomes []store.RcptOutcome
	var notices []*store.Acceptance
	for _, r := range rs {
		r.addEvents(q.o.Now())
		for _, v := range r.verdicts {
			outcomes = append(outcomes, v.write)
		}
		notices = append(notices, r.notices...)
	}
	wait := finishWait
	for try := 1; ; try++ {
		err := q.o.Store.Finish(context.Background(), outcomes, notices...)
		if err == nil || try == finishTries {
			return err
		}
		switch store.KindOf(err) {
		case store.Busy, store.Full, store.Internal:
		default:
			return err
		}
		time.Sleep(wait)
		wait *= 2
	}
}

// finish logs a result that was written, or deals with one that was not.
func (q *Queue) finish(r *result, err error) {
	switch {
	case err == nil:
		q.log(r)
	case store.KindOf(err) == store.Expunged:
		// Somebody else has the lease: another node after a long pause, or an
		// operator dropped the message.
		q.o.Log.Warn(maillog.Warning, "doing", "write outcome", "id", r.m.Message, "dest", r.m.Rcpts[0].Dest, "err", err)
	case len(r.notices) > 0:
		// The notice cannot be filed, as in a mailbox that has just become
		// full. The outcome stands; failures wait for another chance.
		r.notices, r.about = nil, nil
		for _, k := range []kind{failure, delay, relay} {
			q.unsaid(r, k, err)
		}
		q.finish(r, q.write(r))
	default:
		q.o.Log.Error(maillog.Failed, "doing", "write outcome", "id", r.m.Message, "dest", r.m.Rcpts[0].Dest, "err", err)
	}
}

// unsaid deals with recipients whose notice of one kind could not be made or
// filed. Who is given up stays for a while, since mail must not vanish in
// silence; what was delivered is not sent again.
func (q *Queue) unsaid(r *result, k kind, err error) {
	now := q.o.Now()
	for i := range r.verdicts {
		v := &r.verdicts[i]
		if v.notice != k {
			continue
		}
		waits := v.notice == failure && lasting(err) && now.Before(r.m.Expires.Add(noticeGrace))
		switch {
		case waits:
			v.write.Done, v.write.Due = false, now.Add(noticeWait)
		case v.notice == delay:
			v.write.Delayed = false
		}
		v.notice = none
		q.o.Log.Warn(maillog.Warning, "doing", "notice", "id", r.m.Message, "to", r.m.Envelope.From.String(), "waits", waits, "err", err)
	}
}

// lasting tells whether trying again later may file a notice after all.
func lasting(err error) bool {
	switch store.KindOf(err) {
	case store.NotFound, store.Denied, store.Invalid, store.TooBig:
		return false
	}
	return !errors.Is(err, delivery.ErrLoop)
}

// log tells of a result that is durable.
func (q *Queue) log(r *result) {
	for _, v := range r.verdicts {
		a := []any{"id", r.m.Message, "rcpt", v.rcpt.Recipient.Addr.String(), "dest", v.rcpt.Dest,
			"host", v.outcome.Host, "tls", v.outcome.TLS, "code", v.outcome.Code, "reply", v.outcome.Reply()}
		switch {
		case !v.write.Attempt:
		case !v.write.Done:
			q.o.Log.Info(maillog.Deferred, append(a, "due", v.write.Due)...)
		case v.outcome.Status == smtpc.Delivered:
			q.o.Log.Info(maillog.Delivered, a...)
		default:
			q.o.Log.Info(maillog.Bounced, append(a, "expired", v.expired)...)
		}
	}
	for i, n := range r.notices {
		q.o.Log.Info(maillog.Notice, "id", n.ID, "about", r.m.Message, "kind", r.about[i].String(), "to", r.sender.String())
	}
}
