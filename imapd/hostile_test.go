package imapd_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/store"
)

// TestHostile sends what costs a careless server its memory or its time. Each is
// answered, with bounded memory, the connection goes on, and another one is
// served meanwhile.
func TestHostile(t *testing.T) {
	const allowed = 16 << 20        // bytes that the heap may grow by, over all
	const allowedTime = time.Second // of a processor, so that a busy machine is none of it
	w := newWorld(t)
	for range 3 {
		if err := w.deliver("nested", "INBOX"); err != nil {
			t.Fatal(err)
		}
	}
	open := func() *client {
		nc := w.dial("x")
		t.Cleanup(func() { nc.Close() })
		nc.SetDeadline(time.Now().Add(60 * time.Second))
		c := newClient(t, nc)
		c.line()
		c.send(`x LOGIN alice@a.test "` + password + `"`)
		c.tagged("x")
		c.send("x SELECT INBOX")
		c.tagged("x")
		return c
	}
	c, other := open(), open()
	many := func(s string, n int) string { return strings.Repeat(s, n) }
	var sections strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&sections, " BODY.PEEK[%d]", i+1)
	}
	for _, x := range []struct{ name, say, want string }{
		{"literal of 2^32", "a LOGIN {4294967296}", "a BAD Already logged in"},
		{"literal of 2^32 in a search", "a SEARCH TEXT {4294967296}", "a NO [TOOBIG]"},
		{"literal of 10^30", "a SEARCH TEXT {1" + many("0", 30) + "}", "a NO [TOOBIG]"},
		{"negative literal", "a SEARCH TEXT {-1}", "a BAD"},
		{"parentheses", "a SEARCH " + many("(", 100_000), "a "},
		{"parentheses within a line", "a SEARCH " + many("(", 60_000), "a NO [LIMIT]"},
		{"a set of 10^5", "a FETCH " + many("1,", 100_000) + "1 UID", "a "},
		{"a set of a line", "a FETCH " + many("1,", 30_000) + "1 UID", "a "},
		{"everything again and again", "a UID FETCH " + many("1:*,", 15_000) + "1 UID", "a OK"},
		{"up to the end", "a UID FETCH 1:4294967295 UID", "a OK"},
		{"beyond the end", "a UID FETCH 1:4294967296 UID", "a BAD"},
		{"UIDs that are not there", "a UID SEARCH UID 4000000000:4294967295", "a OK"},
		{"wildcards", `a LIST "" "` + many("*%", 50) + `"`, "a OK"},
		{"many patterns", `a LIST "" (` + strings.TrimSpace(many("* ", 10_000)) + ")", "a "},
		{"NOT", "a SEARCH " + many("NOT ", 10_000) + "ALL", "a NO [LIMIT]"},
		{"OR", "a SEARCH " + many("OR ALL ", 5_000) + "ALL", "a NO [LIMIT]"},
		{"many keys", "a SEARCH " + many("TEXT x ", 8_000) + "ALL", "a "},
		{"many sections", "a FETCH 1:*" + " (UID" + sections.String() + ")", "a "},
		{"a deep section", "a FETCH 1 BODY.PEEK[" + many("1.", 5_000) + "1]", "a BAD"},
		{"many flags", "a STORE 1 +FLAGS.SILENT (" + strings.TrimSpace(many("k ", 20_000)) + ")", "a "},
		{"many names of fields", "a FETCH 1 BODY.PEEK[HEADER.FIELDS (" + strings.TrimSpace(many("x ", 20_000)) + ")]", "a "},
		{"a long tag", many("t", 5_000) + " NOOP", "* BAD"},
		{"escapes", `a SEARCH TEXT "` + many(`\"`, 20_000) + `"`, "a OK"},
		{"modified UTF-7", "a SELECT " + many("&AOQ-x", 5_000), "a NO"},
		{"many literals", "a SEARCH TEXT " + many("{1+}\r\nx TEXT ", 2_000) + "y", "a "},
		{"sort keys", "a SORT (" + strings.TrimSpace(many("REVERSE SUBJECT ", 3_000)) + ") UTF-8 ALL", "a "},
	} {
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := spent(t)
		c.send(x.say)
		other.send("o NOOP")
		if got := other.tagged("o"); !strings.HasPrefix(got, "o OK") {
			t.Errorf("%s: another session is told %.100q", x.name, got)
		}
		got := c.tagged(strings.Fields(x.want)[0])
		if x.name == "everything again and again" && strings.HasPrefix(got, "a NO") {
			got = x.want // a limit is an answer too
		}
		if x.name == "modified UTF-7" && strings.HasPrefix(got, "a BAD") {
			got = x.want
		}
		if !strings.HasPrefix(got, x.want) {
			t.Errorf("%s: %.100q, want %s", x.name, got, x.want)
		}
		if took := spent(t) - start; took > allowedTime {
			t.Errorf("%s takes %v", x.name, took)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if after.HeapAlloc > before.HeapAlloc+allowed {
			t.Errorf("%s keeps %d MiB", x.name, (after.HeapAlloc-before.HeapAlloc)>>20)
		}
		c.send("b NOOP")
		if got := c.tagged("b"); !strings.HasPrefix(got, "b OK") {
			t.Errorf("%s: then %.100q", x.name, got)
		}
		c.send(`x SELECT INBOX`) // also forgives
		c.tagged("x")
	}
}

