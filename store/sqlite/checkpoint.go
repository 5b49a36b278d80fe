package sqlite

import (
	"log/slog"
	"time"

	"postrider/internal/maillog"
)

// The writer moves the log into the database between two groups, after it has
// answered the members of the first: when nobody has written for a moment, so
// that a write does not wait for what a large one before it has left, or when
// the log is long. (A goroutine with a connection of its own,
// beside the writer, took more time of the processor and made the slowest
// deliveries slower: its syncs and the commits' wait for each other.) When all
// of the log has been moved and nobody reads in it, the next write begins it
// anew. So it grows while a read lasts that began before; and no read of ours
// waits for a peer.
const (
	logFrames = 1000 // that the log has when it is moved in a quiet moment: 4 MiB
	logLong   = 3000 // and when it is moved in any case, unless the reserve asks for less: 12 MiB
	logStep   = 250  // that it must have grown by to try again, when a reader was in the way
	logQuiet  = 30 * time.Millisecond
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

// tend moves the log if it is long, or not short and the moment quiet. It tells
// whether a quiet moment would do.
func (k *logKeeper) tend(e *Engine, c *conn, quiet bool) (later bool) {
	if c == nil {
		return false
	}
	frames, _, err := checkpoint(c, "PRAGMA wal_checkpoint(NOOP)") // only tells
	if frames < k.tried {
		k.tried, k.waited = 0, 0 // it has begun anew
	}
	switch {
	case err != nil: // the next write will say so
		return false
	case frames >= k.waited+logMax:
		k.tried, k.waited = frames, frames
		err = restart(c)
	case frames < min(logFrames, e.longLog()) || frames < k.tried+logStep:
		return false
	case !quiet && frames < e.longLog():
		return true
	default:
		k.tried = frames
		_, _, err = checkpoint(c, "PRAGMA wal_checkpoint(PASSIVE)")
	}
	if err != nil && !isBusy(err) {
		e.log.Warn(maillog.Warning, slog.String("what", "checkpoint"), slog.Any("err", err))
	}
	return false
}

// longLog is how many frames the log has when it is moved in any case: few
// enough that the reserve takes them in twice. A log that the full disk cannot
// take into the database would neither end nor leave room for deleting.
func (e *Engine) longLog() int {
	const page = 4096
	if half := int(e.reserve.size / 2 / page); half > 0 {
		return min(logLong, half)
	}
	return logLong
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
