package imapd_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"postrider/auth"
	"postrider/imapd"
	"postrider/internal/maillog"
	"postrider/internal/wiretest"
)

// FuzzSession sends what a client may send, and much that it may not. The
// server neither panics nor stays behind when the client has gone.
func FuzzSession(f *testing.F) {
	for _, in := range wiretest.Inputs(f, "testdata") {
		if len(in) < 8<<10 {
			f.Add(in)
		}
	}
	f.Add([]byte("a LOGIN alice@a.test x\r\na SELECT INBOX\r\na SEARCH NOT NOT NOT OR ALL (((ALL))) ALL\r\n"))
	f.Add([]byte("a LOGIN alice@a.test x\r\na IDLE\r\n\r\nDONE\r\na ENABLE IMAP4rev2\r\na LIST \"\" (((\r\n"))
	w := newWorld(f)
	logs := &buffer{}
	srv := imapd.New(imapd.Options{
		Hostname: "mail.a.test", Store: w.store, MaxMessageBytes: 1 << 16, Log: slog.New(slog.NewTextHandler(logs, nil)),
		Auth: auth.New(auth.Options{Store: w.store, AnyPassword: true, PlaintextNetworks: loopback(),
			Sleep: func(context.Context, time.Duration) {}}),
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { l.Close() })
	f.Fuzz(func(t *testing.T, in []byte) {
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		peer, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { defer close(done); srv.Serve(context.Background(), peer) }()
		go func() {
			nc.Write(in)
			nc.(*net.TCPConn).CloseWrite()
		}()
		nc.SetReadDeadline(time.Now().Add(20 * time.Second))
		_, err = io.Copy(io.Discard, nc)
		nc.Close()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Fatalf("the server does not end; reading: %v", err)
		}
		if s := logs.String(); strings.Contains(s, "msg="+maillog.Panic) || strings.Contains(s, "msg="+maillog.Failed) {
			t.Fatalf("%s", s)
		}
	})
}
