package smtpc

import (
	"strings"
	"testing"

	"postrider/smtpc/smtpctest"
)

// BenchmarkSend is a message of 10 KB over a connection that is open already,
// to a server of this process.
func BenchmarkSend(b *testing.B) {
	for name, ext := range map[string][]string{"pipelined": smtpctest.Extensions, "one_by_one": {"SIZE", "8BITMIME"}} {
		b.Run(name, func(b *testing.B) {
			s := smtpctest.New(b, smtpctest.Options{Ext: ext})
			c := New(Options{Hostname: "a.test", Port: int(s.Addr().Port())})
			se := c.Session("[127.0.0.1]")
			defer se.Close()
			m := letterOf(b, "Subject: x\r\n\r\n"+strings.Repeat("The quick brown fox jumps over the lazy dog.\r\n", 220), "bob@b.test")
			b.SetBytes(m.Size)
			b.ReportAllocs()
			for b.Loop() {
				if o := se.Send(b.Context(), m).Outcomes[0]; o.Status != Delivered {
					b.Fatal(o)
				}
			}
		})
	}
}

// BenchmarkStuffer is what is done to the text of a message on its way out.
func BenchmarkStuffer(b *testing.B) {
	in := []byte(strings.Repeat("The quick brown fox jumps over the lazy dog.\r\n", 700))
	out := make([]byte, 0, 2*len(in))
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		var s stuffer
		s.add(out, in)
	}
}
