package pop3d

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"postrider/mail"
)

func whole(s string) *message {
	return &message{body: strings.NewReader(s), to: int64(len(s))}
}

// unstuff reads an answer as a client does that takes CRLF alone for a line
// end (strict) or LF as well.
func unstuff(t *testing.T, answer string, strict bool) (body, rest string) {
	t.Helper()
	_, answer, _ = strings.Cut(answer, "\r\n")
	end := "\n"
	if strict {
		end = "\r\n"
	}
	var out strings.Builder
	for {
		line, after, ok := strings.Cut(answer, end)
		if !ok {
			t.Fatalf("no termination in %q", answer)
		}
		answer = after
		if strings.TrimSuffix(line, "\r") == "." {
			return out.String(), answer
		}
		out.WriteString(strings.TrimPrefix(line, ".") + end)
	}
}

func send(t *testing.T, m *message, chunk int, end int64) string {
	t.Helper()
	var out bytes.Buffer
	w := bufio.NewWriterSize(&out, 16)
	if err := m.send(w, "x", make([]byte, chunk), end); err != nil {
		t.Fatal(err)
	}
	w.Flush()
	return out.String()
}

var samples = []string{
	"", ".", "..", "\r\n", ".\r\n", "a", "a\r\n", "a\n", "a\r", "\r\n.\r\n", "\r\n.\r\n.\r\n..\r\n", "a\r\n.", "a\n.\nb\r\n",
	"Subject: x\r\n\r\n.\r\n", strings.Repeat(".\r\n", 50), strings.Repeat("x", 100) + "\r\n.y\r\n", "\n.\n..\n", "\r.\r\n",
}

// TestSend sends each sample in chunks of every size: what a client reads is
// what was sent, and a line end where there was none.
func TestSend(t *testing.T) {
	for _, s := range samples {
		for chunk := 1; chunk <= len(s)+1; chunk++ {
			answer := send(t, whole(s), chunk, int64(len(s)))
			body, rest := unstuff(t, answer, false)
			want := s
			if s != "" && !strings.HasSuffix(s, "\r\n") {
				want += "\r\n"
			}
			if body != want || rest != "" {
				t.Fatalf("%q in chunks of %d: %q, then %q", s, chunk, body, rest)
			}
			if !strings.Contains(strings.ReplaceAll(s, "\r\n", ""), "\n") {
				if body, rest := unstuff(t, answer, true); body != want || rest != "" {
					t.Fatalf("%q, read strictly: %q, then %q", s, body, rest)
				}
			}
		}
	}
}

func TestTopEnd(t *testing.T) {
	for _, tt := range []struct {
		text  string
		lines int64
		want  string
	}{
		{"A: b\r\n\r\none\r\ntwo\r\n", 0, "A: b\r\n\r\n"},
		{"A: b\r\n\r\none\r\ntwo\r\n", 1, "A: b\r\n\r\none\r\n"},
		{"A: b\r\n\r\none\r\ntwo\r\n", 2, "A: b\r\n\r\none\r\ntwo\r\n"},
		{"A: b\r\n\r\none\r\ntwo", 9, "A: b\r\n\r\none\r\ntwo"},
		{"A: b\r\n\r\n\r\n\r\nx\r\n", 2, "A: b\r\n\r\n\r\n\r\n"},
		{"\r\nbody\r\n", 0, "\r\n"},
		{"A: b\r\n", 0, "A: b\r\n"},
		{"A: b\r\nC: d", 5, "A: b\r\nC: d"},
		{"A: b\n\none\n", 0, "A: b\n\n"},
		{"A: b\r\n\n", 0, "A: b\r\n\n"},
		{"A: b\r\nx\r\n\r\nbody\r\n", 0, "A: b\r\nx\r\n\r\n"},
		{"", 3, ""},
	} {
		for chunk := 1; chunk <= len(tt.text)+1; chunk++ {
			end, err := whole(tt.text).topEnd(make([]byte, chunk), tt.lines)
			if err != nil || tt.text[:end] != tt.want {
				t.Errorf("%q, %d lines, chunks of %d: %q, %v", tt.text, tt.lines, chunk, tt.text[:end], err)
			}
		}
	}
}

// failing is a message whose bytes from at on cannot be read.
type failing struct {
	text string
	at   int64
}

func (f failing) ReadAt(b []byte, off int64) (int, error) {
	if off+int64(len(b)) > f.at {
		return 0, iotest.ErrTimeout
	}
	return copy(b, f.text[off:]), nil
}

