package sqlite

import (
	"context"
	"time"

	"postrider/mail"
	"postrider/store"
)

// Rows of journeys that are written or removed in one transaction, so that
// mail does not wait.
const maxNoted = 500

// NoteUntaken writes the journeys of messages that were refused.
func (e *Engine) NoteUntaken(ctx context.Context, us []store.Untaken) error {
	for len(us) > 0 {
		now := us[:min(len(us), maxNoted)]
		us = us[len(now):]
		err := e.writeBeside(ctx, "note untaken", func(t *tx) error {
			for _, u := range now {
				hash := int64(0)
				if ids := messageIDs(u.MessageID); len(ids) > 0 {
					hash = hashID(ids[0])
				}
				_, err := t.exec("INSERT OR IGNORE INTO journey (id, n, hash, data) VALUES (?1, ?2, ?3, ?4)",
					string(u.ID), e.ids.next(e.now()), hash, string(appendEvents(nil, u.Events)))
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// NoteFetched writes who read what for the first time. A message without a
// journey, as one that came by APPEND, has nothing to note.
func (e *Engine) NoteFetched(ctx context.Context, fs []store.Fetch) error {
	for _, f := range fs {
		for {
			ids, err := e.firstFetches(ctx, f)
			if err != nil || len(ids) == 0 {
				if err != nil {
					return err
				}
				break
			}
			err = e.writeBeside(ctx, "note fetched", func(t *tx) error {
				return insertRows(t, "INSERT OR IGNORE INTO journey_fetch (id, acct, at, how) VALUES ", 4, len(ids), func(in []any, i int) []any {
					return append(in, ids[i], int64(f.Mailbox.Account), micros(f.At), f.How)
				})
			})
			if err != nil {
				return err
			}
			if len(ids) < maxNoted {
				break
			}
		}
	}
	return nil
}

// firstFetches finds journeys of messages that have not been read before, so
// that a mailbox that is read again writes nothing.
func (e *Engine) firstFetches(ctx context.Context, f store.Fetch) ([]string, error) {
	var ids []string
	err := e.read(ctx, "note fetched", func(t *tx) (err error) {
		ids, err = values[string](t, "SELECT m.origin FROM "+inSet+` AND m.origin > ?4
			AND EXISTS (SELECT 1 FROM journey j WHERE j.id = m.origin)
			AND NOT EXISTS (SELECT 1 FROM journey_fetch x WHERE x.id = m.origin AND x.acct = ?1) LIMIT ?5`,
			args(int64(f.Mailbox.Account), f.Mailbox.N, setOf(f.UIDs, 0), e.journeyFloor(), maxNoted))
		return err
	})
	return ids, err
}

// Message-IDs are entered into their index when ids are so old that no earlier
// one can still come, that many at once.
const (
	msgidAge  = 10 * time.Minute
	msgidRows = 2048
)

// indexMessageIDs enters Message-IDs of journeys into their index.
func (e *Engine) indexMessageIDs(ctx context.Context) error {
	until := string(mail.FirstID(e.now().Add(-msgidAge)))
	for {
		var last string
		n := 0
		err := e.read(ctx, "index journeys", func(t *tx) error {
			return t.each(`SELECT id FROM journey WHERE id > (SELECT ifnull(max(slot), '') FROM journey_msgid) AND id < ?1 AND hash <> 0
				ORDER BY id LIMIT ?2`, args(until, msgidRows), func(scan func(...any) error) error {
				n++
				return scan(&last)
			})
		})
		if err != nil || n < msgidRows {
			return err // few are found without
		}
		err = e.writeBeside(ctx, "index journeys", func(t *tx) error {
			_, err := t.exec(`INSERT OR IGNORE INTO journey_msgid (slot, hash, id) SELECT ?1, hash, id FROM journey
				WHERE id > (SELECT ifnull(max(slot), '') FROM journey_msgid) AND id <= ?1 AND hash <> 0 ORDER BY hash`, last)
			return err
		})
		if err != nil {
			return err
		}
	}
}

// defaultKeepJourneys is how long journeys are kept.
const defaultKeepJourneys = 30 * 24 * time.Hour

// journeyFloor is below the ids whose journeys are kept; empty keeps all.
func (e *Engine) journeyFloor() string {
	switch keep := e.opt.KeepJourneys; {
	case keep < 0:
		return ""
	case keep == 0:
		return string(mail.FirstID(e.now().Add(-defaultKeepJourneys)))
	default:
		return string(mail.FirstID(e.now().Add(-keep)))
	}
}

// forgetJourneys removes journeys that are older than they are kept, except
// those of messages that still wait in the queue.
func (e *Engine) forgetJourneys(ctx context.Context) error {
	floor := e.journeyFloor()
	if floor == "" {
		return nil
	}
	waiting := map[mail.ID]bool{}
	err := e.read(ctx, "forget journeys", func(t *tx) error {
		ids, err := values[mail.ID](t, "SELECT DISTINCT origin FROM out WHERE origin < ?1", args(floor))
		for _, id := range ids {
			waiting[id] = true
		}
		return err
	})
	if err != nil {
		return err
	}
	for from := ""; ; {
		var ids []mail.ID
		err := e.read(ctx, "forget journeys", func(t *tx) (err error) {
			ids, err = values[mail.ID](t, "SELECT id FROM journey WHERE id > ?1 AND id < ?2 UNION SELECT id FROM journey_fetch WHERE id > ?1 AND id < ?2 ORDER BY id LIMIT ?3", args(from, floor, maxNoted))
			return err
		})
		if err != nil || len(ids) == 0 {
			return err
		}
		from = string(ids[len(ids)-1])
		err = e.writeQueue(ctx, "forget journeys", func(t *tx) error {
			if err := raiseJourneySince(t, floor); err != nil {
				return err
			}
			if _, err := t.exec("DELETE FROM journey_msgid WHERE slot < ?1", from); err != nil {
				return err
			}
			for _, id := range ids {
				if waiting[id] {
					continue
				}
				for _, q := range []string{"DELETE FROM journey WHERE id = ?1", "DELETE FROM journey_fetch WHERE id = ?1"} {
					if _, err := t.exec(q, string(id)); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}
