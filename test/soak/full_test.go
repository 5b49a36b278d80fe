package soak

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/faultfs"
	"postrider/internal/lab"
	"postrider/internal/needs"
)

// newSmall starts a server on a file system of its own, as small as options
// say.
func newSmall(t *testing.T, options string) (*lab.Site, *errorLog) {
	t.Helper()
	needs.Root(t)
	conf, log := siteConfig(t.TempDir()), &errorLog{}
	conf.Log = log.line
	if err := os.Mkdir(conf.DataDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", conf.DataDir(), "tmpfs", 0, options); err != nil {
		t.Fatalf("cannot mount a tmpfs, which takes root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(conf.DataDir(), 0); err != nil {
			t.Error(err)
		}
	})
	s, err := lab.Start(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Errorf("%v\n%s", err, s.LogTail())
		}
	})
	return s, log
}

// ways are the four ways in, each for one message of n bytes; the error is the
// refusal.
var ways = map[string]func(s *lab.Site, n int) error{
	"SMTP": func(s *lab.Site, n int) error { return byTransaction(s, "smtp", "EHLO", "", bob, n) },
	"LMTP": func(s *lab.Site, n int) error { return byTransaction(s, "lmtp", "LHLO", "", bob, n) },
	"submission": func(s *lab.Site, n int) error {
		return byTransaction(s, "submission", "EHLO", alice, bob, n)
	},
	"APPEND": func(s *lab.Site, n int) error {
		w, err := login(s.Addr["imap"], carol)
		if err != nil {
			return err
		}
		defer w.Close()
		if err := w.send("x APPEND INBOX () {%d+}\r\n%s", n, bodyOf(n)); err != nil {
			return err
		}
		_, err = w.imapAnswer("x")
		return err
	},
}

// bodyOf is body, of n bytes exactly.
func bodyOf(n int) []byte {
	b := body(n)[:n-2]
	return append(b, "\r\n"...)
}

func byTransaction(s *lab.Site, listener, hello, from, to string, n int) error {
	d := &load{addr: s.Addr}
	w, err := d.connect(listener, hello)
	if err != nil {
		return err
	}
	defer w.Close()
	if from != "" {
		if _, err := w.say("235", "AUTH PLAIN %s", base64.StdEncoding.EncodeToString([]byte("\x00"+from+"\x00"+password))); err != nil {
			return err
		}
	}
	got, err := w.transact(from, []string{to}, bodyOf(n), false, 1)
	if err == nil && !strings.HasPrefix(got[0], "250") {
		err = &refusedError{got[0]}
	}
	return err
}

// fill writes a file until nothing more fits.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := f.Write(block); errors.Is(err, unix.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// wantRefused wants every way in to be refused as a temporary error, with a
// reply that starts with one of codes.
func wantRefused(t *testing.T, s *lab.Site, n int, codes ...string) {
	t.Helper()
	for name, way := range ways {
		err := way(s, n)
		var r *refusedError
		ok := false
		for _, c := range codes {
			ok = ok || errors.As(err, &r) && strings.HasPrefix(r.reply, c)
		}
		if !ok {
			t.Errorf("%s of %d bytes: %v, want one of %q", name, n, err, codes)
		}
		t.Logf("%s of %d bytes: %v", name, n, err)
	}
}

