package soak

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/lab"
)

// large is how much goes in and out at once.
type large struct {
	clients int
	size    int64 // of each message, octets
	allowed int64 // resident octets above idle
}

// TestMemory sees that large messages pass through memory in pieces: however
// many at once, in or out, the server's resident set stays within a bound.
func TestMemory(t *testing.T) {
	begin := time.Now()
	l := large{clients: 10, size: 10_000_000, allowed: 120 << 20} // 38 MiB of it are two password hashes
	if full("memory") {
		l = large{clients: 50, size: 50_000_000, allowed: 256 << 20}
	}
	c := siteConfig(t.TempDir())
	for i := range l.clients {
		c.Accounts = append(c.Accounts, lab.Account{Address: largeUser(i), Password: password})
	}
	c.Extra = fmt.Sprintf("[limits]\nmessage_bytes = %d\n", l.size+1000)
	s, err := lab.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	var peaks []string
	idle := memoryOf(t, s, "VmRSS")
	for range 40 { // what the start leaves is given back
		time.Sleep(50 * time.Millisecond)
		idle = min(idle, memoryOf(t, s, "VmRSS"))
	}
	for _, phase := range []struct {
		name string
		do   func(i int) error
	}{
		{"DATA", func(i int) error { return l.smtp(s, i) }},
		{"APPEND", func(i int) error { return l.append(s, i) }},
		{"FETCH", func(i int) error { return l.fetch(s, i) }},
		{"RETR", func(i int) error { return l.retr(s, i) }},
	} {
		forgetPeak(t, s)
		var wg sync.WaitGroup
		errs := make([]error, l.clients)
		for i := range l.clients {
			wg.Go(func() { errs[i] = phase.do(i) })
		}
		wg.Wait()
		for i, err := range errs {
			if err != nil {
				t.Fatalf("%s by client %d: %v", phase.name, i, err)
			}
		}
		peak := memoryOf(t, s, "VmHWM") - idle
		peaks = append(peaks, fmt.Sprintf("%s %d MiB", phase.name, peak>>20))
		if peak > l.allowed {
			t.Errorf("%s: %d MiB above idle, at most %d allowed", phase.name, peak>>20, l.allowed>>20)
		}
	}
	// What an idle server gives back is no sign of need while it works.
	after := int64(0)
	for end := time.Now().Add(30 * time.Second); full("memory"); time.Sleep(time.Second) {
		if after = memoryOf(t, s, "VmRSS") - idle; after < 30<<20 {
			break
		}
		if time.Now().After(end) {
			t.Errorf("half a minute later it has %d MiB more than at the start", after>>20)
			break
		}
	}
	report(t, "memory", begin, "%d messages of %d MB at once; peak above the %d MiB of the idle server: %s; %+d MiB when it is idle again", l.clients,
		l.size/1e6, idle>>20, strings.Join(peaks, ", "), after>>20)
}

// memoryOf reads VmRSS or VmHWM, the peak of VmRSS, of a site's process, in
// octets (proc_pid_status(5)).
func memoryOf(t *testing.T, s *lab.Site, field string) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID()))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), field+":")
	var kB int64
	if _, err := fmt.Sscan(rest, &kB); err != nil {
		t.Fatalf("%s: %v", field, err)
	}
	return kB << 10
}

// forgetPeak makes VmHWM start again from VmRSS (proc_pid_clear_refs(5)).
func forgetPeak(t *testing.T, s *lab.Site) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.PID()), []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
}

func largeUser(i int) string { return fmt.Sprintf("large%d@a.test", i) }

// text is a message as it is stored, made while it is read: its lines differ
// from one client to another.
func (l large) text(i int) io.Reader {
	head := fmt.Sprintf("Subject: large %d\r\n\r\n", i)
	line := []byte(strings.Repeat(strconv.Itoa(i%10), 76) + "\r\n")
	lines := (l.size - int64(len(head))) / int64(len(line))
	return io.MultiReader(strings.NewReader(head), io.LimitReader(&repeated{line: line}, lines*int64(len(line))))
}

// octets is the length of text.
func (l large) octets(i int) int64 {
	n, _ := io.Copy(io.Discard, l.text(i))
	return n
}

func (l large) sum(i int) [32]byte {
	h := sha256.New()
	io.Copy(h, l.text(i))
	return [32]byte(h.Sum(nil))
}

// repeated reads one line for ever.
type repeated struct {
	line []byte
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		c := copy(p[n:], r.line[r.at:])
		n += c
		r.at = (r.at + c) % len(r.line)
	}
	return n, nil
}

