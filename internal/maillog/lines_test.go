package maillog

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// slow is a writer that takes its time and counts.
type slow struct {
	mu   sync.Mutex
	b    bytes.Buffer
	n    int
	gate chan struct{} // if not nil, each write waits for a token
}

func (s *slow) Write(p []byte) (int, error) {
	if s.gate != nil {
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	return s.b.Write(p)
}

// TestLines logs from many goroutines: no line is lost or torn, those of one
// goroutine keep their order, and Close waits for the last.
func TestLines(t *testing.T) {
	w := &slow{}
	l := NewLines(w)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 1000 {
				fmt.Fprintf(l, "%d %d %s\n", g, i, strings.Repeat("x", i%300))
			}
		})
	}
	all.Wait()
	l.Close()
	fmt.Fprintf(l, "late\n")
	l.Close()
	lines := strings.Split(strings.TrimSuffix(w.b.String(), "\n"), "\n")
	if len(lines) != 8001 || lines[8000] != "late" {
		t.Fatalf("%d lines, the last %q", len(lines), lines[len(lines)-1])
	}
	var next [8]int
	for _, line := range lines[:8000] {
		var g, i int
		var x string
		fmt.Sscanf(line, "%d %d %s", &g, &i, &x)
		if i != next[g] || len(x) != i%300 {
			t.Fatalf("line %.40q after %d of its goroutine", line, next[g])
		}
		next[g]++
	}
	if w.n > 8001 {
		t.Errorf("%d writes", w.n)
	}
}

// TestLinesWait has a writer that hangs: lines are taken up to a limit, then
// who logs waits, and goes on when it does.
func TestLinesWait(t *testing.T) {
	w := &slow{gate: make(chan struct{})}
	l := NewLines(w)
	line := bytes.Repeat([]byte{'x'}, maxLines/4)
	done := make(chan int)
	go func() {
		for i := range 20 {
			l.Write(line)
			done <- i
		}
	}()
	taken := 0
	for ; taken < 4; taken++ {
		<-done
	}
	for waiting := false; !waiting; {
		select {
		case <-done:
			taken++
		case <-time.After(50 * time.Millisecond):
			waiting = true
		}
	}
	if taken > 9 {
		t.Errorf("%d lines of a quarter of the limit were taken", taken)
	}
	close(w.gate)
	for ; taken < 20; taken++ {
		<-done
	}
	l.Close()
	if w.b.Len() != 20*len(line) {
		t.Errorf("%d bytes arrived", w.b.Len())
	}
}
