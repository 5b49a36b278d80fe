package smtpc

import (
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"postrider/mail"
)

// authCodes are the replies of a server that wants a login, or a better one
// (RFC 4954 §6).
var authCodes = []int{530, 534, 535, 538}

// lastWords bounds the wait for a reply after a write has failed.
const lastWords = 2 * time.Second

// carry takes the attempt's open recipients to this peer. Those that another
// host may still take, since the connection broke before the message was
// through, stay open.
func (p *peer) carry(a *attempt) {
	p.w.rec.at.Phase = Transfer
	pl := p.plan(a)
	todo, most := pl.rcpts, rcptMax(p.ext)
	a.open = nil
	for len(todo) > 0 {
		now := todo[:min(len(todo), most)]
		todo = todo[len(now):]
		t := &transaction{p: p, a: a, plan: pl}
		t.run(now)
		if p.w.err != nil {
			for _, r := range slices.Concat(t.unsettled, todo) {
				a.open = append(a.open, r.i)
			}
			return
		}
		if t.accepted > 0 {
			todo = slices.Concat(t.later, todo)
		}
	}
}

// rcptMax is how many recipients the server takes in one transaction, if it
// says so (RFC 9422 §4.2).
func rcptMax(ext map[string]string) int {
	for _, l := range strings.Fields(ext["LIMITS"]) {
		if v, ok := strings.CutPrefix(l, "RCPTMAX="); ok {
			if n, err := strconv.Atoi(v); err == nil && n > 0 {
				return n
			}
		}
	}
	return math.MaxInt
}

// transaction is one MAIL to the reply after its data.
type transaction struct {
	p    *peer
	a    *attempt
	plan *plan

	accepted  int
	unsettled []*rcpt // without an outcome
	later     []*rcpt // too many for this transaction (RFC 5321 §4.5.3.1.10)
}

// run does the transaction and settles recipients. If the connection breaks
// before the end of data, the unsettled ones stay so.
func (t *transaction) run(todo []*rcpt) {
	t.unsettled = todo
	t.p.w.offer(t.plan.ext)
	c := t.p.client()
	if err := c.Mail(t.plan.from, &t.plan.mail); err != nil {
		t.fails(err)
		t.end(c, true)
		return
	}
	taken := t.recipients(c, todo)
	if t.p.w.err != nil {
		return
	}
	t.unsettled = taken
	t.accepted = len(taken)
	if len(taken) == 0 {
		t.end(c, true)
		return
	}
	t.end(c, t.data(c))
}

// recipients says RCPT for each and returns those that were taken.
func (t *transaction) recipients(c *smtp.Client, todo []*rcpt) []*rcpt {
	var taken []*rcpt
	for n, r := range todo {
		err := c.Rcpt(r.addr, &r.opts)
		if t.gone(err) {
			t.unsettled = append(taken, todo[n:]...)
			return nil
		}
		switch {
		case err == nil:
			taken = append(taken, r)
		case len(taken) > 0 && (t.p.w.last.code == 452 || t.p.w.last.code == 552):
			o := t.outcome(err)
			o.Status, o.Enhanced = Temporary, "4.5.3"
			t.settle(r, o)
			t.later = append(t.later, r)
		default:
			t.settle(r, t.outcome(err))
		}
	}
	return taken
}

// data sends the message and settles who took part. It tells whether the
// server is still in a transaction.
func (t *transaction) data(c *smtp.Client) (reset bool) {
	d, err := c.Data()
	if err != nil {
		t.fails(err)
		return true
	}
	n, err := io.Copy(d, &cleaner{r: io.NewSectionReader(t.plan.body, 0, t.plan.size)})
	if err != nil || n != t.plan.size {
		t.brokenOff(err)
		return false
	}
	t.p.w.body = n
	_, err = d.CloseWithResponse()
	if t.p.w.short {
		t.brokenOff(err)
		return false
	}
	if err != nil && t.p.w.err != nil {
		// The server may have the message: nobody else gets it now.
		o := *t.p.lost(t.p.w.err)
		o.Text += " while waiting for the reply to the message, which may have been delivered"
		t.settleAll(o)
		return false
	}
	o := t.outcome(err)
	if t.p.w.last.code/100 == 2 {
		o = outcomeOf(t.p.w.last)
		_, o.DSN = t.p.ext["DSN"]
	}
	t.settleAll(o)
	return false
}

