package test

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"postrider/internal/lab"
)

// talk is a dialogue with one service, from an address of the test's choosing.
type talk struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func dialFrom(t *testing.T, from, addr string, secure bool) *talk {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: time.Minute}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if secure {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	c.SetDeadline(time.Now().Add(2 * time.Minute))
	t.Cleanup(func() { c.Close() })
	return &talk{c, t, bufio.NewReader(c)}
}

// line reads the last line of a reply; "" if the peer has hung up.
func (c *talk) line() string {
	for {
		l, err := c.r.ReadString('\n')
		if err != nil {
			return ""
		}
		if len(l) < 4 || l[3] != '-' || l[0] < '0' || l[0] > '9' {
			return strings.TrimRight(l, "\r\n")
		}
	}
}

func (c *talk) ask(format string, args ...any) string {
	fmt.Fprintf(c, format+"\r\n", args...)
	return c.line()
}

// outgoing is how many recipients wait in a site's queue.
func outgoing(t *testing.T, s *lab.Site) int {
	t.Helper()
	out, err := s.Run(t.Context(), "", "queue", "list", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var list []json.RawMessage
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return len(list)
}

// TestOpenRelay tries the forms that relays were once talked into, with every
// sender that might help, and through addresses of ours.
func TestOpenRelay(t *testing.T) {
	s := newSite(t)
	if _, err := s.Run(t.Context(), "", "alias", "add", "sales@a.test", alice); err != nil {
		t.Fatal(err)
	}
	ip, _, _ := net.SplitHostPort(s.Addr["smtp"])
	rcpts := []string{
		"x@far.test", "x%far.test@[" + ip + "]", "x%far.test@mail.a.test", "x%far.test@a.test", "\"x@far.test\"", "\"x%far.test\"",
		"x@far.test@[" + ip + "]", "\"x@far.test\"@[" + ip + "]", "x@far.test@mail.a.test", "\"x@far.test\"@a.test",
		"@[" + ip + "]:x@far.test", "@mail.a.test:x@far.test", "@a.test,@far.test:x@far.test", "far.test!x", "far.test!x@[" + ip + "]", "far.test!x@a.test",
		"x@far.test.", "x@a.test.far.test", "x@sub.a.test", "alice%far.test@a.test", "alice+x@far.test@a.test", "\"alice@a.test\"@far.test", "alice@a.test@far.test",
		"sales%far.test@a.test", "sales@a.test,x@far.test", "sales@a.test>,<x@far.test", "\"sales@a.test\\\" <x@far.test\"@far.test",
		"x@ｆａｒ.test", "${run{/bin/true}}@far.test", "x@[192.0.2.1]", "x@[IPv6:2001:db8::1]", "x@127.0.0.1",
	}
	for _, from := range []string{"", "x@far.test", "alice@a.test", "x@[" + ip + "]", "x@mail.a.test", "postmaster@a.test"} {
		c := dialFrom(t, "127.0.0.1", s.Addr["smtp"], false)
		c.line()
		c.ask("EHLO far.test")
		tried := 0
		for _, r := range rcpts {
			if tried++; tried%3 == 0 { // too many refusals end a session
				c.Close()
				c = dialFrom(t, "127.0.0.1", s.Addr["smtp"], false)
				c.line()
				c.ask("EHLO far.test")
			}
			if reply := c.ask("MAIL FROM:<%s>", from); reply[0] != '2' {
				continue
			}
			if reply := c.ask("RCPT TO:<%s>", r); reply == "" || reply[0] != '5' {
				t.Errorf("from <%s> to <%s>: %s", from, r, reply)
			}
			if reply := c.ask("DATA"); strings.HasPrefix(reply, "354") {
				t.Errorf("from <%s> to <%s>: DATA is answered %s", from, r, reply)
			}
			c.ask("RSET")
		}
	}
	if n := outgoing(t, s); n != 0 {
		t.Errorf("%d recipients in the queue", n)
	}
}

// TestNoBackscatter: what cannot be delivered is refused while the sender is
// there to be told; nobody else is.
func TestNoBackscatter(t *testing.T) {
	s := newSite(t)
	c := dialFrom(t, "127.0.0.1", s.Addr["smtp"], false)
	c.line()
	c.ask("EHLO spammer.test")
	for i := range 3 {
		if reply := c.ask("MAIL FROM:<victim%d@far.test>", i); reply[0] != '2' {
			t.Fatal(reply)
		}
		if reply := c.ask("RCPT TO:<nobody%d@a.test>", i); !strings.HasPrefix(reply, "550 5.1.1") {
			t.Errorf("an unknown user: %s", reply)
		}
		if reply := c.ask("RCPT TO:<bob@a.test>"); reply[0] != '2' {
			t.Fatal(reply)
		}
		if reply := c.ask("DATA"); !strings.HasPrefix(reply, "354") {
			t.Fatal(reply)
		}
		if reply := c.ask("From: victim%d@far.test\r\nDisposition-Notification-To: <victim%d@far.test>\r\nReturn-Receipt-To: <victim%d@far.test>\r\n\r\nbuy\r\n.", i, i, i); reply[0] != '2' {
			t.Fatal(reply)
		}
	}
	waitInbox(t, s, bob, 3)
	if n := outgoing(t, s); n != 0 {
		t.Errorf("%d recipients in the queue", n)
	}
}

// TestLoopOfTwo lets two servers forward to each other: that ends, and the
// sender is told once.
func TestLoopOfTwo(t *testing.T) {
	ca, cb := twoSites(t)
	ca.Extra, cb.Extra = "[limits]\nreceived = 20\n", "[limits]\nreceived = 20\n"
	a, b := start(t, ca), start(t, cb)
	t.Cleanup(func() { endSite(t, a); endSite(t, b) })
	for s, alias := range map[*lab.Site][2]string{a: {"round@a.test", "round@b.test"}, b: {"round@b.test", "round@a.test"}} {
		if _, err := s.Run(t.Context(), "", "alias", "add", alias[0], alias[1]); err != nil {
			t.Fatal(err)
		}
	}
	submit(t, a, alice, "round@b.test", "From: alice@a.test\r\nSubject: round and round\r\n\r\nhello\r\n")
	told := waitInbox(t, a, alice, 1)
	if !strings.Contains(told[0], "round and round") || !strings.Contains(told[0], "Action: failed") {
		t.Errorf("alice is told\n%s", told[0])
	}
	await(t, "both queues to be empty", func() bool { return outgoing(t, a) == 0 && outgoing(t, b) == 0 })
	if n := len(inbox(t, a, alice)); n != 1 {
		t.Errorf("alice is told %d times", n)
	}
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestAliasCycle: an alias that leads to itself takes no mail.
func TestAliasCycle(t *testing.T) {
	s := newSite(t)
	for _, a := range [][2]string{{"one@a.test", "two@a.test"}, {"two@a.test", "three@a.test"}, {"three@a.test", "one@a.test"}} {
		s.Run(t.Context(), "", "alias", "add", a[0], a[1]) // the last may be refused
	}
	c := dialFrom(t, "127.0.0.1", s.Addr["smtp"], false)
	c.line()
	c.ask("EHLO x")
	c.ask("MAIL FROM:<x@far.test>")
	if reply := c.ask("RCPT TO:<one@a.test>"); !strings.HasPrefix(reply, "5") {
		t.Errorf("an address that leads to itself: %s", reply)
	}
	if n := outgoing(t, s); n != 0 {
		t.Errorf("%d recipients in the queue", n)
	}
}

// guess tries a password for Alice by one protocol and tells whether the
// server evaluated it: "no" (wrong), "yes" (right) or "later".
func guess(t *testing.T, s *lab.Site, from, proto, password string) string {
	t.Helper()
	proto, byScram := strings.CutSuffix(proto, " SCRAM")
	c := dialFrom(t, from, s.Addr[proto+"-tls"], true)
	defer c.Close()
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + alice + "\x00" + password))
	c.line()
	var reply string
	switch {
	case byScram:
		reply = c.scram(password)
	case proto == "imap":
		reply = c.ask("a LOGIN %s \"%s\"", alice, password)
	case proto == "pop3":
		c.ask("USER %s", alice)
		reply = c.ask("PASS %s", password)
	case proto == "submission":
		c.ask("EHLO x")
		reply = c.ask("AUTH PLAIN %s", plain)
	}
	switch {
	case strings.HasPrefix(reply, "a OK"), strings.HasPrefix(reply, "+OK"), strings.HasPrefix(reply, "235"):
		return "yes"
	case strings.Contains(reply, "AUTHENTICATIONFAILED"), strings.HasPrefix(reply, "-ERR [AUTH]"), strings.HasPrefix(reply, "535"):
		return "no"
	case strings.Contains(reply, "UNAVAILABLE"), strings.Contains(reply, "[SYS/TEMP]"), strings.HasPrefix(reply, "454"), strings.HasPrefix(reply, "421"), reply == "":
		return "later"
	}
	t.Fatalf("%s answers %q", proto, reply)
	return ""
}

