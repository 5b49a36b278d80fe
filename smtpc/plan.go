package smtpc

import (
	"io"

	"postrider/mail"
)

// plan is a message as one peer is to get it, for the recipients that it can
// be carried to there.
type plan struct {
	from       string
	utf8       bool // it needs SMTPUTF8
	eight      bool // it needs 8BITMIME
	requireTLS bool // it is to be passed on over TLS alone
	ret        string
	envID      string
	rcpts      []*rcpt
	body       io.ReaderAt
	size       int64
}

// plan makes the message fit what the peer announced. Recipients for whom
// that is impossible are settled: what a server cannot carry today it will
// not carry tomorrow.
func (p *peer) plan(a *attempt) *plan {
	env := &a.m.Envelope
	pl := &plan{body: a.m.Body, size: a.m.Size, ret: string(env.Ret)}
	_, utf8 := p.ext["SMTPUTF8"]
	from, ok := asciiAddress(env.From, utf8)
	if !ok {
		return p.hopeless(a, pl, permanent("5.6.7", "%s cannot carry the sender's address, which is not ASCII", p.host.name))
	}
	pl.from = from
	pl.utf8 = utf8 && env.UTF8
	for _, i := range a.open {
		r := env.Rcpts[i]
		addr, ok := asciiAddress(r.Addr, utf8)
		if !ok {
			a.out[i] = p.mark(permanent("5.6.7", "%s cannot carry this address, which is not ASCII", p.host.name))
			continue
		}
		pl.utf8 = pl.utf8 || !isPrintASCII(addr) || !isPrintASCII(from)
		pl.rcpts = append(pl.rcpts, &rcpt{i: i, addr: addr, notify: r.Notify, orcpt: r.ORcpt})
	}
	pl.requireTLS = env.RequireTLS && p.keepsTLS()
	if isPrintASCII(env.EnvID) {
		pl.envID = env.EnvID
	}
	return p.fit(a, pl)
}

// hopeless settles everybody with o.
func (p *peer) hopeless(a *attempt, pl *plan, o Outcome) *plan {
	for _, i := range a.open {
		a.out[i] = p.mark(o)
	}
	pl.rcpts = nil
	return pl
}

// fit converts the message text if it must be, and compares its size with
// what the peer takes.
func (p *peer) fit(a *attempt, pl *plan) *plan {
	_, eight := p.ext["8BITMIME"]
	_, utf8 := p.ext["SMTPUTF8"]
	f, err := a.facts()
	switch {
	case err != nil:
		return p.hopeless(a, pl, temporary("4.3.0", "the message could not be read"))
	case (f.eightHeader || f.eightBody) && !eight, a.m.Envelope.UTF8 && !utf8 && f.eightHeader:
		if err := a.convert(pl, p.c.o.SpoolDir); err != nil {
			return p.hopeless(a, pl, p.unconverted(err))
		}
	case f.eightHeader || f.eightBody:
		pl.eight = true
	}
	if max := sizeLimit(p.ext); max > 0 && pl.size > max {
		return p.hopeless(a, pl, permanent("5.3.4", "the message has %d bytes, and %s takes at most %d", pl.size, p.host.name, max))
	}
	return pl
}

// asciiAddress is an address as it goes into MAIL or RCPT. Without SMTPUTF8
// the domain goes in A-labels, and there is no help for the local part.
func asciiAddress(a mail.Address, utf8 bool) (string, bool) {
	if utf8 || a.IsASCII() {
		return a.String(), true
	}
	d, err := mail.DomainKey(a.Domain)
	if err != nil {
		return "", false
	}
	a.Domain = d
	return a.String(), a.IsASCII()
}
