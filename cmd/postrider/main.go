// Command postrider is the whole mail server and the commands that look after
// it. Each subcommand has a file of its own; config.go says what can be
// configured, server.go puts the packages together.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
)

// Exit statuses.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	// What the server keeps is for its own eyes. Sockets get their modes.
	syscall.Umask(0o077)
	os.Exit(newCLI().main(os.Args))
}

// cli is what a command has of the world.
type cli struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string
	tell           func(progress) // of an operation that takes long; nil is nobody
}

func newCLI() *cli {
	return &cli{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ()}
}

// command is an entry of the table of subcommands: it has either run or more
// subcommands.
type command struct {
	name    string
	args    string // synopsis
	summary string // its first line stands in the table
	hidden  string // shared flags that mean nothing to it, and that its help leaves out
	run     func(c *cli, f *flags, args []string) error
	sub     []command
}

// commands is the table of subcommands.
func commands() []command {
	return []command{
		serveCommand(), devCommand(), demoCommand(),
		accountCommand(), aliasCommand(), domainCommand(), reportsCommand(), queueCommand(), journeyCommand(),
		sendmailCommand(), checkCommand(), healthCommand(), profileCommand(), dnsCommand(), versionCommand(),
	}
}

// usageError is a command that was written wrong; it ends with status 2.
type usageError struct{ what string }

func (e usageError) Error() string { return e.what }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// errReported ends with status 1 and says nothing more: what is wrong has been
// printed as the command's result.
var errReported = errors.New("reported")

// main runs the command that argv names and returns the exit status.
func (c *cli) main(argv []string) int {
	args := argv[1:]
	if filepath.Base(argv[0]) == "sendmail" { // installed as a drop-in
		args = append([]string{"sendmail"}, args...)
	}
	name, err := c.dispatch("postrider", commands(), &flags{}, args)
	var usage usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.Is(err, errReported):
		return exitFailure
	case errors.As(err, &usage):
		fmt.Fprintf(c.stderr, "%s: %s (%s --help tells more)\n", name, oneLine(err), name)
		return exitUsage
	}
	fmt.Fprintf(c.stderr, "%s: %s\n", name, oneLine(err))
	return exitFailure
}

// oneLine is an error's text on one line.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// dispatch finds the command that args name in table and runs it. Flags that
// all commands share may stand before its name.
func (c *cli) dispatch(name string, table []command, shared *flags, args []string) (string, error) {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	shared.register(fs)
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			c.printTable(name, table)
			return name, err
		}
		return name, usageError{err.Error()}
	}
	args = fs.Args()
	if len(args) == 0 {
		return name, usagef("a command is missing")
	}
	if args[0] == "help" {
		c.printTable(name, table)
		return name, flag.ErrHelp
	}
	for _, cmd := range table {
		if cmd.name != args[0] {
			continue
		}
		full := name + " " + cmd.name
		if cmd.sub != nil {
			return c.dispatch(full, cmd.sub, shared, args[1:])
		}
		shared.begin(c, full, &cmd)
		return full, cmd.run(c, shared, args[1:])
	}
	names := make([]string, len(table))
	for i, cmd := range table {
		names[i] = cmd.name
	}
	return name, usagef("there is no command %q%s", args[0], orMaybe(args[0], names, "%q", ""))
}

func (c *cli) printTable(name string, table []command) {
	fmt.Fprintf(c.stdout, "usage: %s COMMAND …\n\n", name)
	w := tabwriter.NewWriter(c.stdout, 0, 8, 2, ' ', 0)
	for _, cmd := range table {
		first, _, _ := strings.Cut(cmd.summary, "\n")
		fmt.Fprintf(w, "  %s\t%s\n", cmd.name, first)
	}
	w.Flush()
	fmt.Fprintf(c.stdout, "\n%s COMMAND --help tells more of each.\n", name)
}

// flags is a command's flag set with the flags that all commands share.
type flags struct {
	*flag.FlagSet
	config, data string
	synopsis     string
	hidden       []string
	out          io.Writer
}

func (f *flags) register(fs *flag.FlagSet) {
	config, data := f.config, f.data // those before the command's name hold, too
	fs.StringVar(&f.config, "config", "", "configuration `FILE` (default $POSTRIDER_CONFIG, then "+systemConfig+" if it is there)")
	fs.StringVar(&f.data, "data", "", "data directory `DIR`, instead of the configured one")
	f.config, f.data = config, data
}

// begin makes the flag set of one command.
func (f *flags) begin(c *cli, name string, cmd *command) {
	f.FlagSet = flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.register(f.FlagSet)
	f.synopsis = strings.TrimSpace(name+" "+cmd.args) + "\n\n" + cmd.summary
	f.hidden = strings.Fields(cmd.hidden)
	f.out = c.stdout
}

// parse reads flags wherever they stand among the arguments, and returns the
// others. "--" ends the flags.
func (f *flags) parse(args []string) ([]string, error) {
	var rest []string
	for {
		if err := f.FlagSet.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				f.help()
				return nil, err
			}
			return nil, usageError{err.Error()}
		}
		left := f.FlagSet.Args()
		if len(left) == 0 {
			return rest, nil
		}
		if n := len(args) - len(left); n > 0 && args[n-1] == "--" {
			return append(rest, left...), nil
		}
		rest, args = append(rest, left[0]), left[1:]
	}
}

// countVar defines a flag for a number of things, 0 or more.
func countVar[T int | int64](f *flags, p *T, name, usage string) {
	f.Func(name, usage, func(s string) error {
		n, err := strconv.ParseUint(s, 10, 31)
		if err != nil {
			return errors.New("it is no number from 0 on")
		}
		*p = T(n)
		return nil
	})
}

// parseFlags reads the flags of a command that takes nothing else.
func (f *flags) parseFlags(args []string) error {
	rest, err := f.parse(args)
	if err == nil && len(rest) > 0 {
		err = usagef("%q is one word too many", rest[0])
	}
	return err
}

func (f *flags) help() {
	fmt.Fprintf(f.out, "usage: %s\n", f.synopsis)
	title := "\nFlags:\n"
	w := tabwriter.NewWriter(f.out, 0, 8, 2, ' ', 0)
	f.VisitAll(func(fl *flag.Flag) {
		if slices.Contains(f.hidden, fl.Name) {
			return
		}
		value, usage := flag.UnquoteUsage(fl)
		if d := fl.DefValue; d != "" && d != "0" && d != "false" {
			usage += " (default " + d + ")"
		}
		dashes := "--"
		if len(fl.Name) == 1 {
			dashes = "-"
		}
		fmt.Fprintf(w, title+"  %s%s\t%s\n", dashes, strings.TrimSpace(fl.Name+" "+value), usage)
		title = ""
	})
	w.Flush()
}

// load reads the configuration that the flags and the environment name.
func (f *flags) load(c *cli) (*Config, error) {
	environ := c.environ
	if f.data != "" {
		environ = append(environ[:len(environ):len(environ)], envPrefix+"DATA_DIR="+f.data)
	}
	return Load(configPath(f.config), environ)
}
