package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"postrider/internal/lab"
)

const (
	patience = 30 * time.Second
	password = "canary-7b1f"
)

// binary is the real program, built once.
var binary string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	flag.Parse()
	if flag.Lookup("test.fuzz").Value.String() != "" {
		return m.Run() // no fuzz target runs the program, and each worker would build it
	}
	dir, err := os.MkdirTemp("", "postrider-cmd-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// Who a test makes the server become must be able to run it.
	os.Chmod(dir, 0o755)
	if binary, err = lab.Build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// result is what a command left.
type result struct {
	stdout, stderr string
	status         int
}

// postrider runs a command to its end.
func postrider(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("postrider %s: %v", strings.Join(args, " "), err)
	}
	return result{out.String(), errOut.String(), cmd.ProcessState.ExitCode()}
}

// siteConfig is a server for a.test, with alice, that sends to nobody.
func siteConfig(t *testing.T) lab.Config {
	return lab.Config{
		Binary: binary, Dir: t.TempDir(), Host: "127.0.0.1", Hostname: "mail.a.test", Domain: "a.test",
		Resolver: "127.0.0.1:1", Port: 1,
		Accounts: []lab.Account{{Address: "alice@a.test", Password: password}},
	}
}

// startSite starts a server; at the end of the test it is stopped, unless it
// ended before, and its store checked.
func startSite(t *testing.T, c lab.Config) *lab.Site {
	t.Helper()
	s, err := lab.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Errorf("the server ended with %v\n%s", err, s.LogTail())
		}
		checkSite(t, c)
	})
	return s
}

// checkSite verifies the store of a server that has ended.
func checkSite(t *testing.T, c lab.Config) {
	t.Helper()
	cmd := exec.Command(binary, "check", "--config", c.ConfigFile())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("check: %v\n%s", err, out)
	}
}

// session is a dialogue with one listener.
type session struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func open(t *testing.T, addr string) *session {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { c.Close() })
	return &session{t, c, bufio.NewReader(c)}
}

// say sends a line, if it is not empty, and returns the last line of the
// answer, which must begin with want.
func (s *session) say(line, want string) string {
	s.t.Helper()
	if line != "" {
		fmt.Fprintf(s, "%s\r\n", line)
	}
	for {
		got, err := s.r.ReadString('\n')
		if err != nil {
			s.t.Fatalf("after %q: %v", line, err)
		}
		if len(got) > 3 && got[3] == '-' {
			continue
		}
		if !strings.HasPrefix(got, want) {
			s.t.Fatalf("after %q: got %q, want %q", line, got, want)
		}
		return strings.TrimSpace(got)
	}
}

// submit hands a message of one line over by SMTP.
func submit(t *testing.T, addr, rcpt, text string) {
	t.Helper()
	s := open(t, addr)
	s.say("", "220")
	s.say("EHLO test", "250")
	s.say("MAIL FROM:<x@b.test>", "250")
	s.say("RCPT TO:<"+rcpt+">", "250")
	s.say("DATA", "354")
	s.say(text+"\r\n.", "250")
	s.say("QUIT", "221")
}

// messages returns how many messages an account has, by POP3.
func messages(t *testing.T, addr, user string) int {
	t.Helper()
	s := open(t, addr)
	s.say("", "+OK")
	s.say("USER "+user, "+OK")
	s.say("PASS "+password, "+OK")
	n, err := strconv.Atoi(strings.Fields(s.say("STAT", "+OK"))[1])
	if err != nil {
		t.Fatal(err)
	}
	s.say("QUIT", "+OK")
	return n
}
