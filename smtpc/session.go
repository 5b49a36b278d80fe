package smtpc

import (
	"bytes"
	"context"
	"io"
	"net/netip"

	"postrider/internal/spool"
	"postrider/mail"
)

// Message is what a Session sends in one attempt.
type Message struct {
	ID       mail.ID
	Envelope mail.Envelope // with the recipients of this attempt
	Body     io.ReaderAt   // the whole message
	Size     int64         // of Body
}

// Result is what became of an attempt.
type Result struct {
	Outcomes []Outcome // in the order of the recipients
	Lines    []Line    // the dialogue
	// Unreachable: no host of the destination could be spoken with, so the
	// next message would fare no better.
	Unreachable bool
}

// Session is the way to one destination. It belongs to one goroutine.
type Session struct {
	c     *Client
	dest  string
	rec   *recorder
	hosts []host // found once
	p     *peer  // nil while not connected
	small []byte // memory of a small message
}

// Session makes a session for mail to dest, a domain in A-labels or an
// address literal. It does nothing until Send is called.
func (c *Client) Session(dest string) *Session {
	rec := &recorder{now: c.o.Now, trace: c.o.Trace}
	rec.at.Dest = dest
	return &Session{c: c, dest: dest, rec: rec}
}

// Close ends the session politely.
func (s *Session) Close() {
	if s.p != nil {
		s.p.quit()
		s.p = nil
	}
}

// attempt is a Send under way.
type attempt struct {
	m       *Message
	out     []Outcome
	open    []int         // recipients that a host may still take
	failure *Outcome      // of the hosts tried so far
	spoke   bool          // a host was ready to take mail
	tries   int           // addresses tried
	scanned *facts        // what is known of the message text
	seven   *spool.Buffer // the message made 7-bit; nil until it is needed
}

// Send hands a message over, trying the destination's hosts one after the
// other until one has answered for every recipient. It ends early if ctx does.
func (s *Session) Send(ctx context.Context, m *Message) *Result {
	a := &attempt{m: s.inMemory(m), out: make([]Outcome, len(m.Envelope.Rcpts))}
	for i := range a.out {
		a.open = append(a.open, i)
	}
	defer a.close()
	s.rec.at.Message = m.ID
	if s.p != nil {
		s.transact(ctx, a)
	}
	if len(a.open) > 0 {
		s.tryHosts(ctx, a)
	}
	for _, i := range a.open {
		a.out[i] = *a.failure
	}
	return &Result{Outcomes: a.out, Lines: s.rec.take(), Unreachable: len(a.open) > 0 && !a.spoke}
}

// inMemory reads a small message once: it is looked at twice, and the second
// time while the remote server waits. What cannot be read stays as it is, for
// who has words for that.
func (s *Session) inMemory(m *Message) *Message {
	if m.Size > scanBlock {
		return m
	}
	if int64(cap(s.small)) < m.Size {
		s.small = make([]byte, m.Size)
	}
	b := s.small[:m.Size]
	if n, _ := m.Body.ReadAt(b, 0); int64(n) < m.Size {
		return m
	}
	held := *m
	held.Body = bytes.NewReader(b)
	return &held
}

func (a *attempt) close() {
	if a.seven != nil {
		a.seven.Close()
	}
}

// transact sends what is open over the connection there is, and drops the
// connection if it is of no more use.
func (s *Session) transact(ctx context.Context, a *attempt) {
	s.rec.at.Host = printable(s.p.host.name)
	stop := context.AfterFunc(ctx, func() { s.p.w.raw.Close() })
	s.p.carry(a)
	if !stop() || s.p.w.err != nil {
		s.p.close()
		s.p = nil
	}
}

// tryHosts goes through the destination's hosts.
func (s *Session) tryHosts(ctx context.Context, a *attempt) {
	if s.hosts == nil {
		hosts, o := s.c.route(ctx, s.dest, s.rec)
		if o != nil {
			a.failed(*o)
			return
		}
		s.hosts = hosts
	}
	for _, h := range s.hosts {
		addrs, o := s.c.addresses(ctx, h, s.rec)
		if o != nil {
			o.Host = printable(h.name)
			a.failed(*o)
			continue
		}
		for _, addr := range addrs {
			if s.c.isLocal(h, addr) {
				// This host is ourselves, and so would be worse ones.
				a.failed(loopOutcome(s.dest))
				return
			}
			if s.tryAddr(ctx, a, h, addr); len(a.open) == 0 || ctx.Err() != nil || a.tries == maxTries {
				return
			}
		}
	}
}

// isLocal tells whether an address is our own server's. A smarthost may be on
// this machine.
func (c *Client) isLocal(h host, a netip.Addr) bool {
	return c.o.Local != nil && c.o.Smarthost == nil && c.o.Local(netip.AddrPortFrom(a, uint16(h.port)))
}

func (s *Session) tryAddr(ctx context.Context, a *attempt, h host, addr netip.Addr) {
	a.tries++
	p, o := s.c.connect(ctx, h, addr, s.rec)
	if o != nil {
		a.failed(*o)
		return
	}
	a.spoke = true
	s.p = p
	s.transact(ctx, a)
}

// failed notes why a host could not take the message. What proves least
// stands: one host that may work later makes the whole temporary.
func (a *attempt) failed(o Outcome) {
	if a.failure == nil || o.Status == Temporary || a.failure.Status == Permanent {
		a.failure = &o
	}
}
