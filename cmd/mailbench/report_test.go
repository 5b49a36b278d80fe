package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// twoServers is a report of a first server, a peer and one that stores
// nothing, without rows.
func twoServers() *Report {
	return &Report{
		Date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Command: "mailbench compare", Machine: "a machine", Rounds: 3,
		Servers: []ServerReport{
			{Server: Server{Name: "ours", IMAP: "x"}, Settings: "a = 1\nb = 2\n"}, {Server: Server{Name: "theirs", IMAP: "y"}}, {Server: Server{Name: "null"}},
		},
	}
}

// rounds makes the results of rounds with these rates.
func ratesOf(rates ...float64) [][]*Result {
	var all [][]*Result
	for _, r := range rates {
		all = append(all, []*Result{
			{Name: "accept", Count: 10, Rate: 1, Stored: -1},
			{Name: "filed", Count: 10, Rate: r, P50: 1, P99: r / 100, Stored: 10},
		})
	}
	return all
}

func (r *Report) addRates(row Row, void []string, rounds ...[][]*Result) {
	m := &measurement{void: void, results: rounds, syncs: []string{"0.5", "2.0", ""}}
	for i := range r.Servers {
		m.servers = append(m.servers, &r.Servers[i].Server)
	}
	r.add(&row, m)
}

func TestReportComparesMedians(t *testing.T) {
	r := twoServers()
	row := Row{Name: "work", Workload: "smtp", Result: "filed", Figure: byRate, Unit: "messages/s", Targets: []Target{{Ratio: 5}, {Ratio: 0.6, Null: true}}}
	r.addRates(row, make([]string, 3), ratesOf(100, 1200, 1000), ratesOf(100, 300, 190), ratesOf(2000, 1, 9000))
	lines := r.lines()
	if len(lines) != 2 {
		t.Fatalf("%d lines", len(lines))
	}
	if l := lines[0]; l.ratio != 1000.0/190 || !l.met || l.verdict() != "met" || l.target != "≥ 5 ×" {
		t.Errorf("against the peer: %+v, %s", l, l.verdict())
	}
	if l := lines[1]; l.ratio != 0.5 || l.met || l.verdict() != "missed" {
		t.Errorf("against null: %+v, %s", l, l.verdict())
	}
	var text, md bytes.Buffer
	if err := r.text(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1,000 messages/s", "190 messages/s theirs", "5.26 ×", "ours 30 of 30, theirs 30 of 30", "ours 0.5, theirs 2.0", "Settings of ours:\n\n  a = 1\n  b = 2\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in\n%s", want, &text)
		}
	}
	if err := r.markdown(&md); err != nil {
		t.Fatal(err)
	}
	if want := "| work | 1,000 messages/s | 190 messages/s theirs | 5.26 × | ≥ 5 × | met | 1.00 / 10.0 | 1.00 / 1.90 |\n"; !strings.Contains(md.String(), want) {
		t.Errorf("%q is not in\n%s", want, &md)
	}
}

// TestReportVoids: a row with any error or missing message counts for nothing.
func TestReportVoids(t *testing.T) {
	row := Row{Name: "work", Workload: "smtp", Result: "filed", Figure: byRate, Unit: "messages/s", Targets: []Target{{Ratio: 5}}}
	for name, c := range map[string]struct {
		spoil func(*Result)
		want  string
	}{
		"error":   {func(r *Result) { r.Errors, r.First = 1, "451 later" }, "round 2: 1 errors, the first: 451 later"},
		"missing": {func(r *Result) { r.compareStored(9, 10) }, "round 2: 1 messages are missing"},
		"extra":   {func(r *Result) { r.compareStored(12, 10) }, "round 2: 2 messages are there that were not sent"},
		"nothing": {func(r *Result) { r.Count = 0 }, "round 2: nothing was done"},
	} {
		for server, prefix := range []string{"", "theirs: "} {
			r := twoServers()
			all := [][][]*Result{ratesOf(100, 100), ratesOf(1, 1), nil}
			c.spoil(all[server][1][1])
			r.addRates(row, []string{"", "", lacking + "smtp"}, all...)
			l := r.lines()
			if len(l) != 1 || l[0].verdict() != "void" || l[0].void != prefix+c.want || l[0].met || !r.void() {
				t.Errorf("%s on server %d: %+v", name, server, l)
			}
			var text bytes.Buffer
			r.text(&text)
			if want := "Void: work: " + prefix + c.want; !strings.Contains(text.String(), want) {
				t.Errorf("%q is not in\n%s", want, &text)
			}
		}
	}
	r := twoServers()
	r.addRates(row, []string{"preparing: refused", "", lacking + "smtp"}, nil, ratesOf(1), nil)
	if l := r.lines(); len(l) != 1 || l[0].void != "preparing: refused" {
		t.Errorf("not measured: %+v", l)
	}
}

