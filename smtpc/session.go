package smtpc

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"

	"postrider/internal/resolve"
	"postrider/internal/spool"
	"postrider/mail"
	"postrider/smtpc/mtasts"
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
	hosts []host        // found once
	found *mtasts.Found // what the destination demands by MTA-STS; nil until it is needed
	p     *peer         // nil while not connected
	small []byte        // memory of a small message
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
	fields  *fields       // what is known of its header
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
	if s.p != nil && (s.p.relaxed && !a.relaxed() || s.p.unfit(a) != nil) { // it is good enough for other messages only
		s.Close()
	}
	if s.p != nil {
		s.rec.at.Phase, s.rec.at.Host = Handshake, printable(s.p.host.name)
		s.rec.add(Remark, "the connection to "+s.rec.at.Host+" ("+s.p.addr+") is still open")
		s.transact(ctx, a)
	}
	if len(a.open) > 0 {
		s.tryHosts(ctx, a)
	}
	for _, i := range a.open {
		a.out[i] = *a.failure
	}
	for i := range a.out {
		a.out[i].Route = s.c.via
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
		addrs, info, o := s.c.addresses(ctx, h, s.rec)
		if o != nil {
			o.Host = printable(h.name)
			a.failed(*o)
			continue
		}
		tried := len(addrs)
		addrs, ready, o := s.c.first(ctx, h, addrs, s.rec)
		if o != nil {
			a.tries += tried - len(addrs)
			a.failed(*o)
		}
		for i, addr := range addrs {
			if i > 0 {
				ready = nil
			}
			if s.c.isLocal(h, addr) {
				// This host is ourselves, and so would be worse ones.
				a.failed(loopOutcome(s.dest))
				return
			}
			if s.tryAddr(ctx, a, h, info, addr, ready); len(a.open) == 0 || ctx.Err() != nil || a.tries >= maxTries {
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

func (s *Session) tryAddr(ctx context.Context, a *attempt, h host, info resolve.Info, addr netip.Addr, ready net.Conn) {
	a.tries++
	d, o := s.demandOf(ctx, a, h, info, addr)
	if o != nil {
		if ready != nil {
			ready.Close()
		}
		o.Host = printable(h.name)
		a.failed(*o)
		return
	}
	p, o := s.c.connect(ctx, h, addr, ready, d, s.rec)
	if p.asked() {
		s.countPeer(a, d, p)
	}
	if o != nil {
		a.failed(*o)
		return
	}
	a.spoke = true
	p.relaxed = a.relaxed()
	if o := p.unfit(a); o != nil {
		a.failed(p.mark(*o))
		p.quit()
		return
	}
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
