package search

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"postrider/mail"
	"postrider/store"
)

// vocabulary is made-up words, of which few are frequent.
func vocabulary(rnd *rand.Rand) []string {
	words := make([]string, 20000)
	for i := range words {
		b := make([]byte, 2+rnd.IntN(9))
		for j := range b {
			b[j] = "etaoinshrdlucmfwypvbgkjqxz"[int(26*rnd.Float64()*rnd.Float64())]
		}
		words[i] = string(b)
	}
	return words
}

// letter makes a message of about size bytes.
func letter(rnd *rand.Rand, words []string, n, size int) string {
	var b strings.Builder
	word := func() string { return words[int(float64(len(words))*rnd.Float64()*rnd.Float64()*rnd.Float64())] }
	fmt.Fprintf(&b, "From: %s <%s@%s.example>\r\nTo: alice@a.test\r\nSubject: %s %s #%d\r\nMessage-ID: <%d.%x@a.test>\r\n\r\n",
		word(), word(), word(), word(), word(), n, n, rnd.Uint64())
	for b.Len() < size {
		b.WriteString(word())
		b.WriteString([]string{" ", " ", " ", " ", ", ", ".\r\n"}[rnd.IntN(6)])
	}
	fmt.Fprintf(&b, "id%dx\r\n", n)
	return b.String()
}

func contentOf(t testing.TB, text string, email int64) *store.Content {
	m, err := mail.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return &store.Content{Meta: m, Size: int64(len(text)), EmailID: email, ReaderAt: strings.NewReader(text)}
}

// BenchmarkBuild is what the index costs for each message of 10 KB.
func BenchmarkBuild(b *testing.B) {
	rnd := rand.New(rand.NewPCG(1, 1))
	words := vocabulary(rnd)
	var list []*store.Content
	for n := range 200 {
		list = append(list, contentOf(b, letter(rnd, words, n, 10<<10), int64(n)))
	}
	var r Reader
	grams := new(gramSet)
	build := newBuilder()
	n, size := 0, 0
	for b.Loop() {
		c := list[n%len(list)]
		r.Message(c)
		if err := build.message(&r, grams); err != nil {
			b.Fatal(err)
		}
		if n++; build.isFull() {
			size = len(build.encode())
			build = newBuilder()
		}
	}
	if size > 0 {
		b.ReportMetric(float64(size)/blockDocs, "bytes/message")
	}
}

// TestMillion searches an index of POSTRIDER_SEARCH_MESSAGES messages, which
// take no room but their index.
func TestMillion(t *testing.T) {
	total, _ := strconv.Atoi(os.Getenv("POSTRIDER_SEARCH_MESSAGES"))
	if total == 0 {
		t.Skip("set POSTRIDER_SEARCH_MESSAGES, to 1000000 say")
	}
	size, _ := strconv.Atoi(os.Getenv("POSTRIDER_SEARCH_SIZE"))
	a := &account{id: 1, dir: t.TempDir(), loaded: true}
	x := &Index{dir: a.dir, accounts: map[store.AccountID]*account{1: a}, o: Options{Memory: defaultMemory}}
	rnd := rand.New(rand.NewPCG(1, 1))
	words := vocabulary(rnd)
	var r Reader
	grams := new(gramSet)
	build := newBuilder()
	var blocks []*block
	var bytes int64
	emails := make([]int64, total)
	var spent time.Duration
	for n := range total {
		emails[n] = int64(n+1) << 21
		c := contentOf(t, letter(rnd, words, n, max(size, 1000)), emails[n])
		bytes += c.Size
		start := time.Now()
		r.Message(c)
		if err := build.message(&r, grams); err != nil {
			t.Fatal(err)
		}
		if build.isFull() || n == total-1 {
			name := blockName(len(blocks), len(build.emails))
			if err := build.write(a.dir, name); err != nil {
				t.Fatal(err)
			}
			b, err := openBlock(a.dir + "/" + name)
			if err != nil {
				t.Fatal(err)
			}
			defer b.f.Close()
			blocks = append(blocks, b)
			build = newBuilder()
		}
		spent += time.Since(start)
	}
	var disk int64
	for _, b := range blocks {
		info, _ := b.f.Stat()
		disk += info.Size()
	}
	start := time.Now()
	a.set(blocks)
	t.Logf("%d messages, %d MB of text; %d blocks, %d MB; built in %v; opened in %v, %d MB of memory",
		total, bytes>>20, len(blocks), disk>>20, spent.Round(time.Millisecond), time.Since(start).Round(time.Millisecond), a.memory>>20)
	for _, q := range []Term{
		{Field: "Subject", Text: []byte("xyzzyplugh")}, {Field: "From", Text: []byte("xyzzyplugh")},
		{Field: "Subject", Text: []byte(fmt.Sprintf("#%d", total/2))},
		{In: InBody, Text: []byte("xyzzyplugh")}, {In: InText, Text: []byte("xyzzyplugh")},
		{In: InBody, Text: []byte(fmt.Sprintf("id%dx", total/2))}, {In: InText, Text: []byte(fmt.Sprintf("id%dx", total/2))},
		{In: InBody, Text: []byte(words[9000])},
	} {
		best := time.Hour
		var counts [3]int
		for range 3 {
			start := time.Now()
			known := x.Narrow(context.Background(), 1, emails, []Term{q})
			best = min(best, time.Since(start))
			counts = [3]int{}
			for _, v := range known[0] {
				counts[v]++
			}
		}
		t.Logf("%d %s %q: %v; yes %d, to be read %d", q.In, q.Field, q.Text, best.Round(100*time.Microsecond), counts[Yes], counts[Maybe])
	}
}
