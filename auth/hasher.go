package auth

import (
	"context"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"postrider/store"
)

const (
	maxHashing   = 2   // hashes at once: each takes a processor and 19 MiB
	maxHashQueue = 256 // logins that wait for one
	maxHashWait  = 20 * time.Second
)

// hasher bounds the work of hashing.
type hasher struct {
	slots   chan struct{}
	waiting atomic.Int64
	made    atomic.Int64 // hashes so far
}

func newHasher() *hasher {
	return &hasher{slots: make(chan struct{}, maxHashing)}
}

// turn waits for one of the places to hash in; done gives it back.
func (h *hasher) turn(ctx context.Context) (done func(), err error) {
	if h.waiting.Add(1) > maxHashQueue {
		h.waiting.Add(-1)
		return nil, errLoad
	}
	defer h.waiting.Add(-1)
	ctx, cancel := context.WithTimeout(ctx, maxHashWait)
	defer cancel()
	select {
	case h.slots <- struct{}{}:
		return func() { <-h.slots }, nil
	case <-ctx.Done():
		return nil, errLoad
	}
}

// matches compares a password with a stored hash.
func (h *hasher) matches(stored, password string) (bool, error) {
	p, err := parsePHC(stored)
	if err != nil {
		return false, &store.Error{Kind: store.Internal, Op: "login", Err: err}
	}
	made := h.made.Add(1)
	ok := p.matches(password)
	if made%2 == 0 {
		tidy()
	}
	return ok, nil
}

// smallHeap is what a collection marks in a few milliseconds.
const smallHeap = 128 << 20

// tidy collects the 19 MiB that each hash leaves, for which the runtime would
// let the heap double first: a small server should stay one in a storm of
// logins. A large one is left alone, since its collections take long.
func tidy() {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	if metrics.Read(live); live[0].Value.Uint64() < smallHeap {
		runtime.GC()
	}
}