// brokenOff deals with a message that did not get through whole. A server
// that refuses in the middle says why before it closes.
func (t *transaction) brokenOff(err error) {
	if t.p.w.err == nil { // not the network: the message could not be read
		t.settleAll(temporary("4.3.0", "the message could not be read"))
		t.p.w.fail(errors.Join(errors.New("message broken off"), err))
		return
	}
	t.p.w.SetReadDeadline(time.Now().Add(lastWords))
	r, rerr := readReply(t.p.w.br, func(l string) { t.p.w.rec.add(Received, l) })
	if rerr == nil && r.code/100 >= 4 && r.code != 421 {
		t.settleAll(outcomeOf(r))
		return
	}
	t.a.failed(t.p.mark(*t.p.lost(t.p.w.err)))
}

// end leaves the connection ready for the next transaction.
func (t *transaction) end(c *smtp.Client, reset bool) {
	if t.p.w.err == nil && t.p.w.last.code == 421 {
		t.p.w.fail(io.EOF) // it is about to close (RFC 5321 §3.8)
	}
	if reset && t.p.w.err == nil {
		if c.Reset() != nil {
			t.p.w.fail(errReplyForm)
		}
	}
}

// fails settles everybody after MAIL or DATA was refused, unless the
// connection is gone.
func (t *transaction) fails(err error) {
	if !t.gone(err) {
		t.settleAll(t.outcome(err))
	}
}

// gone tells whether the connection broke, or is about to: 421.
func (t *transaction) gone(err error) bool {
	if err != nil && t.p.w.err == nil && t.p.w.last.code == 421 {
		t.a.failed(t.p.mark(outcomeOf(t.p.w.last)))
		t.p.w.fail(io.EOF)
		return true
	}
	if t.p.w.err != nil {
		t.a.failed(t.p.mark(*t.p.lost(t.p.w.err)))
		return true
	}
	return false
}

// outcome is that of a command which go-smtp's client reports as failed.
func (t *transaction) outcome(err error) Outcome {
	var se *smtp.SMTPError
	if err != nil && !errors.As(err, &se) {
		return temporary("4.3.0", "the command could not be sent") // it never reached the wire
	}
	o := outcomeOf(t.p.w.last)
	if o.Status == Delivered {
		o = temporary("4.5.0", "unexpected reply: %d %s", o.Code, o.Text)
	}
	return o
}

func (t *transaction) settle(r *rcpt, o Outcome) { t.a.out[r.i] = t.p.mark(o) }

func (t *transaction) settleAll(o Outcome) {
	for _, r := range t.unsettled {
		t.settle(r, o)
	}
	t.unsettled = nil
}

// mark says in an outcome who spoke. What a smarthost says of the login is a
// fault of our configuration, not of the mail, which waits until that is put
// right.
func (p *peer) mark(o Outcome) Outcome {
	if p.c.o.Smarthost != nil && o.Status == Permanent && slices.Contains(authCodes, o.Code) {
		o.Status, o.Enhanced = Temporary, "4"+o.Enhanced[1:]
	}
	o.Host, o.Addr, o.TLS = printable(p.host.name), p.addr, p.tls
	return o
}

// rcpt is one recipient as this peer is told of it.
type rcpt struct {
	i    int // in the attempt
	addr string
	opts smtp.RcptOptions
}

// notifyWords are the words of NOTIFY (RFC 3461 §4.1).
var notifyWords = []struct {
	bit  mail.Notify
	word smtp.DSNNotify
}{
	{mail.NotifyNever, smtp.DSNNotifyNever},
	{mail.NotifySuccess, smtp.DSNNotifySuccess},
	{mail.NotifyFailure, smtp.DSNNotifyFailure},
	{mail.NotifyDelay, smtp.DSNNotifyDelayed},
}

// rcptOptions are RCPT's parameters; go-smtp's client leaves them out if the
// server does not know DSN.
func rcptOptions(r mail.Recipient) smtp.RcptOptions {
	var o smtp.RcptOptions
	for _, n := range notifyWords {
		if r.Notify&n.bit != 0 {
			o.Notify = append(o.Notify, n.word)
		}
	}
	if r.Notify&mail.NotifyNever != 0 {
		o.Notify = o.Notify[:1] // alone (RFC 3461 §4.1)
	}
	kind, addr, _ := strings.Cut(r.ORcpt, ";")
	switch {
	case strings.EqualFold(kind, "rfc822") && isPrintASCII(addr):
		o.OriginalRecipientType = smtp.DSNAddressTypeRFC822
	case strings.EqualFold(kind, "utf-8"):
		o.OriginalRecipientType = smtp.DSNAddressTypeUTF8
	default:
		return o // of a kind that go-smtp cannot write
	}
	o.OriginalRecipient = addr
	return o
}

func isPrintASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// sizeLimit is what the server announced by SIZE (RFC 1870 §4), 0 for none.
func sizeLimit(ext map[string]string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(ext["SIZE"]), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
