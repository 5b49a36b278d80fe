package sqlite

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"postrider/mail"
	"postrider/store"
)

// outgoingTo accepts a message of some octets for each of rcpts.
func outgoingTo(t *testing.T, e *Engine, octets int, rcpts ...string) store.OutID {
	t.Helper()
	env := mail.Envelope{From: mail.Address{Local: "a", Domain: "a.test"}}
	for _, r := range rcpts {
		a, err := mail.ParseAddress(r)
		if err != nil {
			t.Fatal(err)
		}
		env.Rcpts = append(env.Rcpts, mail.Recipient{Addr: a})
	}
	done, err := e.Accept(context.Background(), &store.Acceptance{ID: mail.NewID(time.Now()), Body: strings.NewReader("Subject: x\r\n\r\n" + strings.Repeat("x", octets) + "\r\n"),
		Outgoing: []store.NewOutgoing{{Envelope: env, Prefix: []byte("Received: here\r\n"), Expires: time.Now().Add(time.Hour)}}})
	if err != nil {
		t.Fatal(err)
	}
	return done.Out[0]
}

// outgoingText reads a queued message.
func outgoingText(t *testing.T, e *Engine, id store.OutID) (text, subject string) {
	t.Helper()
	err := e.FetchOutgoing(context.Background(), id, func(c *store.Content) error {
		text, subject = contentText(t, c)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return text, subject
}

func contentText(t *testing.T, c *store.Content) (text, subject string) {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size))
	if err != nil {
		t.Fatal(err)
	}
	return string(b), c.Meta.Envelope.Subject
}

// A message is the same from memory and from the disk, and is in memory for
// as many leases as it has destinations.
func TestFreshMessage(t *testing.T) {
	e := openTest(t, t.TempDir(), Options{})
	id := outgoingTo(t, e, 5000, "x@b.test", "y@b.test", "z@c.test")
	ctx, now := context.Background(), time.Now()
	for n, left := range []int{1, 0} {
		l, err := e.Lease(ctx, "w", []string{"b.test", "c.test"}[n], now.Add(time.Minute), time.Hour, 10)
		if err != nil || l == nil || l.Content == nil || l.ID != id {
			t.Fatalf("lease %d: %+v, %v", n, l, err)
		}
		text, subject := contentText(t, l.Content)
		if stored, also := outgoingText(t, e, id); stored != text || also != subject {
			t.Errorf("on the disk is %q, %q", also, stored)
		}
		if subject != "x" || text != "Received: here\r\nSubject: x\r\n\r\n"+strings.Repeat("x", 5000)+"\r\n" {
			t.Errorf("lease %d: %q, %q", n, subject, text)
		}
		if got := len(e.fresh.byID); got != left {
			t.Errorf("after lease %d it is there %d times, want %d", n, got, left)
		}
	}
	if e.fresh.bytes != 0 {
		t.Errorf("%d bytes of nothing", e.fresh.bytes)
	}
}

// Memory is bounded, by size and by age, and what is not in it is read from
// the disk.
func TestFreshIsBounded(t *testing.T) {
	e := openTest(t, t.TempDir(), Options{})
	var ids []store.OutID
	for range 3 {
		ids = append(ids, outgoingTo(t, e, 1000, "x@b.test"))
	}
	now := time.Now()
	if f := &e.fresh; f.room(freshBytes, now) || len(f.byID) != 3 {
		t.Error("there is room for too much")
	}
	if f := &e.fresh; !f.room(freshBytes, now.Add(2*freshTime)) || len(f.byID) != 0 || len(f.order) != 0 {
		t.Errorf("%d old messages are still there", len(f.byID))
	}
	for _, id := range ids {
		l, err := e.Lease(context.Background(), "w", "b.test", now.Add(time.Minute), time.Hour, 1)
		if err != nil || l == nil || l.Content != nil {
			t.Errorf("leased %+v, %v", l, err)
		}
		if text, _ := outgoingText(t, e, id); len(text) < 1000 {
			t.Errorf("read %q", text)
		}
	}
}

// What was not accepted is not remembered.
func TestFreshMessageThatIsRefused(t *testing.T) {
	e := openTest(t, t.TempDir(), Options{})
	env := mail.Envelope{Rcpts: []mail.Recipient{{Addr: mail.Address{Local: "x", Domain: "b.test"}}}}
	_, err := e.Accept(context.Background(), &store.Acceptance{ID: mail.NewID(time.Now()), Body: strings.NewReader("Subject: x\r\n\r\n"),
		Local:    []store.LocalRcpt{{Account: 4711, Mailbox: store.Inbox}},
		Outgoing: []store.NewOutgoing{{Envelope: env, Expires: time.Now().Add(time.Hour)}}})
	if err == nil || len(e.fresh.byID) != 0 || e.fresh.bytes != 0 {
		t.Errorf("%v; %d messages of %d bytes", err, len(e.fresh.byID), e.fresh.bytes)
	}
}
