package sqlite

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"postrider/mail"
	"postrider/store"
)

// Journeys are forgotten when they are old, but for messages that still wait;
// what is left of the others is not missed.
func TestForgetJourneys(t *testing.T) {
	now := time.Now()
	// No owner, whose own round at the start could come between a message that
	// is as old as this and what waits in the queue.
	e := openTest(t, t.TempDir(), Options{KeepJourneys: 24 * time.Hour})
	a, inbox := addAccount(t, e, "bob")
	accept := func(at time.Time, away bool) mail.ID {
		m := acceptance(a.ID, []byte("Message-ID: <x@y>\r\n\r\nhello\r\n"))
		m.ID = mail.NewID(at)
		m.Events = []store.Event{store.NewEvent(store.EventReceived, at, map[string]int{})}
		if away {
			m.Outgoing = []store.NewOutgoing{{Account: a.ID, Expires: now.Add(time.Hour), Envelope: mail.Envelope{
				Rcpts: []mail.Recipient{{Addr: mail.Address{Local: "x", Domain: "b.test"}}}}}}
		}
		if _, err := e.Accept(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		return m.ID
	}
	old, waiting, fresh := accept(now.Add(-25*time.Hour), false), accept(now.Add(-25*time.Hour), true), accept(now, false)
	for range maxNoted + 10 {
		accept(now.Add(-30*time.Hour), false)
	}
	if err := e.NoteFetched(t.Context(), []store.Fetch{{Mailbox: inbox, UIDs: store.AllUIDs(), How: "imap", At: now}}); err != nil {
		t.Fatal(err)
	}
	if err := e.forgetJourneys(t.Context()); err != nil {
		t.Fatal(err)
	}
	for id, there := range map[mail.ID]bool{old: false, waiting: true, fresh: true} {
		if _, err := e.Journey(t.Context(), id); (err == nil) != there {
			t.Errorf("journey %s: %v", id, err)
		}
	}
	clean(t, e)
}

// Message-IDs are found in their index, and beside it.
func TestMessageIDIndex(t *testing.T) {
	e := openTest(t, t.TempDir(), Options{})
	a, _ := addAccount(t, e, "bob")
	begin := time.Now().Add(-5 * time.Hour)
	var us []store.Untaken
	for i := range 2*msgidRows + 100 {
		us = append(us, store.Untaken{ID: mail.NewID(begin.Add(time.Duration(i) * time.Millisecond)), MessageID: fmt.Sprintf("<%d@c.test>", i%(msgidRows+7)),
			Events: []store.Event{store.NewEvent(store.EventRefused, begin, map[string]int{})}})
	}
	if err := e.NoteUntaken(t.Context(), us); err != nil {
		t.Fatal(err)
	}
	if err := e.indexMessageIDs(t.Context()); err != nil {
		t.Fatal(err)
	}
	var slots int
	if err := e.read(t.Context(), "test", func(tx *tx) error {
		return tx.get("SELECT count(DISTINCT slot) FROM journey_msgid", nil, &slots)
	}); err != nil || slots != 2 {
		t.Fatalf("%d slots, %v", slots, err)
	}
	m := acceptance(a.ID, []byte("Message-ID: <3@c.test>\r\n\r\nhello\r\n"))
	m.ID = mail.NewID(time.Now())
	if _, err := e.Accept(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	got, err := e.FindJourneys(t.Context(), store.JourneyQuery{MessageID: "3@c.test"})
	want := fmt.Sprint([]mail.ID{m.ID, us[2*(msgidRows+7)+3].ID, us[msgidRows+7+3].ID, us[3].ID})
	if err != nil || fmt.Sprint(got) != want {
		t.Errorf("found %v, %v; want %s", got, err, want)
	}
	clean(t, e)
}

// A line of an event is one line, whatever its author has put into it, and
// lines that are none are passed over.
func TestEventLines(t *testing.T) {
	at := time.UnixMicro(1e15).UTC()
	b := appendEvents(nil, []store.Event{{Kind: "a", At: at, Data: []byte("{\n \"x\":\n1}")}, {Kind: "b", At: at, Data: []byte("{}")}})
	if bytes.Count(b, []byte("\n")) != 2 {
		t.Errorf("%q", b)
	}
	got := parseEvents("nonsense\n" + string(b) + "{\n")
	if len(got) != 2 || got[0].Kind != "a" || !got[0].At.Equal(at) || string(got[0].Data) != `{ "x":1}` {
		t.Errorf("%+v", got)
	}
}
