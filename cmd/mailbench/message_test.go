package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"strings"
	"testing"
	"time"
)

// TestMessagesAreAlwaysTheSame holds the bytes of the first messages fixed:
// figures measured today and later must be of the same load.
func TestMessagesAreAlwaysTheSame(t *testing.T) {
	h := sha256.New()
	for n := range 200 {
		h.Write(Generator{Seed: 1}.Message(n))
	}
	const want = "5f4d5ed01b8aa4170550afe9ba98362092e1a256b36dc4ba54cb269d0e89403d"
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		t.Errorf("the messages have changed: their hash is %s, was %s", got, want)
	}
	if bytes.Equal(Generator{Seed: 1}.Message(3), Generator{Seed: 2}.Message(3)) {
		t.Error("seeds make no difference")
	}
}

func TestMessagesAreWellFormed(t *testing.T) {
	kinds := map[string]int{}
	ids := map[string]bool{}
	for _, g := range []Generator{{Seed: 1}, {Seed: 7, Size: 2000}, {Seed: 3, Size: 60 << 10}, {Seed: 4, Mixed: true}} {
		for n := range 120 {
			raw := g.Message(n)
			if size := g.SizeOf(n); len(raw) < size-100 || len(raw) > size+100 {
				t.Errorf("message %d of %+v has %d octets, not about %d", n, g, len(raw), size)
			}
			checkLines(t, n, raw)
			m, err := mail.ReadMessage(bytes.NewReader(raw))
			if err != nil {
				t.Fatalf("message %d: %v", n, err)
			}
			kinds[checkBody(t, n, m)]++
			id := m.Header.Get("Message-Id")
			if ids[id] || id != "<"+g.MessageID(n)+">" {
				t.Errorf("message %d has the Message-ID %s", n, id)
			}
			ids[id] = true
			if _, err := m.Header.Date(); err != nil {
				t.Errorf("message %d: Date: %v", n, err)
			}
			if from, err := m.Header.AddressList("From"); err != nil || from[0].Address != g.From(n) {
				t.Errorf("message %d: From: %v %v, want %s", n, from, err, g.From(n))
			}
			if _, err := m.Header.AddressList("To"); err != nil {
				t.Errorf("message %d: To: %v", n, err)
			}
			checkSearchWords(t, n, raw)
		}
	}
	if kinds["text/plain"] == 0 || kinds["multipart/alternative"] == 0 || kinds["multipart/mixed"] == 0 {
		t.Errorf("kinds: %v", kinds)
	}
}

func checkLines(t *testing.T, n int, raw []byte) {
	t.Helper()
	if !bytes.HasSuffix(raw, []byte("\r\n")) {
		t.Errorf("message %d does not end with CRLF", n)
	}
	for _, line := range strings.Split(strings.TrimSuffix(string(raw), "\r\n"), "\r\n") {
		if strings.ContainsAny(line, "\r\n") || len(line) > 200 || strings.HasPrefix(line, ".") {
			t.Fatalf("message %d: line %q", n, line)
		}
	}
}

// checkBody reads all parts and returns the media type.
func checkBody(t *testing.T, n int, m *mail.Message) string {
	t.Helper()
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatalf("message %d: %v", n, err)
	}
	if !strings.HasPrefix(kind, "multipart/") {
		return kind
	}
	parts := 0
	for r := multipart.NewReader(m.Body, params["boundary"]); ; parts++ {
		p, err := r.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("message %d: %v", n, err)
		}
		if b, err := io.ReadAll(p); err != nil || len(b) < 100 {
			t.Fatalf("message %d, part %d: %d octets, %v", n, parts, len(b), err)
		}
	}
	if parts != 2 {
		t.Errorf("message %d has %d parts", n, parts)
	}
	return kind
}

func checkSearchWords(t *testing.T, n int, raw []byte) {
	t.Helper()
	header, body, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	has := func(b []byte, s string) bool { return bytes.Contains(bytes.ToLower(b), []byte(s)) }
	if has(header, SubjectWord) != (n%10 == 0) || has(body, SubjectWord) {
		t.Errorf("message %d: %q is in the wrong place", n, SubjectWord)
	}
	if has(body, Common) != (n%10 == 0) || has(header, Common) {
		t.Errorf("message %d: %q is in the wrong place", n, Common)
	}
	if has(raw, Absent) || !has(body, Token(n)) || has(raw, Token(n+1)) {
		t.Errorf("message %d: tokens", n)
	}
}

func TestPercentileAndMedian(t *testing.T) {
	if got := percentile([]time.Duration{}, 99); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(i + 1)
	}
	for p, want := range map[float64]float64{0: 1, 1: 1, 50: 50, 99: 99, 99.5: 100, 100: 100} {
		if got := percentile(hundred, p); got != want {
			t.Errorf("percentile %v is %v, want %v", p, got, want)
		}
	}
	if got := median([]float64{9, 1, 5}); got != 5 {
		t.Errorf("median %v", got)
	}
	if got := median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Errorf("median %v", got)
	}
}

func BenchmarkMessage(b *testing.B) {
	g := Generator{Seed: 1}
	buf := make([]byte, 0, 2*defaultSize)
	b.SetBytes(defaultSize)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		g.Append(buf, n)
	}
}
