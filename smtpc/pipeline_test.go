package smtpc

import (
	"context"
	"net"
	"strings"
	"testing"

	"postrider/smtpc/smtpctest"
)

// TestPipelining has servers with PIPELINING that answer whole groups of
// commands (RFC 2920). Their pieces are between "|": each follows one write of
// ours.
func TestPipelining(t *testing.T) {
	const hello = "220 hi\r\n|250-x\r\n250 PIPELINING\r\n|"
	for name, c := range map[string]struct{ says, want, text string }{
		"together":          {"250 ok\r\n250 ok\r\n354 go\r\n|250 ok 7\r\n|221 bye\r\n", "delivered 250 2.0.0", "ok 7"},
		"in pieces":         {"250 ok\r\n25", "temporary 0 4.4.2", ""},
		"MAIL refused":      {"550 5.7.1 not you\r\n503 no\r\n503 no\r\n|250 ok\r\n|", "permanent 550 5.7.1", "not you"},
		"then it leaves":    {"550 5.7.1 not you\r\n", "permanent 550 5.7.1", "not you"},
		"RCPT refused":      {"250 ok\r\n550 5.1.1 who\r\n554 no\r\n|250 ok\r\n|", "permanent 550 5.1.1", "who"},
		"it goes on":        {"250 ok\r\n550 5.1.1 who\r\n354 go\r\n|554 nobody\r\n|250 ok\r\n|", "permanent 550 5.1.1", "who"},
		"and takes nothing": {"250 ok\r\n550 5.1.1 who\r\n354 go\r\n|250 thanks\r\n|250 ok\r\n|", "permanent 550 5.1.1", "who"},
		"DATA refused":      {"250 ok\r\n250 ok\r\n451 4.3.0 later\r\n|250 ok\r\n|", "temporary 451 4.3.0", "later"},
		"one too many":      {"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n|250 ok\r\n|250 ok\r\n", "temporary 0 4.5.0", ""},
		"answers ahead":     {"250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n|", "temporary 0 4.5.0", ""},
		"421":               {"250 ok\r\n421 4.3.2 going\r\n|", "temporary 421 4.3.2", "going"},
		"421 for DATA":      {"250 ok\r\n250 ok\r\n421 4.3.2 going\r\n|", "temporary 421 4.3.2", "going"},
	} {
		t.Run(name, func(t *testing.T) {
			client := New(Options{Hostname: "a.test", Timeouts: Timeouts{Command: patience},
				Dial: func(context.Context, string, string) (net.Conn, error) {
					us, them := net.Pipe()
					go speak(them, []byte(hello+c.says), patience)
					return us, nil
				}})
			want(t, send(t, client, "[127.0.0.1]", letter(t, "bob@b.test")).Outcomes[0], c.want, c.text)
		})
	}
}

// TestPipeliningInGroups sends to more recipients than go into one group, of
// whom some are refused.
func TestPipeliningInGroups(t *testing.T) {
	const n = 3*maxGroup - 1 // MAIL, RCPTs, DATA: the last group has DATA alone and one more
	var rcpts []string
	for i := range n {
		rcpts = append(rcpts, strings.Repeat("x", i+1)[:1+i%50]+"@b.test")
	}
	for _, even := range []bool{false, true} {
		s, c := remote(t, func(line string) string {
			if at := strings.Index(line, "@"); strings.HasPrefix(line, "RCPT") && (!even || at%2 == 0) {
				return "550 5.1.1 odd"
			}
			return ""
		})
		r := send(t, c, "b.test", letter(t, rcpts...))
		taken := 0
		for i, o := range r.Outcomes {
			if refused := !even || (len("RCPT TO:<")+1+i%50)%2 == 0; refused != (o.Status == Permanent) || refused == (o.Status == Delivered) {
				t.Errorf("%s: %v", rcpts[i], o)
			} else if !refused {
				taken++
			}
		}
		if m := s.Messages(); even != (len(m) == 1) || even && len(m[0].Rcpts) != taken {
			t.Errorf("%d messages", len(m))
		}
	}
}

// remote is a server with replies of the test's, and a client that finds it.
func remote(t *testing.T, reply func(line string) string) (*smtpctest.Server, *Client) {
	s := smtpctest.New(t, smtpctest.Options{Reply: func(_ *smtpctest.Conn, line string) string { return reply(line) }})
	return s, client(t, zoned(t, oneMX), s.Addr().Port())
}
