package mailauth

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"postrider/mail"
)

// BenchmarkCheck is what checking a message of 10 KB costs, with a DNS that
// answers at once: who asks, and what each signature adds.
func BenchmarkCheck(b *testing.B) {
	w := world{"TXT a.test": {"v=spf1 ip4:192.0.2.0/24 -all"}, "TXT _dmarc.a.test": {"v=DMARC1; p=reject"},
		"PTR 192.0.2.1": {"mail.a.test"}, "A mail.a.test": {"192.0.2.1"}}
	rsa, ed := w.key(b, "a.test", "r1", RSA), w.key(b, "a.test", "e1", Ed25519)
	list := w.key(b, "list.test", "r1", RSA)
	plain := hello + strings.Repeat("A line of text that is as long as most.\r\n", 240)
	for _, c := range []struct{ name, msg string }{
		{"unsigned", plain}, {"rsa", sign(b, plain, rsa)}, {"rsa+ed25519", sign(b, plain, rsa, ed)},
		{"sealed", sealBy(b, w, list, sign(b, plain, rsa))}, {"unsigned1MB", hello + strings.Repeat(plain[len(hello):], 100)},
		{"rsa1MB", sign(b, hello+strings.Repeat(plain[len(hello):], 100), rsa)},
	} {
		b.Run(c.name, func(b *testing.B) {
			k := New(Options{Resolver: w})
			p := Peer{Addr: netip.MustParseAddr("192.0.2.1"), Helo: "mail.a.test", From: mail.Address{Local: "x", Domain: "a.test"}}
			b.ReportAllocs()
			b.SetBytes(int64(len(c.msg)))
			for b.Loop() {
				c1 := k.Begin(b.Context(), p)
				for m := []byte(c.msg); len(m) > 0; {
					n := min(len(m), 16<<10)
					c1.Write(m[:n])
					m = m[n:]
				}
				if r := c1.Finish(); r.DMARC.Result != Pass {
					b.Fatal(r.Reasons)
				}
			}
		})
	}
}

// BenchmarkSign is what signing a message of 10 KB costs.
func BenchmarkSign(b *testing.B) {
	w := world{}
	rsa, ed := w.key(b, "a.test", "r1", RSA), w.key(b, "a.test", "e1", Ed25519)
	head, body := split(hello + strings.Repeat("A line of text that is as long as most.\r\n", 240))
	for name, keys := range map[string][]*Key{"rsa": {rsa}, "ed25519": {ed}, "both": {rsa, ed}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Sign(keys, testNow, bytes.NewReader(body), head); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
