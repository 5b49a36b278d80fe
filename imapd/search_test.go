package imapd_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postrider/auth"
	"postrider/imapd"
	"postrider/internal/wiretest"
	"postrider/search"
	"postrider/store"
)

// asking is a connection with INBOX selected.
type asking struct {
	*testing.T
	r    *bufio.Reader
	send func(string) // a command, under the tag a
	raw  func(string)
}

func (w *world) asking(t *testing.T, ix *search.Index) *asking {
	t.Helper()
	a := auth.New(auth.Options{Store: w.store, PlaintextNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	s := imapd.New(imapd.Options{Hostname: "mail.a.test", Store: w.store, Auth: a, Index: ix, Now: func() time.Time { return received }})
	c := wiretest.Listen(t, s.Serve)("x")
	t.Cleanup(func() { c.Close() })
	q := &asking{T: t, r: bufio.NewReader(c), raw: func(line string) {
		if _, err := c.Write([]byte(line + "\r\n")); err != nil {
			t.Fatal(err)
		}
	}}
	q.send = func(line string) { q.raw("a " + line) }
	q.line()
	q.ask(`LOGIN alice@a.test "` + password + `"`)
	q.ask("SELECT INBOX")
	return q
}

func (q *asking) line() string {
	q.Helper()
	l, err := q.r.ReadString('\n')
	if err != nil {
		q.Fatal(err)
	}
	return l
}

// ask returns the lines that answer a command, without EXISTS.
func (q *asking) ask(command string) string {
	q.Helper()
	q.send(command)
	var all string
	for {
		l := q.line()
		if strings.HasPrefix(l, "a ") {
			if !strings.HasPrefix(l, "a OK") {
				q.Fatalf("%s: %s", command, l)
			}
			return all
		}
		if !strings.HasSuffix(l, "EXISTS\r\n") {
			all += l
		}
	}
}

// randomKey makes a search key, which may have others in it.
func randomKey(rnd *rand.Rand, depth int) string {
	word := func() string {
		return `"` + []string{"ring", "in", "spring", "x", "ring s", "nowhere", "sum", "tag1", ": sp", ""}[rnd.IntN(10)] + `"`
	}
	if depth > 0 {
		switch rnd.IntN(6) {
		case 0:
			return "NOT " + randomKey(rnd, depth-1)
		case 1:
			return "OR " + randomKey(rnd, depth-1) + " " + randomKey(rnd, depth-1)
		case 2:
			return "(" + randomKey(rnd, depth-1) + " " + randomKey(rnd, depth-1) + ")"
		}
	}
	switch rnd.IntN(8) {
	case 0:
		return "FLAGGED"
	case 1:
		return "LARGER 200"
	case 2:
		return "HEADER X-Tag " + word()
	case 3:
		return "SENTON 1-Feb-2024"
	}
	return []string{"SUBJECT", "FROM", "BODY", "TEXT"}[rnd.IntN(4)] + " " + word()
}

// TestSearchWithIndex asks the same of a server with an index, and one without:
// with all indexed, then with a part, then after messages have gone.
func TestSearchWithIndex(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	box, err := w.store.Mailbox(ctx, w.alice.ID, store.Inbox)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(7, 7))
	words := strings.Fields("ring spring summer Ring! =?utf-8?q?s=70ring?= autumn inn")
	fill := func(n int) {
		done := make(chan error, n)
		for i := range n {
			var text strings.Builder
			fmt.Fprintf(&text, "Subject: %s %s\r\nFrom: %s <a@b.test>\r\nX-Tag: tag%d\r\nDate: %d Feb 2024 10:00:00 +0000\r\n\r\n",
				words[rnd.IntN(7)], words[rnd.IntN(7)], words[rnd.IntN(7)], rnd.IntN(20), 1+rnd.IntN(3))
			for range rnd.IntN(20) {
				text.WriteString(words[rnd.IntN(7)] + " ")
			}
			f := store.Flags{}
			if i%3 == 0 {
				f.System = store.Flagged
			}
			go func() {
				_, err := w.store.Append(ctx, "", box.ID, strings.NewReader(text.String()+"\r\n"), f, received)
				done <- err
			}()
		}
		for range n {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
	}
	ix, err := search.Open(t.TempDir(), w.store, search.Options{Idle: true})
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	with, without := w.asking(t, ix), w.asking(t, nil)
	compare := func() {
		t.Helper()
		some := 0
		for range 150 {
			command := "SEARCH " + randomKey(rnd, 3) + " " + randomKey(rnd, 2)
			got, want := with.ask(command), without.ask(command)
			if got != want {
				t.Fatalf("%s\ngot  %swant %s", command, got, want)
			}
			if len(got) > len("* SEARCH\r\n") {
				some++
			}
		}
		if some < 20 {
			t.Errorf("only %d searches found anything", some)
		}
	}
	fill(300)
	if err := ix.Update(ctx, w.alice.ID); err != nil {
		t.Fatal(err)
	}
	compare()
	fill(40)
	compare()
	if _, err := w.store.Expunge(ctx, box.ID, store.UIDSet{{Lo: 20, Hi: 99}}, false); err != nil {
		t.Fatal(err)
	}
	with.ask("NOOP")
	without.ask("NOOP")
	compare()
}
