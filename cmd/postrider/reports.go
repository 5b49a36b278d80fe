package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"postrider/delivery"
	"postrider/dmarcrpt"
	"postrider/internal/unpack"
	"postrider/store"
	"postrider/tlsrpt"
)

const (
	defaultReportDays = 30
	maxReportRecords  = 200_000 // of all reports together that are read: anybody may send some
)

func reportsCommand() command {
	return command{name: "reports", args: "[--days N] [--json] [FILE…]", run: runReports,
		summary: "Print what other servers report of our domains' mail (DMARC) and of TLS on the way to us (TLSRPT).\n" +
			"Without files it reads the mailbox Reports of each domain's postmaster, where mail to dmarc-reports@ and tls-reports@ goes. " +
			"A FILE is a message or a report, packed or not; - is standard input."}
}

// reportSet is reports as they were sent.
type reportSet struct {
	DMARC []*dmarcrpt.Report `json:"dmarc,omitempty"`
	TLS   []*tlsrpt.Report   `json:"tls,omitempty"`
	Other int                `json:"other,omitempty"` // messages that hold none
	Left  int                `json:"left,omitempty"`  // reports too many to be read

	records int
	seen    map[string]bool // by who sent it and its id
}

// add takes the reports of a message or file that end after a time.
func (s *reportSet) add(in io.Reader, since time.Time) {
	found := false
	unpack.Each(in, func(text []byte) {
		if r, err := dmarcrpt.Parse(text); err == nil {
			found = true
			if !time.Unix(r.Metadata.End, 0).Before(since) && s.first(r.Policy.Domain, r.Metadata.Org, r.Metadata.ID) && s.room(len(r.Records)) {
				s.DMARC = append(s.DMARC, r)
			}
		} else if r, err := tlsrpt.Parse(text); err == nil {
			found = true
			n := 0
			for _, p := range r.Policies {
				n += 1 + len(p.Failures)
			}
			if !r.Range.End.Before(since) && s.first(r.Organization, r.ID) && s.room(n) {
				s.TLS = append(s.TLS, r)
			}
		}
	})
	if !found {
		s.Other++
	}
}

// first tells whether a report comes for the first time. One without an id may be
// any.
func (s *reportSet) first(words ...string) bool {
	key := fmt.Sprintf("%q", words)
	again := s.seen[key] && words[len(words)-1] != ""
	if s.seen == nil {
		s.seen = map[string]bool{}
	}
	s.seen[key] = true
	return !again
}

// room tells whether n records more are read.
func (s *reportSet) room(n int) bool {
	if s.records+n > maxReportRecords {
		s.Left++
		return false
	}
	s.records += n
	return true
}

type reportsArgs struct {
	Days int `json:"days"`
}

// readReports reads the mailboxes that reports go to.
func readReports(ctx context.Context, a *admin, in reportsArgs) (out reportSet, err error) {
	since := time.Now().AddDate(0, 0, -in.Days)
	accounts, err := a.store.Accounts(ctx)
	if err != nil {
		return out, err
	}
	for _, acct := range accounts {
		box, err := a.store.Mailbox(ctx, acct.ID, delivery.ReportsBox)
		if store.KindOf(err) == store.NotFound {
			continue
		}
		if err != nil {
			return out, err
		}
		err = a.store.Fetch(ctx, box.ID, store.AllUIDs(), store.NeedBody, func(c *store.Content) error {
			out.add(io.NewSectionReader(c, 0, c.Size), since)
			return ctx.Err()
		})
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

func runReports(c *cli, f *flags, args []string) error {
	days := f.Int("days", defaultReportDays, "how many `DAYS` back, for the mailbox")
	asJSON := f.Bool("json", false, "print JSON")
	files, err := f.parse(args)
	if err != nil {
		return err
	}
	if *days < 1 {
		return usagef("--days wants 1 or more")
	}
	var all reportSet
	if len(files) == 0 {
		var raw json.RawMessage
		if err := c.do(f, "reports", reportsArgs{*days}, nil, &raw); err != nil {
			return err
		}
		if err := json.Unmarshal(raw, &all); err != nil {
			return err
		}
	}
	for _, name := range files {
		if err := addFile(&all, c, name); err != nil {
			return err
		}
	}
	if *asJSON {
		return c.print(true, all, nil)
	}
	return printReports(c.stdout, &all)
}

func addFile(s *reportSet, c *cli, name string) error {
	if name == "-" {
		s.add(c.stdin, time.Time{})
		return nil
	}
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	s.add(file, time.Time{})
	return nil
}

func printReports(w io.Writer, s *reportSet) error {
	if len(s.DMARC) == 0 && len(s.TLS) == 0 {
		fmt.Fprintln(w, "There are no reports.")
	}
	if len(s.DMARC) > 0 {
		if err := dmarcrpt.Summarise(w, s.DMARC); err != nil {
			return err
		}
	}
	if len(s.TLS) > 0 {
		if err := tlsrpt.Summarise(w, s.TLS); err != nil {
			return err
		}
	}
	if s.Other > 0 {
		fmt.Fprintf(w, "No report could be read in %d %s or %s.\n", s.Other, plural(s.Other, "message"), plural(s.Other, "file"))
	}
	if s.Left > 0 {
		fmt.Fprintf(w, "%d reports were left out: together they have more than %d records.\n", s.Left, maxReportRecords)
	}
	return nil
}