// scram logs Alice in over POP3 by SCRAM-SHA-256 (RFC 7677).
func (c *talk) scram(password string) string {
	c.t.Helper()
	client, err := scram.SHA256.NewClient(alice, password, "")
	if err != nil {
		c.t.Fatal(err)
	}
	conv := client.NewConversation()
	for said, command := "", "AUTH SCRAM-SHA-256 "; ; command = "" {
		next, err := conv.Step(said)
		if err != nil {
			c.t.Fatal(err)
		}
		reply := c.ask("%s%s", command, base64.StdEncoding.EncodeToString([]byte(next)))
		challenge, found := strings.CutPrefix(reply, "+ ")
		if !found {
			return reply
		}
		raw, err := base64.StdEncoding.DecodeString(challenge)
		if err != nil {
			c.t.Fatal(err)
		}
		said = string(raw)
	}
}

// TestGuessesCountTogether guesses by three protocols in turn: they count as
// one, and the user gets in from elsewhere.
func TestGuessesCountTogether(t *testing.T) {
	s := newSite(t, func(c *lab.Config) { c.Extra = "[auth]\nplaintext_networks = []\n" })
	protocols := []string{"imap", "pop3", "submission", "pop3 SCRAM"}
	guesses, shut := 0, false
	for i := 0; i < 60 && !shut; i++ {
		switch guess(t, s, "127.0.0.2", protocols[i%4], fmt.Sprintf("wrong %d", i)) {
		case "no":
			guesses++
		case "later":
			shut = true
		case "yes":
			t.Fatal("a wrong password is right")
		}
	}
	if !shut || guesses > 11 { // a burst of 10, and what time gives back
		t.Fatalf("%d guesses were looked at", guesses)
	}
	t.Logf("after %d guesses nothing more is looked at", guesses)
	for _, p := range protocols {
		if got := guess(t, s, "127.0.0.2", p, password); got != "later" {
			t.Errorf("%s goes on: %s", p, got)
		}
	}
	for _, p := range protocols {
		if got := guess(t, s, "127.9.0.1", p, password); got != "yes" {
			t.Errorf("alice from elsewhere by %s: %s", p, got)
		}
	}
}

