package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"postrider/internal/lab"
)

// buildPostrider makes the server that the tests of this package run, once;
// TestMain removes it.
var buildPostrider = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "mailbench-test-")
	if err != nil {
		return "", err
	}
	builtIn = dir
	return lab.Build(dir)
})

var builtIn string // the directory

func TestMain(m *testing.M) {
	status := m.Run()
	if builtIn != "" {
		os.RemoveAll(builtIn)
	}
	os.Exit(status)
}

// newSite starts a server that has these users.
func newSite(t *testing.T, numbers ...int) *lab.Site {
	t.Helper()
	binary, err := buildPostrider()
	if err != nil {
		t.Fatal(err)
	}
	users := Server{UserFormat: defaultUser}
	c := lab.Config{
		Binary: binary, Dir: t.TempDir(), Host: "127.0.0.1", Hostname: "mail.example.com", Domain: "example.com",
		Resolver: "127.0.0.1:1", Port: 1,
	}
	for _, n := range numbers {
		c.Accounts = append(c.Accounts, lab.Account{Address: users.User(n), Password: defaultPassword})
	}
	s, err := lab.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Errorf("the server ended with %v\n%s", err, s.LogTail())
		}
	})
	return s
}

// reader starts a server with the users of the loads of reading.
func reader(t *testing.T) *lab.Site {
	t.Helper()
	return newSite(t, usersIMAP, usersIMAP+1, idleUser, watchUser, growthUser, growthBoxUser)
}

// mailbench runs a command to its end and returns its results.
func mailbench(t *testing.T, args ...string) []*Result {
	t.Helper()
	var out, errOut bytes.Buffer
	if status := (&cli{&out, &errOut}).main(t.Context(), append(args, "--json")); status != exitOK {
		t.Fatalf("mailbench %s: status %d\n%s%s", strings.Join(args, " "), status, out.String(), errOut.String())
	}
	var results []*Result
	if err := json.Unmarshal(out.Bytes(), &results); err != nil {
		t.Fatal(err)
	}
	return results
}

// Each load of reading runs on a real server, small, and finds all right.
func TestReadingLoads(t *testing.T) {
	s := reader(t)
	imap := []string{"--imap", s.Addr["imap"]}
	for _, test := range []struct {
		args    []string
		results string
	}{
		{[]string{"fetch", "--count", "60", "--repeat", "1"},
			"select-cold envelope-first bodystructure-first header-first select-warm flags sizes envelope bodystructure header body"},
		{[]string{"search", "--count", "60", "--repeat", "2"},
			"subject-none subject-one subject-many from-none from-one from-many body-none body-one body-many text-none text-one text-many"},
		{[]string{"sort", "--count", "60", "--repeat", "1"},
			"sort-subject sort-date sort-from thread-references thread-refs thread-subject"},
		{[]string{"change", "--count", "60", "--repeat", "1"}, "copy store expunge"},
		{[]string{"mix", "--count", "40", "--users", "2", "--connections", "4", "--duration", "300ms"}, "mix"},
		{[]string{"idle", "--count", "20", "--connections", "20", "--settle", "100ms", "--pid", strconv.Itoa(s.PID())}, "memory"},
		{[]string{"watch", "--connections", "10", "--count", "3", "--pause", "10ms", "--lmtp", s.Addr["lmtp"]}, "notify"},
	} {
		results := mailbench(t, append(test.args, imap...)...)
		var names []string
		for _, r := range results {
			names = append(names, r.Name)
			if r.Count < 1 {
				t.Errorf("%s: %+v", test.args[0], r)
			}
		}
		if got := strings.Join(names, " "); got != test.results {
			t.Errorf("%s: results %q, want %q", test.args[0], got, test.results)
		}
	}
}

// A mailbox that is not what the load made is an error, not a figure.
func TestWrongMessagesAreSeen(t *testing.T) {
	s := reader(t)
	server := &Server{IMAP: s.Addr["imap"], UserFormat: defaultUser, Password: defaultPassword}
	r := &fetchLoad{archive: archive{count: 5}, repeat: 1}
	other := Generator{Seed: 9, Size: 2000}
	if err := fill(t.Context(), server, server.User(usersIMAP), r.mailbox(), other, 5); err != nil {
		t.Fatal(err)
	}
	if err := r.Prepare(t.Context(), server); err != nil {
		t.Fatal(err)
	}
	results, err := r.Run(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	for _, result := range results {
		if result.Name == "body" && result.void() == "" {
			t.Errorf("bodies of other messages pass: %+v", result)
		}
	}
	search := &searchLoad{archive: archive{count: 5}, repeat: 1}
	if err := search.Prepare(t.Context(), server); err != nil {
		t.Fatal(err)
	}
	if results, err = search.Run(t.Context(), server); err != nil {
		t.Fatal(err)
	}
	for _, result := range results {
		if result.Name == "from-one" && result.void() == "" {
			t.Errorf("a search that finds others passes: %+v", result)
		}
	}
}

// growth measures every size, and draws it.
func TestGrowth(t *testing.T) {
	s := reader(t)
	dir := t.TempDir()
	var out, errOut bytes.Buffer
	status := (&cli{&out, &errOut}).main(t.Context(), []string{"growth", "--imap", s.Addr["imap"], "--lmtp", s.Addr["lmtp"], "--pid", strconv.Itoa(s.PID()),
		"--sizes", "20,60", "--mailboxes", "3,7", "--probe", "10", "--settle", "0s", "--json",
		"--out", filepath.Join(dir, "growth.json"), "--svg", filepath.Join(dir, "growth.svg")})
	if status != exitOK {
		t.Fatalf("status %d\n%s", status, errOut.String())
	}
	var g grown
	if err := json.Unmarshal(out.Bytes(), &g); err != nil {
		t.Fatal(err)
	}
	if len(g.Messages) != 2 || len(g.Mailboxes) != 2 {
		t.Fatalf("measured %s", out.String())
	}
	for _, p := range g.Messages {
		if p.Rate <= 0 || p.Cold <= 0 || p.Warm <= 0 || p.Flags <= 0 || p.Search <= 0 {
			t.Errorf("measured %+v", *p)
		}
	}
	for _, p := range g.Mailboxes {
		if p.Rate <= 0 || p.List <= 0 {
			t.Errorf("measured %+v", *p)
		}
	}
	for _, name := range []string{"growth.json", "growth.svg"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() < 100 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
