package smtpd

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"postrider/delivery"
	"postrider/store"
)

// faulty is an engine whose Accept fails.
type faulty struct {
	store.Engine
	err error
}

func (f faulty) Accept(context.Context, *store.Acceptance) (store.Accepted, error) {
	return store.Accepted{}, f.err
}

// TestFaults makes what is ours to fail fail: the peer hears a general text
// and may try again, and the connection goes on.
func TestFaults(t *testing.T) {
	const head = "EHLO a\r\nMAIL FROM:<a@a.test>\r\nRCPT TO:<bob@b.test>\r\n"
	secret := "secret detail"
	for _, c := range []struct {
		name string
		err  error
		text string
		want string
	}{
		{"disk full", store.Errorf(store.Full, "accept", "%s", secret), "x\r\n", "452 4.3.1 Insufficient system storage"},
		{"internal", errors.New(secret), "x\r\n", "451 4.3.0 Local error, try again later"},
		{"busy", store.Errorf(store.Busy, "accept", "%s", secret), "x\r\n", "451 4.3.0 Busy, try again later"},
		{"unknown", store.ErrUnknown, "x\r\n", "451 4.3.0 Busy, try again later"},
		{"no spool", nil, strings.Repeat("secret detail\r\n", 20000), "451 4.3.0 Local error, try again later"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, Timeouts{})
			o := s.servers["mx"].o
			o.MaxMessageBytes, o.SpoolDir = 1<<20, filepath.Join(t.TempDir(), "secret detail")
			st := s.store
			if c.err != nil {
				st = store.New(faulty{s.store, c.err}, store.Options{})
			}
			o.Deliver = delivery.New(delivery.Options{Store: st, Hostname: testHost})
			s.servers["mx"] = New(o)
			out := s.session("mx", []byte(head+"DATA\r\n"+c.text+".\r\nNOOP\r\nQUIT\r\n"))
			if !strings.Contains(out, "\r\n"+c.want+"\r\n250 2.0.0 OK\r\n221 ") || strings.Contains(out, "secret") {
				t.Errorf("%s", out)
			}
			if n := len(s.messages("bob@b.test")); n != 0 {
				t.Errorf("%d stored", n)
			}
		})
	}
}
