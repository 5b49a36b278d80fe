package sqlite

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"postrider/internal/maillog"
	"postrider/store"
)

// Limits of one group of writes, so that the first does not wait long for the
// last, nor the log grow without a checkpoint.
const (
	groupWrites = 256
	groupTime   = 25 * time.Millisecond
	groupBytes  = 8 << 20 // of bodies
	// How long a group waits for writes that are being made ready just now:
	// a larger group costs each of its members less.
	groupLinger = time.Millisecond
)

// writer is the goroutine that owns the writing connection.
type writer struct {
	e      *Engine
	conn   *conn // nil after a failure, until it is opened again
	bodies bodyPlacer
	filing filing
	log    logKeeper
	linger *time.Timer
}

func (w *writer) run() {
	defer close(w.e.stopped)
	w.bodies.e = w.e
	w.linger = time.NewTimer(0)
	for r := w.wait(); r != nil; r = w.wait() {
		w.group(r)
	}
	if w.conn != nil {
		w.conn.close()
	}
}

// wait returns the next request, nil when there will be none, and sees to the
// log before.
func (w *writer) wait() *request {
	if w.log.tend(w.e, w.conn, false) {
		w.linger.Reset(logQuiet)
		select {
		case r := <-w.e.requests:
			return r
		case <-w.linger.C:
			w.log.tend(w.e, w.conn, true)
		}
	}
	return <-w.e.requests
}

// group takes first and all that arrive until it commits, and commits them.
func (w *writer) group(first *request) {
	start := time.Now()
	var members []*request
	for batch := w.gather(first, 0, start); len(batch) > 0; batch = w.gather(nil, len(members), start) {
		if len(members) == 0 {
			if err := w.begin(); err != nil {
				w.finish(batch, err)
				return
			}
		}
		w.bodies.place(batch)
		for i, r := range batch {
			ok, lost := w.apply(r, len(members) > 0)
			if lost {
				w.rollback()
				w.bodies.settle(false)
				w.apart(slices.Concat(members, batch[i:]))
				return
			}
			if ok {
				members = append(members, r)
				continue
			}
			if len(members) == 0 { // the transaction was its own, and is undone
				w.rollback()
				w.doubt(r.err)
				if i+1 < len(batch) {
					if err := w.begin(); err != nil {
						close(r.done)
						w.finish(batch[i+1:], err)
						break
					}
				}
			}
			close(r.done)
		}
	}
	if len(members) == 0 {
		w.bodies.settle(false)
		return
	}
	w.commit(members)
}

// gather returns first, if it is not withdrawn, and what else waits, for a
// group that has n members already. A new group also waits a little for bodies
// that are being read.
func (w *writer) gather(first *request, n int, start time.Time) []*request {
	var batch []*request
	bytes := int64(0)
	if first != nil && first.take() {
		batch, bytes = append(batch, first), first.bytes()
	}
	lingers := n == 0
	for n+len(batch) < groupWrites && bytes < groupBytes && (n == 0 || time.Since(start) < groupTime) {
		r := w.next(lingers && len(batch) > 0, start)
		if r == nil {
			break
		}
		if r.take() {
			batch, bytes = append(batch, r), bytes+r.bytes()
		}
	}
	return batch
}

// next returns a request that waits, nil if there is none. If it lingers, it
// waits for one that is about to come.
func (w *writer) next(lingers bool, start time.Time) *request {
	select {
	case r := <-w.e.requests: // nil when it is closed
		return r
	default:
	}
	left := groupLinger - time.Since(start)
	if !lingers || left <= 0 || w.e.coming.Load() == 0 {
		return nil
	}
	w.linger.Reset(left)
	select {
	case r := <-w.e.requests:
		return r
	case <-w.linger.C:
		return nil
	}
}

// take claims r for the writer: false if its caller has withdrawn it.
func (r *request) take() bool { return r.state.CompareAndSwap(reqWaiting, reqTaken) }

// begin opens the group's transaction.
func (w *writer) begin() error {
	if w.conn == nil {
		c, err := w.e.newWriterConn(context.Background())
		if err != nil {
			return err
		}
		w.conn = c
	}
	err := w.conn.exec("BEGIN IMMEDIATE")
	if err != nil && !isBusy(err) && !isFull(err) {
		w.distrust() // it would fail for ever
	}
	if err == nil {
		if err = w.filing.start(w.tx()); err != nil {
			w.rollback()
			w.doubt(err)
		}
	}
	return err
}

// tx is the open transaction.
func (w *writer) tx() *tx {
	return &tx{conn: w.conn, now: micros(w.e.now()), filing: &w.filing}
}

// ready brings the database up to date for what does more than file mail.
func (w *writer) ready(r *request) error {
	if r.files && !r.frees {
		return nil
	}
	if r.files { // it may look for what is pending, but not for what is filed
		return w.filing.write(w.tx())
	}
	if err := w.filing.flush(w.tx()); err != nil {
		return err
	}
	w.filing.forget()
	return nil
}

