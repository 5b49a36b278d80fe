package sqlite

import (
	"context"
	"sync/atomic"

	"postrider/store"
)

// States of a request: who gets it away from waiting, the writer or the
// caller whose context ended, decides whether it takes place.
const (
	reqWaiting int32 = iota
	reqTaken
	reqWithdrawn
)

// request is one write on its way through the writer.
type request struct {
	op      string
	fn      func(*tx) error
	bodies  []*newBody // that fn writes
	frees   bool       // may use the disk's reserve
	files   bool       // reads and changes nothing of mailboxes but by filing mail
	state   atomic.Int32
	err     error
	panic   any
	changes []store.Change
	done    chan struct{}
}

// write runs fn in a transaction and returns when that is durable, or when
// nothing of it took place. It shares the commit with writes that arrive
// meanwhile; an error of fn undoes fn alone. If the disk turns out to be full,
// fn may be called again, alone: it must start from nothing each time and only
// assign its results. It runs on the writer's goroutine: no waiting for peers
// or files, and no write within a write. A ctx that ends before fn has started
// withdraws it; afterwards its outcome is waited for.
//
// The writer gives bodies their places before it calls fn. It frees nothing:
// see dropBody. With bodies fn may read and change mailboxes only by
// fileMessage, whose effect on the database comes later.
func (e *Engine) write(ctx context.Context, op string, fn func(*tx) error, bodies ...*newBody) error {
	return e.submit(ctx, &request{op: op, fn: fn, bodies: bodies, files: len(bodies) > 0, done: make(chan struct{})})
}

// writeFreeing is write for what must still work when the disk is full:
// deleting, and keeping book of the queue. It may use the disk's reserve.
func (e *Engine) writeFreeing(ctx context.Context, op string, fn func(*tx) error, bodies ...*newBody) error {
	return e.submit(ctx, &request{op: op, fn: fn, bodies: bodies, frees: true, done: make(chan struct{})})
}

// writeQueue is writeFreeing for what leaves mailboxes alone, but for filing
// notices.
func (e *Engine) writeQueue(ctx context.Context, op string, fn func(*tx) error, bodies ...*newBody) error {
	return e.submit(ctx, &request{op: op, fn: fn, bodies: bodies, frees: true, files: true, done: make(chan struct{})})
}

// writeBeside is write for what has nothing to do with mailboxes: what is
// known of those stays known.
func (e *Engine) writeBeside(ctx context.Context, op string, fn func(*tx) error) error {
	return e.submit(ctx, &request{op: op, fn: fn, files: true, done: make(chan struct{})})
}

func (e *Engine) submit(ctx context.Context, r *request) error {
	if err := ctx.Err(); err != nil {
		return wrap(r.op, err)
	}
	if err := e.enqueue(ctx, r); err != nil {
		return err
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		if r.state.CompareAndSwap(reqWaiting, reqWithdrawn) {
			return wrap(r.op, ctx.Err())
		}
		<-r.done
	}
	if r.panic != nil {
		panic(r.panic)
	}
	return wrap(r.op, r.err)
}

// enqueue hands r to the writer unless the engine is closed.
func (e *Engine) enqueue(ctx context.Context, r *request) error {
	e.closing.RLock()
	defer e.closing.RUnlock()
	if e.closed {
		return store.Errorf(store.Busy, r.op, "the store is closed")
	}
	select {
	case e.requests <- r:
		return nil
	case <-ctx.Done():
		return wrap(r.op, ctx.Err())
	}
}
