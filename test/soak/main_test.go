package soak

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/lab"
)

// binary is the postrider executable that all tests of this package run.
var binary string

func TestMain(m *testing.M) {
	path := os.Getenv(inspectVar)
	if path == "" {
		os.Exit(run(m))
	}
	list, err := inspectFile(path)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(list)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func run(m *testing.M) int {
	if err := choose(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	dir, err := os.MkdirTemp("", "postrider-soak-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if binary, err = lab.Build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	status := m.Run()
	table.print()
	return status
}

// part is what SOAK can name: tests that have full figures. The others are
// always whole.
type part struct {
	name    string
	tests   []string
	minutes float64 // on two processors
	does    string
}

func parts() []part {
	return []part{
		{"powercut", []string{"TestPowerCut", "TestPowerCutCanFail"}, 3, "200 power cuts under load"},
		{"eio", []string{"TestDiskError"}, 2, "EIO in the n-th write and sync, n = 1 to 50"},
		{"kill", []string{"TestKills"}, 8, "1,000 kills during 50,000 messages"},
		{"order", []string{"TestSyncBeforeReply", "TestOrderIsSeen"}, 0.1, "syncs before replies, by strace"},
		{"disk", []string{"TestFullDisk", "TestNoInodes", "TestReadOnlyDisk"}, 0.1, "a disk that is full, has no inodes, is read-only"},
		{"flip", []string{"TestFlippedBytes"}, 2, "200 damaged stores, checked and repaired"},
		{"memory", []string{"TestMemory"}, 1, "50 messages of 50 MB at once, in and out"},
		{"abort", []string{"TestAborts"}, 0.5, "100,000 connections reset in every state"},
		{"slow", []string{"TestSlowClients", "TestSlowReaders"}, 4, "5,000 connections that say a byte in ten seconds, 200 that read nothing"},
		{"flood", []string{"TestFlood"}, 0.5, "20,000 connections from one address"},
		{"timing", []string{"TestTiming", "TestLikeness"}, 2, "answers about known and unknown users, compared"},
	}
}

// choose says what SOAK asks for, and runs only that.
func choose() error {
	if os.Getenv("SOAK") == "" {
		return nil
	}
	flag.Parse()
	asked := strings.Split(os.Getenv("SOAK"), ",")
	var names, tests []string
	minutes := 0.0
	for _, p := range parts() {
		names = append(names, p.name)
		if full(p.name) {
			fmt.Printf("%-9s about %3.1f min: %s\n", p.name, p.minutes, p.does)
			tests = append(tests, p.tests...)
			minutes += p.minutes
		}
	}
	for _, a := range asked {
		if a != "all" && a != "imap" && !slices.Contains(names, a) {
			return fmt.Errorf("SOAK=%s: there is no part %q, only all, imap, %s", os.Getenv("SOAK"), a, strings.Join(names, ", "))
		}
	}
	if minutes > 1 {
		fmt.Printf("about %.0f minutes in all, on a machine that does nothing else; a table comes at the end\n", minutes)
	}
	if run := flag.Lookup("test.run"); run.Value.String() == "" {
		return run.Value.Set("^(" + strings.Join(tests, "|") + ")$")
	}
	return nil
}

// full tells whether a part is to run with its full figures.
func full(part string) bool {
	names := strings.Split(os.Getenv("SOAK"), ",")
	return slices.Contains(names, part) || slices.Contains(names, "all")
}

// pick is the full figure of a part, or the short one.
func pick(part string, short, all int) int {
	if full(part) {
		return all
	}
	return short
}

// seeded returns the test's source of randomness; a failure tells its seed.
func seeded(t *testing.T) (*rand.Rand, uint64) {
	seed := uint64(1)
	if s := os.Getenv("SOAK_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("SOAK_SEED=%d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 7)), seed
}

// summary is what the tests report at the end of a full run.
type summary struct {
	mu    sync.Mutex
	lines []string
}

var table summary

// report adds a line to the table, with how long the test took.
func report(t *testing.T, proof string, start time.Time, format string, args ...any) {
	t.Helper()
	verdict := "ok"
	if t.Failed() {
		verdict = "FAILED"
	}
	line := fmt.Sprintf("| %s | %s | %s | %.0f s |", proof, fmt.Sprintf(format, args...), verdict, time.Since(start).Seconds())
	t.Log(line)
	table.mu.Lock()
	defer table.mu.Unlock()
	table.lines = append(table.lines, line)
}

func (s *summary) print() {
	if os.Getenv("SOAK") == "" || len(s.lines) == 0 {
		return
	}
	fmt.Println("\n| proof | figures | result | time |\n|---|---|---|---|")
	for _, l := range s.lines {
		fmt.Println(l)
	}
}

// Accounts of every server here.
const (
	alice    = "alice@a.test" // sends by submission, and receives
	bob      = "bob@a.test"   // receives, and appends
	carol    = "carol@a.test" // appends, copies, moves, flags and expunges
	password = "correct horse"
	away     = "dave@far.test" // at a server that nobody finds
)

// siteConfig is a server with these accounts and its data directory in dir.
func siteConfig(dir string) lab.Config {
	return lab.Config{
		Binary: binary, Dir: dir, Host: "127.0.0.1", Hostname: "mail.a.test", Domain: "a.test",
		Resolver: "127.0.0.1:1", Port: 1,
		Accounts: []lab.Account{{Address: alice, Password: password}, {Address: bob, Password: password}, {Address: carol, Password: password}},
	}
}

// checkClean runs postrider check, which must find nothing.
func checkClean(t *testing.T, s *lab.Site) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if out, err := s.Run(ctx, "", "check"); err != nil {
		t.Errorf("check: %v\n%s", err, out)
	}
}
