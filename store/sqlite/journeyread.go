package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"postrider/mail"
	"postrider/store"
)

// maxJourneys is how many journeys a question about a Message-ID finds.
const maxJourneys = 100

// Journey puts a message's events together: those that were written down, when
// it was first read, and what its mailboxes say of where it went.
func (e *Engine) Journey(ctx context.Context, id mail.ID) (*store.Journey, error) {
	j := &store.Journey{ID: id}
	err := e.read(ctx, "journey", func(t *tx) error {
		err := t.each("SELECT data FROM journey WHERE id = ?1 ORDER BY n", args(string(id)), func(scan func(...any) error) error {
			var data string
			err := scan(&data)
			j.Events = append(j.Events, parseEvents(data)...)
			return err
		})
		if err != nil {
			return err
		}
		if len(j.Events) == 0 {
			return sql.ErrNoRows
		}
		if err := addFetches(t, j); err != nil {
			return err
		}
		if err := followFiled(t, j); err != nil {
			return err
		}
		return addWaiting(t, j)
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(j.Events, func(a, b store.Event) int { return a.At.Compare(b.At) })
	return j, nil
}

func addFetches(t *tx, j *store.Journey) error {
	return t.each("SELECT acct, at, how FROM journey_fetch WHERE id = ?1", args(string(j.ID)), func(scan func(...any) error) error {
		var f store.FetchedBy
		var at int64
		err := scan(&f.Account, &at, &f.How)
		j.Events = append(j.Events, store.NewEvent(store.EventFetched, fromMicros(at), &f))
		return err
	})
}

// addWaiting tells of recipients that are still in the queue.
func addWaiting(t *tx, j *store.Journey) error {
	for _, ev := range j.Events {
		var q store.QueuedFor
		if ev.Kind != store.EventQueued || json.Unmarshal(ev.Data, &q) != nil {
			continue
		}
		err := t.each(`SELECT r.id, r.local, r.host, r.state = 1, r.tries, r.due, r.dest, `+closedUntil+`,
			r.owner <> '' AND r.leased_until > ?2 FROM out_rcpt r WHERE r.out = ?1 ORDER BY r.id`, args(int64(q.Out), t.now), func(scan func(...any) error) error {
			var w store.Waiting
			var id store.RcptID
			var a mail.Address
			var due, open int64
			var dest string
			err := scan(&id, &a.Local, &a.Domain, &w.Held, &w.Tries, &due, &dest, &open, &w.Now)
			w.Rcpts, w.To = []store.RcptID{id}, []string{a.String()}
			if !w.Now {
				w.Next = fromMicros(max(due, open))
			}
			if open > t.now && !w.Now {
				w.Dead = dest
			}
			j.Events = append(j.Events, store.NewEvent(store.EventWaiting, fromMicros(t.now), &w))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// followFiled names the mailboxes of filed messages and adds which are no
// longer there.
func followFiled(t *tx, j *store.Journey) error {
	for i, n := 0, len(j.Events); i < n; i++ {
		ev := &j.Events[i]
		var f store.FiledIn
		if ev.Kind != store.EventFiled || json.Unmarshal(ev.Data, &f) != nil {
			continue
		}
		gone, at, err := whereabouts(t, &f)
		if err != nil {
			return err
		}
		*ev = store.NewEvent(ev.Kind, ev.At, &f)
		if gone {
			if at == 0 {
				at = t.now // when is not known any more
			}
			j.Events = append(j.Events, store.NewEvent(store.EventExpunged, fromMicros(at), &store.ExpungedFrom{Account: f.Account, Mailbox: f.Mailbox, UID: f.UID}))
		}
	}
	return nil
}

// whereabouts finds the name of the mailbox of a filed message, and whether
// and when the message was expunged there.
func whereabouts(t *tx, f *store.FiledIn) (gone bool, at int64, err error) {
	in := args(int64(f.Account), f.Box)
	err = t.get("SELECT name FROM mailbox WHERE acct = ?1 AND id = ?2", in, &f.Mailbox)
	if errors.Is(err, sql.ErrNoRows) {
		err = t.get("SELECT name FROM gone_mbox WHERE acct = ?1 AND mbox = ?2 ORDER BY modseq DESC LIMIT 1", in, &f.Mailbox)
		if errors.Is(err, sql.ErrNoRows) {
			err = nil
		}
		return true, 0, err
	}
	if err != nil {
		return false, 0, err
	}
	in = append(in, int64(f.UID))
	err = t.get("SELECT NOT EXISTS (SELECT 1 FROM message WHERE acct = ?1 AND mbox = ?2 AND uid = ?3)", in, &gone)
	if err != nil || !gone {
		return false, 0, err
	}
	err = t.get("SELECT ifnull(max(at), 0) FROM gone WHERE acct = ?1 AND mbox = ?2 AND uid_lo <= ?3 AND uid_hi >= ?3", in, &at)
	return true, at, err
}

// FindJourneys finds journeys by a Message-ID or by a number of the queue.
func (e *Engine) FindJourneys(ctx context.Context, q store.JourneyQuery) ([]mail.ID, error) {
	var ids []mail.ID
	err := e.read(ctx, "find journeys", func(t *tx) (err error) {
		if q.MessageID != "" {
			ids, err = journeysByMessageID(t, q.MessageID)
		} else {
			ids, err = journeysByQueue(t, q.Queue)
		}
		return err
	})
	return ids, err
}

// journeysByMessageID looks into every slot, and at what is in none yet. A Message-ID that we made is not
// in the message as it came: it has our id in it.
func journeysByMessageID(t *tx, msgID string) ([]mail.ID, error) {
	bare := strings.TrimSpace(strings.Trim(strings.TrimSpace(msgID), "<>"))
	ids, err := values[mail.ID](t, `WITH RECURSIVE s (slot) AS (SELECT max(slot) FROM journey_msgid
		UNION ALL SELECT (SELECT max(slot) FROM journey_msgid WHERE slot < s.slot) FROM s WHERE s.slot IS NOT NULL)
		SELECT m.id FROM s JOIN journey_msgid m ON m.slot = s.slot AND m.hash = ?1
		UNION SELECT id FROM journey WHERE id > (SELECT ifnull(max(slot), '') FROM journey_msgid) AND hash = ?1
		ORDER BY id DESC LIMIT ?2`, args(hashID(bare), maxJourneys))
	if err != nil || len(ids) > 0 {
		return ids, err
	}
	local, _, _ := strings.Cut(bare, "@")
	return values[mail.ID](t, "SELECT DISTINCT id FROM journey WHERE id = ?1", args(local))
}

// queueSpan is how long before its place in the queue a message may have got
// its id.
const queueSpan = 10 * time.Minute

// journeysByQueue finds the message of an outgoing row or a recipient: in the
// queue, or among the journeys of about the time when the number was made.
func journeysByQueue(t *tx, n int64) ([]mail.ID, error) {
	ids, err := values[mail.ID](t, `SELECT origin FROM out WHERE id = ?1 AND origin <> ''
		UNION SELECT o.origin FROM out_rcpt r JOIN out o ON o.id = r.out WHERE r.id = ?1 AND o.origin <> ''`, args(n))
	if err != nil || len(ids) > 0 {
		return ids, err
	}
	made := time.UnixMilli(n >> idTimeShift)
	var found []mail.ID
	err = t.each(`SELECT id, data FROM journey WHERE id > ?1 AND id < ?2 ORDER BY id DESC`,
		args(string(mail.FirstID(made.Add(-queueSpan))), string(mail.FirstID(made.Add(queueSpan)))),
		func(scan func(...any) error) error {
			var id, data string
			if err := scan(&id, &data); err != nil || len(found) > 0 {
				return err
			}
			for _, ev := range parseEvents(data) {
				var q store.QueuedFor
				if ev.Kind != store.EventQueued || json.Unmarshal(ev.Data, &q) != nil {
					continue
				}
				if int64(q.Out) == n || slices.ContainsFunc(q.Rcpts, func(r store.QueuedRcpt) bool { return int64(r.ID) == n }) {
					found = append(found, mail.ID(id))
				}
			}
			return nil
		})
	return found, err
}
