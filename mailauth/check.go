package mailauth

import (
	"bytes"
	"context"
	"net/netip"
	"strings"
	"sync"
	"time"

	"postrider/mail"
)

// Limits of a check.
const (
	defaultTimeout = 5 * time.Second // from the end of the message on
	maxWhole       = 2 * time.Minute // for look-ups beside a slow message
	maxHeader      = 1 << 20         // of the message that is looked at
	maxLookups     = 8               // for keys at once
)

// Options are the settings of a Checker. Resolver is needed.
type Options struct {
	Resolver Resolver
	// Sealers are the domains whose ARC seals are believed: forwarders and
	// lists that checked what they sent on.
	Sealers []string
	// Act is what to do with what a domain's DMARC policy asks for.
	Act Act
	// SPFFail is what to do if SPF fails where there is no DMARC policy.
	SPFFail SPFAction
	Timeout time.Duration // for DNS after the message's end; 0 is 5 s
	Now     func() time.Time
}

// Checker checks messages. Its methods may be called from many goroutines.
type Checker struct{ o Options }

// New returns a Checker.
func New(o Options) *Checker {
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Resolver = newCache(o.Resolver, o.Now)
	for i, s := range o.Sealers {
		o.Sealers[i] = strings.ToLower(s)
	}
	return &Checker{o: o}
}

// Peer is who hands a message over.
type Peer struct {
	Addr netip.Addr
	Helo string
	From mail.Address // of the envelope
}

// Check is the check of one message. Its methods belong to one goroutine.
type Check struct {
	o      *Options
	p      Peer
	ctx    context.Context
	cancel context.CancelCauseFunc
	stop   *time.Timer // ends the look-ups
	wait   sync.WaitGroup
	tree   *dmarcTree

	spf   SPF
	iprev IPRev

	raw     []byte // the header as far as it is here
	whole   bool   // it is all here
	tooLong bool
	header  *header
	authors authors
	sigs    []*signature
	more    int // signatures that are not looked at
	chain   *chain
	bodies  map[bool]*bodyHash
	sums    map[bool][]byte

	keys map[string]*keyFound
}

type keyFound struct {
	key *publicKey
	err error
}

// Begin begins to check what p will send. Finish or Cancel ends it.
func (c *Checker) Begin(ctx context.Context, p Peer) *Check {
	k := &Check{o: &c.o, p: p, keys: map[string]*keyFound{}, tree: newTree(c.o.Resolver)}
	k.p.Addr = p.Addr.Unmap().WithZone("")
	k.ctx, k.cancel = context.WithCancelCause(ctx)
	k.stop = time.AfterFunc(maxWhole, func() { k.cancel(errBudget) })
	k.wait.Go(func() { k.spf = checkSPF(k.ctx, c.o.Resolver, &k.p) })
	k.wait.Go(func() { k.iprev = checkIPRev(k.ctx, c.o.Resolver, k.p.Addr) })
	return k
}

// Cancel ends a check whose result nobody wants.
func (k *Check) Cancel() {
	k.stop.Stop()
	k.cancel(nil)
	k.wait.Wait()
}

// Write takes the next piece of the message.
func (k *Check) Write(p []byte) (int, error) {
	n := len(p)
	if !k.whole {
		p = k.head(p)
	}
	for _, b := range k.bodies {
		b.Write(p)
	}
	return n, nil
}

// head collects the header and returns what of p is behind it.
func (k *Check) head(p []byte) []byte {
	from := max(len(k.raw)-3, 0)
	k.raw = append(k.raw, p...)
	switch {
	case bytes.HasPrefix(k.raw, []byte("\r\n")), bytes.Contains(k.raw[from:], []byte("\r\n\r\n")):
	case len(k.raw) > maxHeader:
		k.tooLong = true
	default:
		return nil
	}
	return k.begin()
}