// wantBack wants every way in to be open again soon.
func wantBack(t *testing.T, s *lab.Site, n int) time.Duration {
	t.Helper()
	begin := time.Now()
	for name, way := range ways {
		for err := way(s, n); err != nil; err = way(s, n) {
			if time.Since(begin) > resumes {
				t.Fatalf("%s is refused after %v: %v\n%s", name, time.Since(begin), err, s.LogTail())
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return time.Since(begin)
}

// wantReadable reads every message of Bob's by IMAP and POP3, n of them.
func wantReadable(t *testing.T, s *lab.Site, n int) *wire {
	t.Helper()
	w, err := login(s.Addr["imap"], bob)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.imap("SELECT INBOX"); err != nil {
		t.Fatal(err)
	}
	a, err := w.imap("FETCH 1:* (UID BODY.PEEK[])")
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, u := range a.lines {
		if strings.HasSuffix(string(u.literal), "\r\n") {
			read++
		}
	}
	if read != n {
		t.Errorf("%d of %d messages can be read", read, n)
	}
	return w
}

// attempts returns how often the queue has tried each recipient.
func attempts(t *testing.T, s *lab.Site) (all []int, ids []string) {
	t.Helper()
	out, err := s.Run(t.Context(), "", "queue", "list", "--json")
	var rows []struct {
		ID       string
		Attempts int
	}
	if err == nil {
		err = json.Unmarshal([]byte(out), &rows)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		all, ids = append(all, r.Attempts), append(ids, r.ID)
	}
	return all, ids
}

// wantBookkeeping wants the queue to note its attempts.
func wantBookkeeping(t *testing.T, s *lab.Site) {
	t.Helper()
	before, _ := attempts(t, s)
	if len(before) == 0 {
		t.Fatal("the queue is empty")
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if now, _ := attempts(t, s); len(now) > 0 && now[0] > before[0] {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the queue's bookkeeping stands still\n%s", s.LogTail())
		}
	}
}

// TestFullDisk fills a small disk: nothing is taken in, all else goes on, and
// when there is space again so does mail, without a restart.
func TestFullDisk(t *testing.T) {
	begin := time.Now()
	s, log := newSmall(t, "size=64m")
	if err := byTransaction(s, "submission", "EHLO", alice, away, 2000); err != nil {
		t.Fatal(err)
	}
	const messages = 30
	for range messages {
		if err := ways["SMTP"](s, 100_000); err != nil {
			t.Fatal(err)
		}
	}
	filler := filepath.Join(s.DataDir(), "filler")
	fill(t, filler)
	for _, n := range []int{300_000, 100_000} { // in a segment, in the database
		wantRefusedSoon(t, s, n)
		wantRefused(t, s, n, "452 4.3.1", "NO ")
	}
	if lines := log.waited(); len(lines) == 0 {
		t.Error("the log does not tell")
	}
	fill(t, filepath.Join(s.DataDir(), "more")) // what the refusals freed
	before, _ := attempts(t, s)
	w := wantReadable(t, s, messages)
	defer w.Close()
	wantBookkeeping(t, s)
	for _, command := range []string{`STORE 1:* +FLAGS.SILENT (\Seen)`, `STORE 1:5 +FLAGS.SILENT (\Deleted)`, "EXPUNGE",
		"MOVE 1 Archive", `STORE 1:2 +FLAGS.SILENT (\Deleted)`, "EXPUNGE"} {
		if _, err := w.imap("%s", command); err != nil {
			t.Errorf("%s on a full disk: %v", command, err)
		}
	}
	_, ids := attempts(t, s)
	if out, err := s.Run(t.Context(), "", "queue", "drop", ids[0]); err != nil || len(before) != 1 {
		t.Errorf("queue drop on a full disk: %v\n%s", err, out)
	}
	checkClean(t, s)
	os.Remove(filler)
	os.Remove(filepath.Join(s.DataDir(), "more"))
	back := wantBack(t, s, 100_000)
	if _, err := w.imap("NOOP"); err != nil {
		t.Error(err)
	}
	checkClean(t, s)
	report(t, "disk full", begin, "452 and NO; reading, flags, deleting, queue go on; back after %d ms", back.Milliseconds())
}

// wantRefusedSoon sends until the disk has no room for n bytes: the database
// may have had free pages.
func wantRefusedSoon(t *testing.T, s *lab.Site, n int) {
	t.Helper()
	for range 200 {
		if err := ways["APPEND"](s, n); err != nil {
			return
		}
	}
	t.Errorf("messages of %d bytes find room on a full disk", n)
}

// TestNoInodes uses up all file names of a disk: what needs a file is refused,
// what does not is taken, and all is well when there are some again.
func TestNoInodes(t *testing.T) {
	begin := time.Now()
	s, _ := newSmall(t, "size=256m,nr_inodes=200")
	if err := ways["SMTP"](s, 2000); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(s.DataDir(), "filler")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600)
		if errors.Is(err, unix.ENOSPC) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	const large = 1 << 20 // more than is kept in memory
	wantRefused(t, s, large, "452 4.3.1", "NO ")
	w := wantReadable(t, s, 1)
	defer w.Close()
	for _, command := range []string{`STORE 1 +FLAGS.SILENT (\Deleted)`, "EXPUNGE"} {
		if _, err := w.imap("%s", command); err != nil {
			t.Errorf("%s without inodes: %v", command, err)
		}
	}
	for name, way := range ways {
		if err := way(s, 2000); err != nil {
			t.Errorf("%s of a small message without inodes: %v", name, err)
		}
	}
	checkClean(t, s)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	back := wantBack(t, s, large)
	checkClean(t, s)
	report(t, "no inodes", begin, "452 and NO for what needs a file, the rest goes on; back after %d ms", back.Milliseconds())
}

// TestReadOnlyDisk has the disk refuse every change, as Linux does after it
// found a file system damaged: mail can be read, and what cannot be taken in
// or deleted gets a temporary error.
func TestReadOnlyDisk(t *testing.T) {
	_, seed := seeded(t)
	begin := time.Now()
	r := newRig(t, seed)
	var log errorLog
	r.conf.Log = log.line
	r.start()
	if err := ways["SMTP"](r.site, 2000); err != nil {
		t.Fatal(err)
	}
	r.disk.Arm(faultfs.Fault{Op: faultfs.Change, N: 1, Times: -1, Err: syscall.EROFS})
	wantRefused(t, r.site, 2000, "451 ", "NO ")
	wantRefused(t, r.site, 300_000, "451 ", "NO ")
	if lines := log.waited(); len(lines) == 0 {
		t.Error("the log does not tell")
	}
	w := wantReadable(t, r.site, 1)
	defer w.Close()
	if _, err := w.imap(`STORE 1 +FLAGS (\Flagged)`); err == nil || !strings.Contains(err.Error(), "NO ") {
		t.Errorf("STORE on a read-only disk: %v", err)
	}
	r.disk.Disarm()
	back := wantBack(t, r.site, 2000)
	checkClean(t, r.site)
	report(t, "read-only disk", begin, "451 and NO, reading goes on; back after %d ms", back.Milliseconds())
}
