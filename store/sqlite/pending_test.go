package sqlite

import (
	"context"
	"fmt"
	"testing"

	"postrider/store"
)

// What an operation has done is known to the next one in its group, also
// before it is in the database, unless it was undone.
func TestPendingIsKnownInItsGroup(t *testing.T) {
	e := openTest(t, t.TempDir(), Options{})
	a, inbox := addAccount(t, e, "bob")
	var again [4]bool
	accept := func(i int, op store.OpID, to store.AccountID, body string) func() error {
		return func() error {
			m := acceptance(to, []byte(body))
			m.Op = op
			done, err := e.Accept(context.Background(), m)
			again[i%4] = done.Again
			return err
		}
	}
	mail := func(id, parent string) string {
		return fmt.Sprintf("Message-ID: <%s@a.test>\r\nReferences: %s\r\n\r\nx\r\n", id, parent)
	}
	fns := []func() error{accept(0, "op", a.ID, mail("1", "")), accept(1, "op", a.ID, mail("1", "")),
		accept(2, "other", a.ID+1, mail("2", "<1@a.test>")), accept(3, "other", a.ID, mail("3", "<0@a.test> <1@a.test>"))}
	for i, err := range group(e, fns...) {
		if (err != nil) != (i == 2) {
			t.Errorf("operation %d: %v", i, err)
		}
	}
	if again[0] == again[1] || again[3] {
		t.Errorf("done again: %v", again)
	}
	// Through the database, now that it is there.
	if err := accept(0, "op", a.ID, mail("1", ""))(); err != nil || !again[0] {
		t.Errorf("later: %v, again %v", err, again[0])
	}
	if err := accept(0, "", a.ID, mail("4", "<3@a.test>"))(); err != nil {
		t.Error(err)
	}
	d, err := e.Changes(t.Context(), inbox, 0)
	if err != nil {
		t.Fatal(err)
	}
	if n := d.Changed.Len(); n != 3 {
		t.Fatalf("%d messages", n)
	}
	for _, thread := range d.Changed.ThreadID {
		if thread != d.Changed.ThreadID[0] {
			t.Errorf("threads %v, want one", d.Changed.ThreadID)
		}
	}
	clean(t, e)
}
