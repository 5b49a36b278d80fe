package sqlite

import (
	"context"
	"errors"
	"strings"

	"postrider/mail"
	"postrider/store"
)

// prepared is an acceptance made ready outside the writer: ids given, body
// parsed and, if large, durable in a segment.
type prepared struct {
	*store.Acceptance
	body  *newBody
	local []newMessage
	out   []newOut

	journey []byte // its events, but for the writer's
}

// newOut is an outgoing row with its ids.
type newOut struct {
	id    int64
	size  int64
	sum   int64
	rcpts []newRcpt
}

type newRcpt struct {
	id   int64
	dest string
}

// Accept takes a message in for all its recipients or for none.
func (e *Engine) Accept(ctx context.Context, a *store.Acceptance) (store.Accepted, error) {
	var done store.Accepted
	if err := e.room(ctx, "accept"); err != nil {
		if found, err := e.opBefore(ctx, 0, a.Op, "accept", &done); found || err != nil {
			done.Again = found
			return done, err
		}
		return done, err
	}
	p, err := e.prepare(ctx, a)
	if err != nil {
		return done, err
	}
	e.fresh.add(p, e.now()) // a worker may ask for it before the commit has come back to us
	err = e.write(ctx, "accept", func(t *tx) (err error) {
		done, err = e.accept(t, p)
		return err
	}, p.body)
	if errors.Is(err, store.ErrUnknown) && a.Op == "" {
		done, err = e.acceptUnlessDone(ctx, p, done)
	}
	if err != nil || done.Again {
		e.fresh.drop(p)
	}
	if err == nil && done.Again {
		e.dropBody(p.body, errDoneBefore)
	} else {
		e.dropBody(p.body, err)
	}
	if err != nil {
		return store.Accepted{}, err
	}
	return done, nil
}

// acceptUnlessDone is accept after a commit of it whose outcome is unknown:
// the body's id, which no other has, tells whether that took place.
func (e *Engine) acceptUnlessDone(ctx context.Context, p *prepared, before store.Accepted) (done store.Accepted, err error) {
	err = e.write(ctx, "accept", func(t *tx) error {
		var there bool
		err := t.get("SELECT EXISTS (SELECT 1 FROM body WHERE id = ?1)", args(p.body.ID), &there)
		if done = before; err == nil && !there {
			done, err = e.accept(t, p)
		}
		return err
	}, p.body)
	return done, err
}

var errDoneBefore = errors.New("done before")

// prepare makes an acceptance ready for accept. Its caller calls dropBody after
// the transaction.
func (e *Engine) prepare(ctx context.Context, a *store.Acceptance) (*prepared, error) {
	if len(a.Local) == 0 && len(a.Outgoing) == 0 {
		return nil, store.Errorf(store.Invalid, "accept", "no recipient")
	}
	p := &prepared{Acceptance: a, local: make([]newMessage, len(a.Local)), out: make([]newOut, len(a.Outgoing))}
	now := e.now()
	// The body's id is the last, so that what it is above of was given out.
	for i := range a.Local {
		p.local[i].email = e.ids.next(now)
	}
	for i, o := range a.Outgoing {
		if len(o.Envelope.Rcpts) == 0 {
			return nil, store.Errorf(store.Invalid, "accept", "an outgoing message without a recipient")
		}
		p.out[i].id = e.ids.next(now)
		for _, r := range o.Envelope.Rcpts {
			p.out[i].rcpts = append(p.out[i].rcpts, newRcpt{e.ids.next(now), destOf(r.Addr)})
		}
	}
	body, err := e.prepareBody(ctx, "accept", a.Body, a.Cut)
	if err != nil {
		return nil, err
	}
	p.body = body
	for i, l := range a.Local {
		p.local[i] = e.localMessage(l, p.local[i].email, body, a.ID)
	}
	for i, o := range a.Outgoing {
		p.out[i].size = int64(len(o.Prefix)) + body.served
		p.out[i].sum = sumOf(body.Hash[:], o.Prefix, body.cut, p.out[i].size)
	}
	p.journey = journeyBegin(p, now)
	return p, nil
}

