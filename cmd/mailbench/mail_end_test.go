package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"postrider/internal/lab"
)

// sinkAddr is an address where a sink can listen later.
func sinkAddr(t *testing.T) string {
	t.Helper()
	port, err := lab.FreePort("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// deliveringSite is a server with the users of the loads that deliver, which
// sends all else to sink, and the flags that name its addresses.
func deliveringSite(t *testing.T, sink string) (*lab.Site, []string) {
	t.Helper()
	t.Setenv("POSTRIDER_QUEUE_SMARTHOST", sink)
	t.Setenv("POSTRIDER_QUEUE_SMARTHOST_TLS", "none")
	s := newSite(t, usersSMTP, usersSMTP+1, usersSMTP+2, usersAppend, usersAppend+1, usersPOP3, usersRelay)
	return s, []string{
		"--smtp", s.Addr["smtp"], "--submission", s.Addr["submission"], "--lmtp", s.Addr["lmtp"],
		"--imap", s.Addr["imap"], "--pop3", s.Addr["pop3"], "--sink", sink,
	}
}

func TestDeliveringLoads(t *testing.T) {
	_, flags := deliveringSite(t, sinkAddr(t))
	for _, test := range []struct {
		args    string
		results string // name:count:stored
	}{
		{"smtp --count 40 --connections 4 --mailboxes 3", "accept:40:40 filed:40:40"},
		{"smtp --count 10 --connections 2 --mailboxes 1 --per-connection 2", "accept:10:10 filed:10:10"},
		{"smtp --count 60 --connections 4 --mailboxes 3 --mixed", "accept:60:60 filed:60:60"},
		{"lmtp --count 40 --connections 4 --mailboxes 3", "accept:40:40 filed:40:40"},
		{"append --count 30 --connections 4 --mailboxes 2", "append:30:30"},
		{"pop3 --count 25 --fetches 20 --logins 2 --lists 3", "login and STAT:2:25 UIDL:3:25 RETR:20:25"},
		{"relay --count 40 --connections 2 --destinations 3", "relay:40:40 submit:40:-1"},
	} {
		t.Run(test.args, func(t *testing.T) {
			var got []string
			for _, r := range mailbench(t, append(strings.Fields(test.args), flags...)...) {
				got = append(got, fmt.Sprintf("%s:%d:%d", r.Name, r.Count, r.Stored))
				if r.Seconds <= 0 || r.Rate <= 0 || r.P50 <= 0 || r.P99 < r.P50 {
					t.Errorf("figures: %+v", r)
				}
			}
			if strings.Join(got, " ") != test.results {
				t.Errorf("results %q, want %q", strings.Join(got, " "), test.results)
			}
		})
	}
}

// The files of a folder are sent in place of generated messages, each as it
// stands there.
func TestMessagesOfAFolder(t *testing.T) {
	s, flags := deliveringSite(t, sinkAddr(t))
	dir := filepath.Join(t.TempDir(), "[of] mail")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	const first = "Subject: first\r\n\r\n.\r\n..dots\r\n"
	for name, text := range map[string]string{"a.eml": first, "b.eml": "Subject: second\n\nno end", "c.txt": "Subject: third\r\n\r\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, load := range []string{"smtp", "lmtp"} {
		args := []string{load, "--count", "5", "--connections", "1", "--mailboxes", "1", "--first", strconv.Itoa(usersSMTP + 2), "--messages", dir}
		for _, r := range mailbench(t, append(args, flags...)...) {
			if r.Count != 5 || r.Stored != 5 {
				t.Errorf("%s: %d sent, %d stored", load, r.Count, r.Stored)
			}
		}
	}
	for subject, want := range map[string]int{"first": 6, "second": 4, "third": 0} {
		if n := matches(t, s, usersSMTP+2, "SUBJECT "+subject); n != want {
			t.Errorf("%d messages with the subject %q, want %d", n, subject, want)
		}
	}
	var out, errs bytes.Buffer
	args := append([]string{"smtp", "--count", "1", "--messages", t.TempDir()}, flags...)
	if status := (&cli{&out, &errs}).main(t.Context(), args); status != exitFailure || !strings.Contains(errs.String(), "there is no *.eml in ") {
		t.Errorf("an empty folder: status %d, %s", status, &errs)
	}
}

// matches is how many messages of a user's INBOX SEARCH finds.
func matches(t *testing.T, s *lab.Site, user int, key string) int {
	t.Helper()
	c, err := dialIMAP(t.Context(), s.Addr["imap"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if err := c.login((&Server{UserFormat: defaultUser}).User(user), defaultPassword); err != nil {
		t.Fatal(err)
	}
	if err := c.do("SELECT INBOX", nil); err != nil {
		t.Fatal(err)
	}
	n := 0
	err = c.do("SEARCH "+key, func(line []byte) {
		if numbers, ok := strings.CutPrefix(string(line), "* SEARCH"); ok {
			n = len(strings.Fields(numbers))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestDotStuffed(t *testing.T) {
	for in, want := range map[string]string{
		"":                      "",
		"a\r\n\r\n.\r\n..b\r\n": "a\r\n\r\n..\r\n...b\r\n",
		"a\n\nb":                "a\r\n\r\nb\r\n",
		"a\rb\r\n\r\n":          "a\rb\r\n\r\n",
	} {
		if got := string(dotStuffed([]byte(in))); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

// What a server refuses, loses or repeats is seen.
func TestLoadsSeeWhatIsWrong(t *testing.T) {
	s, flags := deliveringSite(t, sinkAddr(t))
	server := &Server{SMTP: s.Addr["smtp"], IMAP: s.Addr["imap"], UserFormat: defaultUser, Password: defaultPassword}
	var out, errs bytes.Buffer
	status := (&cli{&out, &errs}).main(t.Context(), append([]string{"smtp", "--count", "4", "--connections", "1", "--mailboxes", "1", "--first", "900", "--imap="}, flags[:2]...))
	if status != exitFailure || !strings.Contains(out.String(), "accept is void: 4 errors, the first: 550 ") {
		t.Errorf("unknown users: status %d, %s%s", status, &out, &errs)
	}
	// Somebody else's message in a mailbox is one too many, and one that is
	// acknowledged and not there is missing.
	for _, test := range []struct{ acked, missing, extra int }{{3, 0, 0}, {4, 1, 0}, {2, 0, 1}} {
		r := &smtpLoad{load: load{count: 3, connections: 1, mailboxes: 1, first: usersSMTP}, sender: "a@sender.example"}
		results, err := r.Run(t.Context(), server)
		if err != nil {
			t.Fatal(err)
		}
		r.acked[0] = test.acked
		if err := r.Verify(t.Context(), server, results); err != nil {
			t.Fatal(err)
		}
		if got := results[0]; got.Missing != test.missing || got.Extra != test.extra {
			t.Errorf("%+v: %+v", test, got)
		}
	}
}

func TestRelayCountsDuplicates(t *testing.T) {
	g := Generator{Seed: 5}
	a := newArrivals(g, 3)
	for _, id := range []string{g.MessageID(0), g.MessageID(2), g.MessageID(0), g.MessageID(3), Generator{Seed: 6}.MessageID(1), "x@y"} {
		a.got(time.Now(), []byte("<"+id+">"))
	}
	relay, submit := &Result{Name: "relay", Count: 2}, &Result{Name: "submit", Count: 3}
	if err := (&relayLoad{seen: a}).Verify(t.Context(), nil, []*Result{relay, submit}); err != nil {
		t.Fatal(err)
	}
	if relay.Stored != 2 || relay.Missing != 1 || relay.Extra != 1 || !strings.Contains(relay.Note, "3 messages of other origin") {
		t.Errorf("%+v", relay)
	}
}

// TestSinks sends to both kinds of sink.
func TestSinks(t *testing.T) {
	for _, kind := range []string{"", "--go-smtp"} {
		addr := sinkAddr(t)
		ctx, cancel := context.WithCancel(t.Context())
		var out, errs bytes.Buffer
		done := make(chan int)
		go func() {
			done <- (&cli{&out, &errs}).main(ctx, strings.Fields("sink --listen "+addr+" "+kind))
		}()
		var c *smtpConn
		for range 100 {
			var err error
			if c, err = dialSMTP(t.Context(), addr, false); err == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if c == nil {
			t.Fatalf("sink %s does not answer", kind)
		}
		for n := range 3 {
			if err := c.send("a@a.example", []string{"b@b.example"}, Generator{}.Message(n)); err != nil {
				t.Errorf("sink %s: %v", kind, err)
			}
		}
		if err := c.quit(); err != nil {
			t.Errorf("sink %s: %v", kind, err)
		}
		cancel()
		if status := <-done; status != exitOK || kind == "" && out.String() != "3 messages\n" {
			t.Errorf("sink %s: status %d, %q, %q", kind, status, &out, &errs)
		}
	}
}

// TestCompare compares a server with itself, and with one that stores nothing.
func TestCompare(t *testing.T) {
	s, flags := deliveringSite(t, sinkAddr(t))
	null, err := newSink("127.0.0.1:0", func(time.Time, []byte) {})
	if err != nil {
		t.Fatal(err)
	}
	defer null.close()
	var spec []string
	for i := 0; i < len(flags); i += 2 {
		spec = append(spec, strings.TrimPrefix(flags[i], "--")+"="+flags[i+1])
	}
	one := strings.Join(append(spec, fmt.Sprintf("pid=%d", s.PID())), ",")
	file := filepath.Join(t.TempDir(), "report.json")
	var out, errs bytes.Buffer
	cmp := &comparison{rounds: 2, progress: newProgress(&errs), output: file, settings: map[string]string{}}
	for _, server := range []string{"one," + one, "two," + one, "null,smtp=" + null.listener.Addr().String()} {
		if err := cmp.addServer(server); err != nil {
			t.Fatal(err)
		}
	}
	chosen := []Row{
		{Name: "smtp", Workload: "smtp", Args: strings.Fields("--count 20 --connections 2 --mailboxes 3"), Result: "filed", Figure: byRate, Unit: "messages/s",
			Targets: []Target{{Ratio: 0.001}, {Ratio: 1000, Null: true}}},
		{Name: "stat", Workload: "pop3", Args: strings.Fields("--count 5 --fetches 5"), Result: "login and STAT", Figure: byP50, Unit: "ms", Targets: []Target{{Ratio: 1000}}},
		{Name: "uidl", Workload: "pop3", Args: strings.Fields("--count 5 --fetches 5"), Result: "UIDL", Figure: byP50, Unit: "ms"},
	}
	report, err := cmp.run(t.Context(), chosen)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmp.print(&out, report); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	if n := strings.Count(errs.String(), "\n"); n != 3+6+2+4 {
		t.Errorf("%d steps:\n%s", n, &errs)
	}
	var verdicts []string
	for _, l := range report.lines() {
		verdicts = append(verdicts, l.row.Name+":"+report.Servers[l.peer].Name+":"+l.verdict())
	}
	if got, want := strings.Join(verdicts, " "), "smtp:two:met smtp:null:missed stat:two:met uidl:two:"; got != want {
		t.Errorf("verdicts %q, want %q", got, want)
	}
	if c := report.Rows[0].Cells[0]; c.Stored != 40 || len(c.Figures) != 2 {
		t.Errorf("cell %+v", c)
	}
	// The file is the report, but for the passwords.
	if b, err := readReport(file); err != nil || b.Rows[0].Cells[0].Median != report.Rows[0].Cells[0].Median || b.Servers[0].Password != "" {
		t.Errorf("the file has %+v", b)
	}
	null.close()
	report, err = cmp.run(t.Context(), chosen[:1])
	if err != nil || !report.void() {
		t.Errorf("a server is gone, and the report counts: %v", err)
	}
}
