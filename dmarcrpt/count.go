package dmarcrpt

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"postrider/mailauth"
	"postrider/store"
)

// maxKinds is how many kinds of message are counted between two times of
// writing down, and perDomain how many of one domain's: whoever forges can make
// all of them different.
const (
	maxKinds  = 10_000
	perDomain = 1_000
)

// Counter counts messages in memory until Flush writes them down. It is safe
// for many goroutines.
type Counter struct {
	Store *store.Store
	Now   func() time.Time

	mu     sync.Mutex
	counts map[store.DMARCCount]int64 // by what the zero of Messages names
	kinds  map[store.DMARCDomain]int
}

// Add counts a message; a nil Counter does not.
func (c *Counter) Add(r *mailauth.Result) {
	if c == nil {
		return
	}
	for _, t := range r.Tallies() {
		text, err := json.Marshal(t)
		if err != nil {
			continue
		}
		c.add(store.DMARCDomain{Day: store.DayOf(c.Now()), Domain: t.Found}, string(text))
	}
}

func (c *Counter) add(d store.DMARCDomain, what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts, c.kinds = map[store.DMARCCount]int64{}, map[store.DMARCDomain]int{}
	}
	key := store.DMARCCount{DMARCDomain: d, What: what}
	if _, known := c.counts[key]; !known {
		if len(c.counts) >= maxKinds || c.kinds[d] >= perDomain {
			return
		}
		c.kinds[d]++
	}
	c.counts[key]++
}

// Flush writes down what has been counted.
func (c *Counter) Flush(ctx context.Context) error {
	c.mu.Lock()
	counts := c.counts
	c.counts, c.kinds = nil, nil
	c.mu.Unlock()
	if len(counts) == 0 {
		return nil
	}
	list := make([]store.DMARCCount, 0, len(counts))
	for k, n := range counts {
		k.Messages = n
		list = append(list, k)
	}
	return c.Store.CountDMARC(ctx, list)
}
