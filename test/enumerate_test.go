package test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"postrider/internal/lab"
)

// refusal is all that a server says to a login that fails.
func refusal(t *testing.T, s *lab.Site, from, way, user, wrong string) string {
	t.Helper()
	proto, mechanism, _ := strings.Cut(way, " ")
	c := dialFrom(t, from, s.Addr[proto+"-tls"], true)
	defer c.Close()
	c.line()
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	plain := b64("\x00" + user + "\x00" + wrong)
	first := b64("n,,n=" + user + ",r=clientnonce")
	command := "AUTH " // of POP3 and SMTP
	switch proto {
	case "imap":
		command = "a AUTHENTICATE "
	case "submission":
		c.ask("EHLO x")
	}
	switch mechanism {
	case "LOGIN":
		return c.ask("a LOGIN %s \"%s\"", user, wrong)
	case "PASS":
		return c.ask("USER %s", user) + "\n" + c.ask("PASS %s", wrong)
	case "PLAIN":
		return c.ask("%sPLAIN %s", command, plain)
	}
	challenge := c.ask("%sSCRAM-SHA-256 %s", command, first)
	_, b, _ := strings.Cut(challenge, " ")
	said, err := base64.StdEncoding.DecodeString(b)
	if err != nil {
		t.Fatalf("%s: %q", way, challenge)
	}
	nonce, rest, _ := strings.Cut(string(said), ",s=")
	salt, count, _ := strings.Cut(rest, ",")
	// Nonce and salt are new for everyone: their form is compared.
	form := fmt.Sprintf("%.*s %d %d,%s\n", len(challenge)-len(b), challenge, len(nonce), len(salt), count)
	final := "c=biws," + nonce + ",p=" + b64(strings.Repeat(wrong, 32)[:32])
	return form + c.ask("%s", b64(final))
}

// TestNobodyIsTold holds that no login protocol words it otherwise whether there
// is no such user, the password is wrong, or the account is disabled. That all
// three cost the same work is counted where the work is done (auth).
func TestNobodyIsTold(t *testing.T) {
	s := newSite(t, func(c *lab.Config) {
		c.Accounts = append(c.Accounts, lab.Account{Address: "away@a.test", Password: password})
	})
	if out, err := s.Run(t.Context(), "", "account", "disable", "away@a.test"); err != nil {
		t.Fatal(err, out)
	}
	ways := []string{"imap LOGIN", "imap PLAIN", "imap SCRAM-SHA-256", "pop3 PASS", "pop3 PLAIN", "pop3 SCRAM-SHA-256",
		"submission PLAIN", "submission SCRAM-SHA-256"}
	for i, way := range ways {
		want := ""
		for j, user := range []string{alice, "ghost@a.test", "away@a.test", "ghost@elsewhere.test"} {
			got := refusal(t, s, fmt.Sprintf("127.8.%d.%d", i, j+1), way, user, "wrong")
			if want == "" {
				want = got
			}
			last := got[strings.LastIndexByte(got, '\n')+1:]
			if got != want || !strings.HasPrefix(last, "a NO [AUTHENTICATIONFAILED]") && !strings.HasPrefix(last, "-ERR [AUTH]") && !strings.HasPrefix(last, "535") {
				t.Errorf("%s as %s is told\n%s\nand alice\n%s", way, user, got, want)
			}
		}
	}
}
