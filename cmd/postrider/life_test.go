package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/internal/lab"
)

// child is a running command that is not a whole site.
type child struct {
	*exec.Cmd
	out  *bufio.Reader
	done bool
}

// start runs a command until the test ends it.
func start(t *testing.T, cmd *exec.Cmd) *child {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{Cmd: cmd, out: bufio.NewReader(out)}
	t.Cleanup(func() { c.stop(t) })
	return c
}

// stop asks the command to end, which it must do without an error.
func (c *child) stop(t *testing.T) {
	t.Helper()
	if c.done {
		return
	}
	c.done = true
	c.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(patience, func() { c.Process.Kill() })
	defer late.Stop()
	if err := c.Wait(); err != nil {
		t.Errorf("%v ended with %v", c.Args, err)
	}
}

// until reads the command's output up to a line that contains text.
func (c *child) until(t *testing.T, text string) string {
	t.Helper()
	var all strings.Builder
	for {
		line, err := c.out.ReadString('\n')
		all.WriteString(line)
		if strings.Contains(line, text) {
			return all.String()
		}
		if err != nil {
			t.Fatalf("%v in\n%s\nwaiting for %q", err, &all, text)
		}
	}
}

// loopback returns one of this machine's sixteen million addresses, for what
// has fixed ports.
func loopback(t *testing.T) string {
	t.Helper()
	for {
		host := fmt.Sprintf("127.%d.%d.%d", rand.IntN(256), rand.IntN(256), 1+rand.IntN(254))
		if l, err := net.Listen("tcp", host+":"+devSMTP); err == nil {
			l.Close()
			return host
		}
	}
}

// dev takes any address and any password, relays nothing, and leaves nothing
// behind.
func TestDev(t *testing.T) {
	t.Parallel()
	host := loopback(t)
	c := start(t, exec.Command(binary, "dev", "--listen", host, "--domain", "example.test"))
	greeting := c.until(t, "Ctrl-C")
	for _, want := range []string{"SMTP        " + host + ":1025", "submission  " + host + ":1587", "POP3        " + host + ":1110", "IMAP        " + host + ":1143"} {
		if !strings.Contains(greeting, want) {
			t.Errorf("no %q in\n%s", want, greeting)
		}
	}
	_, dir, _ := strings.Cut(greeting, "Mail is kept in ")
	dir, _, _ = strings.Cut(dir, " ")
	if _, err := os.Stat(filepath.Join(dir, "mail.db")); err != nil {
		t.Fatal(err)
	}
	submit(t, host+":1025", "anybody@anywhere.test", "hello")
	smtp := open(t, host+":1587")
	smtp.say("", "220")
	smtp.say("EHLO test", "250")
	smtp.say("AUTH PLAIN AHNvbWVib2R5QGZvby50ZXN0AHNlY3JldA==", "235") // somebody@foo.test
	smtp.say("MAIL FROM:<somebody@foo.test>", "250")
	smtp.say("RCPT TO:<else@where.test>", "250")
	smtp.say("DATA", "354")
	smtp.say("hello\r\n.", "250")
	for user, want := range map[string]int{"anybody@anywhere.test": 1, "else@where.test": 1, "somebody@foo.test": 0, "first@login.test": 0} {
		if n := messages(t, host+":1110", user); n != want {
			t.Errorf("%s has %d messages", user, n)
		}
	}
	imap := open(t, host+":1143")
	imap.say("", "* OK")
	imap.say("a LOGIN anybody@anywhere.test whatever", "a OK")
	if got := postrider(t, "", "queue", "list", "--data", dir); !strings.Contains(got.stdout, "empty") {
		t.Errorf("the queue: %q, %q", got.stdout, got.stderr)
	}
	if got := postrider(t, "", "health", "--data", dir, "-v"); got.stdout != "imap, pop3, smtp, submission: all answer\n" {
		t.Errorf("health: %q, %q", got.stdout, got.stderr)
	}
	if got := postrider(t, "", "dev", "--listen", host); got.status != exitFailure || !strings.Contains(got.stderr, "another program has this port") {
		t.Errorf("a second one: %d, %q", got.status, got.stderr)
	}
	c.stop(t)
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("%s is left", dir)
	}
}

