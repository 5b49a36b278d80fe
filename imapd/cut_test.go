package imapd_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"postrider/internal/wiretest"
	"postrider/store"
)

// TestCutAnywhere has clients that leave after each byte of a session with
// APPEND, COPY and MOVE, by FIN and by RST. Each command took effect wholly or
// not at all, in order, every one that was answered did, every message is
// whole, and nothing of the connection stays behind.
func TestCutAnywhere(t *testing.T) {
	const text = "Subject: cut\r\n\r\nall of it\r\n"
	said := fmt.Sprintf("a LOGIN alice@a.test %q\r\nb APPEND INBOX {%d+}\r\n%s\r\nc SELECT INBOX\r\n"+
		"d COPY 1:* Trash\r\ne MOVE 1:* Archive\r\nf LOGOUT\r\n", password, len(text), text)
	// What INBOX, Trash and Archive hold after each command.
	after := [][3]int{{2, 0, 0}, {3, 0, 0}, {3, 3, 0}, {0, 3, 3}}
	w := newWorld(t)
	play := func(n int, how wiretest.Cut) string {
		t.Helper()
		answers, err := wiretest.Play(w.dial, said[:n], how)
		if err != nil {
			t.Fatalf("cut at %d: %v", n, err)
		}
		return answers
	}
	play(len(said), wiretest.Shut) // what is made once is made
	w.empty(t, text)
	ended := wiretest.Goroutines(t)
	for n := range len(said) + 1 {
		for _, how := range []wiretest.Cut{wiretest.Shut, wiretest.Reset} {
			for range after[0][0] {
				if err := w.accept([]byte(text), store.Inbox); err != nil {
					t.Fatal(err)
				}
			}
			answers := play(n, how)
			ended()
			least := 0
			for i, tag := range []string{"b", "d", "e"} {
				if strings.Contains(answers, "\r\n"+tag+" OK") {
					least = i + 1
				}
			}
			got, fits := w.empty(t, text), false
			for i := least; i < len(after); i++ {
				fits = fits || got == after[i]
			}
			if !fits {
				t.Errorf("cut at %d (reset %t): INBOX, Trash and Archive hold %v; answered:\n%s", n, how, got, answers)
			}
		}
	}
}

// empty removes what alice has in INBOX, Trash and Archive, and returns how
// many messages that was. Each must end in text.
func (w *world) empty(t *testing.T, text string) (counts [3]int) {
	t.Helper()
	ctx := context.Background()
	for i, name := range []string{store.Inbox, "Trash", "Archive"} {
		box, err := w.store.Mailbox(ctx, w.alice.ID, name)
		if err != nil {
			t.Fatal(err)
		}
		err = w.store.Fetch(ctx, box.ID, store.AllUIDs(), store.NeedBody, func(c *store.Content) error {
			counts[i]++
			all := make([]byte, c.Size)
			if _, err := c.ReadAt(all, 0); err != nil && err != io.EOF {
				return err
			}
			if !bytes.HasSuffix(all, []byte(text)) {
				return fmt.Errorf("%s has %q", name, all)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if counts[i] == 0 {
			continue
		}
		if _, err := w.store.Expunge(ctx, box.ID, store.AllUIDs(), false); err != nil {
			t.Fatal(err)
		}
	}
	return counts
}
