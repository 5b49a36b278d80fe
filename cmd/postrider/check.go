package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"postrider/search"
	"postrider/store/sqlite"
)

func checkCommand() command {
	return command{name: "check", args: "[--quick | --repair] [--json]", run: runCheck,
		summary: "Verify the whole store.\n" +
			"Counters, order, references, and every body and the search index against their checksums. Ends with status 1 if something is wrong.\n" +
			"--repair first makes a new database of all that can be read, while no server runs; the damaged one is kept."}
}

type checkArgs struct{ Quick bool }

// checkResult is what check found.
type checkResult struct {
	OK       bool          `json:"ok"`
	Accounts int           `json:"accounts"`
	Messages int64         `json:"messages"`
	Bytes    int64         `json:"bytes"`
	Queued   int           `json:"queued"`
	Findings []string      `json:"findings"`
	Repair   *repairResult `json:"repair,omitempty"`
}

// repairResult is what a repair did before the check.
type repairResult struct {
	Kept  int64    `json:"kept"`
	Lost  int64    `json:"lost"`
	Notes []string `json:"notes"`
	Old   string   `json:"old"`             // the damaged database
	Aside string   `json:"aside,omitempty"` // bodies whose messages are lost
}

func checkStore(ctx context.Context, a *admin, in checkArgs) (checkResult, error) {
	findings, err := a.store.Check(ctx, !in.Quick)
	if err != nil {
		return checkResult{}, err
	}
	if !in.Quick {
		more, err := search.Check(a.searchDir)
		if err != nil {
			return checkResult{}, err
		}
		findings = append(findings, more...)
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
	queue, err := listQueue(ctx, a, queueFilter{})
	res.Queued = len(queue)
	return res, err
}

func runCheck(c *cli, f *flags, args []string) error {
	quick := f.Bool("quick", false, "do not read the bodies")
	repair := f.Bool("repair", false, "make a new database of what can be read; no server may run")
	asJSON := f.Bool("json", false, "print JSON")
	if err := f.parseFlags(args); err != nil {
		return err
	}
	if *quick && *repair {
		return usagef("--quick and --repair do not go together")
	}
	cfg, err := f.load(c)
	if err != nil {
		return err
	}
	if there, err := sqlite.Exists(cfg.DataDir); err == nil && !there {
		return fmt.Errorf("there is no store in %s, which has no database; start the server once, or name another directory with --config or --data", cfg.DataDir)
	}
	var repaired *repairResult
	if *repair {
		if repaired, err = repairStore(cfg); err != nil {
			return err
		}
	}
	var progress bar
	if onTerminal(c.stderr) {
		progress = bar{w: c.stderr, doing: "checking"}
		c.tell = progress.draw
	}
	var res checkResult
	err = c.do(f, "check", checkArgs{*quick}, nil, &res)
	progress.clear()
	if err != nil {
		return err
	}
	res.Repair = repaired
	if err := c.print(*asJSON, res, res.write); err != nil {
		return err
	}
	if !res.OK {
		return errReported
	}
	return nil
}

// write says it for people.
func (res *checkResult) write(w io.Writer) {
	if r := res.Repair; r != nil {
		for _, note := range r.Notes {
			fmt.Fprintln(w, printable(note))
		}
		fmt.Fprintf(w, "repaired: %s kept, %d lost; the damaged database is %s\n", count(int(r.Kept), "message"), r.Lost, printable(filepath.Base(r.Old)))
		if r.Aside != "" {
			fmt.Fprintf(w, "bodies whose messages are lost are in %s\n", printable(r.Aside))
		}
	}
	for _, finding := range res.Findings {
		fmt.Fprintln(w, printable(finding))
	}
	verdict := "all is well"
	if !res.OK {
		verdict = count(len(res.Findings), "finding")
	}
	fmt.Fprintf(w, "%s, %s, %s, %s in the queue: %s\n", count(res.Accounts, "account"), count(int(res.Messages), "message"),
		roughSize(res.Bytes), count(res.Queued, "recipient"), verdict)
	if !res.OK && res.Repair == nil {
		fmt.Fprintln(w, "To repair it, stop the server and run: postrider check --repair")
	}
}

// repairStore repairs the store under its lock.
func repairStore(cfg *Config) (*repairResult, error) {
	if err := actAsOwner(cfg.DataDir); err != nil {
		return nil, err
	}
	lock, err := lockDir(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	defer lock.release()
	done, err := sqlite.Repair(cfg.DataDir, time.Now())
	if err != nil {
		return nil, fmt.Errorf("cannot repair the store in %s, nothing was changed: %w", cfg.DataDir, cause(err))
	}
	if err := os.RemoveAll(searchDir(cfg.DataDir)); err != nil { // it is of the old database, and is made anew
		return nil, fmt.Errorf("the store is repaired; remove the old search index by hand: %w", err)
	}
	return &repairResult{Kept: done.Messages, Lost: done.Lost, Notes: append([]string{}, done.Notes...), Old: done.Old, Aside: done.Aside}, nil
}

// count is a number of things for people.
func count(n int, thing string) string {
	return fmt.Sprintf("%d %s", n, plural(n, thing))
}
