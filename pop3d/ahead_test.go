package pop3d

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"postrider/store"
)

// counting counts what is asked of the store.
type counting struct {
	store.Engine
	fetches int
}

func (e *counting) Fetch(ctx context.Context, b store.MailboxID, u store.UIDSet, n store.Need, fn func(*store.Content) error) error {
	e.fetches++
	return e.Engine.Fetch(ctx, b, u, n, fn)
}

// TestReadAhead fetches in several orders messages of which one is too large
// to be read ahead, one is marked as deleted on the way and one is expunged.
func TestReadAhead(t *testing.T) {
	w := newWorld(t)
	ann := w.account("ann", "secret")
	const n, big = 100, 70
	for i := 1; i <= n; i++ {
		size := 10
		if i == big {
			size = aheadBytes + 1
		}
		w.accept(ann, "", fmt.Sprintf("Subject: %d\r\n\r\n%s\r\n", i, strings.Repeat("x", size)))
	}
	e := &counting{Engine: w.store.Engine}
	s := w.server(false, false)
	s.o.Store = store.New(e, store.Options{})
	c := dial(t, s.Serve)
	c.want("", "+OK")
	c.want("USER ann@example.org", "+OK")
	c.want("PASS secret", "+OK")
	retr := func(i int) {
		t.Helper()
		c.want(fmt.Sprintf("RETR %d", i), "+OK")
		c.want("", fmt.Sprintf("Subject: %d", i))
		c.text()
	}
	for i := 1; i <= n; i++ {
		if i == 20 {
			c.want("DELE 21", "+OK")
			c.want("DELE 90", "+OK")
		}
		if i == 21 || i == 90 {
			c.want(fmt.Sprintf("RETR %d", i), "-ERR")
			continue
		}
		retr(i)
	}
	if e.fetches < 3 || e.fetches > 9 {
		t.Errorf("%d fetches for %d messages", e.fetches, n)
	}
	for i := n; i > 0; i -= 7 {
		retr(i)
	}
	for _, i := range []int{3, 4, 5, 4, 5, 6, 1, 2, 2, 3, 1} {
		retr(i)
	}
	box, err := w.store.Mailbox(t.Context(), ann, store.Inbox)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Expunge(t.Context(), box.ID, store.UIDSetOf(50), false); err != nil {
		t.Fatal(err)
	}
	retr(48)
	retr(49)
	c.want("RETR 50", "-ERR")
	retr(51)
	retr(52)
}
