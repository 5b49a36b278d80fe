package soak

import (
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"postrider/internal/lab"
	"postrider/internal/needs"
)

// call is one system call of a traced server. A call that others overtook
// ends later than it begins.
type call struct {
	begin, end int // lines of the trace
	name       string
	text       string // arguments and result
}

// tracer is a strace on a running server.
type tracer struct {
	t    *testing.T
	cmd  *exec.Cmd
	file string
	from int // first line of the step under way
}

// traceServer attaches to a server.
func traceServer(t *testing.T, pid int) *tracer {
	t.Helper()
	needs.Root(t)
	path, err := exec.LookPath("strace")
	if err != nil {
		t.Fatalf("%v: run scripts/install-test-tools", err)
	}
	tr := &tracer{t: t, file: filepath.Join(t.TempDir(), "trace")}
	tr.cmd = exec.Command(path, "-f", "-y", "-s", "400", "-o", tr.file, "-p", strconv.Itoa(pid),
		"-e", "trace=write,writev,pwrite64,pwritev,sendto,sendmsg,fsync,fdatasync,openat,ftruncate,fallocate")
	notes, err := tr.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, _ := notes.Read(buf)
	if !strings.Contains(string(buf[:n]), "attached") {
		t.Fatalf("strace: %s", buf[:n])
	}
	go func() {
		for err == nil {
			_, err = notes.Read(buf)
		}
	}()
	t.Cleanup(func() {
		tr.cmd.Process.Signal(os.Interrupt)
		tr.cmd.Wait()
	})
	return tr
}

var (
	whole   = regexp.MustCompile(`^\d+ +(\w+)\((.*)$`)
	resumed = regexp.MustCompile(`^(\d+) +<\.\.\. (\w+) resumed>(.*)$`)
)

// step returns the calls from the last step's end to the one that writes
// reply, that included.
func (tr *tracer) step(reply string) []call {
	tr.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		b, err := os.ReadFile(tr.file)
		if err != nil {
			tr.t.Fatal(err)
		}
		lines := strings.Split(string(b), "\n")
		calls, next, ok := callsOf(lines[:len(lines)-1], tr.from, reply)
		if ok {
			tr.from = next
			return calls
		}
		if time.Now().After(end) {
			tr.t.Fatalf("the server wrote no %q:\n%s", reply, strings.Join(lines[tr.from:], "\n"))
		}
	}
}

func callsOf(lines []string, from int, reply string) (calls []call, next int, ok bool) {
	open := map[string]int{} // by thread: index of its call under way
	for i := from; i < len(lines); i++ {
		if m := resumed.FindStringSubmatch(lines[i]); m != nil {
			if at, there := open[m[1]]; there {
				calls[at].end = i
				calls[at].text += m[3]
				delete(open, m[1])
			}
			continue
		}
		m := whole.FindStringSubmatch(lines[i])
		if m == nil {
			continue
		}
		c := call{begin: i, end: i, name: m[1], text: m[2]}
		if text, unfinished := strings.CutSuffix(c.text, " <unfinished ...>"); unfinished {
			thread, _, _ := strings.Cut(lines[i], " ")
			c.text, c.end = text, len(lines)
			open[thread] = len(calls)
		}
		calls = append(calls, c)
		if isSend(c.name) && strings.Contains(c.text, reply) {
			return calls, i + 1, true
		}
	}
	return nil, from, false
}

func isSend(name string) bool {
	return name == "write" || name == "writev" || name == "sendto" || name == "sendmsg"
}

var fileOf = regexp.MustCompile(`^(?:AT_FDCWD<[^>]*>, "([^"]*)"|\d+<([^>]*)>)`)

// path is the file that a call is about.
func (c *call) path() string {
	m := fileOf.FindStringSubmatch(c.text)
	if m == nil {
		return ""
	}
	return m[1] + m[2]
}

func (c *call) worked() bool {
	at := strings.LastIndex(c.text, " = ")
	return at >= 0 && !strings.HasPrefix(c.text[at+3:], "-1")
}

// lasting tells of a file whose contents a reply promises.
func lasting(path string) bool {
	return strings.HasSuffix(path, "/mail.db") || strings.HasSuffix(path, "/mail.db-wal") || strings.HasSuffix(path, ".seg")
}

