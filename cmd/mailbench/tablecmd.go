package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
)

const tableSummary = "the table of reports that compare --output has written, in Markdown or as text"

const tableHelp = tableSummary + `

  mailbench table [--text] FILE.json …

Rows of several reports make one table, if the servers have the same names: of
a row that stands in more than one, the last counts.`

// runTable is the subcommand table.
func runTable(_ context.Context, c *cli, args []string) error {
	fs := flag.NewFlagSet("table", flag.ContinueOnError)
	asText := fs.Bool("text", false, "print text, with the servers' settings")
	if err := c.parseArgs(fs, tableHelp, args); err != nil {
		return err
	}
	if fs.NArg() == 0 {
		return usageError{errors.New("a file is missing")}
	}
	var whole *Report
	for _, file := range fs.Args() {
		r, err := readReport(file)
		if err != nil {
			return err
		}
		if whole == nil {
			whole = r
		} else if err := whole.merge(r); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	whole.sort(rows())
	if *asText {
		return whole.text(c.stdout)
	}
	return whole.markdown(c.stdout)
}

func readReport(file string) (*Report, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var r Report
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("%s is no report: %w", file, err)
	}
	if len(r.Servers) == 0 {
		return nil, fmt.Errorf("%s is no report", file)
	}
	return &r, nil
}

// merge takes over the rows of a later report of the same servers.
func (r *Report) merge(later *Report) error {
	same := func(a, b ServerReport) bool { return a.Name == b.Name && a.stores() == b.stores() }
	if !slices.EqualFunc(r.Servers, later.Servers, same) {
		return errors.New("this report is of other servers")
	}
	for _, row := range later.Rows {
		if i := slices.IndexFunc(r.Rows, func(have RowReport) bool { return have.Name == row.Name }); i >= 0 {
			r.Rows[i] = row
		} else {
			r.Rows = append(r.Rows, row)
		}
	}
	r.Date, r.Command, r.Rounds, r.Servers = later.Date, later.Command, min(r.Rounds, later.Rounds), later.Servers
	return nil
}
