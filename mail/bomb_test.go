package mail

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// bombs are messages that are cheap to send and would be dear to read by a
// careless reader. Each is made in size n.
func bombs() map[string]func(n int) string {
	const multipart = "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	rep := strings.Repeat
	return map[string]func(n int) string{
		"parts":         func(n int) string { return multipart + rep("--b\r\n\r\n", n) },
		"closed parts":  func(n int) string { return multipart + rep("--b--\r\n", n) },
		"headers only":  func(n int) string { return multipart + rep("--b\r\nContent-Type: text/html\r\n", n) },
		"same boundary": func(n int) string { return rep(multipart+"--b\r\n", n) },
		"rfc822":        func(n int) string { return rep("Content-Type: message/rfc822\r\n\r\n", n) },
		"rfc822 digest": func(n int) string { return rep("Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\n", n) },
		"header line":   func(n int) string { return "Subject: " + rep("x", n) },
		"header name":   func(n int) string { return rep("x", n) + ": y\r\n\r\n" },
		"header lines":  func(n int) string { return rep("X: y\r\n", n) },
		"folded":        func(n int) string { return "Subject: x\r\n" + rep(" y\r\n", n) },
		"empty folds":   func(n int) string { return "Subject: x\r\n" + rep(" \r\n", n) },
		"subjects":      func(n int) string { return rep("Subject: y\r\n", n) },
		"many to":       func(n int) string { return rep("To: y\r\n", n) },
		"references":    func(n int) string { return "References:" + rep(" <x@y>\r\n", n) },
		"params":        func(n int) string { return "Content-Type: text/plain" + rep("; a=b", n) + "\r\n\r\n" },
		"split params":  func(n int) string { return "Content-Type: text/plain" + rep("; a*1=b", n) + "\r\n\r\n" },
		"comments":      func(n int) string { return "Content-Type: " + rep("(", n) + "\r\n\r\n" },
		"comment pairs": func(n int) string { return "Content-Type: a/b" + rep("(x)", n) + ";\r\n\r\n" },
		"quotes":        func(n int) string { return "Content-Type: a/b" + rep("\"\\\"", n) + ";\r\n\r\n" },
		"languages":     func(n int) string { return "Content-Language: " + rep("e,", n) + "\r\n\r\n" },
		"dashes":        func(n int) string { return multipart + rep("--\r\n", n) },
		"open lines":    func(n int) string { return multipart + rep("\n", n) },
		"one line":      func(n int) string { return multipart + rep("-", n) },
		"many open":     func(n int) string { return manyOpen() + rep("--boundary-no-1\n", n) },
		"boundary": func(n int) string {
			return "Content-Type: multipart/mixed; boundary=" + rep("b", n) + "\r\n\r\n--b\r\n"
		},
		"long delimiter": func(n int) string { return multipart + "--b" + rep("b", n) + "\r\n\r\n" },
	}
}

// manyOpen opens as many multiparts as are looked into, their boundaries
// alike in the beginning.
func manyOpen() string {
	var b strings.Builder
	for i := range maxDepth {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=boundary-no-%d\r\n\r\n--boundary-no-%d\r\n", i+10, i+10)
	}
	return b.String() + "\r\n"
}

// cpu returns the least processor time that f took in a number of runs.
func cpu(runs int, f func()) time.Duration {
	best := time.Hour
	for range runs {
		start := used()
		f()
		best = min(best, used()-start)
	}
	return best
}

func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// checkLinear checks that twice the input takes not much more than twice the
// time. Small times and one bad measurement prove nothing.
func checkLinear(t *testing.T, n int, make func(n int) string, read func(string)) {
	t.Helper()
	one, two := make(n), make(2*n)
	var a, b time.Duration
	for i := range 5 {
		a, b = cpu(i+1, func() { read(one) }), cpu(i+1, func() { read(two) })
		if b < 20*time.Millisecond || b < 3*a {
			return
		}
	}
	t.Errorf("%d bytes took %v, %d bytes %v", len(one), a, len(two), b)
}