// With --data, what was received is there the next time.
func TestDevKeepsData(t *testing.T) {
	t.Parallel()
	host := loopback(t)
	dir := filepath.Join(t.TempDir(), "kept")
	for i := range 2 {
		c := start(t, exec.Command(binary, "dev", "--listen", host, "--data", dir))
		c.until(t, "Ctrl-C")
		submit(t, host+":1025", "bob@localhost", "hello")
		if n := messages(t, host+":1110", "bob@localhost"); n != i+1 {
			t.Errorf("%d messages", n)
		}
		c.stop(t)
	}
	if got := postrider(t, "", "check", "--data", dir); got.status != exitOK {
		t.Errorf("check: %q, %q", got.stdout, got.stderr)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	c := siteConfig(t)
	s := startSite(t, c)
	got := postrider(t, "", "health", "-v", "--config", c.ConfigFile())
	if got.stdout != "imap, imap-tls, lmtp, pop3, pop3-tls, smtp, submission, submission-tls: all answer\n" {
		t.Errorf("status %d, %q, %q", got.status, got.stdout, got.stderr)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	got = postrider(t, "", "health", "--config", c.ConfigFile())
	if got.status != exitFailure || !strings.Contains(got.stderr, "is the server running?") || strings.Contains(got.stderr, "#1") || strings.Count(got.stderr, "\n") != 1 {
		t.Errorf("no server: status %d, %q", got.status, got.stderr)
	}
	// Something listens and is not what it should be.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "421 busy\r\n")
			c.Close()
		}
	}()
	err = checkListener("smtp#2", l.Addr().String())
	if err == nil || !strings.Contains(err.Error(), `it greets with "421 busy"`) {
		t.Errorf("a stranger: %v", err)
	}
}

