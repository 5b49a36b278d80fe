package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// searchLoad searches the archive for words of which it knows where they are.
type searchLoad struct {
	archive
	repeat  int
	settle  time.Duration
	queries []query // for the archive as it is set
}

// query is a SEARCH and the messages that it must find.
type query struct {
	name, key, word string
	want            []int // message numbers, in rising order
}

func searchWorkload() Workload {
	return Workload{
		Name: "search", Needs: "imap",
		Summary: "SEARCH SUBJECT, FROM, BODY and TEXT for words in no message, in one, and in many",
		New: func(fs *flag.FlagSet) Runner {
			r := &searchLoad{}
			r.register(fs)
			fs.IntVar(&r.repeat, "repeat", 3, "`N` times for each command")
			fs.DurationVar(&r.settle, "settle", 0, "`TIME` to wait before the first search, for a server that indexes in the background")
			return r
		},
	}
}

func (r *searchLoad) Prepare(ctx context.Context, s *Server) error {
	if r.repeat < 1 {
		return usageError{fmt.Errorf("repeat must be at least 1")}
	}
	if err := r.prepare(ctx, s, usersIMAP); err != nil {
		return err
	}
	if r.queries == nil {
		r.queries = searches(r.generator, r.count)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(r.settle):
		return nil
	}
}

func (r *searchLoad) Run(ctx context.Context, s *Server) ([]*Result, error) {
	c, err := r.open(ctx, s, usersIMAP)
	if err != nil {
		return nil, err
	}
	defer c.close()
	var results []*Result
	for _, q := range r.queries {
		t := newTally(r.repeat)
		for range r.repeat {
			c.timed(t, q.command(), q.check)
		}
		result := t.sum(q.name, "commands")
		result.Note = fmt.Sprintf("%s matches %d of %d", q.command(), len(q.want), r.count)
		results = append(results, result)
	}
	return results, c.logout()
}

// Verify has nothing left to ask: every result was compared.
func (r *searchLoad) Verify(context.Context, *Server, []*Result) error { return nil }

func (q query) command() string { return "SEARCH " + q.key + " " + quoteIMAP(q.word) }

func (q query) check(n counted) error {
	slices.Sort(n.found)
	if !slices.Equal(n.found, q.want) {
		return fmt.Errorf("found %d messages, not the %d that there are", len(n.found), len(q.want))
	}
	return nil
}

// searches are the queries for messages 0 to count-1 of g. Many is a tenth,
// except for FROM, where it is the first name that comes nearest to that.
func searches(g Generator, count int) []query {
	var list []query
	add := func(name, key, word string, want []int) {
		list = append(list, query{name, key, word, want})
	}
	tenth := where(count, func(n int) bool { return n%10 == 0 })
	one := where(count, func(n int) bool { return n == count/2 })
	add("subject-none", "SUBJECT", Absent, nil)
	add("subject-one", "SUBJECT", SubjectTag(count/2), one)
	add("subject-many", "SUBJECT", SubjectWord, tenth)
	rare, frequent := senders(g, count)
	from := func(word string) []int {
		return where(count, func(n int) bool { return strings.Contains(strings.ToLower(g.From(n)), strings.ToLower(word)) })
	}
	add("from-none", "FROM", Absent, nil)
	add("from-one", "FROM", rare, from(rare))
	add("from-many", "FROM", frequent, from(frequent))
	for _, key := range []string{"BODY", "TEXT"} {
		name := strings.ToLower(key)
		add(name+"-none", key, Absent, nil)
		add(name+"-one", key, Token(count/2), one)
		add(name+"-many", key, Common, tenth)
	}
	return list
}

// where are the message numbers (from 1) of those of the generator's numbers
// (from 0) that have what is asked for.
func where(count int, has func(n int) bool) []int {
	var list []int
	for n := range count {
		if has(n) {
			list = append(list, n+1)
		}
	}
	return list
}

// senders are the address of exactly one message, if there is one (else of
// as few as possible), and the first name, with the dot behind it, that
// comes nearest to standing in a tenth of the messages.
func senders(g Generator, count int) (rare, frequent string) {
	addresses, names := map[string]int{}, map[string]int{}
	for n := range count {
		address := g.From(n)
		first, _, _ := strings.Cut(address, ".")
		addresses[address]++
		names[first+"."]++
	}
	rare = nearest(addresses, 1)
	frequent = nearest(names, count/10)
	return rare, frequent
}

// nearest is the key whose number is nearest to want; of several, the first
// in the alphabet.
func nearest(numbers map[string]int, want int) string {
	return slices.MinFunc(slices.Sorted(maps.Keys(numbers)), func(a, b string) int {
		return cmp.Compare(max(numbers[a]-want, want-numbers[a]), max(numbers[b]-want, want-numbers[b]))
	})
}