// localMessage is the row of a local recipient, but for what the writer gives.
func (e *Engine) localMessage(l store.LocalRcpt, email int64, body *newBody, origin mail.ID) newMessage {
	name, err := cleanName("accept", l.Mailbox)
	if err != nil {
		name = store.Inbox // a name that cannot be is a mailbox that is not there
	}
	if l.Received.IsZero() {
		l.Received = e.now()
	}
	m := newMessage{
		acct: int64(l.Account), name: name, flags: cleanFlags(l.Flags), received: micros(l.Received),
		size: int64(len(l.Prefix)) + body.served, email: email, origin: string(origin), prefix: l.Prefix,
	}
	m.sum = sumOf(body.Hash[:], m.prefix, body.cut, m.size)
	return m
}

// destOf names the destination that an address's mail goes to.
func destOf(a mail.Address) string {
	if key, err := mail.DomainKey(a.Domain); err == nil {
		return key
	}
	return strings.ToLower(a.Domain) // an address literal
}

// accept writes what prepare made ready. It may run more than once.
func (e *Engine) accept(t *tx, p *prepared) (store.Accepted, error) {
	var done store.Accepted
	if found, err := opDone(t, 0, p.Op, "accept", &done); found || err != nil {
		done.Again = found
		return done, err
	}
	if err := checkLimit(t, p); err != nil {
		return store.Accepted{}, err
	}
	t.filing.addBody(p.body, len(p.local)+len(p.out))
	for i := range p.local {
		m := p.local[i]
		filed, err := fileMessage(t, &m, p.body)
		if err != nil {
			return store.Accepted{}, err
		}
		done.Filed = append(done.Filed, filed)
	}
	out, err := insertOutgoing(t, p)
	if err != nil {
		return store.Accepted{}, err
	}
	done.Out = out
	if p.ID != "" {
		t.filing.addJourney(journeyOf(t, p, done.Filed))
	}
	return done, opRecord(t, 0, p.Op, "accept", &done)
}

// insertOutgoing writes the outgoing rows of an acceptance and wakes their
// destinations.
func insertOutgoing(t *tx, p *prepared) ([]store.OutID, error) {
	var ids []store.OutID
	for i := range p.out {
		if err := insertOut(t, p, i); err != nil {
			return nil, err
		}
		ids = append(ids, store.OutID(p.out[i].id))
	}
	return ids, nil
}

func insertOut(t *tx, p *prepared, i int) error {
	n, o := &p.out[i], &p.Outgoing[i]
	env := &o.Envelope
	err := t.run(`INSERT INTO out (id, acct, body, size, sum, origin, sender_local, sender_host, body_type,
			utf8, require_tls, ret, envid, created, expires, prefix, cut)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)`,
		n.id, int64(o.Account), p.body.ID, n.size, n.sum, string(p.ID), env.From.Local, env.From.Domain, string(env.Body),
		env.UTF8, env.RequireTLS, string(env.Ret), env.EnvID, t.now, micros(o.Expires), o.Prefix, p.body.cut)
	if err != nil {
		return err
	}
	due := t.now
	if !o.Due.IsZero() {
		due = micros(o.Due)
	}
	woken := map[string]bool{}
	for j, r := range env.Rcpts {
		err := t.run("INSERT INTO out_rcpt (id, out, dest, local, host, notify, orcpt, due) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
			n.rcpts[j].id, n.id, n.rcpts[j].dest, r.Addr.Local, r.Addr.Domain, int64(r.Notify), r.ORcpt, due)
		if err != nil {
			return err
		}
		if dest := n.rcpts[j].dest; !woken[dest] {
			woken[dest] = true
			if err := wakeDest(t, dest, due); err != nil {
				return err
			}
		}
	}
	return nil
}

// wakeDest notes that dest has a recipient due at due.
func wakeDest(t *tx, dest string, due int64) error {
	err := t.run(`INSERT INTO dest (name, due) VALUES (?1, ?2)
		ON CONFLICT (name) DO UPDATE SET due = max(min(ifnull(due, excluded.due), excluded.due), open_until)`, dest, due)
	t.publish(store.Change{Kind: store.OutgoingDue, Dest: dest})
	return err
}
