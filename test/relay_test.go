package test

import (
	"crypto/sha256"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"postrider/internal/lab"
	"postrider/internal/labdns"
)

const bobAtB = "bob@b.test"

// twoSites makes a DNS and the configurations of a.test, with alice, and
// b.test, with bob, that find each other by it. Neither runs yet.
func twoSites(t *testing.T) (a, b lab.Config) {
	t.Helper()
	// Loopback addresses of the test's own, so that no other gets its ports.
	own := sha256.Sum256([]byte(t.Name()))
	hostA, hostB := fmt.Sprintf("127.1.%d.%d", own[0], own[1]), fmt.Sprintf("127.2.%d.%d", own[0], own[1])
	portA, err := lab.FreePort(hostA)
	if err != nil {
		t.Fatal(err)
	}
	portB, err := lab.FreePort(hostB)
	if err != nil {
		t.Fatal(err)
	}
	zone := fmt.Sprintf("$TTL 60\n"+
		"a.test. IN SOA mail.a.test. postmaster.a.test. 1 60 60 60 60\na.test. IN MX 10 mail.a.test.\nmail.a.test. IN A %s\n"+
		"b.test. IN SOA mail.b.test. postmaster.b.test. 1 60 60 60 60\nb.test. IN MX 10 mail.b.test.\nmail.b.test. IN A %s\n", hostA, hostB)
	dns, err := labdns.Start("127.0.0.1:0", strings.NewReader(zone))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dns.Close() })
	site := func(name, host string, port, remote int, user string) lab.Config {
		return lab.Config{
			Binary: binary, Dir: t.TempDir(), Host: host, Hostname: "mail." + name, Domain: name,
			SMTPPort: port, Resolver: dns.Addr(), Port: remote,
			Accounts: []lab.Account{{Address: user, Password: password}},
		}
	}
	return site("a.test", hostA, portA, portB, alice), site("b.test", hostB, portB, portA, bobAtB)
}