// talk is one client's connection.
type talk struct {
	net.Conn
	in *bufio.Reader
}

func dialTalk(addr string) (*talk, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(5 * time.Minute))
	k := &talk{c, bufio.NewReaderSize(c, 64<<10)}
	_, err = k.in.ReadString('\n')
	return k, err
}

// say sends a line and reads up to the answer that begins with one of want.
func (k *talk) say(line string, want ...string) (string, error) {
	if _, err := io.WriteString(k, line+"\r\n"); err != nil {
		return "", err
	}
	return k.until(want...)
}

func (k *talk) until(want ...string) (string, error) {
	for {
		got, err := k.in.ReadString('\n')
		if err != nil {
			return "", err
		}
		for _, w := range want {
			if strings.HasPrefix(got, w) {
				return got, nil
			}
		}
		for _, bad := range []string{"4", "5", "-ERR", "x NO", "x BAD", "* BYE"} {
			if strings.HasPrefix(got, bad) {
				return "", fmt.Errorf("answered %q", got)
			}
		}
	}
}

// exchange says lines, each with the answer that it waits for.
func (k *talk) exchange(lines ...[2]string) error {
	for _, l := range lines {
		if _, err := k.say(l[0], l[1]); err != nil {
			return fmt.Errorf("%.40s: %w", l[0], err)
		}
	}
	return nil
}

func (l large) smtp(s *lab.Site, i int) error {
	k, err := dialTalk(s.Addr["smtp"])
	if err != nil {
		return err
	}
	defer k.Close()
	err = k.exchange([2]string{"EHLO c.test", "250 "}, [2]string{"MAIL FROM:<x@c.test>", "250"},
		[2]string{"RCPT TO:<" + largeUser(i) + ">", "250"}, [2]string{"DATA", "354"})
	if err != nil {
		return err
	}
	if _, err := io.Copy(k, l.text(i)); err != nil {
		return err
	}
	return k.exchange([2]string{".", "250 "}, [2]string{"QUIT", "221"})
}

func (l large) append(s *lab.Site, i int) error {
	k, err := dialTalk(s.Addr["imap"])
	if err != nil {
		return err
	}
	defer k.Close()
	err = k.exchange([2]string{fmt.Sprintf("x LOGIN %s %q", largeUser(i), password), "x OK"},
		[2]string{fmt.Sprintf("x APPEND Archive {%d}", l.octets(i)), "+"})
	if err != nil {
		return err
	}
	if _, err := io.Copy(k, l.text(i)); err != nil {
		return err
	}
	return k.exchange([2]string{"", "x OK"}, [2]string{"x LOGOUT", "* BYE"})
}

func (l large) fetch(s *lab.Site, i int) error {
	k, err := dialTalk(s.Addr["imap"])
	if err != nil {
		return err
	}
	defer k.Close()
	err = k.exchange([2]string{fmt.Sprintf("x LOGIN %s %q", largeUser(i), password), "x OK"}, [2]string{"x EXAMINE Archive", "x OK"})
	if err != nil {
		return err
	}
	line, err := k.say("x FETCH 1 BODY.PEEK[]", "* 1 FETCH")
	if err != nil {
		return err
	}
	_, count, _ := strings.Cut(line, "{")
	n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(count), "}"), 10, 64)
	if err != nil {
		return fmt.Errorf("%q: %w", line, err)
	}
	h := sha256.New()
	if _, err := io.CopyN(h, k.in, n); err != nil {
		return err
	}
	if [32]byte(h.Sum(nil)) != l.sum(i) {
		return fmt.Errorf("FETCH gave other octets than APPEND took")
	}
	_, err = k.until("x OK")
	return err
}

func (l large) retr(s *lab.Site, i int) error {
	k, err := dialTalk(s.Addr["pop3"])
	if err != nil {
		return err
	}
	defer k.Close()
	err = k.exchange([2]string{"USER " + largeUser(i), "+OK"}, [2]string{"PASS " + password, "+OK"}, [2]string{"RETR 1", "+OK"})
	if err != nil {
		return err
	}
	want, got := l.octets(i), int64(0)
	for inBody := false; ; {
		line, err := k.in.ReadSlice('\n')
		switch {
		case err != nil:
			return err
		case string(line) == ".\r\n":
			if got != want {
				return fmt.Errorf("RETR gave %d octets, want %d", got, want)
			}
			return k.exchange([2]string{"QUIT", "+OK"})
		}
		inBody = inBody || bytes.HasPrefix(line, []byte("Subject: large"))
		if inBody {
			got += int64(len(line))
		}
	}
}
