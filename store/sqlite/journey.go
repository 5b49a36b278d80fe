package sqlite

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"postrider/mail"
	"postrider/store"
)

// eventLine is an event as it is stored, with a newline behind it.
type eventLine struct {
	Kind store.EventKind `json:"k"`
	At   int64           `json:"at"`
	Data json.RawMessage `json:"d"`
}

// appendEvent appends an event as a line. Its data is JSON already.
func appendEvent(b []byte, kind store.EventKind, at int64, data []byte) []byte {
	b = append(append(append(b, `{"k":"`...), kind...), `","at":`...)
	b = strconv.AppendInt(b, at, 10)
	b = append(b, `,"d":`...)
	if bytes.IndexByte(data, '\n') >= 0 {
		data = bytes.ReplaceAll(data, []byte("\n"), nil) // which in JSON is but space
	}
	return append(append(b, data...), "}\n"...)
}

func appendEvents(b []byte, events []store.Event) []byte {
	for _, e := range events {
		b = appendEvent(b, e.Kind, micros(e.At), e.Data)
	}
	return b
}

// parseEvents reads lines of events; what is no event is passed over.
func parseEvents(data string) []store.Event {
	var events []store.Event
	for line := range strings.Lines(data) {
		var l eventLine
		if json.Unmarshal([]byte(line), &l) == nil {
			events = append(events, store.Event{Kind: l.Kind, At: fromMicros(l.At), Data: l.Data})
		}
	}
	return events
}

// pendingJourney is the first row of a journey.
type pendingJourney struct {
	id   string
	n    int64
	hash int64
	data []byte
}

// journeyBegin are an acceptance's events but for those that the writer adds:
// where local recipients' messages went.
func journeyBegin(p *prepared, now time.Time) []byte {
	if p.ID == "" {
		return nil
	}
	size := 160 * len(p.Local)
	for _, ev := range p.Events {
		size += len(ev.Data) + 64
	}
	b := appendEvents(make([]byte, 0, size), p.Events)
	for i, o := range p.Outgoing {
		q := store.QueuedFor{Out: store.OutID(p.out[i].id), Account: o.Account, From: o.Envelope.From.String()}
		for j, r := range o.Envelope.Rcpts {
			rcpt := store.QueuedRcpt{ID: store.RcptID(p.out[i].rcpts[j].id), To: r.Addr.String(), Dest: p.out[i].rcpts[j].dest}
			if j < len(o.Via) && o.Via[j] != rcpt.To {
				rcpt.Via = o.Via[j]
			}
			q.Rcpts = append(q.Rcpts, rcpt)
		}
		b = appendEvents(b, []store.Event{store.NewEvent(store.EventQueued, now, &q)})
	}
	return b
}

// journeyOf completes the first row of an acceptance's journey. It may be
// called more than once.
func journeyOf(t *tx, p *prepared, filed []store.Filed) pendingJourney {
	b := p.journey
	for i, f := range filed {
		b = append(append(b, `{"k":"`...), store.EventFiled...)
		b = strconv.AppendInt(append(b, `","at":`...), t.now, 10)
		b = strconv.AppendInt(append(b, `,"d":{"account":`...), int64(f.Mailbox.Account), 10)
		b = strconv.AppendInt(append(b, `,"box":`...), f.Mailbox.N, 10)
		b = strconv.AppendInt(append(b, `,"uidvalidity":`...), int64(f.UIDValidity), 10)
		b = strconv.AppendInt(append(b, `,"uid":`...), int64(f.UID), 10)
		if to := p.Local[i].To; len(to) > 0 {
			b = append(b, `,"to":[`...)
			for j, a := range to {
				if j > 0 {
					b = append(b, ',')
				}
				b = store.AppendString(b, a.String())
			}
			b = append(b, ']')
		}
		b = append(b, "}}\n"...)
	}
	return pendingJourney{string(p.ID), p.body.ID, p.body.refs.self, b}
}

// addJourney has the first row of a journey written.
func (f *filing) addJourney(j pendingJourney) {
	was := len(f.journeys)
	f.undo = append(f.undo, func() { f.journeys = f.journeys[:was] })
	f.journeys = append(f.journeys, j)
}

// insertJourneys is the statement for first rows.
const insertJourneys = "INSERT INTO journey (id, n, hash, data) VALUES "

// addEvents adds events to a journey that has begun.
func addEvents(t *tx, id mail.ID, events []store.Event) error {
	if id == "" || len(events) == 0 {
		return nil
	}
	_, err := t.exec("INSERT INTO journey (id, n, data) SELECT ?1, ifnull(max(n), -1) + 1, ?2 FROM journey WHERE id = ?1",
		string(id), string(appendEvents(nil, events)))
	return err
}

// originOf returns the id of an outgoing message's journey.
func originOf(t *tx, out int64) (mail.ID, error) {
	var id string
	err := t.get("SELECT origin FROM out WHERE id = ?1", args(out), &id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return mail.ID(id), err
}
