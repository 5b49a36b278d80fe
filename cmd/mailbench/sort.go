package main

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"
)

// sortLoad sorts and threads the archive, whose order and threads it knows.
type sortLoad struct {
	archive
	repeat   int
	commands []sorting // for the archive as it is set
}

// sorting is a SORT or THREAD and what must come back.
type sorting struct {
	name, command string
	order         []int  // of SORT
	threads       string // of THREAD
}

func sortWorkload() Workload {
	return Workload{
		Name: "sort", Needs: "imap",
		Summary: "SORT by subject, date and sender, and THREAD, of a whole mailbox",
		New: func(fs *flag.FlagSet) Runner {
			r := &sortLoad{}
			r.register(fs)
			fs.IntVar(&r.repeat, "repeat", 3, "`N` times for each command")
			return r
		},
	}
}

func (r *sortLoad) Prepare(ctx context.Context, s *Server) error {
	if r.repeat < 1 {
		return usageError{fmt.Errorf("repeat must be at least 1")}
	}
	if r.commands == nil {
		r.commands = sortings(r.generator, r.count)
	}
	return r.prepare(ctx, s, usersIMAP)
}

// Run does each command once before it is timed, as a client does that looks
// at its mailbox again: both servers remember what they have read for it.
func (r *sortLoad) Run(ctx context.Context, s *Server) ([]*Result, error) {
	c, err := r.open(ctx, s, usersIMAP)
	if err != nil {
		return nil, err
	}
	defer c.close()
	var results []*Result
	for _, q := range r.commands {
		first := newTally(1)
		c.timed(first, q.command, q.check)
		t := newTally(r.repeat)
		for range r.repeat {
			c.timed(t, q.command, q.check)
		}
		result := t.sum(q.name, "commands")
		result.Note = fmt.Sprintf("%s; the first time %s", q.command, first.sum("", "").duration())
		results = append(results, result)
	}
	return results, c.logout()
}

// duration is the time of a result in words.
func (r *Result) duration() string {
	return time.Duration(r.Seconds * float64(time.Second)).Round(10 * time.Microsecond).String()
}

// Verify has nothing left to ask: every result was compared.
func (r *sortLoad) Verify(context.Context, *Server, []*Result) error { return nil }

func (q sorting) check(n counted) error {
	switch {
	case q.threads == "" && !slices.Equal(n.sorted, q.order):
		return fmt.Errorf("another order of %d messages", len(n.sorted))
	case n.threads != q.threads:
		return fmt.Errorf("other threads, in %d octets instead of %d", len(n.threads), len(q.threads))
	}
	return nil
}

// sortings are the commands for messages 0 to count-1 of g. No two have one
// date or base subject.
func sortings(g Generator, count int) []sorting {
	by := func(compare func(a, b int) int) []int {
		order := make([]int, count)
		for n := range order {
			order[n] = n + 1
		}
		slices.SortStableFunc(order, func(a, b int) int { return compare(a-1, b-1) })
		return order
	}
	subjects, senders := make([]string, count), make([]string, count)
	for n := range count {
		subject := strings.TrimPrefix(string(g.appendSubject(nil, n)), "Re: ")
		subjects[n] = strings.ToUpper(subject)
		local, _, _ := strings.Cut(g.From(n), "@")
		senders[n] = strings.ToUpper(local)
	}
	bySubject := by(func(a, b int) int { return cmp.Compare(subjects[a], subjects[b]) })
	byDate := by(func(a, b int) int { return b - a }) // dates rise with n
	bySender := by(func(a, b int) int { return cmp.Or(cmp.Compare(senders[a], senders[b]), a-b) })
	var threads, alone bytes.Buffer
	for n := range count {
		separator := " "
		if n%threadLength == 0 {
			separator = "("
		}
		fmt.Fprint(&threads, separator, n+1)
		if n%threadLength == threadLength-1 || n == count-1 {
			threads.WriteByte(')')
		}
		fmt.Fprintf(&alone, "(%d)", n+1)
	}
	return []sorting{
		{"sort-subject", "SORT (SUBJECT) UTF-8 ALL", bySubject, ""},
		{"sort-date", "SORT (REVERSE DATE) UTF-8 ALL", byDate, ""},
		{"sort-from", "SORT (FROM DATE) UTF-8 ALL", bySender, ""},
		{"thread-references", "THREAD REFERENCES UTF-8 ALL", nil, threads.String()},
		{"thread-refs", "THREAD REFS UTF-8 ALL", nil, threads.String()},
		{"thread-subject", "THREAD ORDEREDSUBJECT UTF-8 ALL", nil, alone.String()},
	}
}