func start(t *testing.T, c lab.Config) *lab.Site {
	t.Helper()
	s, err := lab.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// submit sends a message by submission and returns its id at that server.
func submit(t *testing.T, s *lab.Site, from, to, text string, options ...string) string {
	t.Helper()
	args := append([]string{"-v", "-sS", "smtp://" + s.Addr["submission"], "--mail-from", from, "--mail-rcpt", to,
		"-T", file(t, "m", text), "-u", from + ":" + password}, options...)
	out := client(t, "", "curl", args...)
	_, id, ok := strings.Cut(out, "< 250 2.0.0 OK, id ")
	if !ok {
		t.Fatalf("no id in the reply:\n%s", out)
	}
	return strings.Fields(id)[0]
}

// waitInbox waits until user has at least n messages and returns them all.
func waitInbox(t *testing.T, s *lab.Site, user string, n int) []string {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		all := inbox(t, s, user)
		if len(all) >= n {
			return all
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s has %d messages, want %d\n%s", user, len(all), n, s.LogTail())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// TestBothWays: Alice to Bob over MX, and Bob's answer.
func TestBothWays(t *testing.T) {
	t.Parallel()
	ca, cb := twoSites(t)
	a, b := start(t, ca), start(t, cb)
	t.Cleanup(func() { endSite(t, a); endSite(t, b) })
	question := strings.ReplaceAll(message("a question"), "bob@a.test", bobAtB)
	submit(t, a, alice, bobAtB, question)
	isOursTwice(t, waitInbox(t, b, bobAtB, 1)[0], question)
	answer := strings.ReplaceAll(strings.ReplaceAll(message("an answer"), "alice@a.test", "bob@b.test"), "bob@a.test", alice)
	submit(t, b, bobAtB, alice, answer)
	isOursTwice(t, waitInbox(t, a, alice, 1)[0], answer)
	if n := len(inbox(t, b, bobAtB)); n != 1 {
		t.Errorf("Bob has %d messages, want 1", n)
	}
}

// isOursTwice checks that two servers put Received in front of want, and
// nothing else but one Return-Path.
func isOursTwice(t *testing.T, got, want string) {
	t.Helper()
	isOurs(t, got, want)
	if n := strings.Count(strings.TrimSuffix(got, want), "Received: "); n != 2 {
		t.Errorf("%d Received, want 2: %q", n, got)
	}
}

// TestKillBeforeRelay: the server is killed after its 250, while the remote
// one is down; started again, it relays every message that it promised, and
// local mail is there once.
func TestKillBeforeRelay(t *testing.T) {
	t.Parallel()
	const messages = 10
	ca, cb := twoSites(t)
	ca.Accounts = append(ca.Accounts, lab.Account{Address: bob, Password: password})
	a := start(t, ca)
	texts := make([]string, messages)
	for i := range texts {
		texts[i] = message(fmt.Sprintf("promise %d", i))
		submit(t, a, alice, bobAtB, texts[i], "--mail-rcpt", bob)
	}
	a.Kill()
	b := start(t, cb)
	a = start(t, ca)
	t.Cleanup(func() { endSite(t, a); endSite(t, b) })
	relayed := waitInbox(t, b, bobAtB, messages)
	for _, text := range texts {
		found := 0
		for _, got := range relayed {
			if strings.HasSuffix(got, text) {
				found++
			}
		}
		if found == 0 {
			t.Errorf("lost: %q", text)
		}
	}
	if local := inbox(t, a, bob); len(local) != messages {
		t.Errorf("local mail: %d messages, want each of %d once", len(local), messages)
	}
	if out, err := a.Run(t.Context(), "", "queue", "list", "--json"); err != nil || strings.TrimSpace(out) != "[]" {
		t.Errorf("the queue afterwards: %s, %v", out, err)
	}
}

// TestKillWhileRelaying kills the sending server again and again while it
// relays: nothing is lost.
func TestKillWhileRelaying(t *testing.T) {
	t.Parallel()
	const messages, kills = 20, 4
	ca, cb := twoSites(t)
	ca.Extra = "\n" // the lab's own settings
	a := start(t, ca)
	for i := range messages {
		submit(t, a, alice, bobAtB, message(fmt.Sprintf("number %02d", i)))
	}
	b := start(t, cb)
	for i := range kills {
		time.Sleep(time.Duration(20+60*i) * time.Millisecond)
		a.Kill()
		a = start(t, ca)
	}
	t.Cleanup(func() { endSite(t, a); endSite(t, b) })
	deadline := time.Now().Add(30 * time.Second)
	for {
		out, err := a.Run(t.Context(), "", "queue", "list", "--json")
		if err == nil && strings.TrimSpace(out) == "[]" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the queue does not empty: %s, %v", out, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	all := strings.Join(inbox(t, b, bobAtB), "")
	for i := range messages {
		if subject := fmt.Sprintf("Subject: number %02d\r\n", i); !strings.Contains(all, subject) {
			t.Errorf("lost: %s", subject)
		}
	}
}

// TestNotice: Bob's server does not know the recipient, so Alice gets one
// delivery status notice, which Python's email package takes apart.
func TestNotice(t *testing.T) {
	t.Parallel()
	ca, cb := twoSites(t)
	a, b := start(t, ca), start(t, cb)
	t.Cleanup(func() { endSite(t, a); endSite(t, b) })
	submit(t, a, alice, "nobody@b.test", message("for nobody"))
	notice := waitInbox(t, a, alice, 1)[0]
	t.Log(client(t, notice, "python3", "testdata/notice.py", "failed", "nobody@b.test", "5.1.1"))
}

// TestByHand types RFC 5321's Appendix D on the port, as a person with nc -C
// does, without any header, and reads the two lines as Bob by hand.
func TestByHand(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	out := byHand(t, s.Addr["smtp"], "220 ", []exchange{
		{"HELO bar.com", "250 "},
		{"MAIL FROM: <carol@elsewhere.test>", "250 "},
		{"RCPT TO:<nobody@a.test>", "550 5.1.1 "},
		{"RCPT TO: <bob@a.test>", "250 "},
		{"DATA", "354 "},
		{"Do you like ketchup?", ""},
		{"How about pickles?", ""},
		{".", "250 2.0.0 OK, id "},
		{"QUIT", "221 "},
	})
	t.Log(out)
	out = byHand(t, s.Addr["pop3"], "+OK", []exchange{
		{"USER bob@a.test", "+OK"},
		{"PASS " + password, "+OK"},
		{"LIST", "+OK"},
		{"", "1 "}, {"", "."},
		{"RETR 1", "+OK"},
		{"", "Return-Path: <carol@elsewhere.test>"},
	})
	t.Log(out)
	got := inbox(t, s, bob)
	const lines = "\r\n\r\nDo you like ketchup?\r\nHow about pickles?\r\n"
	if len(got) != 1 || !strings.HasSuffix(got[0], lines) {
		t.Errorf("Bob reads %q", got)
	}
}

// exchange is a line typed, and how the reply to it must start; no line, or
// no reply, where the other side goes on.
type exchange struct{ say, hear string }

// byHand types through a TCP connection line by line and returns all that was
// said.
func byHand(t *testing.T, addr, greeting string, lines []exchange) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	var log strings.Builder
	buf := make([]byte, 1)
	hear := func(want string) {
		var line strings.Builder
		for !strings.HasSuffix(line.String(), "\r\n") {
			if _, err := conn.Read(buf); err != nil {
				t.Fatalf("%v after\n%s", err, log.String())
			}
			line.Write(buf)
		}
		log.WriteString("S: " + line.String())
		if !strings.HasPrefix(line.String(), want) {
			t.Fatalf("%q where %q was due, after\n%s", line.String(), want, log.String())
		}
	}
	hear(greeting)
	for _, l := range lines {
		if l.say != "" {
			log.WriteString("C: " + l.say + "\r\n")
			fmt.Fprintf(conn, "%s\r\n", l.say)
		}
		if l.hear != "" {
			hear(l.hear)
		}
	}
	return log.String()
}
