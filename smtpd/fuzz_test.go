package smtpd

import (
	"context"
	"strings"
	"testing"

	"postrider/internal/wiretest"
)

// FuzzSession plays arbitrary bytes to each kind of server. Whatever comes,
// it must end, answer in lines that are well formed, and store nothing that
// it has not said it took. The store is the process's, as a fresh one each
// time would take longer than the session.
func FuzzSession(f *testing.F) {
	kinds := []string{"mx", "submission", "lmtp"}
	for i, in := range dialogueInputs(f) {
		f.Add(uint8(i), in)
	}
	s := newSite(f, Timeouts{})
	f.Fuzz(func(t *testing.T, kind uint8, in []byte) {
		s.t = t
		before := s.total()
		tape := wiretest.NewTape(in, 1000)
		s.servers[kinds[int(kind)%len(kinds)]].Serve(context.Background(), tape)
		out := tape.Out.String()
		clear, _, _ := strings.Cut(out, "220 2.0.0 ") // behind it an alert of TLS may come
		for line := range strings.Lines(clear) {
			if len(line) < 6 || !strings.HasSuffix(line, "\r\n") || line[0] < '2' || line[0] > '5' || line[3] != ' ' && line[3] != '-' {
				t.Fatalf("%q: reply %q", in, line)
			}
		}
		if strings.Contains(out, "421 4.3.0") {
			t.Fatalf("%q: panic", in)
		}
		taken := strings.Contains(out, "250 2.0.0 OK, id ")
		if stored := s.total() - before; stored > 0 && !taken || stored < 0 {
			t.Fatalf("%q: %d stored and none taken", in, stored)
		}
	})
}

// total counts the messages in all mailboxes.
func (s *site) total() int64 {
	s.t.Helper()
	ctx := context.Background()
	accounts, err := s.store.Accounts(ctx)
	s.must(err)
	n := int64(0)
	for _, a := range accounts {
		n += a.Count
	}
	return n
}
