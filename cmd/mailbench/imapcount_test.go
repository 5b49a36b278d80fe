package main

import (
	"bytes"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestCounted(t *testing.T) {
	n := counted{exists: -1}
	for _, line := range []string{
		"* 12 EXISTS", "* 0 RECENT", "* FLAGS (\\Seen)", "* 13 EXISTS", "* 3 EXPUNGE", "* 3 EXPUNGE",
		"* 1 FETCH (FLAGS ())", `* 2 FETCH (BODY[] {5})`, "* OK 5 EXPUNGE", `* LIST () "/" "7 FETCH"`,
		"* STATUS x (MESSAGES 3)", "* SEARCH 2 30 4", "* SEARCH 5 (MODSEQ 917)", "a1 OK 3 FETCH done", "* BYE",
		"* SORT 3 1 2", "* THREAD (1 2)(3)",
	} {
		n.add([]byte(line))
	}
	want := counted{fetched: 2, expunged: 2, listed: 1, status: 1, exists: 13, found: []int{2, 30, 4, 5},
		sorted: []int{3, 1, 2}, threads: "(1 2)(3)"}
	if !reflect.DeepEqual(n, want) {
		t.Errorf("counted %+v, want %+v", n, want)
	}
}

func TestAppendNumbers(t *testing.T) {
	for line, want := range map[string][]int{
		"": nil, "7": {7}, "1 2 3": {1, 2, 3}, "10 20 ": {10, 20}, "1 (MODSEQ 5)": {1}, "4294967295": {4294967295},
	} {
		if got := appendNumbers(nil, []byte(line)); !slices.Equal(got, want) {
			t.Errorf("appendNumbers(%q) = %v, want %v", line, got, want)
		}
	}
}

func FuzzCounted(f *testing.F) {
	f.Add([]byte("* 3 FETCH (FLAGS ())"))
	f.Add([]byte("* SEARCH 1 2 (MODSEQ 3)"))
	f.Fuzz(func(t *testing.T, line []byte) {
		n := counted{exists: -1}
		n.add(line)
		if len(n.found) > len(line) || n.fetched+n.expunged+n.listed+n.status > 1 {
			t.Errorf("%q counts as %+v", line, n)
		}
	})
}

// What each query is said to find is what stands in the messages.
func TestSearchesAreTrue(t *testing.T) {
	const count = 500
	g := Generator{Seed: 3, Size: 1500}
	messages := g.Render(0, count)
	for _, q := range searches(g, count) {
		var found []int
		for n, m := range messages {
			header, body, _ := bytes.Cut(m, []byte("\r\n\r\n"))
			in := map[string]string{
				"SUBJECT": headerField(header, "Subject"), "FROM": headerField(header, "From"),
				"BODY": string(body), "TEXT": string(m),
			}[q.key]
			if strings.Contains(strings.ToLower(in), strings.ToLower(q.word)) {
				found = append(found, n+1)
			}
		}
		if !slices.Equal(found, q.want) {
			t.Errorf("%s %s %q: is in %v, said to be in %v", q.name, q.key, q.word, found, q.want)
		}
		_, kind, _ := strings.Cut(q.name, "-")
		if n := len(q.want); kind == "none" && n != 0 || kind == "one" && n != 1 || kind == "many" && (n < count/20 || n > count/5) {
			t.Errorf("%s %q is in %d of %d messages", q.name, q.word, n, count)
		}
	}
}

func headerField(header []byte, name string) string {
	for _, line := range strings.Split(string(header), "\r\n") {
		if value, ok := strings.CutPrefix(line, name+": "); ok {
			return value
		}
	}
	return ""
}

func TestMemoryOf(t *testing.T) {
	m, err := memoryOf([]int{os.Getpid()})
	if err != nil {
		t.Fatal(err)
	}
	if m.processes < 1 || m.rss < 1<<20 || m.pss > m.rss {
		t.Errorf("this process holds %+v", m)
	}
	// Not Go's memory: the race detector keeps books of that, which hold more
	// than it.
	block, err := syscall.Mmap(-1, 0, 64<<20, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(block)
	for i := 0; i < len(block); i += os.Getpagesize() {
		block[i] = 1
	}
	more, err := memoryOf([]int{os.Getpid()})
	if err != nil {
		t.Fatal(err)
	}
	if grown := more.pss - m.pss; grown < 48<<20 || grown > 96<<20 {
		t.Errorf("with %d octets more, it holds %d more", len(block), grown)
	}
	if _, err := memoryOf(nil); err == nil {
		t.Error("without a process, there is no error")
	}
}
