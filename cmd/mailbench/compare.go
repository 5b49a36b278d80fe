package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const compareSummary = `Runs every workload on each of two or more servers in turn, A B A B, and
prints one table with the ratio of the medians and the targets beside it. The
first server is the one that is judged; the others are its peers. A server
without IMAP stores nothing, and nothing is looked for on it.

  mailbench compare --server 'postrider,smtp=127.0.0.1:25,imap=127.0.0.1:143' \
                    --server 'peers,smtp=127.0.0.1:2525,imap=127.0.0.1:2143'

The keys of --server are those of a workload's flags: smtp, submission, lmtp,
imap, pop3, sink, user, password, pid. A row with an error or with a message
that is missing or there twice is void, and says why; the exit status is then 1.`

// comparison is the subcommand compare.
type comparison struct {
	servers  []*Server
	rounds   int
	only     *regexp.Regexp
	settings map[string]string // file, by server
	command  string            // as printed in the report
	json     bool
	markdown bool
	output   string
	syncs    bool
	progress *progress
}

func runCompare(ctx context.Context, c *cli, args []string) error {
	fs := flag.NewFlagSet("compare", flag.ContinueOnError)
	cmp := &comparison{settings: map[string]string{}}
	fs.Func("server", "`NAME,key=value,…`; two or more", cmp.addServer)
	fs.IntVar(&cmp.rounds, "rounds", 3, "`N` runs of each workload on each server")
	fs.Func("only", "run only the rows whose name or workload matches this `REGEXP`", func(v string) (err error) {
		cmp.only, err = regexp.Compile("(?i)" + v)
		return err
	})
	fs.Func("settings", "`NAME=FILE` with a server's settings, for the report", cmp.addSettings)
	fs.StringVar(&cmp.command, "command", "mailbench compare", "`TEXT` that the report names as the command to repeat it with")
	fs.BoolVar(&cmp.json, "json", false, "print the report as JSON")
	fs.BoolVar(&cmp.markdown, "markdown", false, "print the table in Markdown")
	fs.StringVar(&cmp.output, "output", "", "also write the report as JSON to `FILE`; mailbench table makes a table of it")
	fs.BoolVar(&cmp.syncs, "syncs", true, "count syncs for each message with strace, in a short run of its own; needs root and each server's pid")
	list := fs.Bool("list", false, "only list the rows")
	if err := c.parse(fs, compareSummary, args); err != nil {
		return err
	}
	if *list {
		for _, r := range cmp.rows() {
			fmt.Fprintln(c.stdout, r.Name)
		}
		return nil
	}
	if len(cmp.servers) < 2 || cmp.rounds < 1 {
		return usageError{errors.New("compare needs two servers and one round at least")}
	}
	cmp.progress = newProgress(c.stderr)
	report, err := cmp.run(ctx, cmp.rows())
	if err != nil {
		return err
	}
	return cmp.print(c.stdout, report)
}

func (cmp *comparison) addServer(spec string) error {
	s, err := parseServer(spec)
	if err != nil {
		return err
	}
	for _, other := range cmp.servers {
		if other.Name == s.Name {
			return fmt.Errorf("there are two servers %s", s.Name)
		}
	}
	cmp.servers = append(cmp.servers, s)
	return nil
}

func (cmp *comparison) addSettings(v string) error {
	name, file, ok := strings.Cut(v, "=")
	if !ok {
		return errors.New("not NAME=FILE")
	}
	b, err := os.ReadFile(file)
	cmp.settings[name] = string(b)
	return err
}

// rows is what is to be measured.
func (cmp *comparison) rows() []Row {
	var chosen []Row
	for _, r := range rows() {
		if cmp.only == nil || cmp.only.MatchString(r.Name) || cmp.only.MatchString(r.Workload) {
			chosen = append(chosen, r)
		}
	}
	return chosen
}

func (cmp *comparison) print(w io.Writer, report *Report) error {
	if cmp.output != "" {
		b, err := json.MarshalIndent(report, "", "  ")
		if err == nil {
			err = os.WriteFile(cmp.output, append(b, '\n'), 0o644)
		}
		if err != nil {
			return err
		}
	}
	var err error
	switch {
	case cmp.json:
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		err = e.Encode(report)
	case cmp.markdown:
		err = report.markdown(w)
	default:
		err = report.text(w)
	}
	if err == nil && report.void() {
		err = errVoid
	}
	return err
}

