package delivery

import (
	"time"

	"postrider/store"
)

// arrival is the first event of a message's journey: what was found out about
// it was found out later.
func (m *Message) arrival(now time.Time) store.Event {
	for _, e := range m.Events {
		if e.At.Before(now) {
			now = e.At
		}
	}
	p := &m.Peer
	a := store.Arrival{From: m.Envelope.From.String(), Size: m.Body.Size(), Helo: p.Helo, Proto: p.Proto, TLS: p.TLS, Auth: p.Auth}
	a.To = make([]string, len(m.Envelope.Rcpts))
	for i, r := range m.Envelope.Rcpts {
		a.To[i] = r.Addr.String()
	}
	if p.Addr.IsValid() {
		a.Addr = p.Addr.String()
	}
	if p.Account != nil {
		a.User, a.Account = p.Account.Address.String(), p.Account.ID
	}
	kind := store.EventReceived
	if m.Submission || p.Account != nil || p.Proto == "" {
		kind = store.EventSubmitted
	}
	return store.Event{Kind: kind, At: now, Data: a.AppendJSON(make([]byte, 0, 256))}
}

// Refused notes that a message was refused when all of it was here. It tells
// whether its journey will say so.
func (d *Deliverer) Refused(m *Message, r store.Refusal) bool {
	now := d.o.Now()
	u := store.Untaken{ID: m.ID, Events: append([]store.Event{m.arrival(now)}, m.Events...)}
	u.Events = append(u.Events, store.NewEvent(store.EventRefused, now, &r))
	if h, err := readHeader(m.Body); err == nil {
		for f := range h.fields() {
			if f.Is("Message-ID") {
				u.MessageID = f.Value()
				break
			}
		}
	}
	return d.o.Store.Refused(u)
}
