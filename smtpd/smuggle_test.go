package smtpd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// fromLoopback is a pipe that seems to come from this machine.
type fromLoopback struct{ net.Conn }

func (fromLoopback) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2525}
}

// session serves one connection over a pipe, sends it all of in, and returns
// everything that the server said until it closed.
func (s *site) session(kind string, in []byte) string {
	s.t.Helper()
	ours, theirs := net.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.servers[kind].Serve(context.Background(), fromLoopback{theirs})
	}()
	go func() {
		ours.Write(in)
	}()
	ours.SetReadDeadline(time.Now().Add(20 * time.Second))
	out, err := io.ReadAll(ours)
	if err != nil {
		s.t.Errorf("%q: the server does not end: %v", shorten(in), err)
	}
	ours.Close()
	<-ended
	return string(out)
}

func shorten(b []byte) []byte { return b[:min(len(b), 200)] }

// mixes returns all strings of three of the bytes that ends of lines and of
// messages are made of.
func mixes() []string {
	var all []string
	alphabet := "\r\n\x00."
	for _, a := range alphabet {
		for _, b := range alphabet {
			for _, c := range alphabet {
				all = append(all, string([]rune{a, b, c}))
			}
		}
	}
	return all
}

// wantOne checks that what was sent made exactly one message or a refusal.
// smuggled is what would tell that more of it was taken for commands.
func wantOne(t *testing.T, s *site, before int64, in []byte, out string) int64 {
	t.Helper()
	after := s.total()
	took := int64(strings.Count(out, "250 2.0.0 OK, id "))
	refused := int64(strings.Count(out, "\r\n550 5.6."))
	if after-before != took || took+refused != 1 || strings.Contains(out, "214 ") {
		t.Fatalf("%q:\n%d stored, %d taken, %d refused\n%s", in, after-before, took, refused, out)
	}
	return after
}

// TestSmugglingData puts every mix of the bytes that matter before and behind
// the dot of what only looks like the end of a message. A HELP that is
// answered would have been smuggled.
func TestSmugglingData(t *testing.T) {
	for _, kind := range []string{"mx", "lmtp"} {
		t.Run(kind, func(t *testing.T) {
			s := newSite(t, Timeouts{})
			greet := map[string]string{"mx": "EHLO a\r\n", "lmtp": "LHLO a\r\n"}[kind]
			start := greet + "MAIL FROM:<a@a.test>\r\nRCPT TO:<bob@b.test>\r\nDATA\r\nSubject: x\r\n\r\ntext"
			count := int64(0)
			for _, before := range mixes() {
				for _, behind := range mixes() {
					in := start + before + "." + behind + "HELP\r\n.\r\nQUIT\r\n"
					text, _, _ := referenceDots([]byte(in[strings.Index(in, "DATA\r\n")+6:]))
					if !bytes.Contains(text, []byte("HELP")) {
						continue // that is an end, and HELP a command like any other
					}
					count = wantOne(t, s, count, []byte(in), s.session(kind, []byte(in)))
				}
			}
			for _, m := range s.messages("bob@b.test") {
				if strings.Count(m, "\n") != strings.Count(m, "\r\n") || strings.Count(m, "\r") != strings.Count(m, "\r\n") || strings.Contains(m, "\x00") {
					t.Errorf("stored: %q", m)
				}
			}
		})
	}
}

// TestSmugglingChunks does the same in BDAT, whole and cut in two chunks.
func TestSmugglingChunks(t *testing.T) {
	s := newSite(t, Timeouts{})
	count := int64(0)
	for _, mix := range mixes() {
		text := "Subject: x\r\n\r\ntext" + mix + ".\r\nHELP\r\n.\r\nHELP\r\n"
		for _, cut := range []int{0, 18, 19, 20, 21, len(text)} {
			in := "EHLO a\r\nMAIL FROM:<a@a.test>\r\nRCPT TO:<bob@b.test>\r\n" +
				fmt.Sprintf("BDAT %d\r\n%sBDAT %d LAST\r\n%sQUIT\r\n", cut, text[:cut], len(text)-cut, text[cut:])
			count = wantOne(t, s, count, []byte(in), s.session("mx", []byte(in)))
		}
	}
}

// TestHalfMessages ends the connection after each byte of a session: until
// the end of the message has arrived, nothing of it is stored.
func TestHalfMessages(t *testing.T) {
	s := newSite(t, Timeouts{})
	for _, in := range []string{
		"EHLO a\r\nMAIL FROM:<a@a.test>\r\nRCPT TO:<bob@b.test>\r\nDATA\r\nSubject: x\r\n\r\ntext\r\n.\r\n",
		"EHLO a\r\nMAIL FROM:<a@a.test>\r\nRCPT TO:<bob@b.test>\r\nBDAT 10\r\nSubject: xBDAT 6 LAST\r\n\r\n\r\nab",
	} {
		for n := range len(in) {
			ours, theirs := net.Pipe()
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				s.servers["mx"].Serve(context.Background(), theirs)
			}()
			go io.Copy(io.Discard, ours)
			ours.Write([]byte(in[:n]))
			ours.Close()
			<-ended
		}
		if got := s.messages("bob@b.test"); len(got) > 0 {
			t.Fatalf("half a session stored %q", got)
		}
	}
}
