package main

import (
	"bytes"
	"fmt"
	"time"
)

// counted is how many responses of each kind came with one command.
type counted struct {
	fetched, expunged, listed, status int

	exists int   // the last EXISTS, or -1
	found  []int // the numbers in SEARCH, in the order in which they came
	sorted []int // those in SORT

	threads string // what THREAD says
}

// perform is do, with the responses counted. each may be nil.
func (c *imapConn) perform(command string, each func(line []byte)) (counted, error) {
	n := counted{exists: -1}
	err := c.do(command, func(line []byte) {
		n.add(line)
		if each != nil {
			each(line)
		}
	})
	if err != nil {
		err = fmt.Errorf("%.60s: %w", command, err)
	}
	return n, err
}

// add counts a response line, if it is untagged.
func (n *counted) add(line []byte) {
	rest, ok := bytes.CutPrefix(line, []byte("* "))
	if !ok {
		return
	}
	number, rest := leadingNumber(rest)
	word, after, _ := bytes.Cut(rest, []byte(" "))
	switch string(word) { // does not allocate
	case "FETCH":
		n.fetched++
	case "EXPUNGE":
		n.expunged++
	case "EXISTS":
		n.exists = number
	case "LIST":
		n.listed++
	case "STATUS":
		n.status++
	case "SEARCH":
		n.found = appendNumbers(n.found, after)
	case "SORT":
		n.sorted = appendNumbers(n.sorted, after)
	case "THREAD":
		n.threads = string(after)
	}
}

// leadingNumber splits "12 EXISTS" into 12 and "EXISTS"; what does not begin
// with a number and a space is returned as it is, with 0.
func leadingNumber(b []byte) (int, []byte) {
	n, i := 0, 0
	for i < len(b) && '0' <= b[i] && b[i] <= '9' && n < 1<<32 {
		n = n*10 + int(b[i]-'0')
		i++
	}
	if i == 0 || i == len(b) || b[i] != ' ' {
		return 0, b
	}
	return n, b[i+1:]
}

// appendNumbers appends the numbers of "2 3 5" to list. What follows in
// brackets, as MODSEQ does (RFC 7162 §3.1.5), is none of them.
func appendNumbers(list []int, b []byte) []int {
	for len(b) > 0 && b[0] != '(' {
		n, i := 0, 0
		for i < len(b) && '0' <= b[i] && b[i] <= '9' {
			n = n*10 + int(b[i]-'0')
			i++
		}
		if i > 0 {
			list = append(list, n)
		}
		b = b[min(i+1, len(b)):]
	}
	return list
}

// timed performs a command that check has to agree with, and puts its time
// into t.
func (c *imapConn) timed(t *Tally, command string, check func(counted) error) {
	before, start := c.octets, time.Now()
	n, err := c.perform(command, nil)
	took := time.Since(start)
	if err == nil && check != nil {
		if err = check(n); err != nil {
			err = fmt.Errorf("%.60s: %w", command, err)
		}
	}
	if err != nil {
		t.fail(err)
		return
	}
	t.times = append(t.times, took)
	t.bytes += c.octets - before
}

// sum is a result of commands that ran one after the other: Seconds is the
// time of all of them.
func (t *Tally) sum(name, unit string) *Result {
	var all time.Duration
	for _, d := range t.times {
		all += d
	}
	return t.result(name, unit, all)
}

// expect is a check that one kind of response came want times.
func expect(kind string, want int, of func(counted) int) func(counted) error {
	return func(n counted) error {
		if got := of(n); got != want {
			return fmt.Errorf("%d %s, not %d", got, kind, want)
		}
		return nil
	}
}

func expectFetched(want int) func(counted) error {
	return expect("FETCH responses", want, func(n counted) int { return n.fetched })
}

func expectExists(want int) func(counted) error {
	return expect("messages exist", want, func(n counted) int { return n.exists })
}
