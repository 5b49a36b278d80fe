package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// parallel runs work in n goroutines, each with its number, and waits for all.
// It returns the tallies put together, and the time that all took.
func parallel(n, expected int, work func(worker int, t *Tally)) (*Tally, time.Duration) {
	tallies := make([]*Tally, n)
	for i := range tallies {
		tallies[i] = newTally(expected)
	}
	var all sync.WaitGroup
	start := time.Now()
	for i := range n {
		all.Go(func() { work(i, tallies[i]) })
	}
	all.Wait()
	elapsed := time.Since(start)
	sum := newTally(n * expected)
	for _, t := range tallies {
		sum.merge(t)
	}
	return sum, elapsed
}

// counter gives out the numbers 0 to n-1, each once, to many goroutines.
type counter struct {
	next atomic.Int64
	n    int
}

// take is the next number; false when there are no more or ctx has ended.
func (c *counter) take(ctx context.Context) (int, bool) {
	i := int(c.next.Add(1)) - 1
	return i, i < c.n && ctx.Err() == nil
}
