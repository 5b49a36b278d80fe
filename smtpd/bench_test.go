package smtpd

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"postrider/delivery"
	"postrider/internal/maillog"
	"postrider/mail"
	"postrider/store"
)

// nowhere is an engine that knows everybody and keeps nothing: what a
// benchmark on it measures is all that is above the store.
type nowhere struct {
	store.Engine
	feed *store.Feed
	bob  store.Account
	size int64
}

func (n *nowhere) Feed() *store.Feed { return n.feed }
func (n *nowhere) Domain(context.Context, string) (store.Domain, error) {
	return store.Domain{}, nil
}
func (n *nowhere) Lookup(context.Context, mail.Address) (store.Entry, error) {
	return store.Entry{Account: &n.bob}, nil
}
func (n *nowhere) Accept(_ context.Context, a *store.Acceptance) (store.Accepted, error) {
	n.size += a.Body.Size()
	return store.Accepted{}, nil
}

// script is a connection whose peer says one thing at a time, the same ones
// over and over, and hears nothing.
type script struct {
	net.Conn
	each   []string
	rounds int
	next   []string
	at     string
}

func (s *script) Read(p []byte) (int, error) {
	for s.at == "" {
		if len(s.next) == 0 {
			if s.rounds == 0 {
				return 0, io.EOF
			}
			s.rounds--
			s.next = s.each
		}
		s.at, s.next = s.next[0], s.next[1:]
	}
	n := copy(p, s.at)
	s.at = s.at[n:]
	return n, nil
}
func (s *script) Write(p []byte) (int, error)      { return len(p), nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }
func (s *script) Close() error                     { return nil }
func (s *script) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 25} }
func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 4242} }

// letter is a message of about size bytes: a header, two parts, lines of text.
func letter(size int) string {
	const line = "The quick brown fox jumps over the lazy dog and away into the dark wood.\r\n"
	return "From: Alice <alice@a.test>\r\nTo: Bob <bob@b.test>\r\nSubject: A message of some size\r\n" +
		"Date: Mon, 23 Nov 2026 09:00:00 +0000\r\nMessage-ID: <1@a.test>\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/alternative; boundary=\"b0undary\"\r\n\r\n--b0undary\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\n\r\n" + strings.Repeat(line, size/2/len(line)) +
		"--b0undary\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + strings.Repeat(line, size/2/len(line)) +
		"--b0undary--\r\n"
}

// BenchmarkMessage is a message from the socket to the store's Accept and the
// reply, with neither of the two.
func BenchmarkMessage(b *testing.B) {
	for _, c := range []struct {
		name string
		size int
		pipe bool
	}{{"10KB", 10 << 10, false}, {"10KB_pipelined", 10 << 10, true}, {"100KB", 100 << 10, false}, {"1MB", 1 << 20, false}} {
		b.Run(c.name, func(b *testing.B) {
			e := &nowhere{feed: store.NewFeed(), bob: store.Account{ID: 1}}
			log := slog.New(slog.NewJSONHandler(io.Discard, nil))
			s := New(Options{Mode: MX, Hostname: "mx.b.test", Log: log, SpoolDir: b.TempDir(), Deliver: delivery.New(
				delivery.Options{Store: store.New(e, store.Options{}), Hostname: "mx.b.test", Log: maillog.Discard()})})
			text := letter(c.size)
			each := []string{"MAIL FROM:<alice@a.test>\r\n", "RCPT TO:<bob@b.test>\r\n", "DATA\r\n", text + ".\r\n"}
			if c.pipe {
				each = []string{each[0] + each[1] + each[2], each[3]}
			}
			peer := &script{next: []string{"EHLO pc.a.test\r\n"}, each: each, rounds: b.N}
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			b.ResetTimer()
			s.Serve(b.Context(), peer)
			if want := int64(b.N) * int64(len(text)); e.size != want {
				b.Fatalf("%d bytes arrived of %d", e.size, want)
			}
		})
	}
}
