package delivery

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postrider/mail"
	"postrider/store"
	"postrider/store/sqlite/sqlitetest"
)

// held is a body that is in memory and says so, as one from a daemon is.
type held struct {
	io.ReaderAt
	b []byte
}

func (h held) Size() int64   { return int64(len(h.b)) }
func (h held) Bytes() []byte { return h.b }

// benchSite has 100 accounts.
func benchSite(b *testing.B) *Deliverer {
	st := sqlitetest.New(b)
	if _, err := st.AddDomain(b.Context(), "b.test"); err != nil {
		b.Fatal(err)
	}
	for i := range 100 {
		if _, err := st.AddAccount(b.Context(), store.NewAccount{Address: user(i)}); err != nil {
			b.Fatal(err)
		}
	}
	return New(Options{Store: st, Hostname: "mx.b.test"})
}

func user(i int) mail.Address {
	return mail.Address{Local: fmt.Sprint("user", i%100), Domain: "b.test"}
}

// BenchmarkVerify is the look-up of a recipient at RCPT.
func BenchmarkVerify(b *testing.B) {
	d := benchSite(b)
	p := &Peer{Helo: "pc.a.test", Addr: netip.MustParseAddr("192.0.2.1"), Proto: "ESMTP"}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := d.Verify(context.Background(), p, user(i)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPrepare is what becomes of a message of 10 KB before the store gets
// it: header, recipient, prefix.
func BenchmarkPrepare(b *testing.B) {
	d := benchSite(b)
	text := []byte("From: a@a.test\r\nTo: b@b.test\r\nSubject: x\r\nDate: Mon, 23 Nov 2026 09:00:00 +0000\r\n" +
		"Message-ID: <1@a.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n" + strings.Repeat("A line of text.\r\n", 600))
	m := &Message{ID: mail.NewID(time.Now()), Body: held{bytes.NewReader(text), text},
		Peer:     Peer{Helo: "pc.a.test", Addr: netip.MustParseAddr("192.0.2.1"), Proto: "ESMTP"},
		Envelope: mail.Envelope{From: mail.Address{Local: "a", Domain: "a.test"}, Rcpts: make([]mail.Recipient, 1)}}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		m.Envelope.Rcpts[0].Addr = user(i)
		if _, err := d.Prepare(context.Background(), m); err != nil {
			b.Fatal(err)
		}
	}
}
