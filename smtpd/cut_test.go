package smtpd

import (
	"fmt"
	"strings"
	"testing"

	"postrider/internal/wiretest"
)

// TestCutAnywhere has clients that leave after each byte of a transaction, by
// FIN and by RST. A message that was acknowledged is there, one that was not
// is there once at most, each is whole and with all its recipients, and
// nothing of the connection stays behind.
func TestCutAnywhere(t *testing.T) {
	const text = "Subject: cut\r\n\r\n..a line with a dot\r\nand one more\r\n"
	stored := strings.ReplaceAll(text, "\r\n..", "\r\n.")
	half := len(stored) / 2
	envelope := "LHLO c.test\r\nMAIL FROM:<a@c.test>\r\nRCPT TO:<alice@b.test>\r\nRCPT TO:<bob@b.test>\r\n"
	data := "DATA\r\n" + text + ".\r\n"
	bdat := fmt.Sprintf("BDAT %d\r\n%sBDAT %d LAST\r\n%s", half, stored[:half], len(stored)-half, stored[half:])
	hello := strings.NewReplacer("LHLO", "EHLO")
	for _, c := range []struct{ name, server, said string }{
		{"DATA", "mx", hello.Replace(envelope) + data},
		{"BDAT", "mx", hello.Replace(envelope) + bdat},
		{"LMTP DATA", "lmtp", envelope + data},
		{"LMTP BDAT", "lmtp", envelope + bdat},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, Timeouts{})
			dial := wiretest.Listen(t, s.servers[c.server].Serve)
			ended := wiretest.Goroutines(t)
			acked, doubtful := 0, 0
			for n := range len(c.said) + 1 {
				for _, how := range []wiretest.Cut{wiretest.Shut, wiretest.Reset} {
					answers, err := wiretest.Play(dial, c.said[:n], how)
					if err != nil {
						t.Fatalf("cut at %d: %v", n, err)
					}
					switch {
					case strings.Contains(answers, "OK, id "):
						acked++
					case how == wiretest.Reset && n == len(c.said):
						doubtful++
					}
				}
			}
			ended()
			if acked != 1 {
				t.Errorf("%d cuts were answered as if the message were whole", acked)
			}
			for _, who := range []string{"alice@b.test", "bob@b.test"} {
				all := s.messages(who)
				if len(all) < acked || len(all) > acked+doubtful {
					t.Errorf("%s has %d messages of %d acknowledged and %d sent whole", who, len(all), acked, doubtful)
				}
				for _, m := range all {
					if got := body(m); !strings.HasSuffix(m, stored) {
						t.Errorf("%s has %q", who, got)
					}
				}
			}
			if a, b := len(s.messages("alice@b.test")), len(s.messages("bob@b.test")); a != b {
				t.Errorf("one message, but %d for one recipient and %d for the other", a, b)
			}
		})
	}
}