func (w *writer) rollback() {
	w.filing.forget()
	if w.conn == nil || !w.conn.inTx() {
		return
	}
	if err := w.conn.exec("ROLLBACK"); err != nil {
		w.distrust()
	}
}

// apply runs r in the open transaction; if others are in it, and r writes, in a
// savepoint. It returns whether r took effect, and whether the whole
// transaction is lost because SQLite undid it or the savepoint could not be
// undone.
func (w *writer) apply(r *request, nested bool) (ok, lost bool) {
	if r.err = w.ready(r); r.err != nil {
		return false, true
	}
	t := w.tx()
	t.nested = nested
	r.err = w.call(r, t)
	saved := nested && t.wrote
	switch {
	case r.err == nil && saved:
		if err := w.conn.exec("RELEASE w"); err != nil {
			r.err = err
			return false, true
		}
		return true, false
	case r.err == nil:
		return true, false
	case !w.conn.inTx(), isFull(r.err):
		return false, true
	case saved:
		if err := w.conn.exec("ROLLBACK TO w"); err != nil {
			return false, true
		}
		if err := w.conn.exec("RELEASE w"); err != nil {
			return false, true
		}
	}
	return false, false
}

// call runs r's function on t; its panic goes back to the caller's goroutine.
func (w *writer) call(r *request, t *tx) (err error) {
	r.changes, r.panic = nil, nil
	w.filing.mark()
	defer func() {
		if p := recover(); p != nil {
			r.panic = p
			err = fmt.Errorf("panic: %v", p)
		}
		if err != nil {
			w.filing.back()
		}
	}()
	if err := r.fn(t); err != nil {
		return err
	}
	r.changes = t.changes
	return nil
}

// commit makes the group durable and answers its members. Bodies come first:
// what a row names has been synced before the row is.
func (w *writer) commit(members []*request) {
	if err := w.filing.flush(w.tx()); err != nil {
		w.rollback()
		w.doubt(err)
		w.bodies.settle(false)
		w.apart(members)
		return
	}
	if err := w.bodies.wait(); err != nil {
		w.rollback()
		w.bodies.settle(false)
		w.apart(w.bodies.refuse(members, err))
		return
	}
	err := w.conn.exec("COMMIT")
	switch {
	case err == nil:
		w.bodies.settle(true)
		w.finish(members, nil)
	case isFull(err) || isBusy(err):
		// Nothing of it is in the database: the page that would have made it
		// valid was not written.
		w.rollback()
		w.bodies.settle(false)
		w.apart(members)
	default:
		w.e.log.Error(maillog.Failed, slog.String("what", "commit"), slog.Any("err", err))
		w.rollback()
		w.distrust()
		w.bodies.settle(true) // perhaps they are named
		w.finish(members, unknown(err))
	}
}

// unknown is store.ErrUnknown with its cause.
func unknown(cause error) error {
	return &store.Error{Kind: store.Busy, Op: "commit", Err: fmt.Errorf("%w: %w", store.ErrUnknown, cause)}
}

// apart runs members again, each in a transaction of its own, after their
// common one failed: the disk is full for some, and they must not take the
// others with them.
func (w *writer) apart(members []*request) {
	for _, r := range members {
		if w.alone(r); r.frees && isFull(r.err) && w.e.reserve.release() {
			w.alone(r)
		}
		if r.err == nil {
			w.e.feed.Publish(r.changes...)
		}
		close(r.done)
	}
}

// alone runs r in a transaction of its own, with its bodies inside, and leaves
// its outcome in r.err.
func (w *writer) alone(r *request) {
	for _, b := range r.bodies {
		b.inline()
	}
	if r.err = w.begin(); r.err != nil {
		return
	}
	if r.err = w.ready(r); r.err == nil {
		r.err = w.call(r, w.tx())
	}
	if r.err == nil {
		r.err = w.filing.flush(w.tx())
	}
	if r.err != nil {
		w.rollback()
		w.doubt(r.err)
		return
	}
	err := w.conn.exec("COMMIT")
	if err == nil {
		return
	}
	w.rollback()
	r.err = err
	if !isFull(err) && !isBusy(err) {
		w.e.log.Error(maillog.Failed, slog.String("what", "commit"), slog.Any("err", err))
		w.distrust()
		r.err = unknown(err)
	}
}

// doubt gives the connection up if err says that its files cannot be trusted.
func (w *writer) doubt(err error) {
	if isBroken(err) {
		w.e.log.Error(maillog.Failed, slog.String("what", "database"), slog.Any("err", err))
		w.distrust()
	}
}

// finish publishes what members changed, unless err, and answers them.
func (w *writer) finish(members []*request, err error) {
	for _, r := range members {
		if r.err = err; err == nil {
			w.e.feed.Publish(r.changes...)
		}
	}
	for _, r := range members {
		close(r.done)
	}
}

// distrust gives up the connection after an error that leaves its state in
// doubt: the next write opens another.
func (w *writer) distrust() {
	w.filing.forget()
	if w.conn == nil {
		return
	}
	w.conn.discard()
	w.conn = nil
}
