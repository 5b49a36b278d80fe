package delivery

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"postrider/internal/maillog"
	"postrider/mail"
	"postrider/mailauth"
	"postrider/store"
)

const (
	defaultExpire      = 5 * 24 * time.Hour // RFC 5321 §4.5.4.1: at least 4 to 5 days
	defaultMaxReceived = 50                 // RFC 5321 §6.3: a large threshold
	// maxPasses is how often a message may have been here. A list whose members
	// lead back to it doubles its mail each time round: 50 hops of that are too
	// many by far.
	maxPasses = 6
)

// Options are the settings of a Deliverer. Store and Hostname are needed.
type Options struct {
	Store    *store.Store
	Hostname string        // in Received and Message-ID
	Expire   time.Duration // how long the queue tries; 0 is 5 days

	// Limits of what an account may submit in a day; 0 is none.
	MessagesPerDay, NewRcptsPerDay int

	MaxReceived int  // more Received fields than this are a loop; 0 is 50
	AutoCreate  bool // any address is ours, and made when it first receives
	NoRelay     bool // nothing leaves this server

	Sign       bool   // by DKIM what is ours, by ARC what is sent on, for domains that have keys
	AuthservID string // in Authentication-Results; empty is Hostname

	// Notice makes the notice that a message was delivered to rcpts, each of
	// which asked for it (RFC 3461 §6.2.2); nil, or a nil result, for none.
	Notice func(ctx context.Context, m *Message, rcpts []mail.Recipient) (*Message, error)

	Log *slog.Logger
	Now func() time.Time
}

// Deliverer accepts messages. Its methods may be called from many goroutines.
type Deliverer struct {
	o    Options
	ring keyring
}

