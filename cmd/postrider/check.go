package main

import (
	"context"
	"fmt"
	"io"
)

func checkCommand() command {
	return command{name: "check", args: "[--quick] [--json]", run: runCheck,
		summary: "Verify the whole store.\n" +
			"Counters, order, references, and every body against its checksum. Ends with status 1 if something is wrong."}
}

type checkArgs struct{ Quick bool }

// checkResult is what check found.
type checkResult struct {
	OK       bool     `json:"ok"`
	Accounts int      `json:"accounts"`
	Messages int64    `json:"messages"`
	Bytes    int64    `json:"bytes"`
	Queued   int      `json:"queued"`
	Findings []string `json:"findings"`
}

func checkStore(ctx context.Context, a *admin, in checkArgs) (checkResult, error) {
	findings, err := a.store.Check(ctx, !in.Quick)
	if err != nil {
		return checkResult{}, err
	}
	res := checkResult{OK: len(findings) == 0, Findings: append([]string{}, findings...)}
	accounts, err := a.store.Accounts(ctx)
	if err != nil {
		return res, err
	}
	res.Accounts = len(accounts)
	for _, acc := range accounts {
		res.Messages += acc.Count
		res.Bytes += acc.Bytes
	}
	queue, err := listQueue(ctx, a, none{})
	res.Queued = len(queue)
	return res, err
}

func runCheck(c *cli, f *flags, args []string) error {
	quick := f.Bool("quick", false, "do not read the bodies")
	asJSON := f.Bool("json", false, "print JSON")
	if err := f.parseFlags(args); err != nil {
		return err
	}
	var res checkResult
	if err := c.do(f, "check", checkArgs{*quick}, nil, &res); err != nil {
		return err
	}
	if err := c.print(*asJSON, res, func(w io.Writer) {
		for _, finding := range res.Findings {
			fmt.Fprintln(w, printable(finding))
		}
		verdict := "all is well"
		if !res.OK {
			verdict = count(len(res.Findings), "finding")
		}
		fmt.Fprintf(w, "%s, %s, %s, %s in the queue: %s\n", count(res.Accounts, "account"), count(int(res.Messages), "message"),
			roughSize(res.Bytes), count(res.Queued, "recipient"), verdict)
	}); err != nil {
		return err
	}
	if !res.OK {
		return errReported
	}
	return nil
}

// count is a number of things for people.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