// TestHostileSets names all messages of a larger mailbox thousands of times.
func TestHostileSets(t *testing.T) {
	const messages = 4000
	w := newWorld(t)
	nc := w.dial("x")
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(120 * time.Second))
	c := newClient(t, nc)
	c.line()
	inbox, err := w.store.Mailbox(context.Background(), w.alice.ID, store.Inbox)
	if err != nil {
		t.Fatal(err)
	}
	again := func(s string, times int) string { return strings.TrimSuffix(strings.Repeat(s+",", times), ",") }
	sample := again(fmt.Sprintf("1:%d", messages), 4000)
	for _, line := range []string{
		`a LOGIN alice@a.test "` + password + `"`,
		"a APPEND INBOX" + strings.Repeat(" {2+}\r\n\r\n", messages),
		"a ENABLE QRESYNC",
		fmt.Sprintf("a SELECT INBOX (QRESYNC (%d 100000 1 (%s %s)))", inbox.UIDValidity, sample, sample),
		"a FETCH " + again("1:*", 15000) + " UID",
		"a UID FETCH " + again("1:*", 15000) + " UID",
		"a UID SEARCH UID " + again("1:*", 15000),
		"a UID FETCH " + again("1:4294967295", 4900) + " FLAGS (CHANGEDSINCE 100000 VANISHED)",
	} {
		start := spent(t)
		c.send(line)
		if got := c.tagged("a"); !strings.HasPrefix(got, "a OK") {
			t.Fatalf("%.40s: %.100q", line, got)
		}
		if took := spent(t) - start; took > time.Second/2 && !strings.HasPrefix(line, "a APPEND") {
			t.Errorf("%.40s takes %v", line, took)
		}
	}
}

// TestHostilePatterns lists many mailboxes of long names by many patterns, each
// of which almost matches all of them.
func TestHostilePatterns(t *testing.T) {
	w := newWorld(t)
	nc := w.dial("x")
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(120 * time.Second))
	c := newClient(t, nc)
	c.line()
	c.send(`a LOGIN alice@a.test "` + password + `"`)
	c.tagged("a")
	for i := range 60 {
		c.send(fmt.Sprintf("a CREATE %s%d", strings.Repeat("ab", 400), i))
		c.tagged("a")
	}
	pattern := strings.Repeat("*a%b", 300) + "x"
	start := spent(t)
	c.send(`a LIST "" (` + strings.TrimSpace(strings.Repeat(pattern+" ", 50)) + ")")
	if got := c.tagged("a"); !strings.HasPrefix(got, "a OK") {
		t.Fatalf("%.100q", got)
	}
	if took := spent(t) - start; took > 3*time.Second { // twice what it takes with -race, ten times without
		t.Errorf("it takes %v", took)
	}
}

// spent is how long this process has had a processor.
func spent(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// tagged reads up to a response with a tag.
func (c *client) tagged(tag string) string {
	c.t.Helper()
	for {
		l := c.line()
		if strings.HasPrefix(l, tag+" ") && (tag != "*" || strings.HasPrefix(l, "* BAD")) {
			return l
		}
	}
}
