package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The scripts in testdata/commands are what people and scripts see of the
// commands. A line "$ ARGS" runs postrider, `< "…"` after it is its standard
// input; "| " begins a line of its output, "! " its line of complaint, "= N"
// its status if that is not 0. Spaces at the ends do not count, several in a row are one, * is any text.
// Each script runs twice: with a server, through its socket, and without.
func TestCommands(t *testing.T) {
	scripts, err := filepath.Glob("testdata/commands/*.txt")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, path := range scripts {
		name := strings.TrimSuffix(filepath.Base(path), ".txt")
		for _, online := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/server=%v", name, online), func(t *testing.T) {
				t.Parallel()
				c := siteConfig(t)
				s := startSite(t, c)
				if !online {
					if err := s.Stop(); err != nil {
						t.Fatal(err)
					}
				}
				runScript(t, path, c.ConfigFile())
			})
		}
	}
}

type step struct {
	line           int
	args, stdin    string
	stdout, stderr []string
	status         int
}

func readScript(t *testing.T, path string) []*step {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var steps []*step
	for i, line := range strings.Split(string(text), "\n") {
		mark, rest, _ := strings.Cut(line, " ")
		switch mark {
		case "", "#":
			continue
		case "$":
			s := &step{line: i + 1}
			s.args, s.stdin, _ = strings.Cut(rest, " < ")
			if s.stdin != "" {
				if s.stdin, err = strconv.Unquote(s.stdin); err != nil {
					t.Fatalf("%s:%d: %v", path, i+1, err)
				}
			}
			steps = append(steps, s)
			continue
		}
		s := steps[len(steps)-1]
		switch mark {
		case "|":
			s.stdout = append(s.stdout, rest)
		case "!":
			s.stderr = append(s.stderr, rest)
		case "=":
			if s.status, err = strconv.Atoi(rest); err != nil {
				t.Fatalf("%s:%d: %v", path, i+1, err)
			}
		default:
			t.Fatalf("%s:%d: what is %q?", path, i+1, line)
		}
	}
	return steps
}

func runScript(t *testing.T, path, config string) {
	t.Helper()
	for _, s := range readScript(t, path) {
		args := strings.Fields(s.args)
		got := postrider(t, s.stdin, append([]string{args[0], "--config", config}, args[1:]...)...)
		where := fmt.Sprintf("%s:%d: postrider %s", path, s.line, s.args)
		if got.status != s.status {
			t.Errorf("%s: status %d, want %d", where, got.status, s.status)
		}
		match(t, where, "output", got.stdout, s.stdout)
		match(t, where, "complaint", got.stderr, s.stderr)
		if strings.Contains(got.stdout+got.stderr, password) {
			t.Errorf("%s: the password is in what it prints", where)
		}
	}
}

var spaces = regexp.MustCompile(` +`)

func match(t *testing.T, where, what, got string, want []string) {
	t.Helper()
	var lines []string
	for _, l := range strings.Split(strings.TrimRight(got, "\n"), "\n") {
		lines = append(lines, strings.TrimSpace(spaces.ReplaceAllString(l, " ")))
	}
	pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.Join(want, "\n")), `\*`, ".*")
	if !regexp.MustCompile("^" + pattern + "$").MatchString(strings.Join(lines, "\n")) {
		t.Errorf("%s: %s is\n%s\nwant\n%s", where, what, strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}
