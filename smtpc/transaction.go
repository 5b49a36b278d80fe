package smtpc

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"postrider/mail"
)

// authCodes are the replies of a server that wants a login, or a better one
// (RFC 4954 §6).
var authCodes = []int{530, 534, 535, 538}

// maxGroup is how many commands are sent before their replies are read: few
// enough that the replies fit into the buffers between us (RFC 2920 §3.1).
const maxGroup = 64

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
			for _, r := range slices.Concat(t.unsettled(), todo) {
				a.open = append(a.open, r.i)
			}
			return
		}
		if len(t.taken) > 0 {
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

	asked   []*rcpt // whom RCPT names
	refused bool    // MAIL was
	taken   []*rcpt // for whom RCPT was accepted
	later   []*rcpt // too many for this transaction (RFC 5321 §4.5.3.1.10)
	ready   bool    // the server waits for the message
}

// run does the transaction and settles recipients. If the connection breaks
// before the end of data, the unsettled ones stay so.
//
// To a server that announced PIPELINING, commands go in groups, of which DATA
// ends the last (RFC 2920 §3.1); to others one by one, and none that is known
// to be in vain.
func (t *transaction) run(todo []*rcpt) {
	lines := t.commands(todo)
	if lines == nil {
		return
	}
	group := 1
	if _, ok := t.p.ext["PIPELINING"]; ok {
		group = maxGroup
	}
	for begin := 0; begin < len(lines); begin += group {
		now := lines[begin:min(begin+group, len(lines))]
		if err := t.p.w.send(now, t.p.c.o.Timeouts.Command); err != nil {
			t.gone()
			return
		}
		for i := range now {
			r, err := t.p.w.answer(t.p.c.o.Timeouts.Command)
			if err != nil || r.code == 421 {
				t.gone()
				return
			}
			t.answer(begin+i, len(lines), r)
		}
		if t.refused || begin+len(now) == len(lines)-1 && len(t.taken) == 0 {
			break
		}
	}
	switch {
	case !t.ready:
		t.end(true)
	case len(t.taken) == 0:
		// Only a server that is in doubt itself goes on; it gets a message of
		// nothing, for nobody (RFC 2920 §3.1).
		t.p.w.text([]byte(".\r\n"))
		t.p.w.answer(t.p.c.o.Timeouts.Command)
		t.end(true)
	default:
		t.data()
		t.end(false)
	}
}

// commands are MAIL, RCPT for each recipient and DATA. Who cannot be named in
// a command is settled; nil if nobody is left.
func (t *transaction) commands(todo []*rcpt) []string {
	lines := make([]string, 1, len(todo)+2)
	lines[0] = t.p.mailLine(t.plan)
	for _, r := range todo {
		l := t.p.rcptLine(r)
		if !isLine(lines[0]) || !isLine(l) {
			t.settle(r, temporary("4.3.0", "the command could not be sent"))
			continue
		}
		r.settled = false // it may have been put off in an earlier transaction
		lines, t.asked = append(lines, l), append(t.asked, r)
	}
	if len(t.asked) == 0 {
		return nil
	}
	return append(lines, "DATA")
}

// answer takes the reply to the i-th of n commands.
func (t *transaction) answer(i, n int, r reply) {
	switch {
	case t.refused:
		// What was sent behind a refused MAIL is refused too.
	case i == 0 && r.code/100 != 2:
		t.refused = true
		t.settleAll(unlessDelivered(r))
	case i == 0:
	case i < n-1:
		t.answerRcpt(t.asked[i-1], r)
	case r.code != 354 && len(t.taken) > 0:
		t.settleAll(unlessDelivered(r))
	}
	t.ready = i == n-1 && r.code == 354
}

// answerRcpt takes the reply to a RCPT.
func (t *transaction) answerRcpt(r *rcpt, said reply) {
	switch {
	case said.code == 250 || said.code == 251:
		t.taken = append(t.taken, r)
	case len(t.taken) > 0 && (said.code == 452 || said.code == 552):
		o := outcomeOf(said)
		o.Status, o.Enhanced = Temporary, "4.5.3"
		t.settle(r, o)
		t.later = append(t.later, r)
	default:
		t.settle(r, unlessDelivered(said))
	}
}

