package main

import (
	"context"
	"flag"
	"fmt"
	"time"
)

// fetchLoad opens the archive and reads all of it, in the ways of clients.
type fetchLoad struct {
	archive
	repeat int
	sizes  []int64 // of each message; sizes[0] is message 1's
}

func fetchWorkload() Workload {
	return Workload{
		Name: "fetch", Needs: "imap",
		Summary: "SELECT, and FETCH of a whole mailbox: flags, sizes, envelopes, structures, header fields, bodies",
		New: func(fs *flag.FlagSet) Runner {
			r := &fetchLoad{}
			r.register(fs)
			fs.IntVar(&r.repeat, "repeat", 3, "`N` times for each command")
			return r
		},
	}
}

// fetchHeader are the seven fields that clients ask for to list messages.
const fetchHeader = "BODY.PEEK[HEADER.FIELDS (DATE FROM TO CC SUBJECT MESSAGE-ID REFERENCES)]"

// fetches are the commands of whole mailboxes. literals says that there is
// one in each response.
var fetches = []struct {
	name, command string
	literals      bool
}{
	{"flags", "FETCH 1:* FLAGS", false},
	{"sizes", "UID FETCH 1:* (UID FLAGS RFC822.SIZE INTERNALDATE)", false},
	{"envelope", "FETCH 1:* ENVELOPE", false},
	{"bodystructure", "FETCH 1:* BODYSTRUCTURE", false},
	{"header", "FETCH 1:* " + fetchHeader, true},
}

// Prepare fills the mailbox and computes how large each message is.
func (r *fetchLoad) Prepare(ctx context.Context, s *Server) error {
	if r.repeat < 1 {
		return usageError{fmt.Errorf("repeat must be at least 1")}
	}
	if len(r.sizes) != r.count {
		r.sizes = make([]int64, r.count)
		var b []byte
		for n := range r.sizes {
			b = r.generator.Append(b[:0], n)
			r.sizes[n] = int64(len(b))
		}
	}
	return r.prepare(ctx, s, usersIMAP)
}

func (r *fetchLoad) Run(ctx context.Context, s *Server) ([]*Result, error) {
	c, err := r.open(ctx, s, usersIMAP)
	if err != nil {
		return nil, err
	}
	defer c.close()
	cold, err := r.selectCold(ctx, s, c)
	if err != nil {
		return nil, err
	}
	warm, err := r.selectWarm(ctx, s)
	if err != nil {
		return nil, err
	}
	results := append(cold, warm)
	for _, f := range fetches {
		results = append(results, r.fetch(c, f.name, f.command, f.literals))
	}
	return append(results, r.bodies(c)), nil
}

// Verify has nothing left to ask: every command was checked.
func (r *fetchLoad) Verify(context.Context, *Server, []*Result) error { return nil }

// coldMailbox is deleted and made again for each SELECT of its kind.
const coldMailbox = "archive-cold"

// selectCold selects a mailbox that nobody has selected before: all messages
// have just been copied into it. A server can have nothing of it in memory
// but what COPY left there. Restarting the server would be colder, and is
// what the growth command does; the machine's page cache is warm either way.
// On the same connection follows what can be fetched the first time only.
func (r *fetchLoad) selectCold(ctx context.Context, s *Server, c *imapConn) ([]*Result, error) {
	selects := newTally(r.repeat)
	first := make([]*Tally, len(fetches))
	for i := range first {
		first[i] = newTally(r.repeat)
	}
	for range r.repeat {
		if _, err := c.copyTo(coldMailbox); err != nil {
			return nil, err
		}
		fresh, err := loginIMAP(ctx, s.IMAP, s.User(usersIMAP), s.Password)
		if err != nil {
			return nil, err
		}
		fresh.timed(selects, "SELECT "+coldMailbox, expectExists(r.count))
		for i, f := range fetches {
			fresh.timed(first[i], f.command, r.check(fresh, f.literals))
		}
		if err := fresh.logout(); err != nil {
			return nil, err
		}
		if _, err := c.perform("DELETE "+coldMailbox, nil); err != nil {
			return nil, err
		}
	}
	results := []*Result{selects.sum("select-cold", "commands")}
	for i, f := range fetches {
		if f.name != "flags" && f.name != "sizes" {
			results = append(results, first[i].sum(f.name+"-first", "commands"))
		}
	}
	return results, nil
}

// selectWarm selects the mailbox on new connections, while others have it
// selected.
func (r *fetchLoad) selectWarm(ctx context.Context, s *Server) (*Result, error) {
	const times = 10
	t := newTally(times)
	for range times {
		c, err := loginIMAP(ctx, s.IMAP, s.User(usersIMAP), s.Password)
		if err != nil {
			return nil, err
		}
		c.timed(t, "SELECT "+quoteIMAP(r.mailbox()), expectExists(r.count))
		if err := c.logout(); err != nil {
			return nil, err
		}
	}
	return t.sum("select-warm", "commands"), nil
}

// fetch times a command, after one run of it that is not: the server may keep
// what it found out then.
func (r *fetchLoad) fetch(c *imapConn, name, command string, literals bool) *Result {
	t := newTally(r.repeat)
	c.timed(newTally(1), command, nil)
	for range r.repeat {
		c.timed(t, command, r.check(c, literals))
	}
	return t.sum(name, "commands")
}

// check wants one response for each message and, where literals, octets.
func (r *fetchLoad) check(c *imapConn, literals bool) func(counted) error {
	before := c.octets
	return func(n counted) error {
		if literals && c.octets == before {
			return fmt.Errorf("no literals")
		}
		before = c.octets
		return expectFetched(r.count)(n)
	}
}

// bodies fetches all messages and checks the length of each.
func (r *fetchLoad) bodies(c *imapConn) *Result {
	t := newTally(r.repeat)
	for range r.repeat {
		r.fetchBodies(c, t)
	}
	return t.sum("body", "commands")
}

func (r *fetchLoad) fetchBodies(c *imapConn, t *Tally) {
	var wrong error
	n, before, start := 0, c.octets, time.Now()
	err := c.do("FETCH 1:* BODY.PEEK[]", func(line []byte) {
		length := numberAfter(line, "BODY[] {")
		if length < 0 {
			return
		}
		number, _ := leadingNumber(line[2:])
		if (number < 1 || number > r.count || int64(length) != r.sizes[number-1]) && wrong == nil {
			wrong = fmt.Errorf("message %d has %d octets", number, length)
		}
		n++
	})
	took := time.Since(start)
	if err == nil {
		err = wrong
	}
	if err == nil && n != r.count {
		err = fmt.Errorf("%d bodies, not %d", n, r.count)
	}
	if err != nil {
		t.fail(fmt.Errorf("FETCH 1:* BODY.PEEK[]: %w", err))
		return
	}
	t.times = append(t.times, took)
	t.bytes += c.octets - before
}
