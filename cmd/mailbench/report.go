package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

// Report is the outcome of a comparison.
type Report struct {
	Date    time.Time      `json:"date"`
	Command string         `json:"command"`
	Machine string         `json:"machine"`
	Rounds  int            `json:"rounds"`
	Servers []ServerReport `json:"servers"`
	Rows    []RowReport    `json:"rows"`
}

// ServerReport is a server and what it was configured with.
type ServerReport struct {
	Server
	Settings string `json:"settings,omitempty"`
}

// RowReport is a row and what each server reached in it, in Report.Servers' order.
type RowReport struct {
	Row
	Cells []Cell `json:"cells"`
}

// Cell is what one server reached in one row.
type Cell struct {
	Void    string    `json:"void,omitempty"`    // why there is no figure, or why it does not count
	Figures []float64 `json:"figures,omitempty"` // of each round
	Median  float64   `json:"median"`
	P50     float64   `json:"p50_ms"` // median of the rounds'
	P99     float64   `json:"p99_ms"` // median of the rounds'
	Stored  int       `json:"stored"` // in all rounds; -1: not asked
	Syncs   string    `json:"syncs,omitempty"`
	CPU     float64   `json:"cpu_us,omitempty"` // of the server for one operation, in microseconds: median; 0: not known
	Results []*Result `json:"results,omitempty"`
}

func newReport(cmp *comparison) *Report {
	r := &Report{Date: time.Now().UTC().Truncate(time.Second), Command: cmp.command, Machine: machine(), Rounds: cmp.rounds}
	for _, s := range cmp.servers {
		r.Servers = append(r.Servers, ServerReport{*s, cmp.settings[s.Name]})
	}
	return r
}

