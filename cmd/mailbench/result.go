package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
	"time"
)

// Result is one thing that a run measured.
type Result struct {
	Name    string  `json:"name"`              // what was done, such as "accept"
	Unit    string  `json:"unit"`              // what is counted, such as "messages"
	Count   int     `json:"count"`             // operations that succeeded
	Seconds float64 `json:"seconds"`           // from the first operation's start to the last one's end
	Rate    float64 `json:"rate"`              // Count / Seconds
	P50     float64 `json:"p50_ms"`            // of one operation, in milliseconds
	P99     float64 `json:"p99_ms"`            //
	Max     float64 `json:"max_ms"`            //
	Bytes   int64   `json:"bytes,omitempty"`   // of message data that went over the wire
	Value   float64 `json:"value,omitempty"`   // for what is neither time nor rate, such as bytes of memory
	Errors  int     `json:"errors"`            // operations that failed
	First   string  `json:"error,omitempty"`   // the first one's reason
	Stored  int     `json:"stored"`            // messages that the server has of those sent; -1: not asked
	Missing int     `json:"missing,omitempty"` // acknowledged, but not there
	Extra   int     `json:"extra,omitempty"`   // there, but not sent, or there twice
	Note    string  `json:"note,omitempty"`
	// CPU is the processor time that the server's processes used, in
	// microseconds for each operation; 0 if it is not known.
	CPU float64 `json:"cpu_us,omitempty"`
}

// void says why the result is worth nothing, or "" if it counts.
func (r *Result) void() string {
	switch {
	case r.Errors > 0:
		return fmt.Sprintf("%d errors, the first: %s", r.Errors, r.First)
	case r.Missing > 0:
		return fmt.Sprintf("%d messages are missing", r.Missing)
	case r.Extra > 0:
		return fmt.Sprintf("%d messages are there that were not sent", r.Extra)
	case r.Count == 0:
		return "nothing was done"
	}
	return ""
}

// compareStored sets what Verify found: have messages, where sent were acknowledged.
func (r *Result) compareStored(have, sent int) {
	r.Stored = have
	r.Missing = max(0, sent-have)
	r.Extra = max(0, have-sent)
}

// Tally gathers the latencies and errors of one worker's operations. It is
// not safe for concurrent use: each worker has its own, and merge puts them
// together.
type Tally struct {
	times  []time.Duration
	bytes  int64
	errors int
	first  error
}

// newTally has room for n operations, so that none is paid for while measuring.
func newTally(n int) *Tally { return &Tally{times: make([]time.Duration, 0, n)} }

// done counts an operation that began at start and succeeded.
func (t *Tally) done(start time.Time) { t.times = append(t.times, time.Since(start)) }

// fail counts an operation that failed.
func (t *Tally) fail(err error) {
	if t.errors++; t.first == nil {
		t.first = err
	}
}

// merge adds what u gathered.
func (t *Tally) merge(u *Tally) {
	t.times = append(t.times, u.times...)
	t.bytes += u.bytes
	t.errors += u.errors
	if t.first == nil {
		t.first = u.first
	}
}

// result sums up operations that took elapsed in all. Stored is -1.
func (t *Tally) result(name, unit string, elapsed time.Duration) *Result {
	slices.Sort(t.times)
	r := &Result{
		Name: name, Unit: unit, Count: len(t.times), Seconds: elapsed.Seconds(), Bytes: t.bytes, Errors: t.errors, Stored: -1,
		P50: milliseconds(percentile(t.times, 50)), P99: milliseconds(percentile(t.times, 99)), Max: milliseconds(percentile(t.times, 100)),
	}
	if r.Seconds > 0 {
		r.Rate = float64(r.Count) / r.Seconds
	}
	if t.first != nil {
		r.First = t.first.Error()
	}
	return r
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// percentile is the smallest of sorted that p percent are not above: the
// nearest rank, never a value between two. It is 0 for no values.
func percentile[T time.Duration | float64](sorted []T, p float64) T {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// median is the middle of values, or the mean of the two in the middle.
func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	if len(s) == 0 {
		return math.NaN()
	}
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// printResults writes results as a table, or as JSON.
func printResults(w io.Writer, results []*Result, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(results)
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "what\tcount\tseconds\tper second\tp50 ms\tp99 ms\terrors\tstored\t")
	for _, r := range results {
		stored := "not asked"
		if r.Stored >= 0 {
			stored = fmt.Sprint(r.Stored)
		}
		fmt.Fprintf(t, "%s\t%d %s\t%.3f\t%.1f\t%.2f\t%.2f\t%d\t%s\t\n", r.Name, r.Count, r.Unit, r.Seconds, r.Rate, r.P50, r.P99, r.Errors, stored)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, r := range results {
		if why := r.void(); why != "" {
			fmt.Fprintf(w, "%s is void: %s\n", r.Name, why)
		}
		if r.Note != "" {
			fmt.Fprintf(w, "%s: %s\n", r.Name, r.Note)
		}
	}
	return nil
}
