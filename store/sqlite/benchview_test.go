package sqlite

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"postrider/store"
)

// benchSizes are the mailboxes of the benchmarks of views and ranges.
var benchSizes = []int{10_000, 100_000}

// fillBox puts n messages of size bytes into a mailbox, by APPEND many at a
// time.
func fillBox(tb testing.TB, e *Engine, box store.MailboxID, n, size int) {
	tb.Helper()
	body := bytes.NewReader(text(1, size))
	work := make(chan int, n)
	for i := range n {
		work <- i
	}
	close(work)
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range work {
				if _, err := e.Append(context.Background(), "", box, body, store.Flags{}, time.Time{}); err != nil {
					tb.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// double copies a mailbox into itself until it has n messages.
func double(tb testing.TB, e *Engine, box store.MailboxID, n int) {
	tb.Helper()
	have := min(n, 2000)
	fillBox(tb, e, box, have, 300)
	for have < n {
		more := min(n-have, have)
		if _, err := e.Copy(context.Background(), "", box, store.UIDSet{{Lo: 1, Hi: store.UID(more)}}, box, false); err != nil {
			tb.Fatal(err)
		}
		have += more
	}
}

// perOp measures fn b.N times and reports its CPU time.
func perOp(b *testing.B, fn func(i int)) {
	b.Helper()
	runtime.GC()
	cpu := cpuTime()
	b.ResetTimer()
	for i := range b.N {
		fn(i)
	}
	b.StopTimer()
	b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(b.N), "cpu-µs/op")
}

// BenchmarkView is a cold and a warm View of a mailbox.
func BenchmarkView(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			e := openTest(b, b.TempDir(), Options{})
			_, box := addAccount(b, e, "bob")
			double(b, e, box, n)
			view := func(b *testing.B, s *store.Store) {
				if v, err := s.View(context.Background(), box); err != nil || v.Len() != n {
					b.Fatal(v, err)
				}
			}
			b.Run("cold", func(b *testing.B) {
				b.ReportAllocs()
				perOp(b, func(int) { view(b, store.New(e, store.Options{})) })
			})
			b.Run("warm", func(b *testing.B) {
				b.ReportAllocs()
				s := store.New(e, store.Options{})
				view(b, s)
				perOp(b, func(int) { view(b, s) })
			})
			b.Run("one flag", func(b *testing.B) {
				b.ReportAllocs()
				s := store.New(e, store.Options{})
				view(b, s)
				perOp(b, func(i int) {
					flagAll(b, e, box, store.UIDSetOf(store.UID(n/2)), store.FlagMode(1+i%2))
					view(b, s)
				})
			})
		})
	}
}

func flagAll(b *testing.B, e *Engine, box store.MailboxID, uids store.UIDSet, mode store.FlagMode) {
	b.Helper()
	c := store.FlagChange{Mode: mode, Flags: store.Flags{System: store.Flagged}}
	if _, err := e.SetFlags(context.Background(), box, uids, c, store.Unconditional); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSetFlags changes the flags of all messages of a mailbox.
func BenchmarkSetFlags(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			e := openTest(b, b.TempDir(), Options{})
			_, box := addAccount(b, e, "bob")
			double(b, e, box, n)
			written := writtenBytes()
			perOp(b, func(i int) { flagAll(b, e, box, store.AllUIDs(), store.FlagMode(1+i%2)) })
			b.ReportMetric(float64(writtenBytes()-written)/1024/float64(b.N), "KiB-written/op")
		})
	}
}

// manyUIDs are the sets of UIDs of the benchmarks of COPY and EXPUNGE.
var manyUIDs = []struct {
	name string
	step int
}{{"all", 1}, {"every other", 2}}

func everyNth(from, n, step int) store.UIDSet {
	var s []store.UID
	for i := 0; i < n; i += step {
		s = append(s, store.UID(from+i))
	}
	return store.UIDSetOf(s...)
}

