package test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"postrider/internal/lab"
	"postrider/internal/labdns"
)

// TestSendingLimits: an account may submit three messages a day, to two whom
// it does not know; others, and mail from outside, do not count.
func TestSendingLimits(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *lab.Config) { c.Extra = "[limits]\nmessages_per_day = 3\nnew_recipients_per_day = 2\n" })
	reply := func(from string, to ...string) string {
		t.Helper()
		args := []string{"-v", "-sS", "smtp://" + s.Addr["submission"], "--mail-from", from, "-T", file(t, "m", strings.ReplaceAll(message("limited"), alice, from)),
			"-u", from + ":" + password}
		for _, rcpt := range to {
			args = append(args, "--mail-rcpt", rcpt)
		}
		out, _ := tryClient(t, "", "curl", args...)
		if m := regexp.MustCompile(`(?m)^< (250 2\.0\.0|450 4\.7\.1|550 5\.7\.1) [A-Z][^\r\n]*`).FindAllString(out, -1); len(m) > 0 {
			return m[len(m)-1]
		}
		return out
	}
	for i, c := range []struct {
		from, to, want string
	}{
		{alice, "x@b.test y@b.test z@b.test", "550 5.7.1 You may write to 2 new recipients a day, and these are more"},
		{alice, "x@b.test " + bob, "250 2.0.0 OK"},
		{alice, "y@b.test x@b.test", "250 2.0.0 OK"},
		{alice, "z@b.test", "450 4.7.1 You have written to 2 new recipients today"},
		{alice, "X@b.test", "250 2.0.0 OK"}, // known by now
		{alice, bob, "450 4.7.1 You have sent 3 messages today"},
		{bob, alice, "250 2.0.0 OK"},
	} {
		if got := reply(c.from, strings.Fields(c.to)...); !strings.HasPrefix(got, "< "+c.want) {
			t.Errorf("%d, %s to %s: %s", i, c.from, c.to, got)
		}
	}
	client(t, "", "curl", "-sS", "smtp://"+s.Addr["smtp"], "--mail-from", alice, "--mail-rcpt", bob, "-T", file(t, "m", message("from outside")))
	if n := len(inbox(t, s, bob)); n != 2 {
		t.Errorf("Bob has %d messages, want 2", n)
	}
	// What the refused ones would have left behind.
	if rows := queue(t, s); len(rows) != 4 {
		t.Errorf("the queue: %+v", rows)
	}
}

// waiting is a recipient in the queue.
type waiting struct{ ID, Message, To, State, Last string }

func queue(t *testing.T, s *lab.Site, filter ...string) (rows []waiting) {
	t.Helper()
	out, err := s.Run(t.Context(), "", append([]string{"queue", "list", "--json"}, filter...)...)
	if err == nil {
		err = json.Unmarshal([]byte(out), &rows)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return rows
}

// TestQueueCommands: an operator looks at mail for a server that is down and
// holds, releases, drops and returns some of it; the rest goes when it is up.
func TestQueueCommands(t *testing.T) {
	t.Parallel()
	ca, cb := twoSites(t)
	cb.Accounts = append(cb.Accounts, lab.Account{Address: "carol@b.test", Password: password}, lab.Account{Address: "dave@b.test", Password: password})
	a := start(t, ca)
	t.Cleanup(func() { endSite(t, a) })
	ids := map[string]string{}
	for _, who := range []string{"bob", "carol", "dave", "eve"} {
		ids[who] = submit(t, a, alice, who+"@b.test", message("for "+who))
	}
	for end := time.Now().Add(30 * time.Second); len(queue(t, a, "--error", "connect")) != 4; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the queue: %+v", queue(t, a))
		}
	}
	do := func(action string, args ...string) {
		t.Helper()
		if out, err := a.Run(t.Context(), "", append([]string{"queue", action}, args...)...); err != nil {
			t.Fatalf("%s: %v\n%s", action, err, out)
		}
	}
	do("hold", "--dest", "b.test")
	do("drop", ids["carol"])
	do("bounce", "--rcpt", "eve@")
	for _, c := range []struct {
		filter string
		want   int
	}{{"--state held", 2}, {"--state active", 0}, {"--rcpt bob@", 1}, {"--dest b.test", 2}, {"--dest c.test", 0}, {"--sender alice@", 2}, {"--older 1h", 0}, {"--limit 1", 1}} {
		// An attempt that was under way goes on; what it leaves is held after it.
		rows := queue(t, a, strings.Fields(c.filter)...)
		for end := time.Now().Add(30 * time.Second); len(rows) != c.want && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			rows = queue(t, a, strings.Fields(c.filter)...)
		}
		if len(rows) != c.want {
			t.Errorf("%s: %+v", c.filter, rows)
		}
	}
	shown, err := a.Run(t.Context(), "", "queue", "show", ids["bob"])
	if err != nil || !strings.Contains(shown, "Subject: for bob") || !strings.Contains(shown, "held") || !strings.Contains(shown, "attempt") {
		t.Errorf("show: %v\n%s", err, shown)
	}
	notice := waitInbox(t, a, alice, 1)[0]
	if !strings.Contains(notice, "eve@b.test") || !strings.Contains(notice, "Action: failed") {
		t.Errorf("the notice:\n%s", notice)
	}
	b := start(t, cb)
	t.Cleanup(func() { endSite(t, b) })
	do("release", ids["dave"])
	waitInbox(t, b, "dave@b.test", 1)
	if rows := queue(t, a); len(rows) != 1 || rows[0].State != "held" || rows[0].To != bobAtB {
		t.Errorf("what is left: %+v", rows)
	}
	do("release", "--all")
	waitInbox(t, b, bobAtB, 1)
	if n := len(inbox(t, b, "carol@b.test")); n != 0 {
		t.Errorf("what was dropped came %d times", n)
	}
	for id, want := range map[string]string{ids["carol"]: "dropped", ids["eve"]: "bounced", ids["bob"]: "(?s)held.*released.*delivered"} {
		journeyUntil(t, a, want, id)
	}
}