// synced checks that all that was written before the last call, the reply, was
// synced before it, new names too. It returns the files written, by kind.
func synced(t testing.TB, what string, calls []call) []string {
	t.Helper()
	reply := calls[len(calls)-1]
	var kinds []string
	for i, c := range calls {
		path := c.path()
		created := c.name == "openat" && strings.Contains(c.text, "O_CREAT") && strings.Contains(c.text, "O_EXCL") && lasting(path)
		wrote := strings.HasPrefix(c.name, "pwrite") && lasting(path)
		if !created && !wrote {
			continue
		}
		want := path
		if created {
			want = filepath.Dir(path)
		}
		ok := slices.ContainsFunc(calls[i+1:], func(s call) bool {
			return (s.name == "fsync" || s.name == "fdatasync") && s.path() == want && s.begin > c.end && s.end < reply.begin && s.worked()
		})
		if !ok {
			t.Errorf("%s: %s is not synced before the reply: line %d, %s", what, want, c.begin, c.text[:min(len(c.text), 120)])
		}
		kind := "database"
		if strings.HasSuffix(path, ".seg") {
			kind = "segment"
		}
		if created {
			kind = "new segment"
		}
		if !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	return kinds
}

// body makes a message of n bytes.
func body(n int) []byte {
	b := []byte("From: " + alice + "\r\nSubject: test\r\n\r\n")
	for len(b) < n {
		b = append(b, "a line of sixty-four characters, which is what most lines have…\r\n"...)
	}
	return b
}

// TestSyncBeforeReply shows by strace, for every kind of write, that its files
// are synced before the reply goes out.
func TestSyncBeforeReply(t *testing.T) {
	begin := time.Now()
	conf := siteConfig(t.TempDir())
	s, err := lab.Start(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Kill() }()
	steps := 0
	var tr *tracer
	check := func(what, reply string, want ...string) {
		t.Helper()
		kinds := synced(t, what, tr.step(reply))
		for _, k := range want {
			if !slices.Contains(kinds, k) {
				t.Errorf("%s writes to %q, and should to %q", what, kinds, want)
			}
		}
		t.Logf("%s: %s, synced, then %q", what, strings.Join(kinds, " and "), reply)
		steps++
	}
	tr = traceServer(t, s.PID())
	tr.smtpSteps(s, check)
	tr.imapSteps(s, check)
	tr.pop3Steps(s, check)
	tr.queueSteps(s, check)
	report(t, "syncs before replies, by strace", begin, "%d kinds of write", steps)
}

type checkStep func(what, reply string, want ...string)

func (tr *tracer) must(err error) {
	tr.t.Helper()
	if err != nil {
		tr.t.Fatal(err)
	}
}

func (tr *tracer) smtpSteps(s *lab.Site, check checkStep) {
	tr.t.Helper()
	for _, p := range []struct{ listener, hello, what string }{{"smtp", "EHLO", "SMTP"}, {"lmtp", "LHLO", "LMTP"}} {
		d := &load{addr: s.Addr}
		w, err := d.connect(p.listener, p.hello)
		tr.must(err)
		send := func(n int, bdat bool) {
			tr.t.Helper()
			got, err := w.transact("", []string{bob}, body(n), bdat, 1)
			tr.must(err)
			if !strings.HasPrefix(got[0], "250") {
				tr.t.Fatal(got)
			}
		}
		const large = 300_000
		if p.what == "SMTP" { // the first large one after the start
			send(large, false)
			check(p.what+", a new segment", "250 2.0.0 OK, id", "database", "new segment", "segment")
			send(2000, true)
			check(p.what+" by BDAT, inline", "250 2.0.0 OK, id", "database")
		}
		send(2000, false)
		check(p.what+", inline", "250 2.0.0", "database")
		send(large, false)
		check(p.what+", a segment", "250 2.0.0", "database", "segment")
		w.Close()
	}
}

func (tr *tracer) imapSteps(s *lab.Site, check checkStep) {
	tr.t.Helper()
	w, err := login(s.Addr["imap"], carol)
	tr.must(err)
	defer w.Close()
	do := func(format string, args ...any) string {
		tr.t.Helper()
		_, err := w.imap(format, args...)
		tr.must(err)
		return fmt.Sprintf("a%d OK", w.n)
	}
	put := func(n int) string {
		tr.t.Helper()
		text := body(n)
		return do("APPEND INBOX () {%d+}\r\n%s", len(text), text)
	}
	check("APPEND, inline", put(2000), "database")
	check("APPEND, a segment", put(300_000), "database", "segment")
	tr.step(put(1000))
	tr.step(do("SELECT INBOX"))
	check("COPY", do("COPY 1:2 Archive"), "database")
	check("STORE", do(`STORE 1 +FLAGS (\Flagged)`), "database")
	check("MOVE", do("MOVE 1 Archive"), "database")
	tr.step(do(`STORE 1 +FLAGS (\Deleted)`))
	check("EXPUNGE", do("EXPUNGE"), "database")
	check("CREATE", do("CREATE box"), "database")
	check("RENAME", do("RENAME box other"), "database")
	check("SUBSCRIBE", do("SUBSCRIBE other"), "database")
	check("DELETE", do("DELETE other"), "database")
}

func (tr *tracer) pop3Steps(s *lab.Site, check checkStep) {
	tr.t.Helper()
	w, err := dial(s.Addr["pop3"])
	tr.must(err)
	defer w.Close()
	_, err = w.line()
	tr.must(err)
	say := func(format string, args ...any) string {
		tr.t.Helper()
		tr.must(w.send(format, args...))
		line, err := w.line()
		tr.must(err)
		if !strings.HasPrefix(line, "+OK") {
			tr.t.Fatal(line)
		}
		return line
	}
	say("USER %s", bob)
	say("PASS %s", password)
	tr.step(say("DELE 1"))
	check("POP3 QUIT", say("QUIT"), "database")
}

// queueSteps are last: from the first message for elsewhere on, the queue
// writes on its own.
func (tr *tracer) queueSteps(s *lab.Site, check checkStep) {
	tr.t.Helper()
	d := &load{addr: s.Addr}
	w, err := d.connect("submission", "EHLO")
	tr.must(err)
	defer w.Close()
	_, err = w.say("235", "AUTH PLAIN %s", base64.StdEncoding.EncodeToString([]byte("\x00"+alice+"\x00"+password)))
	tr.must(err)
	submit := func() {
		tr.t.Helper()
		got, err := w.transact(alice, []string{away}, body(2000), false, 1)
		tr.must(err)
		if !strings.HasPrefix(got[0], "250") {
			tr.t.Fatal(got)
		}
	}
	// The first is leased at once, and that is written while its reply goes
	// out. It closes its destination, so that the second is left alone.
	submit()
	tr.step("250 2.0.0 OK, id")
	// The server tells of an outcome in its log, once it has written it.
	check("the queue's Finish", `\"deferred\"`, "database")
	submit()
	check("submission to the queue", "250 2.0.0 OK, id", "database")
}

// TestOrderIsSeen shows that a reply before its sync would be found.
func TestOrderIsSeen(t *testing.T) {
	const reply = `7 write(9<TCP:[1]>, "250 2.0.0 OK, id 1\r\n", 20) = 20`
	const pwrite = `8 pwrite64(5</d/mail.db-wal>, "x", 1, 0) = 1`
	for name, c := range map[string]struct {
		trace []string
		bad   int
	}{
		"synced":     {[]string{pwrite, `8 fdatasync(5</d/mail.db-wal>) = 0`, reply}, 0},
		"in between": {[]string{pwrite, `8 fdatasync(5</d/mail.db-wal> <unfinished ...>`, `7 openat(AT_FDCWD</>, "/x", O_RDONLY) = 4`, `8 <... fdatasync resumed>) = 0`, reply}, 0},
		"never":      {[]string{pwrite, reply}, 1},
		"too late":   {[]string{pwrite, `8 fdatasync(5</d/mail.db-wal> <unfinished ...>`, reply, `8 <... fdatasync resumed>) = 0`}, 1},
		"too early":  {[]string{`8 fdatasync(5</d/mail.db-wal>) = 0`, pwrite, reply}, 1},
		"failed":     {[]string{pwrite, `8 fdatasync(5</d/mail.db-wal>) = -1 EIO (Input/output error)`, reply}, 1},
		"other file": {[]string{pwrite, `8 fdatasync(6</d/mail.db>) = 0`, reply}, 1},
		"no name": {[]string{`8 openat(AT_FDCWD</>, "/d/bodies/1.seg", O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC, 0600) = 5</d/bodies/1.seg>`,
			`8 pwrite64(5</d/bodies/1.seg>, "x", 1, 0) = 1`, `8 fdatasync(5</d/bodies/1.seg>) = 0`, reply}, 1},
	} {
		q := &quietT{TB: t}
		calls, _, ok := callsOf(c.trace, 0, "250 2.0.0 OK")
		if !ok {
			t.Fatalf("%s: no reply is found", name)
		}
		if synced(q, name, calls); q.errors != c.bad {
			t.Errorf("%s: %d errors, want %d", name, q.errors, c.bad)
		}
	}
}
