// Package lab runs complete Postrider servers as child processes on loopback
// ports of the system's choosing, for the demo and for the tests that need
// whole servers: each site has its own configuration, data directory and
// control socket, and knows of the others only what DNS and SMTP tell it.
package lab

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// startTime bounds how long a site may take until all its listeners are open.
const startTime = 30 * time.Second

// Account is a mailbox that a site has from its start.
type Account struct{ Address, Password string }

// Config is what a site is started with.
type Config struct {
	Binary   string // the postrider executable
	Dir      string // configuration and data go here
	Host     string // loopback address to listen on
	Hostname string // announced name, such as mail.a.test
	Domain   string
	SMTPPort int    // 0: the system chooses
	Resolver string // DNS server for outgoing mail, host:port
	Port     int    // remote port for outgoing mail, in place of 25
	Accounts []Account
	Extra    string            // more TOML, tables only
	Log      func(line []byte) // called for each line of the server's log; may be nil
}

// Site is one running server.
type Site struct {
	Config
	// Addresses by listener name as the server wrote them: smtp, submission,
	// submission-tls, pop3, pop3-tls, imap, imap-tls, lmtp.
	Addr map[string]string

	cmd  *exec.Cmd
	done chan error
	mu   sync.Mutex
	tail bytes.Buffer // the log's last lines, for error messages
}

// ConfigFile is where the site's configuration is.
func (c Config) ConfigFile() string { return filepath.Join(c.Dir, "postrider.toml") }

// DataDir is the site's data directory.
func (c Config) DataDir() string { return filepath.Join(c.Dir, "data") }

// Ports that FreePort chooses from: above the well-known ones, and below those
// that systems give to whoever asks for any (RFC 6335 §6; Linux begins at
// 32768), so that nobody gets one by chance while it is not yet used.
const lowPort, highPort = 20000, 32000

// FreePort finds a TCP port that is free on host. A site that others must
// know before it runs needs one.
func FreePort(host string) (int, error) {
	const tries = 100
	var err error
	for range tries {
		port := lowPort + rand.IntN(highPort-lowPort)
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port))); err == nil {
			return port, l.Close()
		}
	}
	return 0, err
}

func (c Config) write() error {
	var b strings.Builder
	anyPort := fmt.Sprintf("[%q]", net.JoinHostPort(c.Host, "0"))
	fmt.Fprintf(&b, "hostname = %q\ndata_dir = %q\ndomains = [%q]\n", c.Hostname, c.DataDir(), c.Domain)
	fmt.Fprintf(&b, "[smtp]\nlisten = [%q]\n", net.JoinHostPort(c.Host, fmt.Sprint(c.SMTPPort)))
	for _, daemon := range []string{"submission", "pop3", "imap"} {
		fmt.Fprintf(&b, "[%s]\nlisten = %s\nlisten_tls = %s\n", daemon, anyPort, anyPort)
	}
	fmt.Fprintf(&b, "[lmtp]\nlisten = %s\n", anyPort)
	fmt.Fprintf(&b, "[queue]\nresolver = %q\nport = %d\nretry = [\"1s\"]\n", c.Resolver, c.Port)
	for _, a := range c.Accounts {
		fmt.Fprintf(&b, "[[account]]\naddress = %q\npassword = %q\n", a.Address, a.Password)
	}
	b.WriteString(c.Extra)
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(c.ConfigFile(), []byte(b.String()), 0o600)
}

// Start writes the configuration, starts the server and waits until it
// listens everywhere.
func Start(ctx context.Context, c Config) (*Site, error) {
	if err := c.write(); err != nil {
		return nil, err
	}
	s := &Site{Config: c, done: make(chan error, 1)}
	os.Remove(s.listenersFile())
	s.cmd = exec.Command(c.Binary, "serve", "--config", c.ConfigFile())
	// The server must not outlive whoever started it, however that ends.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	out, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	s.cmd.Stdout, s.cmd.Stderr = w, w
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	w.Close()
	logged := make(chan struct{})
	go func() { s.readLog(out); close(logged) }()
	go func() { <-logged; s.done <- s.cmd.Wait() }()
	if err := s.wait(ctx); err != nil {
		s.Kill()
		return nil, fmt.Errorf("%s does not start: %w\n%s", c.Hostname, err, s.LogTail())
	}
	return s, nil
}

func (s *Site) readLog(r io.ReadCloser) {
	defer r.Close()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		s.mu.Lock()
		if s.tail.Len() > 64<<10 {
			s.tail.Reset()
		}
		s.tail.Write(lines.Bytes())
		s.tail.WriteByte('\n')
		s.mu.Unlock()
		if s.Log != nil {
			s.Log(lines.Bytes())
		}
	}
	io.Copy(io.Discard, r)
}

// LogTail returns the last lines that the server logged.
func (s *Site) LogTail() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tail.String()
}

func (s *Site) listenersFile() string { return filepath.Join(s.DataDir(), "run", "listeners.json") }

// wait returns when the server has written the addresses that it listens on.
func (s *Site) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		if b, err := os.ReadFile(s.listenersFile()); err == nil && json.Unmarshal(b, &s.Addr) == nil && len(s.Addr) > 0 {
			return nil
		}
		select {
		case err := <-s.done:
			s.done <- err
			return fmt.Errorf("it ended: %v", err)
		case <-ctx.Done():
			return errors.New("no listeners in time")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// PID is the server's process, as long as it runs.
func (s *Site) PID() int { return s.cmd.Process.Pid }

// Kill ends the server as a crash does, without warning.
func (s *Site) Kill() {
	s.cmd.Process.Kill()
	err := <-s.done
	s.done <- err
}

// Stop asks the server to drain and waits until it has ended.
func (s *Site) Stop() error {
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-s.done:
		s.done <- err
		return err
	case <-time.After(startTime):
		s.Kill()
		return fmt.Errorf("%s did not stop in %s", s.Hostname, startTime)
	}
}

// Run runs a postrider command against this site and returns what it printed.
func (s *Site) Run(ctx context.Context, stdin string, args ...string) (string, error) {
	args = append([]string{args[0], "--config", s.ConfigFile()}, args[1:]...)
	cmd := exec.CommandContext(ctx, s.Binary, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var errOut strings.Builder
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("postrider %s: %w: %s", strings.Join(args, " "), err, errOut.String())
	}
	return string(out), nil
}
