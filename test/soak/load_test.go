package soak

import (
	"context"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/lab"
)

// load is traffic on a server from several connections, until it is stopped.
type load struct {
	t    testing.TB
	l    *ledger
	addr map[string]string
	stop context.CancelFunc
	ctx  context.Context
	wg   sync.WaitGroup

	perSession int // messages that a session sends
}

// startLoad begins with two connections each for SMTP, submission, LMTP and
// APPEND, and one that copies, moves, flags and expunges.
func startLoad(t testing.TB, l *ledger, s *lab.Site) *load {
	ctx, cancel := context.WithCancel(context.Background())
	d := &load{t: t, l: l, addr: s.Addr, ctx: ctx, stop: cancel, perSession: 10}
	for _, work := range []func(*load) error{(*load).smtp, (*load).submission, (*load).lmtp, (*load).append} {
		for range 2 {
			d.run(work)
		}
	}
	d.run((*load).shuffle)
	return d
}

// run repeats a session until the load is stopped; one that ends early, by the
// server's fault or its own, is begun anew.
func (d *load) run(session func(*load) error) {
	d.wg.Go(func() {
		for d.ctx.Err() == nil {
			if err := session(d); err != nil {
				d.l.failed(err)
				time.Sleep(10 * time.Millisecond)
			}
		}
	})
}

// end stops the load; commands under way are answered or cut off first.
func (d *load) end() {
	d.stop()
	d.wg.Wait()
}

// connect opens an SMTP connection and says hello.
func (d *load) connect(listener, hello string) (*wire, error) {
	w, err := dial(d.addr[listener])
	if err != nil {
		return nil, err
	}
	if _, err = w.hear("220"); err == nil {
		_, err = w.say("250", "%s client.test", hello)
	}
	if err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// transact sends one message for rcpts by DATA, or by BDAT in two chunks, and
// returns the replies to it, one for each reply that is due.
func (w *wire) transact(from string, rcpts []string, text []byte, bdat bool, replies int) ([]string, error) {
	if _, err := w.say("250", "MAIL FROM:<%s>", from); err != nil {
		return nil, err
	}
	for _, r := range rcpts {
		if _, err := w.say("250", "RCPT TO:<%s>", r); err != nil {
			return nil, err
		}
	}
	if bdat {
		half := len(text) / 2
		if _, err := fmt.Fprintf(w, "BDAT %d\r\n%s", half, text[:half]); err != nil {
			return nil, err
		}
		if _, err := w.hear("250"); err != nil {
			return nil, err
		}
		if _, err := fmt.Fprintf(w, "BDAT %d LAST\r\n%s", len(text)-half, text[half:]); err != nil {
			return nil, err
		}
	} else {
		if _, err := w.say("354", "DATA"); err != nil {
			return nil, err
		}
		w.SetDeadline(time.Now().Add(patience))
		if _, err := w.Write(stuffed(text)); err != nil {
			return nil, err
		}
	}
	var got []string
	for range replies {
		s, err := w.reply()
		if err != nil {
			return got, err
		}
		got = append(got, s)
	}
	return got, nil
}

// smtp receives mail from elsewhere for one or two users.
func (d *load) smtp() error {
	w, err := d.connect("smtp", "EHLO")
	if err != nil {
		return err
	}
	defer w.Close()
	for range d.perSession {
		if d.ctx.Err() != nil {
			return nil
		}
		rcpts := []string{bob, alice}[:1+d.l.roll(2)]
		if err := d.mail(w, "", rcpts); err != nil {
			return err
		}
	}
	_, err = w.say("221", "QUIT")
	return err
}

var idOf = regexp.MustCompile(`\bid (\S+)$`)

// mail sends a message in one transaction with one reply.
func (d *load) mail(w *wire, from string, rcpts []string) error {
	it, text := d.l.compose()
	var boxes []box
	remote := false
	for _, r := range rcpts {
		if strings.HasSuffix(r, "@a.test") {
			boxes = append(boxes, box{r, "INBOX"})
		} else {
			remote = true
		}
	}
	d.l.may(it, boxes...)
	got, err := w.transact(from, rcpts, text, d.l.chance(3), 1)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(got[0], "250") {
		return &refusedError{got[0]}
	}
	d.l.did(it, boxes...)
	if remote {
		id := idOf.FindStringSubmatch(got[0])
		if id == nil {
			return fmt.Errorf("no id in %q", got[0])
		}
		d.l.set(it, func(it *item) { it.queued = id[1] })
	}
	return nil
}

// submission sends Alice's mail, some of it to another server.
func (d *load) submission() error {
	w, err := d.connect("submission", "EHLO")
	if err != nil {
		return err
	}
	defer w.Close()
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + alice + "\x00" + password))
	if _, err := w.say("235", "AUTH PLAIN %s", plain); err != nil {
		return err
	}
	for range d.perSession {
		if d.ctx.Err() != nil {
			return nil
		}
		rcpts := []string{bob}
		if d.l.chance(8) {
			rcpts = append(rcpts, away)
		}
		if err := d.mail(w, alice, rcpts); err != nil {
			return err
		}
	}
	_, err = w.say("221", "QUIT")
	return err
}

