package test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"postrider/internal/lab"
)

// journeyUntil asks a server for a journey until it tells what is wanted.
func journeyUntil(t *testing.T, s *lab.Site, want string, args ...string) string {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		out, err := s.Run(t.Context(), "", append([]string{"journey"}, args...)...)
		if err == nil && regexp.MustCompile(want).MatchString(out) {
			return out
		}
		if time.Now().After(end) {
			t.Fatalf("journey %v never tells %q: %v\n%s", args, want, err, out)
		}
	}
}

// TestJourney follows one message through two servers, in every scope, and
// one that is refused.
func TestJourney(t *testing.T) {
	t.Parallel()
	ca, cb := twoSites(t)
	ca.Accounts = append(ca.Accounts, lab.Account{Address: bob, Password: password})
	a, b := start(t, ca), start(t, cb)
	t.Cleanup(func() { endSite(t, a); endSite(t, b) })
	text := strings.ReplaceAll(message("followed"), "Subject:", "Message-ID: <followed@a.test>\r\nSubject:")
	id := submit(t, a, alice, bobAtB, text, "--mail-rcpt", bob, "--mail-rcpt", "nobody@b.test")
	waitInbox(t, b, bobAtB, 1)
	sent := journeyUntil(t, a, `bounced +<nobody@b.test>: mail.b.test says there is no such address there`, id)
	for _, want := range []string{"submitted  by alice@a.test with ESMTPA", "RCPT TO <bob@a.test>", "queued     for 2 recipients elsewhere",
		"filed      in INBOX of bob@a.test as UID 1, for <bob@a.test>", "S: 220 mail.b.test", "C: RCPT TO:<nobody@b.test>", " bytes]",
		"delivered  <bob@b.test>: mail.b.test has taken the message", "tells <alice@a.test> that this one could not be delivered"} {
		if !strings.Contains(sent, want) {
			t.Errorf("the journey at a.test lacks %q:\n%s", want, sent)
		}
	}
	if strings.Contains(sent, password) || strings.Contains(sent, "Subject") {
		t.Errorf("the journey tells too much:\n%s", sent)
	}
	_, far, _ := strings.Cut(sent, "250 2.0.0 OK, id ")
	got := journeyUntil(t, b, `fetched +by bob@b.test for the first time, with POP3`, strings.Fields(far)[0])
	if !regexp.MustCompile(`received +from 127\.[0-9.]+ with ESMTPS`).MatchString(got) || !strings.Contains(got, "filed      in INBOX of bob@b.test as UID 1") {
		t.Errorf("the journey at b.test:\n%s", got)
	}
	journeyUntil(t, b, strings.Fields(far)[0], "<followed@a.test>")

	// Bob at a.test got a copy, and must not learn of the others.
	own := journeyUntil(t, a, "filed", id, "--account", bob)
	if strings.Contains(own, "b.test") || strings.Contains(own, "by "+alice) || strings.Contains(own, "from 127.") || !strings.Contains(own, "RCPT TO <bob@a.test>") {
		t.Errorf("what bob may see:\n%s", own)
	}
	journeyUntil(t, a, "delivered", id, "--account", alice)
	if out, err := b.Run(t.Context(), "", "journey", id); err == nil {
		t.Errorf("b.test knows the id of a.test:\n%s", out)
	}

	out, _ := tryClient(t, "", "curl", "-v", "-sS", "smtp://"+a.Addr["submission"], "--mail-from", alice, "--mail-rcpt", bobAtB,
		"-T", file(t, "m", strings.ReplaceAll(text, "From: ", "From: boss@b.test\r\nX-From: ")), "-u", alice+":"+password)
	refused := regexp.MustCompile(`< 550 5\.7\.1 .*, id ([0-9a-v]{16})`).FindStringSubmatch(out)
	if refused == nil {
		t.Fatalf("it was not refused with an id:\n%s", out)
	}
	journeyUntil(t, a, `refused +550 5\.7\.1 The header names a sender that is not you`, refused[1])
}
