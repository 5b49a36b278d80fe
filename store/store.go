package store

import "context"

// Options are the settings of a Store; the zero value is good.
type Options struct {
	// ViewBytes bounds the memory of cached views that are shared between
	// sessions; 0 is 256 MiB. Views that sessions still hold live on outside
	// the cache.
	ViewBytes int64
}

const defaultViewBytes = 256 << 20

// Store is what front ends use: an engine, and on top of it what is the same
// for every engine.
type Store struct {
	Engine
	views *viewCache
	known *known
	notes *notes
}

// New returns a Store on e.
func New(e Engine, o Options) *Store {
	if o.ViewBytes <= 0 {
		o.ViewBytes = defaultViewBytes
	}
	return &Store{Engine: e, views: newViewCache(e, o.ViewBytes), known: newKnown(e), notes: newNotes(e)}
}

// View returns the newest snapshot of a mailbox: NotFound if it is gone. All
// callers share it, and while nothing changes they get the same pointer.
func (s *Store) View(ctx context.Context, id MailboxID) (*View, error) {
	return s.views.get(ctx, id)
}

// SetFlags is the engine's. What it has written need not be read again for the
// mailbox's view.
func (s *Store) SetFlags(ctx context.Context, box MailboxID, uids UIDSet, c FlagChange, unchangedSince ModSeq) (FlagResult, error) {
	r, err := s.Engine.SetFlags(ctx, box, uids, c, unchangedSince)
	if err == nil && r.Before > 0 {
		s.views.follow(box, r.Before, r.Delta)
	}
	return r, err
}
