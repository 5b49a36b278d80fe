package sqlite

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"postrider/mail"
	"postrider/store"
)

// queued opens a store with messages in the queue: for each number, one to
// that many recipients at b.test.
func queued(t *testing.T, now time.Time, rcpts ...int) *Engine {
	t.Helper()
	e := openTest(t, t.TempDir(), Options{Reserve: -1})
	for i, n := range rcpts {
		var out store.NewOutgoing
		out.Due, out.Expires = now, now.Add(time.Hour)
		for j := range n {
			out.Envelope.Rcpts = append(out.Envelope.Rcpts,
				mail.Recipient{Addr: mail.Address{Local: fmt.Sprintf("r%d-%d", i, j), Domain: "b.test"}})
		}
		body := strings.NewReader("Subject: x\r\n\r\n" + strings.Repeat("y", i*300_000))
		_, err := e.Accept(context.Background(), &store.Acceptance{ID: mail.NewID(now), Body: body, Outgoing: []store.NewOutgoing{out}})
		if err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// rowCount counts the rows of a table.
func rowCount(t *testing.T, e *Engine, table string) int {
	t.Helper()
	n := 0
	err := e.read(context.Background(), "count", func(x *tx) error { return x.get("SELECT count(*) FROM "+table, nil, &n) })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// What has been sent, or dropped by an operator, leaves nothing behind.
func TestQueueLeavesNothing(t *testing.T) {
	ctx, now := context.Background(), time.Now()
	tests := map[string]func(t *testing.T, e *Engine){
		"finished": func(t *testing.T, e *Engine) {
			for {
				l, err := e.Lease(ctx, "w", "b.test", now, time.Minute, 2)
				if err != nil {
					t.Fatal(err)
				}
				if l == nil {
					return
				}
				var done []store.RcptOutcome
				for _, r := range l.Rcpts {
					done = append(done, store.RcptOutcome{ID: r.ID, Fence: r.Fence, Done: true})
				}
				if err := e.Finish(ctx, done); err != nil {
					t.Fatal(err)
				}
			}
		},
		"dropped": func(t *testing.T, e *Engine) {
			if n, err := e.Act(ctx, store.OutFilter{}, store.OutDrop, now); n != 8 || err != nil {
				t.Fatalf("dropped %d: %v", n, err)
			}
		},
		"dropped while held": func(t *testing.T, e *Engine) {
			for _, a := range []store.OutAction{store.OutHold, store.OutDrop} {
				if n, err := e.Act(ctx, store.OutFilter{}, a, now); n != 8 || err != nil {
					t.Fatalf("action %d applied to %d: %v", a, n, err)
				}
			}
		},
	}
	for name, empty := range tests {
		t.Run(name, func(t *testing.T) {
			e := queued(t, now, 1, 2, 5)
			empty(t, e)
			for _, table := range []string{"out", "out_rcpt", "dest", "body", "body_data"} {
				if n := rowCount(t, e, table); n != 0 {
					t.Errorf("%d rows are left in %s", n, table)
				}
			}
		})
	}
}

// A notice whose op was done before is not written again, and its body leaves
// nothing behind.
func TestFinishNoticeAgain(t *testing.T) {
	ctx, now := context.Background(), time.Now()
	e := queued(t, now, 2)
	notice := &store.Acceptance{Op: "dsn/1", ID: mail.NewID(now), Body: strings.NewReader(strings.Repeat("n", 500_000)),
		Outgoing: []store.NewOutgoing{{Expires: now.Add(time.Hour), Due: now.Add(time.Hour),
			Envelope: mail.Envelope{Rcpts: []mail.Recipient{{Addr: mail.Address{Local: "s", Domain: "c.test"}}}}}}}
	for range 2 {
		l, err := e.Lease(ctx, "w", "b.test", now, time.Minute, 1)
		if err != nil {
			t.Fatal(err)
		}
		err = e.Finish(ctx, []store.RcptOutcome{{ID: l.Rcpts[0].ID, Fence: l.Rcpts[0].Fence, Done: true}}, notice)
		if err != nil {
			t.Fatal(err)
		}
	}
	if out, body := rowCount(t, e, "out"), rowCount(t, e, "body"); out != 1 || body != 1 {
		t.Errorf("%d outgoing messages and %d bodies, want the notice alone", out, body)
	}
}

// What the scheduler asks and the workers write must find its rows by an
// index: else 100,000 recipients of a dead domain would slow down all others.
func TestQueuePlans(t *testing.T) {
	ctx, now := context.Background(), time.Now()
	e := queued(t, now, 1, 2)
	if _, _, err := e.DueDests(ctx, now, 10); err != nil {
		t.Fatal(err)
	}
	l, err := e.Lease(ctx, "w", "b.test", now, time.Minute, 10)
	if err != nil {
		t.Fatal(err)
	}
	later := store.RcptOutcome{ID: l.Rcpts[0].ID, Fence: l.Rcpts[0].Fence, Due: now.Add(time.Hour)}
	if err := e.Finish(ctx, []store.RcptOutcome{later}); err != nil {
		t.Fatal(err)
	}
	checked := 0
	check := func(x *tx) error {
		for query := range x.stmts {
			if !strings.Contains(query, "out_rcpt") && !strings.Contains(query, "dest") {
				continue
			}
			checked++
			for _, step := range plan(t, x, query) {
				if strings.Contains(step, "SCAN") || strings.Contains(step, "TEMP B-TREE") {
					t.Errorf("%s\nof %s", step, query)
				}
			}
		}
		return nil
	}
	if err := e.write(ctx, "plans", check); err != nil {
		t.Fatal(err)
	}
	for range e.opt.Readers { // each takes the next of the connections in turn
		if err := e.read(ctx, "plans", check); err != nil {
			t.Fatal(err)
		}
	}
	if checked < 10 {
		t.Errorf("only %d queries were looked at", checked)
	}
}

// plan returns the steps by which SQLite would carry out a query.
func plan(t *testing.T, x *tx, query string) []string {
	t.Helper()
	var in []any
	for _, m := range regexp.MustCompile(`\?(\d+)`).FindAllStringSubmatch(query, -1) {
		n, _ := strconv.Atoi(m[1])
		in = append(in, make([]any, max(0, n-len(in)))...)
	}
	rows, err := x.c.QueryContext(context.Background(), "EXPLAIN QUERY PLAN "+query, in...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	var steps []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, detail)
	}
	return slices.Clip(steps)
}

// crash copies a store as its files are, without anything being closed: what
// kill -9 would leave.
func crash(t *testing.T, e *Engine) *Engine {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(e.dir)); err != nil {
		t.Fatal(err)
	}
	copied := openTest(t, dir, Options{Owner: true})
	clean(t, copied)
	return copied
}

// A worker or the whole server dies: what it had leased is due again when the
// lease ends, what it had finished is done, and each notice is there once.
func TestQueueCrash(t *testing.T) {
	ctx, now := context.Background(), time.Now()
	e := queued(t, now, 2)
	due := func(e *Engine, at time.Time) int {
		t.Helper()
		l, err := crash(t, e).Lease(ctx, "next", "b.test", at, time.Minute, 10)
		if err != nil {
			t.Fatal(err)
		}
		if l == nil {
			return 0
		}
		return len(l.Rcpts)
	}
	if n := due(e, now); n != 2 {
		t.Errorf("%d recipients are due after a crash behind the acceptance, want 2", n)
	}
	l, err := e.Lease(ctx, "w", "b.test", now, time.Minute, 10)
	if err != nil {
		t.Fatal(err)
	}
	if soon, later := due(e, now.Add(time.Second)), due(e, now.Add(time.Minute)); soon != 0 || later != 2 {
		t.Errorf("after a crash behind the lease %d recipients are due at once and %d at its end, want 0 and 2", soon, later)
	}
	notice := &store.Acceptance{Op: "dsn/1", ID: mail.NewID(now), Body: strings.NewReader("Subject: failed\r\n\r\n"),
		Outgoing: []store.NewOutgoing{{Expires: now.Add(time.Hour), Due: now,
			Envelope: mail.Envelope{Rcpts: []mail.Recipient{{Addr: mail.Address{Local: "s", Domain: "c.test"}}}}}}}
	err = e.Finish(ctx, []store.RcptOutcome{
		{ID: l.Rcpts[0].ID, Fence: l.Rcpts[0].Fence, Done: true},
		{ID: l.Rcpts[1].ID, Fence: l.Rcpts[1].Fence, Due: now.Add(time.Hour)}}, notice)
	if err != nil {
		t.Fatal(err)
	}
	if later, retry := due(e, now.Add(time.Minute)), due(e, now.Add(time.Hour)); later != 0 || retry != 1 {
		t.Errorf("after a crash behind the outcome %d recipients are due at the lease's end and %d at the retry, want 0 and 1", later, retry)
	}
	if n := rowCount(t, crash(t, e), "out"); n != 2 {
		t.Errorf("%d outgoing messages, want the first and its notice", n)
	}
}
