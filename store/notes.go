package store

import (
	"context"
	"sync"
	"time"
)

// Limits of what is noted in the background: it must cost mail nothing, so
// that of very much at once some is left out.
const (
	noteLinger   = 250 * time.Millisecond // what comes meanwhile is written with it
	maxUntaken   = 1000                   // that wait to be written
	untakenEvery = time.Second            // and one more each second, so that a flood does not fill the disk
	maxReadBoxes = 1024                   // mailboxes whose first readings are known
	maxReadRuns  = 64                     // runs of UIDs known of each
	maxReadings  = 20_000                 // runs that wait to be written
)

// notes are the parts of journeys that are written in the background: who
// read what, and what was refused.
type notes struct {
	e Engine

	mu      sync.Mutex
	untaken []Untaken
	spare   float64 // refusals that may be noted now
	at      time.Time
	fetched []Fetch
	known   map[MailboxID]UIDSet // readings noted by this process
	running bool
	closed  chan struct{}
	done    sync.WaitGroup
}

func newNotes(e Engine) *notes {
	return &notes{e: e, spare: maxUntaken, at: time.Now(), known: map[MailboxID]UIDSet{}, closed: make(chan struct{})}
}

// Refused notes in the background what became of a message that was refused
// when all of it was here. It tells whether the journey will be there: in a
// flood some are left to the log.
func (s *Store) Refused(u Untaken) bool {
	n := s.notes
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	n.spare = min(n.spare+float64(now.Sub(n.at))/float64(untakenEvery), maxUntaken)
	n.at = now
	if n.spare < 1 || len(n.untaken) >= maxUntaken {
		return false
	}
	n.spare--
	n.untaken = append(n.untaken, u)
	return n.start()
}

// WasRead notes in the background that messages of a mailbox were read: how
// is the protocol's name. Only the first time counts.
func (s *Store) WasRead(box MailboxID, uids UIDSet, how string) {
	n := s.notes
	n.mu.Lock()
	defer n.mu.Unlock()
	known := n.known[box]
	fresh := uids.minus(known)
	if len(fresh) == 0 || len(n.fetched) >= maxReadings {
		return
	}
	if len(n.known) >= maxReadBoxes && known == nil {
		clear(n.known)
	}
	known = known.plus(fresh)
	n.known[box] = known[max(0, len(known)-maxReadRuns):]
	n.fetched = append(n.fetched, Fetch{Mailbox: box, UIDs: fresh, How: how, At: time.Now()})
	n.start()
}

// start sees to it that somebody writes. n.mu is held.
func (n *notes) start() bool {
	select {
	case <-n.closed:
		return false
	default:
	}
	if !n.running {
		n.running = true
		n.done.Go(n.write)
	}
	return true
}

// write writes what there is until there is nothing.
func (n *notes) write() {
	linger := time.NewTimer(noteLinger)
	defer linger.Stop()
	for {
		select {
		case <-linger.C:
		case <-n.closed:
		}
		n.mu.Lock()
		untaken, fetched := n.untaken, n.fetched
		n.untaken, n.fetched = nil, nil
		n.running = len(untaken)+len(fetched) > 0
		n.mu.Unlock()
		if len(untaken)+len(fetched) == 0 {
			return
		}
		// What cannot be written now, as on a full disk, is not worth more
		// than the log, which has it.
		_ = n.e.NoteUntaken(context.Background(), untaken)
		_ = n.e.NoteFetched(context.Background(), fetched)
		linger.Reset(noteLinger)
	}
}

// close writes what is left.
func (n *notes) close() {
	n.mu.Lock()
	select {
	case <-n.closed:
	default:
		close(n.closed)
	}
	n.mu.Unlock()
	n.done.Wait()
}

// Close writes the notes that wait and closes the engine.
func (s *Store) Close() error {
	s.notes.close()
	return s.Engine.Close()
}
