package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
)

// Exit statuses.
const (
	exitOK      = 0
	exitFailure = 1 // also when a result is void
	exitUsage   = 2
)

// errVoid ends with status 1: what is wrong has been printed.
var errVoid = errors.New("a result is void")

// command is a subcommand that is not a workload.
type command struct {
	name, summary string
	run           func(ctx context.Context, c *cli, args []string) error
}

func commands() []command {
	return []command{
		{"compare", "every load on two or more servers in turn, and one table", runCompare},
		{"table", tableSummary, runTable},
		{"growth", growthSummary, runGrowth},
		{"sink", sinkSummary, runSink},
		{"users", usersSummary, runUsers},
	}
}

// cli is what a command has of the world.
type cli struct {
	stdout, stderr io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit((&cli{os.Stdout, os.Stderr}).main(ctx, os.Args[1:]))
}

// usageError is a command that was written wrong.
type usageError struct{ error }

func (c *cli) main(ctx context.Context, args []string) int {
	err := c.dispatch(ctx, args)
	var usage usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.Is(err, errVoid):
		return exitFailure
	case errors.As(err, &usage):
		name := "mailbench"
		if c.known(args) {
			name += " " + args[0]
		}
		fmt.Fprintf(c.stderr, "%s: %v (%s --help tells more)\n", name, err, name)
		return exitUsage
	}
	fmt.Fprintf(c.stderr, "mailbench: %v\n", err)
	return exitFailure
}

// known tells whether args begin with the name of a command.
func (c *cli) known(args []string) bool {
	if len(args) == 0 {
		return false
	}
	_, ok := findWorkload(args[0])
	return ok || slices.ContainsFunc(commands(), func(cmd command) bool { return cmd.name == args[0] })
}

func (c *cli) dispatch(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return usageError{errors.New("a command is missing")}
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		c.help()
		return nil
	}
	for _, cmd := range commands() {
		if cmd.name == args[0] {
			return cmd.run(ctx, c, args[1:])
		}
	}
	if w, ok := findWorkload(args[0]); ok {
		return c.runWorkload(ctx, w, args[1:])
	}
	return usageError{fmt.Errorf("there is no command %q", args[0])}
}

func (c *cli) help() {
	fmt.Fprint(c.stdout, "usage: mailbench COMMAND [FLAGS]\n\nLoads, on one server:\n\n")
	t := tabwriter.NewWriter(c.stdout, 0, 8, 2, ' ', 0)
	for _, w := range workloads() {
		fmt.Fprintf(t, "  %s\t%s\n", w.Name, w.Summary)
	}
	t.Flush()
	fmt.Fprint(c.stdout, "\nOthers:\n\n")
	for _, cmd := range commands() {
		fmt.Fprintf(t, "  %s\t%s\n", cmd.name, cmd.summary)
	}
	t.Flush()
	fmt.Fprint(c.stdout, "\nmailbench COMMAND --help tells the flags.\n")
}

// parse reads a command's flags, which are all its arguments.
func (c *cli) parse(fs *flag.FlagSet, summary string, args []string) error {
	err := c.parseArgs(fs, summary, args)
	if err == nil && fs.NArg() > 0 {
		return usageError{fmt.Errorf("%q is one word too many", fs.Arg(0))}
	}
	return err
}

// parseArgs reads a command's flags; what follows them is left in fs.
func (c *cli) parseArgs(fs *flag.FlagSet, summary string, args []string) error {
	fs.SetOutput(io.Discard)
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(c.stdout, "usage: mailbench %s [FLAGS]\n\n%s\n\n", fs.Name(), summary)
		fs.SetOutput(c.stdout)
		fs.PrintDefaults()
		return err
	case err != nil:
		return usageError{err}
	}
	return nil
}

// runWorkload is the subcommand of a workload: once, on one server.
func (c *cli) runWorkload(ctx context.Context, w Workload, args []string) error {
	fs := flag.NewFlagSet(w.Name, flag.ContinueOnError)
	var s Server
	s.register(fs)
	addr := fs.String("addr", "", "`ADDRESS` of the server for the workload's own protocol, host:port")
	asJSON := fs.Bool("json", false, "print JSON")
	runner := w.New(fs)
	if err := c.parse(fs, w.Summary, args); err != nil {
		return err
	}
	if err := s.setAddr(w, *addr); err != nil {
		return usageError{err}
	}
	if need := w.lacks(&s); need != "" {
		if strings.HasPrefix(w.Needs, need) {
			need = "addr"
		}
		return usageError{fmt.Errorf("--%s is missing", need)}
	}
	if err := runner.Prepare(ctx, &s); err != nil {
		return err
	}
	results, err := runner.Run(ctx, &s)
	if err == nil {
		err = runner.Verify(ctx, &s, results)
	}
	if err != nil {
		return err
	}
	if err := printResults(c.stdout, results, *asJSON); err != nil {
		return err
	}
	for _, r := range results {
		if r.void() != "" {
			return errVoid
		}
	}
	return nil
}
