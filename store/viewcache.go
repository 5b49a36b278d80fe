package store

import (
	"container/list"
	"context"
	"runtime"
	"sync"
	"weak"
)

// viewCache holds the newest view of each mailbox in use, the least recently
// used leaving when the bytes exceed max. What is newest is asked of the
// engine every time, as another process may have written.
//
// A view that has left is still found as long as a session holds it, since
// reading it again would only take the memory twice.
type viewCache struct {
	engine Engine
	max    int64

	mu      sync.Mutex
	entries map[MailboxID]*viewEntry
	recent  list.List // of *viewEntry, most recent first
	bytes   int64
}

// viewEntry is a mailbox's place in the cache.
type viewEntry struct {
	id      MailboxID
	refresh chan struct{} // holds one token; who has it may refresh

	// Guarded by the cache's mu.
	place   *list.Element // nil when it has left the cache
	bytes   int64
	view    *View              // nil when it has left the cache, or was never read
	left    weak.Pointer[View] // the view with which it left
	started int64              // refreshes begun
	fresh   int64              // the number of the refresh that view came from
}

func newViewCache(e Engine, max int64) *viewCache {
	c := &viewCache{engine: e, max: max, entries: map[MailboxID]*viewEntry{}}
	c.recent.Init()
	return c
}

// get returns the newest view of a mailbox. Callers that wait for one another
// share one refresh, if it began after they came: what was committed before a
// call is in its view.
func (c *viewCache) get(ctx context.Context, id MailboxID) (*View, error) {
	e, came := c.enter(id)
	select {
	case <-e.refresh:
	case <-ctx.Done():
		return nil, &Error{Kind: Busy, Op: "view", Err: ctx.Err()}
	}
	defer func() { e.refresh <- struct{}{} }()

	old, done := c.begin(e, came)
	if done {
		return old, nil
	}
	v, err := c.read(ctx, id, old)
	if err != nil {
		if KindOf(err) == NotFound {
			c.forget(e)
		}
		return nil, err
	}
	c.keep(e, v, true)
	return v, nil
}

// enter finds or makes the entry of a mailbox, and the number of the last
// refresh that began before now.
func (c *viewCache) enter(id MailboxID) (*viewEntry, int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[id]
	if e == nil {
		e = &viewEntry{id: id, refresh: make(chan struct{}, 1)}
		e.refresh <- struct{}{}
		c.entries[id] = e
	}
	if e.place == nil {
		e.place = c.recent.PushFront(e)
	}
	return e, e.started
}

// begin numbers a refresh and returns the view to go on from. If one that
// began after number came has brought a view already, that one will do.
func (c *viewCache) begin(e *viewEntry, came int64) (v *View, done bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v = e.view
	if v == nil {
		v = e.left.Value()
	}
	if v != nil && e.fresh > came {
		return v, true
	}
	e.started++
	return v, false
}

// read asks the engine what is new and returns the view of it.
func (c *viewCache) read(ctx context.Context, id MailboxID, old *View) (*View, error) {
	if old != nil {
		d, err := c.engine.Changes(ctx, id, old.ModSeq())
		if err != nil {
			return nil, err
		}
		// A head behind what we have seen is another history: the data
		// were put back to an older state.
		if d.Mailbox.ModSeq >= old.ModSeq() {
			if v := old.advance(d); v != nil {
				return v, nil
			}
		}
	}
	d, err := c.engine.Changes(ctx, id, 0)
	if err != nil {
		return nil, err
	}
	return newView(d), nil
}

// follow applies a change that was committed to the view of a mailbox, if that
// one is at the moment before it. No caller may rely on it: what else was
// committed meanwhile is not in it, so get asks the engine all the same.
func (c *viewCache) follow(id MailboxID, before ModSeq, d Delta) {
	c.mu.Lock()
	e := c.entries[id]
	c.mu.Unlock()
	if e == nil {
		return
	}
	select {
	case <-e.refresh:
	default: // somebody reads the change, or what came after it
		return
	}
	defer func() { e.refresh <- struct{}{} }()
	c.mu.Lock()
	old := e.view
	c.mu.Unlock()
	if old == nil || old.ModSeq() != before {
		return
	}
	if v := old.advance(d); v != nil {
		c.keep(e, v, false)
	}
}

// keep makes v the view of e, which a refresh has brought or not, and lets the
// least recently used ones go.
func (c *viewCache) keep(e *viewEntry, v *View, refreshed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.view = v
	if refreshed {
		e.fresh = e.started
	}
	switch {
	case c.entries[e.id] != e:
		return // forgotten meanwhile: this caller and those behind it still get v
	case e.place == nil:
		e.place = c.recent.PushFront(e)
	default:
		c.recent.MoveToFront(e.place)
	}
	n := v.bytes()
	c.bytes += n - e.bytes
	e.bytes = n
	for c.bytes > c.max && c.recent.Len() > 1 {
		c.evict(c.recent.Back().Value.(*viewEntry))
	}
}

// evict lets go of a view, but remembers it for as long as a session has it.
// mu is held.
func (c *viewCache) evict(e *viewEntry) {
	v := e.view
	if v == nil {
		v = e.left.Value()
	}
	if v == nil {
		c.drop(e)
		return
	}
	c.unlist(e)
	if p := weak.Make(v); e.left != p {
		e.left = p
		runtime.AddCleanup(v, c.collected, e.id)
	}
}

// collected drops the entry of a view that left and that nobody has any more.
func (c *viewCache) collected(id MailboxID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[id]; e != nil && e.place == nil && e.left.Value() == nil {
		delete(c.entries, id)
	}
}

// forget drops the entry of a mailbox that is gone.
func (c *viewCache) forget(e *viewEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(e)
}

// drop takes e out of the cache for good. mu is held.
func (c *viewCache) drop(e *viewEntry) {
	c.unlist(e)
	if c.entries[e.id] == e {
		delete(c.entries, e.id)
	}
}

// unlist takes e off the list of those that count, and its view with it. mu
// is held.
func (c *viewCache) unlist(e *viewEntry) {
	if e.place == nil {
		return
	}
	c.recent.Remove(e.place)
	c.bytes -= e.bytes
	e.place, e.bytes, e.view = nil, 0, nil
}