func TestTargets(t *testing.T) {
	rate, size := Row{Figure: byRate, Unit: "x/s"}, Row{Figure: byTime, Unit: "s"}
	for _, c := range []struct {
		row   Row
		t     Target
		value float64
		want  bool
		words string
	}{
		{rate, Target{Ratio: 2}, 2, true, "≥ 2 ×"}, {rate, Target{Ratio: 2}, 1.99, false, "≥ 2 ×"},
		{size, Target{Ratio: 0.3}, 0.3, true, "≤ 0.3 ×"}, {size, Target{Ratio: 0.3}, 0.31, false, "≤ 0.3 ×"},
		{size, Target{Absolute: 1}, 0.9, true, "≤ 1 s"}, {size, Target{Absolute: 1}, 1.1, false, "≤ 1 s"},
	} {
		if got := c.row.met(c.t, c.value); got != c.want || c.row.describe(c.t) != c.words {
			t.Errorf("%+v of %v: %v, %s", c.t, c.value, got, c.row.describe(c.t))
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{1234567: "1,234,567", 1000: "1,000", 999.4: "999", 12.345: "12.3", 1.005: "1.00", 0.12345: "0.123", 0: "0"} {
		if got := number(v); got != want {
			t.Errorf("%v is %s, want %s", v, got, want)
		}
	}
}

func TestTableFromFile(t *testing.T) {
	r := twoServers()
	r.addRates(Row{Name: "work", Workload: "smtp", Result: "filed", Figure: byRate}, make([]string, 3), ratesOf(2), ratesOf(1), ratesOf(1))
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "report.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	var direct, out, errs bytes.Buffer
	r.markdown(&direct)
	if status := (&cli{&out, &errs}).main(t.Context(), []string{"table", file}); status != exitOK || out.String() != direct.String() {
		t.Errorf("status %d, %s\n%s", status, &errs, &out)
	}
	// A later report of one row more replaces and adds.
	later := twoServers()
	later.Date = later.Date.AddDate(0, 0, 1)
	for _, name := range []string{"work", "more work"} {
		later.addRates(Row{Name: name, Workload: "smtp", Result: "filed", Figure: byRate}, make([]string, 3), ratesOf(9), ratesOf(3), ratesOf(1))
	}
	second := filepath.Join(t.TempDir(), "later.json")
	b, _ = json.Marshal(later)
	os.WriteFile(second, b, 0o600)
	direct.Reset()
	out.Reset()
	later.markdown(&direct)
	if status := (&cli{&out, &errs}).main(t.Context(), []string{"table", file, second}); status != exitOK || out.String() != direct.String() {
		t.Errorf("status %d, %s\n%s\nwant\n%s", status, &errs, &out, &direct)
	}
	later.Servers[1].Name = "others"
	b, _ = json.Marshal(later)
	os.WriteFile(second, b, 0o600)
	if status := (&cli{&out, &errs}).main(t.Context(), []string{"table", file, second}); status != exitFailure || !strings.Contains(errs.String(), "other servers") {
		t.Errorf("of other servers: status %d, %s", status, &errs)
	}
	if status := (&cli{&out, &errs}).main(t.Context(), []string{"table"}); status != exitUsage {
		t.Errorf("without a file: status %d", status)
	}
}

// TestRowsCanBeMeasured: every row names a workload that knows its flags.
func TestRowsCanBeMeasured(t *testing.T) {
	names := map[string]bool{}
	for _, row := range rows() {
		if _, _, err := newRunner(row.Workload, row.Args); err != nil {
			t.Errorf("%s: %v", row.Name, err)
		}
		if names[row.Name] {
			t.Errorf("there are two rows %s", row.Name)
		}
		names[row.Name] = true
	}
}

func TestParseServer(t *testing.T) {
	s, err := parseServer("x,smtp=127.0.0.1:25,imap=127.0.0.1:143,pid=7,pid=8,user=u%d")
	if err != nil || s.Name != "x" || s.SMTP != "127.0.0.1:25" || s.submission() != s.SMTP || s.User(3) != "u3" || !slices.Equal(s.PIDs, []int{7, 8}) || s.Password != defaultPassword {
		t.Errorf("%+v, %v", s, err)
	}
	for _, bad := range []string{"", "smtp=x", "x,smtp", "x,coffee=1", "x,pid=y"} {
		if s, err := parseServer(bad); err == nil {
			t.Errorf("%q: %+v", bad, s)
		}
	}
}

func TestParseSize(t *testing.T) {
	for v, want := range map[string]int{"1": 1, "10K": 10240, "10kb": 10240, "1M": 1 << 20} {
		if got, err := parseSize(v); got != want || err != nil {
			t.Errorf("%s: %d, %v", v, got, err)
		}
	}
	for _, bad := range []string{"", "0", "-1", "x", "9999999M"} {
		if got, err := parseSize(bad); err == nil {
			t.Errorf("%q: %d", bad, got)
		}
	}
}

func TestParseSyncs(t *testing.T) {
	const summary = `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 70.00    0.070000          70      1000           fdatasync
 30.00    0.030000          60       500         2 fsync
------ ----------- ----------- --------- --------- ----------------
100.00    0.100000          66      1500         2 total
`
	if n, err := parseSyncs(summary); n != 1500 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := parseSyncs(""); n != 0 || err != nil {
		t.Errorf("nothing: %d, %v", n, err)
	}
}

// What is written wrong is told in one line, with the command that helps.
func TestUsage(t *testing.T) {
	for args, want := range map[string]string{
		"":                         "mailbench: a command is missing (mailbench --help tells more)",
		"nosuch":                   `mailbench: there is no command "nosuch" (mailbench --help tells more)`,
		"smtp":                     "mailbench smtp: --addr is missing (mailbench smtp --help tells more)",
		"pop3 --addr 127.0.0.1:1":  "mailbench pop3: --imap is missing (mailbench pop3 --help tells more)",
		"relay --addr 127.0.0.1:1": "mailbench relay: --sink is missing (mailbench relay --help tells more)",
		"idle --addr 127.0.0.1:1":  "mailbench idle: --pid is missing (mailbench idle --help tells more)",
		"table":                    "(mailbench table --help tells more)",
	} {
		var out, errs bytes.Buffer
		if status := (&cli{&out, &errs}).main(t.Context(), strings.Fields(args)); status != exitUsage || !strings.Contains(errs.String(), want) || out.Len() > 0 {
			t.Errorf("%q: status %d, %q, want %q", args, status, errs.String(), want)
		}
	}
}
