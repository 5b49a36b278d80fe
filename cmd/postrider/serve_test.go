package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postrider/internal/lab"
)

// holder reads who has a site's data directory.
func holder(t *testing.T, c lab.Config) lockHolder {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(c.DataDir(), "lock"))
	if err != nil {
		t.Fatal(err)
	}
	var h lockHolder
	if err := json.Unmarshal(text, &h); err != nil {
		t.Fatal(err)
	}
	return h
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain for " + what)
		}
	}
}

func TestSecondServerIsRefused(t *testing.T) {
	t.Parallel()
	c := siteConfig(t)
	s := startSite(t, c)
	got := postrider(t, "", "serve", "--config", c.ConfigFile())
	host, _ := os.Hostname()
	want := fmt.Sprintf("process %d on %s", holder(t, c).PID, host)
	if got.status != exitFailure || !strings.Contains(got.stderr, want) || strings.Count(got.stderr, "\n") != 1 {
		t.Errorf("status %d, %q, want %q", got.status, got.stderr, want)
	}
	submit(t, s.Addr["smtp"], "alice@a.test", "the first goes on")
	if n := messages(t, s.Addr["pop3"], "alice@a.test"); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// tree is the hash of every file in dir but the lock, which names who tried.
func tree(t *testing.T, dir string) map[string][32]byte {
	t.Helper()
	files := map[string][32]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() == "lock" {
			return err
		}
		data, err := os.ReadFile(path)
		files[path] = sha256.Sum256(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// A store that this program cannot have written is refused as it is.
func TestBadStoreIsLeftAlone(t *testing.T) {
	for name, damage := range map[string]func(db []byte) []byte{
		"newer": func(db []byte) []byte { // user_version, in the header of the file
			copy(db[60:64], []byte{0, 0, 0x7f, 0})
			return db
		},
		"no database": func(db []byte) []byte { return bytes.Repeat([]byte("mail"), len(db)/4) },
		"cut off":     func(db []byte) []byte { return db[:len(db)/2] },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := siteConfig(t)
			s, err := lab.Start(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			submit(t, s.Addr["smtp"], "alice@a.test", "hello")
			if err := s.Stop(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(c.DataDir(), "mail.db")
			db, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path, damage(db), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			before := tree(t, c.DataDir())
			for _, args := range [][]string{{"serve"}, {"account", "list"}, {"check"}} {
				got := postrider(t, "", append(args, "--config", c.ConfigFile())...)
				if got.status != exitFailure || !strings.Contains(got.stderr, c.DataDir()) || strings.Count(got.stderr, "\n") != 1 {
					t.Errorf("%v: status %d, %q, %q", args, got.status, got.stdout, got.stderr)
				}
			}
			if after := tree(t, c.DataDir()); !mapsEqual(before, after) {
				t.Errorf("files were changed: before %d, after %d", len(before), len(after))
			}
		})
	}
}

func mapsEqual(a, b map[string][32]byte) bool {
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return len(a) == len(b)
}

// SIGTERM lets a message that is on its way in come in, says goodbye and
// takes nobody new.
func TestDrain(t *testing.T) {
	t.Parallel()
	c := siteConfig(t)
	s, err := lab.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	busy, idle := open(t, s.Addr["smtp"]), open(t, s.Addr["imap"])
	idle.say("", "* OK")
	busy.say("", "220")
	busy.say("EHLO test", "250")
	busy.say("MAIL FROM:<x@b.test>", "250")
	busy.say("RCPT TO:<alice@a.test>", "250")
	busy.say("DATA", "354")
	fmt.Fprint(busy, "Subject: half\r\n\r\nfirst half\r\n")
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop() }()
	idle.say("", "* BYE")
	waitFor(t, "the listener's end", func() bool {
		c, err := net.Dial("tcp", s.Addr["smtp"])
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	busy.say("second half\r\n.", "250")
	busy.say("", "421")
	if err := <-stopped; err != nil {
		t.Fatalf("the server ended with %v\n%s", err, s.LogTail())
	}
	for _, gone := range []string{listenersPath(c.DataDir()), controlPath(c.DataDir())} {
		if _, err := os.Lstat(gone); err == nil {
			t.Errorf("%s is left", gone)
		}
	}
	again := startSite(t, c)
	if n := messages(t, again.Addr["pop3"], "alice@a.test"); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// What was acknowledged is there after kill -9, and nothing stands in the way
// of starting again.
func TestKillAndRestart(t *testing.T) {
	t.Parallel()
	c := siteConfig(t)
	s, err := lab.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		submit(t, s.Addr["smtp"], "alice@a.test", strconv.Itoa(i))
	}
	s.Kill()
	if got := postrider(t, "", "account", "list", "--config", c.ConfigFile()); got.status != exitOK {
		t.Errorf("a command over the dead server's socket: %q", got.stderr)
	}
	again := startSite(t, c)
	if n := messages(t, again.Addr["pop3"], "alice@a.test"); n != 5 {
		t.Errorf("%d messages", n)
	}
}

// logOf collects a site's log.
type logOf struct {
	mu    sync.Mutex
	lines []string
}

func (l *logOf) add(line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(line))
}

func (l *logOf) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.lines, func(s string) bool { return strings.Contains(s, text) })
}

// No password is in an argument, a log or a file, however it was used.
func TestPasswordsGoNowhere(t *testing.T) {
	t.Parallel()
	const canary = "canary-2c94-ü"
	encoded := base64.StdEncoding.EncodeToString([]byte("\x00alice@a.test\x00" + canary))
	single := base64.StdEncoding.EncodeToString([]byte(canary))
	c := siteConfig(t)
	var log logOf
	c.Log = log.add
	c.Extra = "[log]\nlevel = \"trace\"\n"
	s := startSite(t, c)
	if got := postrider(t, canary+"\n", "account", "passwd", "alice@a.test", "--config", c.ConfigFile()); got.status != exitOK {
		t.Fatal(got.stderr)
	}
	for _, secret := range []string{encoded, base64.StdEncoding.EncodeToString([]byte("\x00alice@a.test\x00" + canary + "x"))} {
		smtp := open(t, s.Addr["submission"])
		smtp.say("", "220")
		smtp.say("EHLO test", "250")
		smtp.say("AUTH PLAIN "+secret, map[bool]string{true: "235", false: "535"}[secret == encoded])
	}
	pop := open(t, s.Addr["pop3"])
	pop.say("", "+OK")
	pop.say("AUTH LOGIN", "+ ")
	pop.say(base64.StdEncoding.EncodeToString([]byte("alice@a.test")), "+ ")
	pop.say(single, "+OK")
	pop.say("QUIT", "+OK")
	imap := open(t, s.Addr["imap"])
	imap.say("", "* OK")
	imap.say(fmt.Sprintf("a LOGIN alice@a.test {%d+}\r\n%s", len(canary), canary), "a OK")
	imap.say("b LOGIN "+canary+" "+canary, "b ") // typed into the wrong field
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", holder(t, c).PID))
	if err != nil || bytes.Contains(cmdline, []byte("canary")) {
		t.Errorf("the server's arguments: %q, %v", cmdline, err)
	}
	waitFor(t, "the log of the logins", func() bool { return log.has(`"proto":"imap"`) && log.has("login-failed") })
	for _, secret := range []string{canary, encoded, single} {
		if log.has(secret) {
			t.Errorf("%q is in the log", secret)
		}
		for path := range tree(t, c.DataDir()) {
			if data, err := os.ReadFile(path); err != nil || bytes.Contains(data, []byte(secret)) {
				t.Errorf("%q is in %s (%v)", secret, path, err)
			}
		}
	}
}

// SIGHUP takes over what can be, and a mistake changes nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	c := siteConfig(t)
	var log logOf
	c.Log = log.add
	s := startSite(t, c)
	pid := holder(t, c).PID
	before := serial(t, s.Addr["imap-tls"])

	certPEM, keyPEM, err := makeCertificate("mail.a.test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, key := filepath.Join(c.Dir, "new.crt"), filepath.Join(c.Dir, "new.key")
	config, err := os.ReadFile(c.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	write := func(path string, data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(cert, certPEM)
	write(key, keyPEM)
	write(c.ConfigFile(), append(config, []byte("\n[nonsense]\n")...))
	syscall.Kill(pid, syscall.SIGHUP)
	waitFor(t, "the complaint", func() bool { return log.has("there is no section [nonsense]") })

	text := fmt.Sprintf("%s\n[[account]]\naddress = \"new@a.test\"\npassword = %q\n[tls]\ncertificate = %q\nkey = %q\n[limits]\nrecipients = 107\n", config, password, cert, key)
	write(c.ConfigFile(), []byte(text))
	syscall.Kill(pid, syscall.SIGHUP)
	waitFor(t, "the reload", func() bool { return log.has(`"msg":"reloaded"`) })
	if after := serial(t, s.Addr["imap-tls"]); after == before {
		t.Error("the certificate is the old one")
	}
	if !log.has(`["limits.recipients"]`) {
		t.Error("no word of the key that waits for a restart")
	}
	if n := messages(t, s.Addr["pop3"], "new@a.test"); n != 0 {
		t.Errorf("%d messages", n)
	}
}

// serial is the number of the certificate that a TLS listener shows.
func serial(t *testing.T, addr string) string {
	t.Helper()
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"imap"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// A browser that was sent to a mail port does not get through the handshake.
func TestOtherProtocolsEndInHandshake(t *testing.T) {
	t.Parallel()
	s := startSite(t, siteConfig(t))
	for _, name := range []string{"imap-tls", "pop3-tls", "submission-tls"} {
		c, err := tls.Dial("tcp", s.Addr[name], &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
		if err == nil {
			c.Close()
			t.Errorf("%s shakes hands with a browser", name)
		}
	}
}

// Modes: the data directory and all in it are for the server alone.
func TestModes(t *testing.T) {
	t.Parallel()
	c := siteConfig(t)
	startSite(t, c)
	filepath.WalkDir(c.DataDir(), func(path string, d fs.DirEntry, err error) error {
		if info, err := os.Lstat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	})
	key, err := os.Stat(filepath.Join(c.DataDir(), "tls", "self-signed.key"))
	if err != nil || key.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v", key, err)
	}
}

// A data directory so deep that no socket's path would fit.
func TestDeepDirectory(t *testing.T) {
	t.Parallel()
	c := siteConfig(t)
	c.Dir = filepath.Join(c.Dir, strings.Repeat("deep/", 30))
	s := startSite(t, c)
	submit(t, s.Addr["smtp"], "alice@a.test", "hello")
	got := postrider(t, "", "account", "list", "--config", c.ConfigFile())
	if !strings.Contains(got.stdout, "alice@a.test  1") {
		t.Errorf("%q, %q", got.stdout, got.stderr)
	}
}

// With a configured user root is given up, by the server and by commands; who
// is not root cannot become another and says so.
func TestPrivilegeDrop(t *testing.T) {
	const uid = "64321"
	t.Setenv("POSTRIDER_USER", uid)
	c := siteConfig(t)
	if os.Getuid() != 0 {
		t.Setenv("POSTRIDER_DATA_DIR", c.DataDir())
		got := postrider(t, "", "serve")
		if got.status != exitFailure || !strings.Contains(got.stderr, "only root can become the user") {
			t.Errorf("status %d, %q", got.status, got.stderr)
		}
		return
	}
	if err := os.Chmod(filepath.Dir(c.Dir), 0o711); err != nil {
		t.Fatal(err)
	}
	s := startSite(t, c)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", holder(t, c).PID))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Uid:\t64321\t64321\t64321\t64321\n", "Gid:\t64321\t64321\t64321\t64321\n", "Groups:\t64321 \n", "CapEff:\t0000000000000000\n"} {
		if !bytes.Contains(status, []byte(want)) {
			t.Errorf("%q is not in\n%s", want, status)
		}
	}
	submit(t, s.Addr["smtp"], "alice@a.test", "hello")
	// A command of root's works, with the server and without, and leaves
	// nothing behind that the server cannot use.
	for range 2 {
		if got := postrider(t, "", "account", "list", "--config", c.ConfigFile()); !strings.Contains(got.stdout, "alice@a.test  1") {
			t.Errorf("%q, %q", got.stdout, got.stderr)
		}
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	for path := range tree(t, c.DataDir()) {
		if owner, _, err := ownerOf(path); err != nil || strconv.Itoa(owner) != uid {
			t.Errorf("%s belongs to %d, %v", path, owner, err)
		}
	}
	again := startSite(t, c)
	if n := messages(t, again.Addr["pop3"], "alice@a.test"); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// A body that changed on the disk is found, and the status says so.
func TestCheckFinds(t *testing.T) {
	t.Parallel()
	const text = "this is what Alice wrote"
	c := siteConfig(t)
	s, err := lab.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	submit(t, s.Addr["smtp"], "alice@a.test", text)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	changed := 0
	for path := range tree(t, c.DataDir()) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte(text)) {
			changed++
			if err := os.WriteFile(path, bytes.ReplaceAll(data, []byte("Alice"), []byte("Mallo")), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if changed == 0 {
		t.Fatal("no file holds the text")
	}
	if got := postrider(t, "", "check", "--config", c.ConfigFile()); got.status != exitFailure || !strings.Contains(got.stdout, "finding") || got.stderr != "" {
		t.Errorf("%+v", got)
	}
	got := postrider(t, "", "check", "--json", "--config", c.ConfigFile())
	var res checkResult
	if err := json.Unmarshal([]byte(got.stdout), &res); err != nil || res.OK || len(res.Findings) == 0 || got.status != exitFailure {
		t.Errorf("%v, %+v", err, got)
	}
}

// Where there is no store none is made, and a damaged one is named in the
// operator's words.
func TestCheckMakesNoStore(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"check"}, {"check", "--repair"}} {
		dir := t.TempDir()
		got := postrider(t, "", append(args, "--data", dir)...)
		if left, _ := os.ReadDir(dir); got.status != exitFailure || !strings.Contains(got.stderr, "there is no store in "+dir) || len(left) > 0 {
			t.Errorf("%v: %+v, and leaves %v", args, got, left)
		}
		if err := os.WriteFile(filepath.Join(dir, "mail.db"), make([]byte, 100), 0o600); err != nil {
			t.Fatal(err)
		}
		got = postrider(t, "", append(args, "--data", dir)...)
		if got.status != exitFailure || !strings.Contains(got.stderr, "the store in "+dir) || strings.Contains(got.stderr, "internal") || strings.Contains(got.stderr, "invalid:") {
			t.Errorf("%v of a damaged one: %+v", args, got)
		}
	}
}

// A second signal does not wait for a peer that takes its time.
func TestSecondSignalCutsOff(t *testing.T) {
	t.Parallel()
	c := siteConfig(t)
	c.Extra = "[limits]\ndrain = \"1h\"\n"
	s := startSite(t, c)
	slow := open(t, s.Addr["smtp"])
	slow.say("", "220")
	slow.say("EHLO test", "250")
	slow.say("MAIL FROM:<x@b.test>", "250")
	slow.say("RCPT TO:<alice@a.test>", "250")
	slow.say("DATA", "354")
	pid := holder(t, c).PID
	syscall.Kill(pid, syscall.SIGTERM)
	waitFor(t, "the drain", func() bool { return strings.Contains(s.LogTail(), `"msg":"stopping"`) })
	syscall.Kill(pid, syscall.SIGTERM)
	if line, err := slow.r.ReadString('\n'); err == nil && strings.HasPrefix(line, "250") {
		t.Errorf("half a message was taken: %q", line)
	}
	waitFor(t, "the end", func() bool { return strings.Contains(s.LogTail(), `"msg":"stopped"`) })
}

// TestProfile takes profiles of a running server: gzip's first bytes are what
// `go tool pprof` reads.
func TestProfile(t *testing.T) {
	t.Parallel()
	c := siteConfig(t)
	startSite(t, c)
	if got := postrider(t, "", "profile", "--config", c.ConfigFile(), "--data", t.TempDir()); got.status != exitFailure ||
		!strings.Contains(got.stderr, "no server to profile") {
		t.Errorf("without a server: status %d, %q", got.status, got.stderr)
	}
	for _, args := range [][]string{{"--seconds", "1"}, {"heap"}, {"goroutine"}} {
		got := postrider(t, "", append([]string{"profile", "--config", c.ConfigFile()}, args...)...)
		if got.status != exitOK || !strings.HasPrefix(got.stdout, "\x1f\x8b") {
			t.Errorf("%v: status %d, %d bytes, %q", args, got.status, len(got.stdout), got.stderr)
		}
	}
	for _, args := range [][]string{{"coffee"}, {"cpu", "heap"}, {"--seconds", "0"}} {
		got := postrider(t, "", append([]string{"profile", "--config", c.ConfigFile()}, args...)...)
		if got.status != exitUsage {
			t.Errorf("%v: status %d, %q", args, got.status, got.stderr)
		}
	}
}