// New returns a Deliverer.
func New(o Options) *Deliverer {
	if o.Expire <= 0 {
		o.Expire = defaultExpire
	}
	if o.MaxReceived <= 0 {
		o.MaxReceived = defaultMaxReceived
	}
	if o.Log == nil {
		o.Log = maillog.Discard()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.AuthservID = cmp.Or(o.AuthservID, o.Hostname)
	return &Deliverer{o: o}
}

// Peer is who handed a message over. The zero Peer is this server itself.
type Peer struct {
	Helo    string         // what HELO, EHLO or LHLO said
	Addr    netip.Addr     // invalid for a local socket
	Local   netip.Addr     // where it reached us; invalid for a local socket
	Proto   string         // with-protocol of Received (RFC 3848, RFC 6531 §4.3)
	TLS     string         // version and suite; empty without TLS
	Auth    string         // SASL mechanism of the login
	Account *store.Account // who logged in; nil for nobody
	Notice  bool           // it named the null sender
	Size    int64          // of the message to come, as SIZE declared it (RFC 1870); 0 if unknown
}

// Message is a message to accept.
type Message struct {
	ID         mail.ID
	Op         store.OpID
	Peer       Peer
	Envelope   mail.Envelope
	Body       store.Body
	Submission bool // complete the header, and check that it names its sender truly (RFC 6409 §8, §6.1)

	Foreign bool             // it came from where nobody can speak for this server (RFC 8601 §5)
	Checked *mailauth.Result // what was found out about mail from elsewhere; nil if nothing was

	// Events are for the message's journey, behind that of its arrival: what
	// was checked, or what a notice is about.
	Events []store.Event
}

var (
	// ErrLoop refuses a message that has been through too many servers, or
	// an address that leads only to itself.
	ErrLoop = errors.New("delivery: mail loop")
	// ErrDisabled defers mail for an account that is disabled.
	ErrDisabled error = &store.Error{Kind: store.Busy, Op: "deliver", Err: errors.New("account is disabled")}
)

// Accept takes a message in; when it returns nil, the message is durable here
// for all its recipients. Its errors are those of the store, and ErrLoop;
// Denied if the header names a sender that is not the peer.
func (d *Deliverer) Accept(ctx context.Context, m *Message) (store.Accepted, error) {
	a, done, err := d.prepare(ctx, m)
	if err != nil {
		return store.Accepted{}, err
	}
	got, err := d.o.Store.Accept(ctx, a)
	if errors.Is(err, store.ErrUnknown) && a.Op != "" {
		got, err = d.o.Store.Accept(ctx, a)
	}
	if err != nil {
		return store.Accepted{}, err
	}
	d.log(m, a)
	d.notify(ctx, m, done)
	return got, nil
}

// Prepare returns what Accept would hand to the store, for who accepts it
// together with something else, as the queue does with its notices.
func (d *Deliverer) Prepare(ctx context.Context, m *Message) (*store.Acceptance, error) {
	a, _, err := d.prepare(ctx, m)
	return a, err
}

// prepare also returns the recipients for whom acceptance is delivery and who
// are to be told of to the sender.
func (d *Deliverer) prepare(ctx context.Context, m *Message) (*store.Acceptance, []mail.Recipient, error) {
	head, err := readHeader(m.Body)
	if err != nil {
		return nil, nil, err
	}
	if all, ours := head.received(d.o.Hostname); all > d.o.MaxReceived || ours > maxPasses {
		return nil, nil, ErrLoop
	}
	if m.Submission && m.Peer.Account != nil {
		if err := d.checkAuthor(ctx, &m.Peer, head); err != nil {
			return nil, nil, err
		}
	}
	x := newExpansion(d, true)
	x.here, x.notice = m.Peer.here(), m.Envelope.From.IsZero()
	for _, r := range m.Envelope.Rcpts {
		switch {
		case m.forged():
			r.Notify = mail.NotifyNever
		case !m.senderKnown():
			r.Notify = noSuccess(r.Notify)
		}
		if err := x.add(ctx, r); err != nil {
			return nil, nil, err
		}
	}
	if d.o.NoRelay && len(x.remote) > 0 {
		return nil, nil, store.Errorf(store.Denied, "deliver", "nothing leaves this server")
	}
	a, err := d.acceptance(ctx, m, head, x)
	return a, x.done, err
}

func (d *Deliverer) acceptance(ctx context.Context, m *Message, head *header, x *expansion) (*store.Acceptance, error) {
	now := d.o.Now()
	a := &store.Acceptance{Op: m.Op, ID: m.ID, Body: m.Body, Events: append([]store.Event{m.arrival(now)}, m.Events...)}
	a.Cut = head.ranges(func(f mail.Field) bool {
		switch {
		case f.Is("Return-Path"):
			// Final delivery may remove a Return-Path before it adds its own, and
			// exactly one should remain; who relays must not look for one (RFC
			// 5321 §4.4).
			return len(x.remote) == 0
		case m.Submission && (f.Is("Bcc") || f.Is("Resent-Bcc")):
			return true // not every program takes it out itself (RFC 5322 §3.6.3)
		case m.Submission || m.Foreign:
			return mailauth.Forged(f, d.o.AuthservID)
		}
		return false
	})
	s := &view{prefix: d.prefix(m, head, a.Cut, now), head: head.without(a.Cut), body: m.Body, from: int64(len(head.raw))}
	if m.ours() {
		sigs, event, err := d.sign(ctx, s)
		if err != nil {
			return nil, err
		}
		if event != nil {
			s.prefix = append(sigs, s.prefix...)
			a.Events = append(a.Events, *event)
		}
	}
	local := append(returnPath(m.Envelope.From), s.prefix...)
	for _, id := range x.local {
		a.Local = append(a.Local, store.LocalRcpt{Account: id, Mailbox: d.mailbox(ctx, m, id, x.accounts[id]), Prefix: local, Received: now, To: x.accounts[id]})
	}
	if err := d.outgoing(ctx, m, x, s, a, now); err != nil {
		return nil, err
	}
	if who := m.Peer.Account; who != nil && (d.o.MessagesPerDay > 0 || d.o.NewRcptsPerDay > 0) {
		a.Limit = &store.SendLimit{Account: who.ID, Messages: d.o.MessagesPerDay, Fresh: d.o.NewRcptsPerDay}
	}
	return a, nil
}

// mailbox says where an account's copy goes, which came by these addresses.
func (d *Deliverer) mailbox(ctx context.Context, m *Message, id store.AccountID, via []mail.Address) string {
	switch {
	case m.Checked != nil && m.Checked.Verdict == mailauth.Junk:
		return d.junk(ctx, id)
	case len(via) == 1 && isReports(via[0].Local):
		if _, err := d.o.Store.Create(ctx, id, ReportsBox, store.UseNone); err != nil && store.KindOf(err) != store.Exists {
			d.o.Log.Warn(maillog.Warning, "doing", "make "+ReportsBox, "err", err)
		}
		return ReportsBox
	}
	return store.Inbox
}

// ours tells whether a message is from one of our users, or from this server
// itself.
func (m *Message) ours() bool { return m.Submission || m.Peer.Account != nil || m.Peer.Proto == "" }

// senderKnown tells whether a notice of success would reach who sent the
// message, and not somebody whose address was used: who asks for one with each
// message could have us write to anybody.
func (m *Message) senderKnown() bool {
	return m.ours() || m.Checked == nil || m.Checked.SPF.Result == mailauth.Pass
}

// forged tells whether its sender's domain, or what was found otherwise, says
// that somebody else sent the message. Where an alias sends it on, and it is
// refused there, nobody is told: he would be the wrong one.
func (m *Message) forged() bool {
	r := m.Checked
	return !m.ours() && r != nil && (r.Verdict == mailauth.Junk || r.SPF.Result == mailauth.Fail && r.DMARC.Result != mailauth.Pass)
}

func (d *Deliverer) log(m *Message, a *store.Acceptance) {
	remote := 0
	for _, o := range a.Outgoing {
		remote += len(o.Envelope.Rcpts)
	}
	attrs := []any{"id", m.ID, "from", m.Envelope.From.String(), "size", m.Body.Size(), "rcpts", len(m.Envelope.Rcpts)}
	if len(m.Envelope.Rcpts) == 1 {
		attrs = append(attrs, "rcpt", m.Envelope.Rcpts[0].Addr.String())
	}
	if m.Peer.Account != nil {
		attrs = append(attrs, "user", m.Peer.Account.Address.String())
	}
	d.o.Log.Info(maillog.Accepted, append(attrs, "local", len(a.Local), "remote", remote)...)
	if remote > 0 {
		d.o.Log.Info(maillog.Queued, "id", m.ID, "rcpts", remote)
	}
}

// notify accepts the notice of delivery. The message is safe by now, so a
// failure here is ours to see and not the sender's; the op makes the notice
// one however often the message is offered.
func (d *Deliverer) notify(ctx context.Context, m *Message, done []mail.Recipient) {
	if d.o.Notice == nil || len(done) == 0 || m.Envelope.From.IsZero() {
		return
	}
	n, err := d.o.Notice(ctx, m, done)
	if err == nil && n != nil {
		if n.Op == "" {
			n.Op = store.OpID("delivered/" + string(m.ID))
		}
		n.Envelope.From = mail.Address{} // whatever happens, a notice never causes one (RFC 5321 §6.1)
		var a *store.Acceptance
		if a, _, err = d.prepare(ctx, n); err == nil {
			_, err = d.o.Store.Accept(ctx, a)
		}
	}
	switch {
	case err != nil:
		d.o.Log.Error(maillog.Failed, "doing", "notice of delivery", "id", m.ID, "err", err)
	case n != nil:
		d.o.Log.Info(maillog.Notice, "id", n.ID, "about", m.ID, "to", m.Envelope.From.String())
	}
}
