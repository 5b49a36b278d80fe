package test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/internal/lab"
)

// binary is the postrider executable that all tests of this package run.
var binary string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "postrider-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if binary, err = lab.Build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

const (
	alice    = "alice@a.test"
	bob      = "bob@a.test"
	password = "correct horse"
)

// newSite starts a server with Alice and Bob; at the end of the test it is
// stopped, and its store checked.
func newSite(t *testing.T, change ...func(*lab.Config)) *lab.Site {
	t.Helper()
	c := lab.Config{
		Binary: binary, Dir: t.TempDir(), Host: "127.0.0.1", Hostname: "mail.a.test", Domain: "a.test",
		Resolver: "127.0.0.1:1", Port: 1,
		Accounts: []lab.Account{{Address: alice, Password: password}, {Address: bob, Password: password}},
	}
	for _, f := range change {
		f(&c)
	}
	s, err := lab.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { endSite(t, s) })
	return s
}

func endSite(t *testing.T, s *lab.Site) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Errorf("%s: %v\n%s", s.Hostname, err, s.LogTail())
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if out, err := s.Run(ctx, "", "check"); err != nil {
		t.Errorf("check: %v\n%s", err, out)
	}
	if t.Failed() {
		t.Logf("log of %s:\n%s", s.Hostname, s.LogTail())
	}
}

// clientTime is how long a client may take. The slowest is Thunderbird, with 10
// seconds on an idle machine.
const clientTime = 4 * time.Minute

// client runs a program that must be there, and returns what it printed.
func client(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	out, err := tryClient(t, stdin, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func tryClient(t *testing.T, stdin, name string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v: run scripts/install-test-tools", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), clientTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "LC_ALL=C.UTF-8", "TERM=dumb")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// file writes a client's configuration file, readable by its owner alone as
// most clients demand.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// split returns the host and port of one of a site's listeners.
func split(s *lab.Site, listener string) (host, port string) {
	host, port, _ = strings.Cut(s.Addr[listener], ":")
	return host, port
}

// message is a message of Alice's as a user agent makes it, CRLF line ends,
// with what trips programs up: a line that starts with a dot, a line "From ",
// UTF-8, and white space at line ends.
func message(subject string) string {
	return strings.ReplaceAll(`From: Alice <alice@a.test>
To: Bob <bob@a.test>
Subject: `+subject+`
Date: Mon, 23 Nov 2026 09:00:00 +0000
Message-ID: <`+strings.ReplaceAll(subject, " ", ".")+`@a.test>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Hello Bob,
.a line that starts with a dot
..and one with two
From here on: grüße, trailing space 
.

Alice
`, "\n", "\r\n")
}

// inbox returns Bob's messages as curl reads them by POP3.
func inbox(t *testing.T, s *lab.Site, user string) []string {
	t.Helper()
	list := client(t, "", "curl", "-sS", "pop3://"+s.Addr["pop3"]+"/", "-u", user+":"+password)
	var all []string
	for _, line := range strings.Split(strings.TrimSpace(list), "\n") {
		n, _, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			continue
		}
		all = append(all, client(t, "", "curl", "-sS", "pop3://"+s.Addr["pop3"]+"/"+n, "-u", user+":"+password))
	}
	return all
}

// oneMessage checks that user has exactly one message, which ends in want,
// and that what stands before it is header fields of ours.
func oneMessage(t *testing.T, s *lab.Site, user, want string) {
	t.Helper()
	all := inbox(t, s, user)
	if len(all) != 1 {
		t.Fatalf("%s has %d messages, want 1", user, len(all))
	}
	isOurs(t, all[0], want)
}

func isOurs(t *testing.T, got, want string) {
	t.Helper()
	prefix, ok := strings.CutSuffix(got, want)
	if !ok {
		t.Fatalf("the message was changed on its way:\n%q\nwant it to end in\n%q", got, want)
	}
	for _, line := range strings.Split(strings.TrimSuffix(prefix, "\r\n"), "\r\n") {
		known := strings.HasPrefix(line, "Return-Path: ") || strings.HasPrefix(line, "Received: ") || strings.HasPrefix(line, "DKIM-Signature: ") ||
			strings.HasPrefix(line, "\t") || strings.HasPrefix(line, " ")
		if !known {
			t.Fatalf("%q stands before the message", line)
		}
	}
}