// unlessDelivered is the outcome of a command that was not answered as it
// should be.
func unlessDelivered(r reply) Outcome {
	o := outcomeOf(r)
	if o.Status == Delivered {
		o = temporary("4.5.0", "unexpected reply: %d %s", o.Code, o.Text)
	}
	return o
}

// data sends the message and settles who took part.
func (t *transaction) data() {
	w := t.p.w
	if w.silent() != nil { // whose reply would be taken for that to the message
		t.gone()
		return
	}
	if err := t.text(); err != nil {
		t.brokenOff(err)
		return
	}
	w.rec.add(Sent, fmt.Sprintf("[%d bytes]", t.plan.size))
	w.rec.add(Sent, ".")
	r, err := w.answer(t.p.c.o.Timeouts.End)
	if err != nil {
		// The server may have the message: nobody else gets it now.
		o := *t.p.lost(err)
		o.Text += " while waiting for the reply to the message, which may have been delivered"
		t.settleAll(o)
		return
	}
	o := outcomeOf(r)
	if o.Status == Delivered {
		_, o.DSN = t.p.ext["DSN"]
	}
	t.settleAll(o)
}

// text sends the message with its end. An error that is not the network's
// says that it could not be read.
func (t *transaction) text() error {
	var s stuffer
	w := t.p.w
	size := min(t.plan.size, scanBlock)
	in, out := t.p.buffers(int(size))
	for off := int64(0); off < t.plan.size; {
		n, err := t.plan.body.ReadAt(in[:min(size, t.plan.size-off)], off)
		off += int64(n)
		if n == 0 {
			if err == nil {
				err = io.ErrNoProgress
			}
			return err
		}
		out = s.add(out[:0], in[:n])
		if off < t.plan.size {
			if err := w.text(out); err != nil {
				return err
			}
			out = out[:0]
		}
	}
	out = s.end(out)
	t.p.out = out[:0] // it may have grown
	return w.text(out)
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
func (t *transaction) end(reset bool) {
	w := t.p.w
	if w.err == nil && w.last.code == 421 {
		w.fail(io.EOF) // it is about to close (RFC 5321 §3.8)
	}
	if reset && w.err == nil {
		if r, err := w.ask("RSET", t.p.c.o.Timeouts.Command); err == nil && r.code != 250 {
			w.fail(errReplyForm)
		}
	}
}

// gone deals with a connection that broke, or is about to: 421.
func (t *transaction) gone() {
	w := t.p.w
	if w.err == nil {
		t.a.failed(t.p.mark(outcomeOf(w.last)))
		w.fail(io.EOF)
		return
	}
	t.a.failed(t.p.mark(*t.p.lost(w.err)))
}

func (t *transaction) settle(r *rcpt, o Outcome) { r.settled, t.a.out[r.i] = true, t.p.mark(o) }

// unsettled are those without an outcome.
func (t *transaction) unsettled() []*rcpt {
	return slices.DeleteFunc(slices.Clone(t.asked), func(r *rcpt) bool { return r.settled })
}

func (t *transaction) settleAll(o Outcome) {
	for _, r := range t.unsettled() {
		t.settle(r, o)
	}
}

// mark says in an outcome who spoke. What a smarthost says of the login is a
// fault of our configuration, not of the mail, which waits until that is put
// right.
func (p *peer) mark(o Outcome) Outcome {
	if p.c.o.Smarthost != nil && o.Status == Permanent && slices.Contains(authCodes, o.Code) {
		o.Status, o.Enhanced = Temporary, "4"+o.Enhanced[1:]
	}
	o.Host, o.Addr, o.TLS, o.Policy = printable(p.host.name), p.addr, p.tls, p.demand.words()
	return o
}

// rcpt is one recipient as this peer is told of it.
type rcpt struct {
	i      int // in the attempt
	addr   string
	notify mail.Notify
	orcpt  string

	settled bool // it has an outcome
}

// sizeLimit is what the server announced by SIZE (RFC 1870 §4), 0 for none.
func sizeLimit(ext map[string]string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(ext["SIZE"]), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