// lmtp hands mail over; each recipient has its own reply (RFC 2033 §4.2).
func (d *load) lmtp() error {
	w, err := d.connect("lmtp", "LHLO")
	if err != nil {
		return err
	}
	defer w.Close()
	for range d.perSession {
		if d.ctx.Err() != nil {
			return nil
		}
		it, text := d.l.compose()
		rcpts := []string{alice, bob}
		d.l.may(it, box{alice, "INBOX"}, box{bob, "INBOX"})
		got, err := w.transact("", rcpts, text, false, len(rcpts))
		for i, reply := range got {
			if strings.HasPrefix(reply, "250") {
				d.l.did(it, box{rcpts[i], "INBOX"})
			} else {
				d.l.failed(&refusedError{reply})
			}
		}
		if err != nil {
			return err
		}
	}
	_, err = w.say("221", "QUIT")
	return err
}

var appendUID = regexp.MustCompile(`\[APPENDUID (\d+) (\d+)\]`)

// put appends a message to a mailbox and returns its UID.
func (d *load) put(w *wire, b box) (*item, uint32, error) {
	it, text := d.l.compose()
	d.l.may(it, b)
	w.n++
	tag := fmt.Sprintf("a%d", w.n)
	if err := w.send("%s APPEND %s () {%d+}\r\n%s", tag, b.name, len(text), text); err != nil {
		return nil, 0, err
	}
	a, err := w.imapAnswer(tag)
	if err != nil {
		return nil, 0, err
	}
	d.l.did(it, b)
	m := appendUID.FindStringSubmatch(a.tagged)
	if m == nil {
		return nil, 0, fmt.Errorf("no UID in %q", a.tagged)
	}
	var validity, uid uint32
	fmt.Sscan(m[1], &validity)
	fmt.Sscan(m[2], &uid)
	d.l.named(d.t, place{b, validity, uid}, it.token)
	return it, uid, nil
}

// append is Bob, who stores messages.
func (d *load) append() error {
	w, err := login(d.addr["imap"], bob)
	if err != nil {
		return err
	}
	defer w.Close()
	for range d.perSession {
		if d.ctx.Err() != nil {
			return nil
		}
		if _, _, err := d.put(w, box{bob, "INBOX"}); err != nil {
			return err
		}
	}
	_, err = w.imap("LOGOUT")
	return err
}

// shuffle is Carol, who stores a message and then does something with it.
func (d *load) shuffle() error {
	w, err := login(d.addr["imap"], carol)
	if err != nil {
		return err
	}
	defer w.Close()
	if _, err := w.imap("SELECT INBOX"); err != nil {
		return err
	}
	for range d.perSession {
		if d.ctx.Err() != nil {
			return nil
		}
		it, uid, err := d.put(w, box{carol, "INBOX"})
		if err != nil {
			return err
		}
		if err := d.change(w, it, uid); err != nil {
			return err
		}
	}
	_, err = w.imap("LOGOUT")
	return err
}

// change copies, moves, flags or expunges a message. The ledger knows less
// about it while the reply is awaited.
func (d *load) change(w *wire, it *item, uid uint32) error {
	inbox, archive := box{carol, "INBOX"}, box{carol, "Archive"}
	no, yes := false, true
	var command, shows string // the command, and what tells that it took effect
	var before, after func(*item)
	switch d.l.roll(5) {
	case 0:
		command, shows = fmt.Sprintf("UID COPY %d Archive", uid), "COPYUID"
		before = func(it *item) { it.boxes[archive] = span{0, 1} }
		after = func(it *item) { it.boxes[archive] = span{1, 1} }
	case 1:
		command, shows = fmt.Sprintf("UID MOVE %d Archive", uid), "COPYUID"
		before = func(it *item) { it.boxes[inbox], it.boxes[archive], it.moved = span{0, 1}, span{0, 1}, true }
		after = func(it *item) { it.boxes[inbox], it.boxes[archive] = span{0, 0}, span{1, 1} }
	case 2:
		command, shows = fmt.Sprintf(`UID STORE %d +FLAGS (\Flagged)`, uid), `\Flagged`
		before = func(it *item) { it.flagged = nil }
		after = func(it *item) { it.flagged = &yes }
	case 3:
		if _, err := w.imap(`UID STORE %d +FLAGS (\Deleted)`, uid); err != nil {
			return err
		}
		command, shows = fmt.Sprintf("UID EXPUNGE %d", uid), "EXPUNGE"
		before = func(it *item) { it.boxes[inbox] = span{0, 1} }
		after = func(it *item) { it.boxes[inbox] = span{0, 0} }
	case 4:
		d.l.set(it, func(it *item) { it.flagged = &no })
		return nil
	}
	d.l.set(it, before)
	a, err := w.imap("%s", command)
	if err != nil {
		return err
	}
	// OK alone promises nothing: a command on a UID that the session does not
	// know, as when a fault keeps it from hearing of its own APPEND, is no error
	// (RFC 9051 §6.4.9).
	if !a.tells(shows) {
		return fmt.Errorf("%s had no effect", command)
	}
	d.l.set(it, after)
	return nil
}