// BenchmarkCopy copies 10,000 messages, or every other of them.
func BenchmarkCopy(b *testing.B) {
	const n = 10_000
	for _, c := range manyUIDs {
		b.Run(c.name, func(b *testing.B) {
			e := openTest(b, b.TempDir(), Options{})
			a, box := addAccount(b, e, "bob")
			fillBox(b, e, box, n, 10<<10)
			trash, err := e.Mailbox(context.Background(), a.ID, "Trash")
			if err != nil {
				b.Fatal(err)
			}
			uids := everyNth(1, n, c.step)
			perOp(b, func(int) {
				if _, err = e.Copy(context.Background(), "", box, uids, trash.ID, false); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

// BenchmarkExpunge removes 10,000 messages of 10 KiB for good, or every other
// of them.
func BenchmarkExpunge(b *testing.B) {
	const n = 10_000
	for _, c := range manyUIDs {
		b.Run(c.name, func(b *testing.B) {
			e := openTest(b, b.TempDir(), Options{})
			_, box := addAccount(b, e, "bob")
			var cpu time.Duration
			for i := range b.N {
				b.StopTimer()
				fillBox(b, e, box, n, 10<<10)
				used := cpuTime()
				b.StartTimer()
				if _, err := e.Expunge(context.Background(), box, everyNth(1+i*n, n, c.step), false); err != nil {
					b.Fatal(err)
				}
				cpu += cpuTime() - used
			}
			b.ReportMetric(float64(cpu.Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}

// BenchmarkMillion is what a mailbox of 1,000,000 messages costs, and the same
// in an empty one: deliveries by 32 at once, a cold view, a change of one flag
// with the view after it.
func BenchmarkMillion(b *testing.B) {
	for _, n := range []int{0, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			e := openTest(b, b.TempDir(), Options{})
			a, box := addAccount(b, e, "bob")
			if n > 0 {
				double(b, e, box, n)
			}
			b.Run("deliver", func(b *testing.B) {
				body := text(1, 10<<10)
				cpu := cpuTime()
				b.SetParallelism(16)
				b.RunParallel(func(p *testing.PB) {
					for p.Next() {
						if _, err := e.Accept(context.Background(), acceptance(a.ID, body)); err != nil {
							b.Error(err)
						}
					}
				})
				b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(b.N), "cpu-µs/op")
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			})
			s := store.New(e, store.Options{})
			view := func() *store.View {
				v, err := s.View(context.Background(), box)
				if err != nil {
					b.Fatal(err)
				}
				return v
			}
			b.Run("cold", func(b *testing.B) {
				b.ReportAllocs()
				perOp(b, func(int) { s = store.New(e, store.Options{}); view() })
			})
			b.Run("flag", func(b *testing.B) {
				half := store.UIDSetOf(view().UID(view().Len() / 2))
				perOp(b, func(i int) { flagAll(b, e, box, half, store.FlagMode(1+i%2)); view() })
			})
		})
	}
}

// BenchmarkCopyFlagExpunge copies 10,000 messages, flags the copies, reads the
// change back into a view and expunges them: the least time of each step, as
// others may use the machine.
func BenchmarkCopyFlagExpunge(b *testing.B) {
	const n = 10_000
	e := openTest(b, b.TempDir(), Options{})
	a, box := addAccount(b, e, "bob")
	fillBox(b, e, box, n, 10<<10)
	trash, err := e.Mailbox(context.Background(), a.ID, "Trash")
	if err != nil {
		b.Fatal(err)
	}
	s := store.New(e, store.Options{})
	view := func() {
		if _, err := s.View(context.Background(), trash.ID); err != nil {
			b.Fatal(err)
		}
	}
	steps := []struct {
		name string
		do   func() error
	}{
		{"copy", func() error {
			_, err := e.Copy(context.Background(), "", box, store.AllUIDs(), trash.ID, false)
			return err
		}},
		{"view", func() error { view(); return nil }},
		{"flags", func() error { flagAll(b, e, trash.ID, store.AllUIDs(), store.FlagsAdd); return nil }},
		{"changes", func() error { view(); return nil }},
		{"expunge", func() error {
			_, err := e.Expunge(context.Background(), trash.ID, store.AllUIDs(), false)
			return err
		}},
	}
	least := make([]time.Duration, len(steps))
	for range b.N {
		for i, step := range steps {
			runtime.GC()
			used := cpuTime()
			if err := step.do(); err != nil {
				b.Fatal(err)
			}
			if used = cpuTime() - used; least[i] == 0 || used < least[i] {
				least[i] = used
			}
		}
	}
	for i, step := range steps {
		b.ReportMetric(float64(least[i].Microseconds()), step.name+"-µs")
	}
}