// machine describes what this runs on.
func machine() string {
	model := "unknown processor"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for _, line := range strings.Split(string(b), "\n") {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	var memory uint64
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) == nil {
		memory = uint64(info.Totalram) * uint64(info.Unit) >> 20
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%d × %s, %.0f GB of memory, Linux %s", runtime.NumCPU(), model, float64(memory)/1024, strings.TrimSpace(string(kernel)))
}

// add makes the row's cells of what was measured.
func (r *Report) add(row *Row, m *measurement) {
	rr := RowReport{Row: *row}
	for i := range m.servers {
		rr.Cells = append(rr.Cells, newCell(row, m.void[i], m.results[i], m.syncs[i]))
	}
	r.Rows = append(r.Rows, rr)
}

func newCell(row *Row, void string, rounds [][]*Result, syncs string) Cell {
	c := Cell{Void: void, Syncs: syncs, Stored: -1}
	var p50, p99, perOperation []float64
	for round, results := range rounds {
		res, err := row.pick(results)
		if err != nil {
			c.Void = err.Error()
			return c
		}
		c.Results = append(c.Results, res)
		if why := res.void(); why != "" && c.Void == "" {
			c.Void = fmt.Sprintf("round %d: %s", round+1, why)
		}
		c.Figures = append(c.Figures, row.Figure.of(res))
		p50, p99 = append(p50, res.P50), append(p99, res.P99)
		if res.Stored >= 0 {
			c.Stored = max(c.Stored, 0) + res.Stored
		}
		perOperation = append(perOperation, res.CPU)
	}
	if len(c.Figures) > 0 {
		c.Median, c.P50, c.P99, c.CPU = median(c.Figures), median(p50), median(p99), median(perOperation)
	}
	return c
}

// sort brings the rows into the table's order.
func (r *Report) sort(order []Row) {
	place := map[string]int{}
	for i, row := range order {
		place[row.Name] = i - len(order) // a row that order does not know is 0: the last
	}
	slices.SortStableFunc(r.Rows, func(a, b RowReport) int { return place[a.Name] - place[b.Name] })
}

// lacking begins the reason why a server has no cell.
const lacking = "has no "

// line is one comparison of the first server with one peer.
type line struct {
	row    *RowReport
	peer   int
	ratio  float64
	target string // "" for none
	met    bool
	void   string
}

// relevant says whether a peer has a place in the row: one that cannot do the
// work has none, and one that stores nothing only where there is a target.
func (r *Report) relevant(row *RowReport, peer int) bool {
	if _, wanted := row.target(true); !wanted && !r.Servers[peer].stores() {
		return false
	}
	return !strings.HasPrefix(row.Cells[peer].Void, lacking)
}

func (r *Report) lines() []line {
	var all []line
	for i := range r.Rows {
		row := &r.Rows[i]
		for peer := 1; peer < len(r.Servers); peer++ {
			if r.relevant(row, peer) {
				all = append(all, r.compare(row, peer))
			}
		}
		if t, ok := row.absolute(); ok {
			all = append(all, r.judge(row, t))
		} else if n := len(all); n == 0 || all[n-1].row != row { // no peer can do it
			all = append(all, line{row: row, void: row.Cells[0].Void})
		}
	}
	return all
}

// compare sets the first server beside a peer.
func (r *Report) compare(row *RowReport, peer int) line {
	l := line{row: row, peer: peer, void: row.Cells[0].Void}
	if why := row.Cells[peer].Void; l.void == "" && why != "" {
		l.void = r.Servers[peer].Name + ": " + why
	}
	if l.void == "" && row.Cells[peer].Median != 0 {
		l.ratio = row.Cells[0].Median / row.Cells[peer].Median
	}
	if t, ok := row.target(!r.Servers[peer].stores()); ok {
		l.target = row.describe(t)
		l.met = l.void == "" && l.ratio != 0 && row.met(t, l.ratio)
	}
	return l
}

// judge holds the first server's own figure against a target.
func (r *Report) judge(row *RowReport, t Target) line {
	return line{row: row, void: row.Cells[0].Void, target: row.describe(t), met: row.Cells[0].Void == "" && row.met(t, row.Cells[0].Median)}
}

// void says whether any line is.
func (r *Report) void() bool {
	return slices.ContainsFunc(r.lines(), func(l line) bool { return l.void != "" })
}

func (l *line) verdict() string {
	switch {
	case l.void != "":
		return "void"
	case l.target == "":
		return ""
	case l.met:
		return "met"
	}
	return "missed"
}

// cells of a printed line: row, first server, peer, ratio, target, verdict, p50, p99.
func (r *Report) columns(l *line) []string {
	first := &l.row.Cells[0]
	c := []string{l.row.Name, figure(first, l.row.Unit), "", "", l.target, l.verdict(), latency(first.P50, first.P99), ""}
	if l.peer > 0 {
		peer := &l.row.Cells[l.peer]
		c[2] = figure(peer, l.row.Unit) + " " + r.Servers[l.peer].Name
		c[7] = latency(peer.P50, peer.P99)
		if l.ratio != 0 {
			c[3] = number(l.ratio) + " ×"
		}
	}
	return c
}

var columnNames = []string{"work", "%s", "peer", "ratio", "target", "", "p50/p99 ms", "peer's p50/p99 ms"}

func figure(c *Cell, unit string) string {
	if len(c.Figures) == 0 {
		return "–"
	}
	return number(c.Median) + " " + unit
}

func latency(p50, p99 float64) string {
	if p99 == 0 {
		return ""
	}
	return number(p50) + " / " + number(p99)
}

// number is v with three digits that count, and thousands set apart.
func number(v float64) string {
	switch {
	case v >= 1000:
		s := strconv.FormatFloat(v, 'f', 0, 64)
		for i := len(s) - 3; i > 0; i -= 3 {
			s = s[:i] + "," + s[i:]
		}
		return s
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case v >= 1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// text prints the report for a terminal.
func (r *Report) text(w io.Writer) error {
	lines := r.lines()
	table := [][]string{r.header()}
	for i := range lines {
		table = append(table, r.columns(&lines[i]))
	}
	widths := make([]int, len(columnNames))
	for _, row := range table {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	fmt.Fprintf(w, "%s\n%s, %s\nmedians of %d rounds, the servers in turn\n\n", r.Command, r.Date.Format("2006-01-02 15:04 MST"), r.Machine, r.Rounds)
	for _, row := range table {
		var b strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 || i >= 4 && i <= 5 {
				b.WriteString(cell + pad + "  ")
			} else {
				b.WriteString(pad + cell + "  ")
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
	for _, note := range r.notes(lines) {
		fmt.Fprintf(w, "\n%s\n", note)
	}
	for _, s := range r.Servers {
		if s.Settings != "" {
			fmt.Fprintf(w, "\nSettings of %s:\n\n%s\n", s.Name, indent(s.Settings))
		}
	}
	return nil
}

func (r *Report) header() []string {
	h := slices.Clone(columnNames)
	h[1] = r.Servers[0].Name
	return h
}

func indent(s string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n  ")
}

// notes are the sentences under the table: why lines are void, the messages
// that were found again, syncs and processor time for each message.
func (r *Report) notes(lines []line) []string {
	var notes []string
	for i := range lines {
		if lines[i].void != "" {
			notes = append(notes, fmt.Sprintf("Void: %s: %s.", lines[i].row.Name, lines[i].void))
		}
	}
	for _, about := range []struct {
		title string
		of    func(Cell) string
	}{
		{"Messages that the server had in the end, of those sent", func(c Cell) string {
			if c.Stored < 0 {
				return ""
			}
			return fmt.Sprintf("%d of %d", c.Stored, sent(c))
		}},
		{"Remarks", func(c Cell) string {
			if n := len(c.Results); n > 0 && c.Results[n-1].Value != 0 { // what a figure of no time or rate is made of
				return c.Results[n-1].Note
			}
			return ""
		}},
		{"Syncs for each message", func(c Cell) string { return c.Syncs }},
		{"Processor time of the server for each, in µs", func(c Cell) string {
			if c.CPU == 0 {
				return ""
			}
			return number(c.CPU)
		}},
	} {
		if note := r.noteFor(about.title, about.of); note != "" {
			notes = append(notes, note)
		}
	}
	return notes
}

// sent is how many messages a cell's server was to have, over all rounds.
func sent(c Cell) int {
	n := 0
	for _, res := range c.Results {
		n += res.Stored + res.Missing - res.Extra
	}
	return n
}

// noteFor lists what of tells of each job's servers.
func (r *Report) noteFor(title string, of func(Cell) string) string {
	var b strings.Builder
	seen := map[string]bool{}
	for i := range r.Rows {
		row := &r.Rows[i]
		var parts []string
		for k, c := range row.Cells {
			if s := of(c); s != "" {
				parts = append(parts, r.Servers[k].Name+" "+s)
			}
		}
		if len(parts) > 0 && !seen[row.job()] {
			seen[row.job()] = true
			fmt.Fprintf(&b, "\n  - %s: %s", row.Name, strings.Join(parts, ", "))
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return title + ":" + b.String()
}

// markdown prints the table and its notes for docs/performance.md.
func (r *Report) markdown(w io.Writer) error {
	fmt.Fprintf(w, "`%s`, %s, on %s. Medians of %d rounds.\n\n", r.Command, r.Date.Format("2006-01-02 15:04 MST"), r.Machine, r.Rounds)
	lines := r.lines()
	fmt.Fprintf(w, "| %s |\n|%s\n", strings.Join(r.header(), " | "), strings.Repeat("---|", len(columnNames)))
	for i := range lines {
		fmt.Fprintf(w, "| %s |\n", strings.Join(r.columns(&lines[i]), " | "))
	}
	for _, note := range r.notes(lines) {
		fmt.Fprintf(w, "\n%s\n", strings.Replace(strings.ReplaceAll(note, "\n  - ", "\n- "), ":\n- ", ":\n\n- ", 1))
	}
	return nil
}
