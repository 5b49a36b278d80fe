package main

import (
	"fmt"
	"strings"
)

// Figure is what of a Result counts in a row of the comparison.
type Figure string

// The figures that a row can compare.
const (
	byRate  Figure = "rate"  // Rate: more is better
	byTime  Figure = "time"  // Seconds: less is better
	byP50   Figure = "p50"   // P50, in milliseconds: less is better
	byMax   Figure = "max"   // Max, in milliseconds: less is better
	byValue Figure = "value" // Value: less is better
	byCount Figure = "count" // Count: more is better
)

func (f Figure) of(r *Result) float64 {
	switch f {
	case byRate:
		return r.Rate
	case byTime:
		return r.Seconds
	case byP50:
		return r.P50
	case byMax:
		return r.Max
	case byCount:
		return float64(r.Count)
	}
	return r.Value
}

// moreIsBetter tells rates and numbers from times and sizes.
func (f Figure) moreIsBetter() bool { return f == byRate || f == byCount }

// Row is one line of the comparison's table.
type Row struct {
	Name     string   `json:"name"`
	Workload string   `json:"workload"`
	Args     []string `json:"args,omitempty"`   // the workload's flags
	Result   string   `json:"result,omitempty"` // the name of the Result that the row takes; "" is the first
	Figure   Figure   `json:"figure"`
	Unit     string   `json:"unit"` // of the figure, such as "messages/s", "ms"
	// Targets bound the ratio to each kind of peer, or the figure itself. A
	// row without any is printed for comparison only.
	Targets []Target `json:"targets,omitempty"`
	// Rounds bounds how often the workload runs on each server; 0 is as often
	// as asked for. What hardly varies and takes long need not run often.
	Rounds int `json:"rounds,omitempty"`
	// Alone is a row of the first server only: no peer is asked.
	Alone bool `json:"alone,omitempty"`
	// Syncs are counted for this row's messages, in a short run of its own.
	Syncs bool `json:"syncs,omitempty"`
}

// Target bounds what the first server reaches: the ratio of its figure to a
// peer's, or its figure. Rates must be at least that, all else at most.
type Target struct {
	Ratio    float64 `json:"ratio,omitempty"`
	Null     bool    `json:"null,omitempty"`     // the peer is the one that stores nothing
	Absolute float64 `json:"absolute,omitempty"` // in the row's unit, instead of Ratio
}

// target is the row's target against this kind of peer.
func (r *Row) target(null bool) (Target, bool) {
	for _, t := range r.Targets {
		if t.Absolute == 0 && t.Null == null {
			return t, true
		}
	}
	return Target{}, false
}

// absolute is the row's target for the first server's own figure.
func (r *Row) absolute() (Target, bool) {
	for _, t := range r.Targets {
		if t.Absolute != 0 {
			return t, true
		}
	}
	return Target{}, false
}

func (r *Row) sign() string {
	if r.Figure.moreIsBetter() {
		return "≥"
	}
	return "≤"
}

// describe is the target in words, such as "≥ 5 ×".
func (r *Row) describe(t Target) string {
	if t.Absolute != 0 {
		return fmt.Sprintf("%s %g %s", r.sign(), t.Absolute, r.Unit)
	}
	return fmt.Sprintf("%s %g ×", r.sign(), t.Ratio)
}

// met says whether value, a ratio or a figure, reaches the target.
func (r *Row) met(t Target, value float64) bool {
	bound := t.Ratio
	if t.Absolute != 0 {
		bound = t.Absolute
	}
	if r.Figure.moreIsBetter() {
		return value >= bound
	}
	return value <= bound
}

// job is what rows share that one run can serve.
func (r *Row) job() string { return r.Workload + " " + strings.Join(r.Args, " ") }

// pick finds the row's result among those of its workload.
func (r *Row) pick(results []*Result) (*Result, error) {
	for _, res := range results {
		if r.Result == "" || r.Result == res.Name {
			return res, nil
		}
	}
	return nil, fmt.Errorf("%s has no result %q", r.Workload, r.Result)
}

// rows is the whole comparison, in the order in which it is run and printed.
func rows() []Row {
	return append(mailRows(), imapRows()...)
}

const perMessage = "messages/s"

// mailRows are the rows of SMTP, LMTP, APPEND, POP3 and relaying.
func mailRows() []Row {
	atLeast := func(ratio float64) []Target { return []Target{{Ratio: ratio}} }
	many := []string{"--count", "5000", "--connections", "32", "--mailboxes", "100", "--first", fmt.Sprint(usersSMTP)}
	alone := []string{"--count", "1000", "--connections", "1", "--mailboxes", "100", "--first", fmt.Sprint(usersSMTP)}
	one := []string{"--count", "1500", "--connections", "32", "--mailboxes", "1", "--first", fmt.Sprint(usersOne)}
	mixed := []string{"--count", "1000", "--connections", "32", "--mailboxes", "100", "--first", fmt.Sprint(usersSMTP), "--mixed"}
	return []Row{
		{Name: "SMTP into 100 mailboxes, 32 connections", Workload: "smtp", Args: many, Result: "filed", Figure: byRate, Unit: perMessage,
			Targets: []Target{{Ratio: 5}, {Ratio: 0.6, Null: true}}, Syncs: true},
		{Name: "SMTP into 100 mailboxes, 32 connections, to the 250", Workload: "smtp", Args: many, Result: "accept", Figure: byRate, Unit: perMessage},
		{Name: "SMTP into 100 mailboxes, 1 connection", Workload: "smtp", Args: alone, Result: "filed", Figure: byRate, Unit: perMessage,
			Targets: atLeast(2), Syncs: true},
		{Name: "SMTP into 100 mailboxes, 1 connection, to the 250", Workload: "smtp", Args: alone, Result: "accept", Figure: byRate, Unit: perMessage},
		{Name: "SMTP into 1 mailbox, 32 connections", Workload: "smtp", Args: one, Result: "filed", Figure: byRate, Unit: perMessage,
			Targets: atLeast(5), Syncs: true},
		{Name: "SMTP, 9 % of 100 KB and 1 % of 1 MB, 32 connections", Workload: "smtp", Args: mixed, Result: "filed", Figure: byRate, Unit: perMessage},
		{Name: "LMTP into 100 mailboxes, 32 connections", Workload: "lmtp", Result: "accept", Figure: byRate, Unit: perMessage,
			Args: []string{"--count", "5000", "--connections", "32", "--mailboxes", "100"}, Targets: atLeast(5), Syncs: true},
		{Name: "IMAP APPEND, 8 connections", Workload: "append", Args: []string{"--count", "4000", "--connections", "8"}, Result: "append",
			Figure: byRate, Unit: perMessage, Targets: atLeast(3), Syncs: true},
		{Name: "POP3 login and STAT", Workload: "pop3", Result: "login and STAT", Figure: byP50, Unit: "ms", Targets: atLeast(1)},
		{Name: "POP3 UIDL", Workload: "pop3", Result: "UIDL", Figure: byP50, Unit: "ms", Targets: atLeast(1)},
		{Name: "POP3 RETR of 5,000", Workload: "pop3", Result: "RETR", Figure: byRate, Unit: perMessage, Targets: atLeast(1.5)},
		{Name: "relay of 10,000 to 20 destinations", Workload: "relay", Result: "relay", Figure: byRate, Unit: perMessage, Targets: atLeast(2), Syncs: true},
	}
}
