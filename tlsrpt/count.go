package tlsrpt

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"postrider/smtpc"
	"postrider/store"
)

// Limits of counting.
const (
	maxKinds = 10_000 // kinds of outcome between two times of writing down
	perDest  = 100    // of these for one domain; the rest is counted without details
)

// Counter counts connections in memory until Flush writes them down. It is
// safe for many goroutines.
type Counter struct {
	Store *store.Store
	Now   func() time.Time

	mu     sync.Mutex
	counts map[store.TLSCount]int64 // by what the zero of Sessions names
	kinds  map[store.TLSDomain]int
}

// what names an outcome in the store.
type what struct {
	Type    string   `json:"t"`
	Strings []string `json:"s,omitempty"`
	MXHosts []string `json:"m,omitempty"`
	Failure *failure `json:"f,omitempty"`
}

type failure struct {
	Type   string `json:"t"`
	Host   string `json:"h,omitempty"`
	Remote string `json:"r,omitempty"`
	Local  string `json:"l,omitempty"`
	Reason string `json:"w,omitempty"`
}

// Add counts a connection.
func (c *Counter) Add(r smtpc.TLSResult) {
	w := what{Type: r.Type, Strings: r.Strings, MXHosts: r.MXHosts}
	if f := r.Failure; f != nil {
		w.Failure = &failure{f.Type, f.Host, f.Remote, f.Local, f.Reason}
	}
	d := store.TLSDomain{Day: store.DayOf(c.Now()), Domain: r.Domain}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts, c.kinds = map[store.TLSCount]int64{}, map[store.TLSDomain]int{}
	}
	if c.kinds[d] >= perDest && w.Failure != nil {
		w.Failure = &failure{Type: w.Failure.Type}
	}
	text, err := json.Marshal(w)
	if err != nil {
		return
	}
	key := store.TLSCount{TLSDomain: d, What: string(text)}
	if _, known := c.counts[key]; !known {
		if len(c.counts) >= maxKinds {
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
	list := make([]store.TLSCount, 0, len(counts))
	for k, n := range counts {
		k.Sessions = n
		list = append(list, k)
	}
	return c.Store.CountTLS(ctx, list)
}

// results turns a day's counts into what a report says of them.
func results(domain string, counts []store.TLSCount) []Result {
	var out []Result
	at := map[string]int{}
	for _, c := range counts {
		var w what
		if json.Unmarshal([]byte(c.What), &w) != nil {
			continue
		}
		f := w.Failure
		w.Failure = nil
		key, _ := json.Marshal(w)
		i, known := at[string(key)]
		if !known {
			i = len(out)
			at[string(key)] = i
			out = append(out, Result{Policy: Policy{Type: w.Type, String: w.Strings, Domain: domain, MXHost: w.MXHosts}})
		}
		r := &out[i]
		if f == nil {
			r.Summary.Success += c.Sessions
			continue
		}
		r.Summary.Failure += c.Sessions
		r.Failures = append(r.Failures, Failure{Type: f.Type, Host: f.Host, Receiver: f.Remote, Sender: f.Local, Sessions: c.Sessions, Reason: f.Reason})
	}
	return out
}