func TestDNSCommand(t *testing.T) {
	t.Parallel()
	zone := filepath.Join(t.TempDir(), "zone")
	if err := os.WriteFile(zone, []byte("$ORIGIN a.test.\n$TTL 60\n@ IN SOA ns root 1 1 1 1 1\n@ IN NS ns\nns IN A 127.0.0.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := start(t, exec.Command(binary, "dns", "--zone", zone, "--listen", "127.0.0.1:0"))
	addr := strings.TrimSpace(strings.TrimPrefix(c.until(t, "DNS answers on "), "DNS answers on "))
	r := &net.Resolver{PreferGo: true, Dial: (&redirect{addr}).dial}
	got, err := r.LookupHost(t.Context(), "ns.a.test.")
	if err != nil || len(got) != 1 || got[0] != "127.0.0.1" {
		t.Errorf("%v, %v", got, err)
	}
	c.stop(t)
	if got := postrider(t, "", "dns", "--zone", "/nowhere"); got.status != exitFailure || !strings.Contains(got.stderr, "/nowhere") {
		t.Errorf("%d, %q", got.status, got.stderr)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	if got := postrider(t, "", "version"); !strings.HasPrefix(got.stdout, "postrider ") || got.status != exitOK {
		t.Errorf("%+v", got)
	}
}

// Every command tells what it does.
func TestHelp(t *testing.T) {
	t.Parallel()
	var walk func(words []string, table []command)
	walk = func(words []string, table []command) {
		for _, cmd := range table {
			args := append(words[:len(words):len(words)], cmd.name)
			if cmd.sub != nil {
				walk(args, cmd.sub)
			}
			got := postrider(t, "", append(args, "--help")...)
			if got.status != exitOK || got.stderr != "" || !strings.HasPrefix(got.stdout, "usage: postrider "+strings.Join(args, " ")) {
				t.Errorf("%v --help: %+v", args, got)
			}
			if cmd.sub != nil {
				continue
			}
			if text, _, _ := strings.Cut(got.stdout, "\n\nFlags:"); strings.Contains(text, "\n ") {
				t.Errorf("%v --help has a line that begins with a space: %s", args, text)
			}
			if strings.Contains(got.stdout, "--config") == strings.Contains(cmd.hidden, "config") {
				t.Errorf("%v --help: a configuration, or none: %s", args, got.stdout)
			}
		}
	}
	walk(nil, commands())
	if got := postrider(t, "", "--help"); got.status != exitOK || !strings.Contains(got.stdout, "sendmail") {
		t.Errorf("--help: %+v", got)
	}
}

// Called by the name of sendmail it is sendmail.
func TestSendmailByName(t *testing.T) {
	t.Parallel()
	c := siteConfig(t)
	s := startSite(t, c)
	link := filepath.Join(t.TempDir(), "sendmail")
	if err := os.Symlink(binary, link); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(link, "-oi", "-t")
	cmd.Env = append(os.Environ(), "POSTRIDER_CONFIG="+c.ConfigFile())
	cmd.Stdin = strings.NewReader("To: alice@a.test\nBcc: alice+x@a.test\nSubject: x\n\nhello\n.\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	pop := open(t, s.Addr["pop3"])
	pop.say("", "+OK")
	pop.say("USER alice@a.test", "+OK")
	pop.say("PASS "+password, "+OK")
	pop.say("RETR 1", "+OK")
	var text strings.Builder
	for {
		line, err := pop.r.ReadString('\n')
		if err != nil || line == ".\r\n" {
			break
		}
		text.WriteString(line)
	}
	got := text.String()
	if !strings.HasSuffix(got, "\r\nhello\r\n..\r\n") || strings.Contains(got, "Bcc") || !strings.Contains(got, "\r\nMessage-ID: ") ||
		!strings.Contains(got, "\r\nDate: ") || !strings.Contains(got, "\r\nFrom: ") {
		t.Errorf("%q", got)
	}
}

// systemd passes a socket and is told when the server is ready.
func TestSystemd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer notify.Close()
	var log bytes.Buffer
	// The shell has the process id that the server will have.
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" serve`, binary)
	cmd.ExtraFiles = []*os.File{f}
	cmd.Stderr = &log
	cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES=smtp", "NOTIFY_SOCKET="+filepath.Join(dir, "notify"),
		"POSTRIDER_DATA_DIR="+filepath.Join(dir, "data"), "POSTRIDER_DOMAINS=a.test", "POSTRIDER_ACCOUNTS=alice@a.test:"+password,
		"POSTRIDER_SMTP_LISTEN=:25", "POSTRIDER_SUBMISSION_LISTEN=", "POSTRIDER_SUBMISSION_LISTEN_TLS=",
		"POSTRIDER_POP3_LISTEN=127.0.0.1:0", "POSTRIDER_POP3_LISTEN_TLS=", "POSTRIDER_IMAP_LISTEN=", "POSTRIDER_IMAP_LISTEN_TLS=")
	c := start(t, cmd)
	state := func() string {
		b := make([]byte, 100)
		notify.SetReadDeadline(time.Now().Add(patience))
		n, err := notify.Read(b)
		if err != nil {
			t.Fatalf("%v\n%s", err, &log)
		}
		return string(b[:n])
	}
	if got := state(); got != "READY=1" {
		t.Fatal(got)
	}
	var addrs map[string]string
	text, err := os.ReadFile(filepath.Join(dir, "data", "run", "listeners.json"))
	if err != nil || json.Unmarshal(text, &addrs) != nil || addrs["smtp"] != l.Addr().String() || len(addrs) != 2 {
		t.Fatalf("listeners %s, %v", text, err)
	}
	submit(t, addrs["smtp"], "alice@a.test", "hello")
	if n := messages(t, addrs["pop3"], "alice@a.test"); n != 1 {
		t.Errorf("%d messages", n)
	}
	c.stop(t)
	if got := state(); got != "STOPPING=1" {
		t.Error(got)
	}
}

// A unix socket for LMTP is there while the server is.
func TestLMTPSocket(t *testing.T) {
	t.Parallel()
	c := siteConfig(t)
	path := filepath.Join(c.Dir, "sockets", "lmtp.sock")
	cmd := exec.Command(binary, "serve")
	cmd.Env = append(os.Environ(), "POSTRIDER_DATA_DIR="+c.DataDir(), "POSTRIDER_DOMAINS=a.test", "POSTRIDER_LMTP_LISTEN=unix:"+path,
		"POSTRIDER_SMTP_LISTEN=", "POSTRIDER_SUBMISSION_LISTEN=", "POSTRIDER_SUBMISSION_LISTEN_TLS=", "POSTRIDER_POP3_LISTEN=",
		"POSTRIDER_POP3_LISTEN_TLS=", "POSTRIDER_IMAP_LISTEN=", "POSTRIDER_IMAP_LISTEN_TLS=")
	for range 2 { // the second time over the file that kill -9 leaves
		run := start(t, cmd)
		waitFor(t, "the socket", func() bool {
			c, err := net.Dial("unix", path)
			if err == nil {
				c.Close()
			}
			return err == nil
		})
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		run.done = true
		run.Process.Kill()
		run.Wait()
		cmd = exec.Command(binary, "serve")
		cmd.Env = run.Env
	}
}

// A socket that cannot be made is not taken for a port.
func TestSocketPathHint(t *testing.T) {
	t.Parallel()
	c := DefaultConfig()
	c.SMTP.Listen, c.Submission, c.POP3, c.IMAP = nil, Listen{}, Listen{}, Listen{}
	c.LMTP.Listen = []string{"unix:/proc/self/nowhere/lmtp.sock"}
	if _, err := bind(c); err == nil || !strings.Contains(err.Error(), "choose a path") || strings.Contains(err.Error(), "port") {
		t.Errorf("got %v", err)
	}
}

// Connections never take the files that the store and the commands need: with
// few to have, the rest is told to come back.
func TestFloodLeavesFiles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	cmd := exec.Command("/bin/sh", "-c", `ulimit -n 200; exec "$0" serve`, binary)
	cmd.Env = append(os.Environ(), "POSTRIDER_DATA_DIR="+dir, "POSTRIDER_DOMAINS=a.test", "POSTRIDER_ACCOUNTS=alice@a.test:"+password,
		"POSTRIDER_LIMITS_CONNECTIONS_PER_IP=0", "POSTRIDER_SMTP_LISTEN=127.0.0.1:0",
		"POSTRIDER_SUBMISSION_LISTEN=", "POSTRIDER_SUBMISSION_LISTEN_TLS=", "POSTRIDER_POP3_LISTEN=",
		"POSTRIDER_POP3_LISTEN_TLS=", "POSTRIDER_IMAP_LISTEN=", "POSTRIDER_IMAP_LISTEN_TLS=")
	start(t, cmd)
	var addrs map[string]string
	waitFor(t, "the server", func() bool {
		text, err := os.ReadFile(listenersPath(dir))
		return err == nil && json.Unmarshal(text, &addrs) == nil
	})
	refused := 0
	for range 250 {
		s := open(t, addrs["smtp"])
		if line := s.say("", ""); strings.HasPrefix(line, "421") {
			refused++
		}
	}
	if want := 250 - (200-64)*3/4; refused != want {
		t.Errorf("%d of 250 connections were refused, want %d", refused, want)
	}
	if got := postrider(t, "Subject: x\n\nhello\n", "sendmail", "alice@a.test", "--data", dir); got.status != exitOK {
		t.Errorf("sendmail in the flood: %q", got.stderr)
	}
}

// A server that has nothing to do keeps no garbage, such as that of hashing the
// passwords of its first accounts, 19 MiB each.
func TestIdleIsSmall(t *testing.T) {
	t.Parallel()
	c := siteConfig(t)
	for i := range 5 {
		c.Accounts = append(c.Accounts, lab.Account{Address: fmt.Sprintf("user%d@a.test", i), Password: password})
	}
	s := startSite(t, c)
	resident := 0
	waitFor(t, "the garbage to be given back", func() bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID()))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, found := strings.Cut(string(text), "RssAnon:")
		if _, err := fmt.Sscan(rest, &resident); !found || err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		return resident < 30<<10
	})
	t.Logf("%d KiB of memory of its own", resident)
}