// begin starts what needs the header.
func (k *Check) begin() []byte {
	k.whole = true
	size := mail.HeaderSize(k.raw)
	rest := k.raw[size:]
	k.raw = k.raw[:size:size]
	k.header = parseHeader(k.raw)
	if k.tooLong {
		return nil
	}
	k.authors = findAuthors(k.header)
	for _, d := range k.authors.domains {
		for _, name := range names(d) {
			k.tree.ask(k.ctx, name)
		}
	}
	k.bodies = map[bool]*bodyHash{}
	var keys []string
	for _, place := range k.header.all("dkim-signature") {
		if len(k.sigs) == maxSignatures {
			k.more++
			continue
		}
		s, err := parseSignature(k.header.fields[place], false, k.o.Now())
		k.sigs = append(k.sigs, s)
		if err != nil {
			s.outcome(err, nil)
			continue
		}
		keys = append(keys, s.name)
		k.hash(s.canon)
	}
	if k.chain = parseChain(k.header, k.o.Now()); k.chain != nil {
		keys = append(keys, k.chain.keys()...)
		if m := k.chain.newest(); m != nil {
			k.hash(m.canon)
		}
	}
	k.lookUp(keys)
	return rest
}

func (k *Check) hash(c canon) {
	if k.bodies[c.body] == nil {
		k.bodies[c.body] = newBodyHash(c.body)
	}
}

// lookUp begins to look up keys, each once and some at a time.
func (k *Check) lookUp(names []string) {
	turn := make(chan struct{}, maxLookups)
	for _, name := range names {
		if k.keys[name] != nil {
			continue
		}
		f := &keyFound{}
		k.keys[name] = f
		k.wait.Go(func() {
			select {
			case turn <- struct{}{}:
				f.key, f.err = findKey(k.ctx, k.o.Resolver, name)
				<-turn
			case <-k.ctx.Done():
				f.err = failed(TempError, "the key could not be looked up in time")
			}
		})
	}
}

// Finish ends the message and returns what was found.
func (k *Check) Finish() *Result {
	if !k.whole {
		k.begin()
	}
	if k.stop.Stop() {
		k.stop.Reset(k.o.Timeout)
	}
	defer k.cancel(nil)
	defer k.stop.Stop()
	k.sums = map[bool][]byte{}
	for relaxed, b := range k.bodies {
		k.sums[relaxed] = b.sum()
	}
	k.wait.Wait()
	r := &Result{SPF: k.spf, IPRev: k.iprev, Addr: k.p.Addr.String(), Header: k.raw, header: k.header, From: k.p.From, Helo: k.p.Helo}
	for _, s := range k.sigs {
		if s.Result == "" {
			f := k.keys[s.name]
			err := f.err
			if err == nil {
				err = s.check(f.key, k.header, k.sums[s.canon.body])
			}
			s.outcome(err, f.key)
		}
		r.DKIM = append(r.DKIM, s.Signature)
	}
	r.ARC = ARC{Result: None}
	if k.chain != nil {
		r.ARC = k.chain.validate(k.header, func(c canon) []byte { return k.sums[c.body] },
			func(name string) (*publicKey, error) { return k.keys[name].key, k.keys[name].err })
	}
	k.judge(r)
	r.decide(k.o, k)
	return r
}

// judge evaluates DMARC for each author's domain and keeps the worst.
func (k *Check) judge(r *Result) {
	r.DMARC = DMARC{Result: None}
	if k.tooLong {
		r.DMARC = DMARC{Result: PermError, Reason: "the header is too long to be checked"}
		return
	}
	for i, domain := range k.authors.domains {
		d := judge(k.ctx, k.tree, domain, k.spf, k.sigs)
		if i == 0 || d.severity() > r.DMARC.severity() {
			r.DMARC = d
		}
		if d.record != nil {
			r.judged = append(r.judged, d)
		}
	}
}

// someAction is the least severity that leads to something.
const someAction = 3

// severity orders results by what they lead to.
func (d *DMARC) severity() int {
	switch {
	case d.Result == Fail && d.Asks == AskReject:
		return 5
	case d.Result == TempError && d.record != nil && d.Asks != AskNone:
		return 4
	case d.Result == Fail && d.Asks == AskQuarantine:
		return someAction
	case d.Result == Fail:
		return 2
	case d.Result == TempError:
		return 1
	}
	return 0
}