// run measures all rows of todo. What fails makes rows void; only ending ctx
// ends it.
func (cmp *comparison) run(ctx context.Context, todo []Row) (*Report, error) {
	report := newReport(cmp)
	jobs := map[string]bool{}
	if len(todo) == 0 {
		return nil, usageError{errors.New("no row is chosen")}
	}
	for i := range todo {
		jobs[todo[i].job()] = true
	}
	cmp.progress.total = len(jobs)
	for i := range todo {
		row := &todo[i]
		if !jobs[row.job()] {
			continue // its workload has run for a row before
		}
		jobs[row.job()] = false
		cmp.progress.next()
		m := cmp.measure(ctx, row)
		if ctx.Err() != nil {
			return nil, errors.New("interrupted")
		}
		for k := range todo {
			if todo[k].job() == row.job() {
				report.add(&todo[k], m)
			}
		}
	}
	cmp.progress.done()
	report.sort(todo)
	return report, nil
}

// measurement is what one workload gave on each server.
type measurement struct {
	servers []*Server
	results [][][]*Result // by server, round
	void    []string      // by server: why there is nothing
	syncs   []string      // by server, for each message
}

// newRunner makes a workload with flags as a command has them.
func newRunner(name string, args []string) (Workload, Runner, error) {
	w, ok := findWorkload(name)
	if !ok {
		return w, nil, fmt.Errorf("there is no workload %q", name)
	}
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	r := w.New(fs)
	return w, r, fs.Parse(args)
}

// measure runs the row's workload on all servers that can do it.
func (cmp *comparison) measure(ctx context.Context, row *Row) *measurement {
	n := len(cmp.servers)
	m := &measurement{servers: cmp.servers, results: make([][][]*Result, n), void: make([]string, n), syncs: make([]string, n)}
	w, runner, err := newRunner(row.Workload, row.Args)
	for i, s := range cmp.servers {
		if err != nil {
			m.void[i] = err.Error()
		} else if row.Alone && i > 0 {
			m.void[i] = lacking + "part in this row"
		} else if need := w.lacks(s); need != "" {
			m.void[i] = lacking + need
		} else {
			cmp.progress.step("%s: preparing %s", row.Name, s.Name)
			if err := runner.Prepare(ctx, s); err != nil {
				m.void[i] = "preparing: " + err.Error()
			}
		}
	}
	rounds := cmp.rounds
	if row.Rounds > 0 {
		rounds = min(rounds, row.Rounds)
	}
	for round := range rounds {
		for i, s := range cmp.servers {
			if m.void[i] != "" || ctx.Err() != nil {
				continue
			}
			cmp.progress.step("%s: round %d of %d on %s", row.Name, round+1, rounds, s.Name)
			results, err := runner.Run(ctx, s)
			if err == nil {
				err = runner.Verify(ctx, s, results)
			}
			if err != nil {
				m.void[i] = err.Error()
				continue
			}
			m.results[i] = append(m.results[i], results)
		}
	}
	if row.Syncs && cmp.syncs {
		for i, s := range cmp.servers {
			if m.void[i] == "" && ctx.Err() == nil && s.stores() {
				cmp.progress.step("%s: counting syncs of %s", row.Name, s.Name)
				m.syncs[i] = countSyncs(ctx, row, s)
			}
		}
	}
	return m
}

// syncMessages is how many messages the run has in which syncs are counted.
const syncMessages = 150

// countSyncs runs the row's workload once more, smaller and traced, and tells
// how often the server's processes synced for each message.
func countSyncs(ctx context.Context, row *Row, s *Server) string {
	_, runner, err := newRunner(row.Workload, append(row.Args[:len(row.Args):len(row.Args)], "--count", strconv.Itoa(syncMessages)))
	if err != nil {
		return "not counted: " + err.Error()
	}
	trace, err := traceSyncs(ctx, s.PIDs)
	if err != nil {
		return "not counted: " + err.Error()
	}
	results, err := runner.Run(ctx, s)
	counts, traceErr := trace.stop()
	if err == nil {
		err = runner.Verify(ctx, s, results)
	}
	if err == nil {
		err = traceErr
	}
	switch {
	case err != nil:
		return "not counted: " + err.Error()
	case results[0].void() != "":
		return "not counted: " + results[0].void()
	}
	return fmt.Sprintf("%.2f", float64(counts)/float64(results[0].Count))
}

// progress tells what is going on: on a terminal in one line that is written
// over, elsewhere in a line for each step.
type progress struct {
	w          io.Writer
	terminal   bool
	job, total int
	begin      time.Time
}

func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	return &progress{w: w, terminal: ok && isTerminal(f), begin: time.Now()}
}

func (p *progress) next() { p.job++ }

func (p *progress) step(format string, args ...any) {
	line := fmt.Sprintf("[%d/%d %s] ", p.job, p.total, time.Since(p.begin).Round(time.Second)) + fmt.Sprintf(format, args...)
	if p.terminal {
		const width = 79
		if r := []rune(line); len(r) > width {
			line = string(r[:width])
		}
		fmt.Fprintf(p.w, "\r\x1b[K%s", line)
		return
	}
	fmt.Fprintln(p.w, line)
}

func (p *progress) done() {
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
