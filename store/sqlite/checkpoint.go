package sqlite

import (
	"log/slog"

	"postrider/internal/maillog"
)

// The writer moves the log into the database between two groups, after it has
// answered the members of the first. (A goroutine with a connection of its own,
// beside the writer, took more time of the processor and made the slowest
// deliveries slower: its syncs and the commits' wait for each other.) When all
// of the log has been moved and nobody reads in it, the next write begins it
// anew. So it grows while a read lasts that began before; and no read of ours
// waits for a peer.
const (
	logFrames = 1000 // that the log has when it is moved: 4 MiB
	logStep   = 250  // that it must have grown by to try again, when a reader was in the way
	// From here on the writer also waits for readers to leave the log, logWait
	// at most, each time that it has grown by as much again.
	logMax  = 8000
	logWait = "PRAGMA busy_timeout = 20"
	oldWait = "PRAGMA busy_timeout = 10000" // as in dsn
)

// logKeeper is what the writer does for the log between two groups.
type logKeeper struct {
	tried  int // frames in the log at the last try
	waited int // and when readers were waited for
}

// tend moves the log if it is long.
func (k *logKeeper) tend(e *Engine, c *conn) {
	if c == nil {
		return
	}
	frames, _, err := checkpoint(c, "PRAGMA wal_checkpoint(NOOP)") // only tells
	if frames < k.tried {
		k.tried, k.waited = 0, 0 // it has begun anew
	}
	switch {
	case err != nil: // the next write will say so
		return
	case frames >= k.waited+logMax:
		k.tried, k.waited = frames, frames
		err = restart(c)
	case frames >= logFrames && frames >= k.tried+logStep:
		k.tried = frames
		_, _, err = checkpoint(c, "PRAGMA wal_checkpoint(PASSIVE)")
	}
	if err != nil && !isBusy(err) {
		e.log.Warn(maillog.Warning, slog.String("what", "checkpoint"), slog.Any("err", err))
	}
}

// restart moves all of the log and has the next write begin it anew, if that
// can be had within logWait.
func restart(c *conn) error {
	t := &tx{conn: c}
	var ms int
	if err := t.get(logWait, nil, &ms); err != nil {
		return err
	}
	_, _, err := checkpoint(c, "PRAGMA wal_checkpoint(RESTART)")
	if err := t.get(oldWait, nil, &ms); err != nil {
		return err
	}
	return err
}

// checkpoint runs a checkpoint and returns how many frames the log has and how
// many of them are in the database.
func checkpoint(c *conn, query string) (frames, done int, err error) {
	var busy int
	err = (&tx{conn: c}).get(query, nil, &busy, &frames, &done)
	return frames, done, err
}