// TestNothingIsExpanded: what stands in an address, a greeting or a header is
// text, and nothing that was said makes a line of its own.
func TestNothingIsExpanded(t *testing.T) {
	s := newSite(t)
	for i, evil := range []string{"${run{id}}", "%{env:PATH}", "$(id)", "`id`", "|id", "/etc/passwd", ";id;", "{{7*7}}"} {
		c := dialFrom(t, "127.0.0.1", s.Addr["smtp"], false)
		c.line()
		if reply := c.ask("EHLO %s", evil); reply[0] != '2' {
			t.Fatalf("EHLO %s: %s", evil, reply)
		}
		if reply := c.ask("MAIL FROM:<\"%s\"@far.test> ENVID=x+0D+0AX-Evil:+201 RET=HDRS", evil); reply[0] != '5' {
			t.Errorf("an ENVID with a line end: %s", reply)
		}
		if reply := c.ask("MAIL FROM:<\"%s\"@far.test>", evil); reply[0] != '2' {
			t.Fatalf("MAIL %s: %s", evil, reply)
		}
		if reply := c.ask("RCPT TO:<bob@a.test> ORCPT=rfc822;x+0D+0AX-Evil:+201"); reply[0] != '5' {
			t.Errorf("an ORCPT with a line end: %s", reply)
		}
		c.ask("RCPT TO:<bob@a.test>")
		c.ask("DATA")
		if reply := c.ask("From: <\"%s\"@far.test>\r\nSubject: %d\r\n\r\n%s\r\n.", evil, i, evil); reply[0] != '2' {
			t.Fatal(reply)
		}
		m := strings.ReplaceAll(waitInbox(t, s, bob, i+1)[i], "\r\n", "\n")
		if strings.Contains(m, "X-Evil") || !strings.Contains(m, "\n"+evil+"\n") || !strings.Contains(strings.ReplaceAll(m, "\"", ""), "Return-Path: <"+evil+"@far.test>") {
			t.Errorf("%s became\n%s", evil, m)
		}
	}
}
