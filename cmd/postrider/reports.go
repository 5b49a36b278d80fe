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

const defaultReportDays = 30

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
}

// add takes the reports of a message or file.
func (s *reportSet) add(in io.Reader) {
	found := false
	unpack.Each(in, func(text []byte) {
		if r, err := dmarcrpt.Parse(text); err == nil {
			s.DMARC, found = append(s.DMARC, r), true
		} else if r, err := tlsrpt.Parse(text); err == nil {
			s.TLS, found = append(s.TLS, r), true
		}
	})
	if !found {
		s.Other++
	}
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
			out.add(io.NewSectionReader(c, 0, c.Size))
			return ctx.Err()
		})
		if err != nil {
			return out, err
		}
	}
	out.after(since)
	return out, nil
}

// after drops reports of what ended before a time.
func (s *reportSet) after(since time.Time) {
	var d []*dmarcrpt.Report
	for _, r := range s.DMARC {
		if !time.Unix(r.Metadata.End, 0).Before(since) {
			d = append(d, r)
		}
	}
	var t []*tlsrpt.Report
	for _, r := range s.TLS {
		if !r.Range.End.Before(since) {
			t = append(t, r)
		}
	}
	s.DMARC, s.TLS = d, t
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
		s.add(c.stdin)
		return nil
	}
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	s.add(file)
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
		fmt.Fprintf(w, "%d messages or files hold no report that can be read.\n", s.Other)
	}
	return nil
}