// TestDomainDNS publishes what a server prints, spoils it line by line, and
// reads what it says; then it changes the keys, which sign only when they can
// be seen.
func TestDomainDNS(t *testing.T) {
	t.Parallel()
	dns, err := labdns.Start("127.0.0.1:0", strings.NewReader("test. SOA ns.test. h.test. 1 1 1 1 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dns.Close)
	s := newSite(t, func(c *lab.Config) { c.Resolver = dns.Addr() })
	zone, err := s.Run(t.Context(), "", "domain", "dns", "--offline", "a.test")
	if err != nil {
		t.Fatal(err)
	}
	publish := func(zone string) {
		t.Helper()
		if err := dns.Load(strings.NewReader("$TTL 1\ntest. SOA ns.test. h.test. 1 1 1 1 1\nmail.a.test. A 127.0.0.1\n" + zone)); err != nil {
			t.Fatal(err)
		}
	}
	check := func() (string, error) { return s.Run(t.Context(), "", "domain", "dns", "a.test") }
	out, err := check()
	if n := strings.Count(out, ";   MISSING: add it"); err == nil || n < 6 {
		t.Errorf("nothing is published: %v\n%s", err, out)
	}
	publish(zone)
	if out, err := check(); err != nil || strings.Count(out, ";   published") != strings.Count(zone, " IN ") {
		t.Errorf("all is published: %v\n%s", err, out)
	}
	for _, c := range []struct{ from, to, want string }{
		{`"v=spf1 mx -all"`, `"v=spf1 mx ~all"` + "\na.test. IN TXT \"v=spf1 -all\"", `(?s)a\.test\. IN TXT "v=spf1 mx -all"\n;   DIFFERS: several such records count as none; leave one\n;   there is: v=spf1.*there is: v=spf1`},
		{`10 mail.a.test.`, `10 mail.elsewhere.test.`, `MX 10 mail\.a\.test\.\n;   DIFFERS: mail goes elsewhere; .*\n;   there is: 10 mail\.elsewhere\.test\.`},
		{"k=ed25519; p=", "k=ed25519; p=AAAA", `k=ed25519; .*\n;   DIFFERS: replace it`},
		{"_dmarc.a.test.", "_dmark.a.test.", `"v=DMARC1; .*\n;   MISSING: add it`},
	} {
		if !strings.Contains(zone, c.from) {
			t.Fatalf("no %s in\n%s", c.from, zone)
		}
		publish(strings.Replace(zone, c.from, c.to, 1))
		out, err := check()
		if err == nil || !strings.Contains(err.Error(), "1 records that mail of a.test needs") || !regexp.MustCompile(c.want).MatchString(out) {
			t.Errorf("%s: %v\n%s", c.to, err, out)
		}
	}
	publish(zone)

	signers := func() []string {
		t.Helper()
		have := len(inbox(t, s, bob))
		submit(t, s, alice, bob, message(fmt.Sprintf("signed %d", have)))
		var names []string
		for _, m := range regexp.MustCompile(`\bs=(\w+);`).FindAllStringSubmatch(waitInbox(t, s, bob, have+1)[have], -1) {
			names = append(names, m[1])
		}
		return names
	}
	before := signers()
	rotate := func(want string) string {
		t.Helper()
		out, err := s.Run(t.Context(), "", "domain", "rotate", "a.test")
		if err != nil || !strings.Contains(out, want) {
			t.Fatalf("rotate: %v\n%s", err, out)
		}
		return out
	}
	next := rotate("The next keys of a.test are made")
	rotate("cannot be seen in the DNS yet")
	if now := signers(); len(before) != 2 || fmt.Sprint(now) != fmt.Sprint(before) {
		t.Errorf("signed by %v, before the next keys can be seen by %v", before, now)
	}
	publish(zone + next)
	rotate("From now on mail of a.test is signed with")
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Second) { // keys are remembered for a while
		now := signers()
		if len(now) == 2 && now[0] != before[0] && now[1] != before[1] && strings.Contains(next, now[0]+"._domainkey") && strings.Contains(next, now[1]+"._domainkey") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("signed by %v, then by %v; the next keys:\n%s", before, now, next)
		}
	}
	if out, err := check(); err != nil || !strings.Contains(out, "key that signed until") {
		t.Errorf("the keys before are to stay for a time: %v\n%s", err, out)
	}
}

// TestOldTLS: nothing below TLS 1.2 is spoken.
func TestOldTLS(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for version, want := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		for _, listener := range []string{"submission-tls", "imap-tls", "pop3-tls"} {
			c, err := tls.Dial("tcp", s.Addr[listener], &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
			if (err == nil) != want {
				t.Errorf("%s at %s: %v", tls.VersionName(version), listener, err)
			}
			if err == nil {
				c.Close()
			}
		}
	}
}