// TestUnreadable: a message that cannot be read is refused if nothing of it
// went out, and breaks the connection otherwise; it never looks complete.
func TestUnreadable(t *testing.T) {
	text := strings.Repeat("0123456789abcd\r\n", 100)
	for _, at := range []int64{0, 15, 16, 800, int64(len(text)) - 1} {
		var out bytes.Buffer
		w := bufio.NewWriter(&out)
		m := &message{body: failing{text, at}, to: int64(len(text))}
		err := m.send(w, "x", make([]byte, 16), m.size())
		w.Flush()
		if err == nil || strings.HasSuffix(out.String(), "\r\n.\r\n") {
			t.Errorf("failing at %d: %v", at, err)
		}
		if begun := out.Len() > 0; begun != errors.Is(err, errBroken) {
			t.Errorf("failing at %d: %d bytes and %v", at, out.Len(), err)
		}
	}
}

func TestMessageReadAt(t *testing.T) {
	m := &message{head: []byte("new head\r\n\r\n"), body: strings.NewReader("old head\r\n\r\nbody\r\n"), from: 12, to: 18}
	if err := iotest.TestReader(io.NewSectionReader(m, 0, m.size()), []byte("new head\r\n\r\nbody\r\n")); err != nil {
		t.Error(err)
	}
}

func TestSurrogate(t *testing.T) {
	for _, tt := range []struct{ header, want string }{
		{"Subject: ascii\r\n\r\n", "Subject: ascii\r\n\r\n"},
		{"Subject: Grüße\r\n\r\n", "Subject: =?utf-8?b?R3LDvMOfZQ==?=\r\n\r\n"},
		{"From: ö <a@b.example>\r\n\r\n", "From: =?utf-8?b?w7Y=?= <a@b.example>\r\n\r\n"},
		{"From: <ö@b.example>\r\n\r\n", "From: =?utf-8?q?=C3=B6=40b=2Eexample?= " + invalidAddress + "\r\n\r\n"},
		{"To: a@b.example, ö <c@d.example>\r\n\r\n", "To: <a@b.example>,\r\n =?utf-8?b?w7Y=?= <c@d.example>\r\n\r\n"},
		{"To: G: a@b.example, \"x\\\"y\" <ö@d.example>;, e@f.example\r\n\r\n",
			"To: \"G\": <a@b.example>,\r\n =?utf-8?*?= " + invalidAddress + ";,\r\n <e@f.example>\r\n\r\n"},
		{"X-Odd: ö\r\nA: b\r\n\r\n", "A: b\r\n\r\n"},
		{"Subject: caf\xe9\r\n\r\n", "Subject: caf\xe9\r\n\r\n"},
		{"Content-Disposition: attachment; filename=\"ä.txt\"\r\n\r\n",
			"Content-Disposition: attachment;\r\n filename*=utf-8''%C3%A4.txt\r\n\r\n"},
		{"From: \"a\rX: y ö\" <a@b.example>\r\n\r\n", "From: =?utf-8?*?= <a@b.example>\r\n\r\n"},
		{"A: b\r\nSubject: ö", "A: b\r\nSubject: =?utf-8?b?w7Y=?=\r\n"},
	} {
		got := string(surrogateHeader([]byte(tt.header)))
		before, after, _ := strings.Cut(tt.want, "*")
		ok := got == tt.want
		if after != "" && strings.Contains(tt.want, "?*?") {
			ok = strings.HasPrefix(got, before) && strings.HasSuffix(got, after)
		}
		if !ok {
			t.Errorf("%q becomes\n%q, want\n%q", tt.header, got, tt.want)
		}
	}
}

func FuzzSurrogate(f *testing.F) {
	f.Add([]byte(jims))
	f.Add([]byte("To: ü: ö@x, \"\\\r\n\" <a@b>;;\r\nContent-Type: a/b; ü=\"\x01\"\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		header := b[:mail.HeaderSize(b)]
		out := surrogateHeader(header)
		if len(header) > 0 && mail.HeaderSize(out) != len(out) {
			t.Errorf("%q becomes %q, which is not all header", header, out)
		}
		for f := range mail.Fields(out) {
			if !isASCII(f.Raw) && !bytes.Contains(header, f.Raw) {
				t.Errorf("%q of %q is not ASCII", f.Raw, header)
			}
		}
	})
}

func FuzzSend(f *testing.F) {
	for _, s := range samples {
		f.Add([]byte(s), 7)
	}
	f.Fuzz(func(t *testing.T, b []byte, chunk int) {
		s := string(b)
		body, rest := unstuff(t, send(t, whole(s), max(1, min(chunk, 1<<16)), int64(len(s))), false)
		if rest != "" || strings.TrimSuffix(body, "\r\n") != strings.TrimSuffix(s, "\r\n") {
			t.Errorf("%q is read as %q, then %q", s, body, rest)
		}
	})
}
