package smtpc

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// FuzzReply reads anything as a reply: it ends, within its limits, and what
// go-smtp's client gets to see of it reads the same.
func FuzzReply(f *testing.F) {
	f.Add([]byte("250-5.1.1 one\r\n250 5.1.1 two\r\n"))
	f.Add([]byte("250\n"))
	f.Add([]byte("421-\x00\xff\r\n421 \r\n"))
	f.Add([]byte("250-a\r\n251 b\r\n"))
	f.Add(bytes.Repeat([]byte("250-x\r\n"), 300))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := readReply(bufio.NewReader(bytes.NewReader(b)), func(string) {})
		if err != nil {
			return
		}
		if r.code < 200 || r.code > 599 || len(r.lines) == 0 || len(r.lines) > maxReplyLines {
			t.Fatalf("%q: %+v", b, r)
		}
		again, err := readReply(bufio.NewReader(bytes.NewReader(r.wire())), func(string) {})
		if err != nil || again.code != r.code || strings.Join(again.lines, "\n") != strings.Join(r.lines, "\n") {
			t.Fatalf("%q: %+v, again %+v, %v", b, r, again, err)
		}
		if o := outcomeOf(r); strings.ContainsAny(o.String(), "\r\n\x00\x1b") || o.Enhanced == "" {
			t.Fatalf("%q: %q", b, o.String())
		}
	})
}

// FuzzServer lets a server say anything at all: the attempt ends, without a
// panic, and delivered only if some reply after the message was a 2yz.
func FuzzServer(f *testing.F) {
	f.Add([]byte("220 hi\r\n|250-x\r\n250 DSN\r\n|250 ok\r\n|250 ok\r\n|354 go\r\n|250 ok\r\n"))
	f.Add([]byte("220 hi\r\n|250-x\r\n250 STARTTLS\r\n|220 go\r\n|x"))
	f.Add([]byte("220 hi\r\n|250 x\r\n|250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n"))
	f.Add([]byte("400 \n"))
	f.Add([]byte("220 hi\r\n|250-x\r\n250 PIPELINING\r\n|250 ok\r\n250 ok\r\n354 go\r\n|250 ok\r\n"))
	f.Add([]byte("220 hi\r\n|502 x\r\n|250 ok\r\n|421 ok\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := New(Options{Hostname: "a.test", Port: 25, Now: time.Now, Timeouts: Timeouts{
			Dial: time.Second, Command: time.Second, End: time.Second, Handshake: time.Second, Block: time.Second},
			Dial: func(context.Context, string, string) (net.Conn, error) {
				us, them := net.Pipe()
				go speak(them, b, 20*time.Millisecond) // soon, as most of what a fuzzer finds has both wait
				return us, nil
			}})
		r := send(t, c, "[127.0.0.1]", letter(t, "bob@b.test"))
		if r.Outcomes[0].Status == Delivered && !bytes.Contains(b, []byte("354")) {
			t.Fatalf("delivered to %q", b)
		}
	})
}

// speak says the pieces of script between "|", waiting for something to read
// between them, then closes; after the time given where both wait for the other.
func speak(c net.Conn, script []byte, atMost time.Duration) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(atMost))
	buf := make([]byte, 4096)
	for i, piece := range bytes.Split(script, []byte("|")) {
		if i > 0 {
			if _, err := c.Read(buf); err != nil {
				return
			}
		}
		if _, err := c.Write(piece); err != nil {
			return
		}
	}
}

// FuzzStuffer compares the stuffer with the plain definition, for any split
// of the input.
func FuzzStuffer(f *testing.F) {
	f.Add([]byte("a\r\nb\rc\nd\x00\r"), 1)
	f.Add([]byte("\r\r\n\n"), 2)
	f.Add([]byte(".\r\n..\r\n.\n.\r\r\n."), 1)
	f.Add([]byte("one\r\n"), 3)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		var lines []string
		for line := range strings.SplitSeq(string(b), "\r\n") {
			line = strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ").Replace(line)
			if strings.HasPrefix(line, ".") {
				line = "." + line
			}
			lines = append(lines, line)
		}
		want := strings.Join(lines, "\r\n")
		if want != "" && !strings.HasSuffix(want, "\r\n") {
			want += "\r\n"
		}
		var s stuffer
		var got []byte
		for p := range slices.Chunk(b, 1+n&7) {
			got = s.add(got, p)
		}
		if got = s.end(got); string(got) != want+".\r\n" {
			t.Fatalf("%q became %q, want %q", b, got, want+".\r\n")
		}
	})
}

// pieces reads n bytes at a time.
type pieces struct {
	b []byte
	n int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.n)], p.b)
	p.b = p.b[n:]
	return n, nil
}

func TestScan(t *testing.T) {
	for text, want := range map[string]facts{
		"":                               {},
		"S: x\r\n\r\nbody":               {},
		"S: \xfc\r\n\r\nbody":            {eightHeader: true},
		"S: x\r\n\r\nb\xfcdy":            {eightBody: true},
		"\r\nb\xfcdy":                    {eightBody: true},
		"S\r\n\r\r\n\xfc\r\r\n\r\nb":     {eightHeader: true},
		"S: x\r\n\r\r\n\r\n\xfc":         {eightBody: true},
		"S: x\n\n\xfc\n\r\n\r\nb":        {eightHeader: true},
		"S: x\r\n\xfc\r\n\r\n" + "b\xfc": {true, true},
		strings.Repeat("a: b\r\n", 20000) + "\r\n\xfc": {eightBody: true},
	} {
		for n := 1; n < 8; n++ {
			if got, err := scan(&pieces{[]byte(text), n}, make([]byte, scanBlock)); err != nil || *got != want {
				t.Errorf("%.40q in pieces of %d: %+v, want %+v, %v", text, n, got, want, err)
			}
		}
		if got, err := scan(strings.NewReader(text), make([]byte, 100)); err != nil || *got != want {
			t.Errorf("%.40q: %+v, want %+v, %v", text, got, want, err)
		}
	}
}