func parseString(t *testing.T, s string) *Meta {
	m, err := Parse(strings.NewReader(s))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Parse takes time in proportion to the size of the message, and memory that
// does not grow with it.
func TestParseBombs(t *testing.T) {
	const n = 300_000
	const maxAlloc = 24 << 20
	for name, make := range bombs() {
		t.Run(name, func(t *testing.T) {
			// A quarter shows what is quadratic as well: by seconds.
			checkLinear(t, n/4, make, func(s string) { parseString(t, s) })
			raw := make(n)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			m := parseString(t, raw)
			runtime.ReadMemStats(&after)
			if got := after.TotalAlloc - before.TotalAlloc; got > maxAlloc {
				t.Errorf("%d bytes: %d MB allocated", len(raw), got>>20)
			}
			checkMeta(t, []byte(raw), m)
			if !reflect.DeepEqual(ParseBytes([]byte(raw)), m) {
				t.Error("it reads otherwise in memory")
			}
			if size := len(m.Encode()); size > 2<<20 {
				t.Errorf("Encode gives %d bytes", size)
			}
		})
	}
}

func TestTextBombs(t *testing.T) {
	rep := strings.Repeat
	texts := map[string]func(n int) string{
		"addresses":   func(n int) string { return rep("a@b,", n) },
		"commas":      func(n int) string { return rep(",", n) },
		"comments":    func(n int) string { return rep("(", n) },
		"comment ()":  func(n int) string { return rep("(x)", n) },
		"quotes":      func(n int) string { return rep(`"x`, n) },
		"words":       func(n int) string { return rep("x ", n) },
		"angles":      func(n int) string { return rep("<", n) },
		"routes":      func(n int) string { return "<" + rep("@a,", n) },
		"groups":      func(n int) string { return rep("g:", n) },
		"literals":    func(n int) string { return rep("a@[", n) },
		"brackets":    func(n int) string { return "a@[" + rep("[", n) },
		"dots":        func(n int) string { return "a@" + rep(". ", n) },
		"encoded":     func(n int) string { return rep("=?utf-8?q?x?= ", n) },
		"charsets":    func(n int) string { return rep("=?utf-8?q?x?= =?koi8-r?b?eA==?= ", n) },
		"unknown":     func(n int) string { return rep("=?x-no?q?x?= ", n) },
		"marks":       func(n int) string { return rep("=?", n) },
		"unfinished":  func(n int) string { return rep("=?a?q?", n) },
		"not encoded": func(n int) string { return rep("=?a?q?b?", n) },
		"spaces":      func(n int) string { return "=?a?q?b?=" + rep(" ", n) },
	}
	readers := map[string]func(string){
		"ParseAddressList": func(s string) { ParseAddressList(s) },
		"DecodeText":       func(s string) { DecodeText(s) },
		"EncodeWord":       func(s string) { EncodeWord(s + "é") },
		"Fold":             func(s string) { Fold("X", s) },
		"ParseAddress":     func(s string) { ParseAddress(s) },
		"ParsePath":        func(s string) { ParsePath("<" + s) },
		"ParseDate":        func(s string) { ParseDate(s) },
		"FilterHeader":     func(s string) { FilterHeader([]byte(strings.ReplaceAll(s, " ", ":\r\n")), []string{"x"}, true) },
		"qp":               func(s string) { io.Copy(io.Discard, DecodeBody(strings.NewReader(s), "quoted-printable")) },
		"base64":           func(s string) { io.Copy(io.Discard, DecodeBody(strings.NewReader(s), "base64")) },
	}
	for text, make := range texts {
		for reader, read := range readers {
			t.Run(text+" "+reader, func(t *testing.T) { checkLinear(t, 20_000, make, read) })
		}
	}
}

func TestTo7BitBombs(t *testing.T) {
	for name, make := range bombs() {
		t.Run(name, func(t *testing.T) {
			checkLinear(t, 50_000, make, func(s string) {
				s += "é\r\n"
				To7Bit(strings.NewReader(s), parseString(t, s), io.Discard)
			})
		})
	}
}

// What is large, but within the limits, is read whole: 1,000 parts, and parts
// inside each other 100 deep.
func TestManyParts(t *testing.T) {
	var b strings.Builder
	b.WriteString("Content-Type: multipart/mixed; boundary=b\r\n\r\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "--b\r\n\r\npart %d\r\n", i+1)
	}
	raw := b.String() + "--b--\r\n"
	parts := parseString(t, raw).Root.Parts
	if len(parts) != 1000 {
		t.Fatalf("%d parts", len(parts))
	}
	if x := parts[999].Body; raw[x.Offset:x.Offset+x.Size] != "part 1000" {
		t.Errorf("the last part is %q", raw[x.Offset:x.Offset+x.Size])
	}
	raw = manyOpen() + "innermost"
	p, depth := &parseString(t, raw).Root, 0
	for ; len(p.Parts) > 0; p = &p.Parts[0] {
		depth++
	}
	if x := p.Body; depth != 100 || raw[x.Offset:x.Offset+x.Size] != "innermost" {
		t.Errorf("depth %d, innermost %q", depth, raw[x.Offset:x.Offset+x.Size])
	}
}

// Beyond the limits the structure ends, and nothing else changes.
func TestLimits(t *testing.T) {
	m := parseString(t, bombs()["parts"](maxParts+500))
	if n := len(m.Root.Parts); n != maxParts-1 {
		t.Errorf("%d parts", n)
	}
	depth := 0
	for p := &parseString(t, bombs()["rfc822"](maxDepth+50)).Root; p.Message != nil; p = &p.Message.Root {
		depth++
	}
	if depth > maxDepth+2 || depth < maxDepth {
		t.Errorf("depth %d", depth)
	}
	depth = 0
	for p := &parseString(t, bombs()["rfc822 digest"](maxDepth+50)).Root; ; {
		depth++
		if p.Message != nil {
			p = &p.Message.Root
		} else if len(p.Parts) > 0 {
			p = &p.Parts[0]
		} else {
			break
		}
	}
	if depth > maxDepth+3 || depth < maxDepth {
		t.Errorf("depth %d", depth)
	}
	subject := strings.Repeat("x", maxHeader+1000)
	m = parseString(t, "Subject: "+subject+"\r\nTo: a@b\r\n\r\nbody")
	if got := m.Envelope.Subject; got != subject[:maxHeader] || m.Root.Body.Size != 4 {
		t.Errorf("a subject of %d bytes, body %v", len(got), m.Root.Body)
	}
	m = parseString(t, "Content-Type: text/plain"+strings.Repeat("; a=b", 500)+"\r\n\r\n")
	if n := len(m.Root.Params); n != maxParams+1 {
		t.Errorf("%d parameters", n)
	}
}

func BenchmarkParse(b *testing.B) {
	small := "Received: from a.test by b.test; Mon, 23 Nov 2026 02:04:31 +0000\r\nDate: Mon, 23 Nov 2026 02:04:31 +0000\r\n" +
		"From: Alice <alice@a.test>\r\nTo: Bob <bob@b.test>\r\nSubject: hello\r\nMessage-ID: <x@a.test>\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\n\r\n" + strings.Repeat("A line of text as people write it.\r\n", 60)
	part := "--b\r\nContent-Type: image/jpeg; name=\"x.jpg\"\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"x.jpg\"\r\n\r\n"
	big := "Subject: pictures\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
		strings.Repeat(part+strings.Repeat(strings.Repeat("/9j4", 19)+"\r\n", 13000), 10) + "--b--\r\n"
	for _, bench := range []struct {
		name string
		raw  string
	}{{"2KB", small}, {"10MB", big}} {
		b.Run(bench.name, func(b *testing.B) {
			b.SetBytes(int64(len(bench.raw)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(strings.NewReader(bench.raw)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("2KB in memory", func(b *testing.B) {
		raw := []byte(small)
		b.SetBytes(int64(len(raw)))
		b.ReportAllocs()
		for b.Loop() {
			ParseBytes(raw)
		}
	})
	m, err := Parse(strings.NewReader(small))
	if err != nil {
		b.Fatal(err)
	}
	raw := m.Encode()
	b.Run("Encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m.Encode()
		}
		b.ReportMetric(float64(len(raw)), "bytes")
	})
	b.Run("DecodeMeta", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := DecodeMeta(raw); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func FuzzDecodeMeta(f *testing.F) {
	for _, make := range bombs() {
		m, err := Parse(strings.NewReader(make(3)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(m.Encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeMeta(b)
		if err != nil {
			return
		}
		again, err := DecodeMeta(m.Encode())
		if err != nil || !bytes.Equal(again.Encode(), m.Encode()) {
			t.Fatalf("%x: %v", b, err)
		}
	})
}
