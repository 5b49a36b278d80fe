package sqlite

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"postrider/mail"
	"postrider/store"
)

// journeySince is SQL for the id up to which messages may have no journey:
// they are older than journeys, or than they are kept.
const journeySince = "ifnull((SELECT CAST(value AS TEXT) FROM setting WHERE acct = 0 AND name = 'journey-since'), '')"

// raiseJourneySince notes that journeys up to id are forgotten.
func raiseJourneySince(t *tx, id string) error {
	_, err := t.exec(`INSERT INTO setting (acct, name, value) VALUES (0, 'journey-since', CAST(?1 AS BLOB))
		ON CONFLICT DO UPDATE SET value = max(value, excluded.value)`, id)
	return err
}

func journeyRules() []rule {
	return []rule{
		{`SELECT printf('outgoing message %d has no journey %s', id, origin) FROM out WHERE origin > ` + journeySince + `
			AND NOT EXISTS (SELECT 1 FROM journey j WHERE j.id = origin)`},
		{`SELECT printf('message %d/%d/%d has no journey %s', acct, mbox, uid, origin) FROM message WHERE origin > ` + journeySince + `
			AND NOT EXISTS (SELECT 1 FROM journey j WHERE j.id = origin)`},
	}
}

// told is what a journey says of recipients in the queue, and of mailboxes.
type told struct {
	queued map[store.RcptID]bool
	final  map[store.RcptID]bool
	filed  []store.FiledIn
}

func toldBy(events []store.Event) told {
	s := told{queued: map[store.RcptID]bool{}, final: map[store.RcptID]bool{}}
	for _, ev := range events {
		switch ev.Kind {
		case store.EventQueued:
			var q store.QueuedFor
			if json.Unmarshal(ev.Data, &q) == nil {
				for _, r := range q.Rcpts {
					s.queued[r.ID] = true
				}
			}
		case store.EventDelivered, store.EventBounced:
			var o store.Outcome
			if json.Unmarshal(ev.Data, &o) == nil {
				for _, id := range o.Rcpts {
					s.final[id] = true
				}
			}
		case store.EventActed, store.EventLost:
			var a store.Acted
			if json.Unmarshal(ev.Data, &a) == nil && (a.Final || a.Again) {
				for _, id := range a.Rcpts {
					s.final[id] = a.Final
				}
			}
		case store.EventFiled:
			var f store.FiledIn
			if json.Unmarshal(ev.Data, &f) == nil {
				s.filed = append(s.filed, f)
			}
		}
	}
	return s
}

// eachJourney calls fn for every journey.
func eachJourney(t *tx, fn func(id mail.ID, events []store.Event) error) error {
	var at mail.ID
	var events []store.Event
	flush := func() error {
		if at == "" {
			return nil
		}
		return fn(at, events)
	}
	err := t.each("SELECT id, data FROM journey ORDER BY id, n", nil, func(scan func(...any) error) error {
		var id, data string
		if err := scan(&id, &data); err != nil {
			return err
		}
		if mail.ID(id) != at {
			if err := flush(); err != nil {
				return err
			}
			at, events = mail.ID(id), nil
		}
		events = append(events, parseEvents(data)...)
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

// gap is a recipient of whom the journey and the queue say different things.
type gap struct {
	id    mail.ID
	rcpt  store.RcptID
	there bool // in the queue, though the journey says that it is done
}

// journeyGaps compares journeys with the queue and the mailboxes.
func journeyGaps(t *tx, say func(format string, args ...any)) ([]gap, error) {
	waits := map[store.RcptID]bool{}
	err := t.each("SELECT id FROM out_rcpt", nil, func(scan func(...any) error) error {
		var id store.RcptID
		err := scan(&id)
		waits[id] = true
		return err
	})
	if err != nil {
		return nil, err
	}
	boxes := map[store.MailboxID][2]int64{} // UIDVALIDITY, UIDNEXT
	err = t.each("SELECT acct, id, uidvalidity, uidnext FROM mailbox", nil, func(scan func(...any) error) error {
		var id store.MailboxID
		var b [2]int64
		err := scan(&id.Account, &id.N, &b[0], &b[1])
		boxes[id] = b
		return err
	})
	if err != nil {
		return nil, err
	}
	var gaps []gap
	err = eachJourney(t, func(id mail.ID, events []store.Event) error {
		s := toldBy(events)
		for _, r := range slices.Sorted(maps.Keys(s.queued)) {
			switch {
			case !waits[r] && !s.final[r]:
				say("journey %s does not say what became of recipient %d", id, r)
			case waits[r] && s.final[r]:
				say("journey %s says that recipient %d is done, who is in the queue", id, r)
			default:
				continue
			}
			gaps = append(gaps, gap{id, r, waits[r]})
		}
		for _, f := range s.filed {
			if b, ok := boxes[store.MailboxID{Account: f.Account, N: f.Box}]; ok && b[0] == int64(f.UIDValidity) && int64(f.UID) >= b[1] {
				say("journey %s says that UID %d is in mailbox %d/%d, which has not given it yet", id, f.UID, f.Account, f.Box)
			}
		}
		return nil
	})
	return gaps, err
}

// journeys verifies that journeys tell what is.
func (k *checker) journeys(t *tx) error {
	n := 0
	_, err := journeyGaps(t, func(format string, args ...any) {
		if n++; n <= maxFindings {
			k.say(format, args...)
		}
	})
	return err
}

// mendJourneys has journeys say what was lost of them, and with them.
func (r *repair) mendJourneys() error {
	lost := func(what string) string {
		return string(appendEvents(nil, []store.Event{store.NewEvent(store.EventLost, fromMicros(r.t.now), &store.Acted{What: what})}))
	}
	_, err := r.t.exec(`INSERT INTO journey (id, n, data) SELECT origin, 0, ?1
		FROM (SELECT origin FROM message UNION SELECT origin FROM out) WHERE origin > `+journeySince+`
		AND NOT EXISTS (SELECT 1 FROM journey j WHERE j.id = origin)`, lost("what happened before was lost with a part of the database"))
	if err != nil {
		return err
	}
	gaps, err := journeyGaps(r.t, func(string, ...any) {})
	if err != nil {
		return err
	}
	for _, g := range gaps {
		a := store.Acted{What: "lost from the queue with a part of the database", Rcpts: []store.RcptID{g.rcpt}, Final: true}
		if g.there {
			a = store.Acted{What: "in the queue again since the database was repaired", Rcpts: a.Rcpts, Again: true}
		}
		if err := addEvents(r.t, g.id, []store.Event{store.NewEvent(store.EventLost, fromMicros(r.t.now), &a)}); err != nil {
			return fmt.Errorf("journey %s: %w", g.id, err)
		}
	}
	return nil
}
