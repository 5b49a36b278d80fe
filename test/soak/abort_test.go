package soak

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/lab"
)

// sessions are what clients say up to where they vanish, on each listener.
var sessions = map[string][]string{
	"smtp": {"", "EHLO c.test\r\n", "EHLO c.test\r\nMAIL FROM:<x@c.test>\r\nRCPT TO:<bob@a.test>\r\n",
		"EHLO c.test\r\nMAIL FROM:<x@c.test>\r\nRCPT TO:<bob@a.test>\r\nDATA\r\nSubject: never\r\n",
		"EHLO c.test\r\nMAIL FROM:<x@c.test>\r\nRCPT TO:<bob@a.test>\r\nBDAT 100\r\nSubject: never\r\n", "EHLO c.test\r\nSTARTTLS\r\n"},
	"submission":     {"EHLO c.test\r\nAUTH PLAIN\r\n", "EHLO c.test\r\nAUTH LOGIN\r\n"},
	"submission-tls": {"", "\x16\x03\x01"},
	"lmtp":           {"LHLO c.test\r\nMAIL FROM:<>\r\nRCPT TO:<bob@a.test>\r\nDATA\r\n"},
	"pop3":           {"", "USER bob@a.test\r\n", "USER bob@a.test\r\nPASS " + password + "\r\n", "USER bob@a.test\r\nPASS " + password + "\r\nRETR 1\r\n", "STLS\r\n"},
	"imap": {"", "a LOGIN {3}\r\n", `a LOGIN bob@a.test "` + password + "\"\r\n",
		`a LOGIN bob@a.test "` + password + "\"\r\nb SELECT INBOX\r\n", `a LOGIN bob@a.test "` + password + "\"\r\nb SELECT INBOX\r\nc IDLE\r\n",
		`a LOGIN bob@a.test "` + password + "\"\r\nb SELECT INBOX\r\nc FETCH 1 BODY[]\r\n",
		`a LOGIN bob@a.test "` + password + "\"\r\nb APPEND INBOX {1000+}\r\nhalf", "a STARTTLS\r\n"},
	"imap-tls": {""},
}

// TestAborts has clients vanish in every state of every protocol, by RST. The
// server's descriptors come back to what they were, its memory nearly, and
// nothing was stored.
func TestAborts(t *testing.T) {
	begin := time.Now()
	rounds := pick("abort", 1000, 100_000)/states() + 1
	c := siteConfig(t.TempDir())
	c.Extra = "[limits]\nconnections_per_ip = 0\n"
	s, err := lab.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	abortAll(t, s, 20) // what grows once has grown
	files, memory, routines := settled(t, s, 0), memoryOf(t, s, "VmRSS"), goroutines(t, s)
	abortAll(t, s, rounds)
	after := settled(t, s, files)
	if after > files {
		t.Errorf("%d descriptors are open, %d before", after, files)
	}
	// Idle workers come and go; had one connection in a thousand left a
	// goroutine, there were a hundred more.
	left := goroutines(t, s)
	if left > routines+20 {
		t.Errorf("%d goroutines run, %d before", left, routines)
	}
	// The garbage of so many connections is given back when the server is idle.
	grown, allowed := int64(0), int64(24<<20)+int64(rounds*states())*100
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Second) {
		if grown = memoryOf(t, s, "VmRSS") - memory; grown <= allowed {
			break
		}
		if time.Now().After(end) {
			t.Errorf("resident memory grew by %d KiB", grown>>10)
			break
		}
	}
	k, err := dialTalk(s.Addr["imap"])
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	err = k.exchange([2]string{fmt.Sprintf("x LOGIN %s %q", bob, password), "x OK"},
		[2]string{"x STATUS INBOX (MESSAGES)", "* STATUS INBOX (MESSAGES 0)"})
	if err != nil {
		t.Errorf("Bob's INBOX is not empty: %v", err)
	}
	report(t, "abort", begin, "%d connections reset in %d states; descriptors %d before, %d after; goroutines %d and %d; resident memory %+d MiB",
		rounds*states(), states(), files, after, routines, left, grown>>20)
}

// goroutines is how many run in the server.
func goroutines(t *testing.T, s *lab.Site) int {
	t.Helper()
	profile, err := s.Run(t.Context(), "", "profile", "goroutine")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "goroutine.pprof")
	if err := os.WriteFile(file, []byte(profile), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "tool", "pprof", "-top", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(out), "% of ") // "Showing nodes accounting for 31, 100% of 31 total"
	n := 0
	if _, err := fmt.Sscan(rest, &n); err != nil || n == 0 {
		t.Fatalf("%v in %s", err, out)
	}
	return n
}

func states() int {
	n := 0
	for _, l := range sessions {
		n += len(l)
	}
	return n
}

// abortAll visits every state so many times, from several clients at once.
func abortAll(t *testing.T, s *lab.Site, rounds int) {
	t.Helper()
	const clients = 8
	var wg sync.WaitGroup
	errs := make([]error, clients)
	for c := range clients {
		wg.Go(func() {
			for r := c; r < rounds && errs[c] == nil; r += clients {
				errs[c] = abortEach(s, r)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// abortEach visits every state once; whether it waits for an answer first
// depends on round.
func abortEach(s *lab.Site, round int) error {
	for listener, states := range sessions {
		for _, said := range states {
			c, err := net.Dial("tcp", s.Addr[listener])
			if err != nil {
				return fmt.Errorf("%s: %w", listener, err)
			}
			io.WriteString(c, said)
			if round%2 == 0 {
				c.SetReadDeadline(time.Now().Add(time.Millisecond))
				c.Read(make([]byte, 512))
			}
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
	}
	return nil
}

// openFiles is how many descriptors the server has open.
func openFiles(t *testing.T, s *lab.Site) int {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.PID()))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// settled returns how many descriptors the server has open once that is at
// most want, or no longer falls.
func settled(t *testing.T, s *lab.Site, want int) int {
	t.Helper()
	least := 0
	for unchanged := 0; unchanged < 20; unchanged++ {
		if n := openFiles(t, s); n <= want {
			return n
		} else if least == 0 || n < least {
			least, unchanged = n, 0
		}
		time.Sleep(50 * time.Millisecond)
	}
	return least
}
