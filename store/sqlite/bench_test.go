package sqlite

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/store"
)

// BenchmarkAccept is the work of accepting one message of 10 KiB for one of
// 200 accounts, by 1, 16 and 64 at once.
func BenchmarkAccept(b *testing.B) {
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) { benchAccept(b, writers, 10<<10) })
	}
}

// BenchmarkAcceptLarge has bodies of 1 MiB, which go to segments.
func BenchmarkAcceptLarge(b *testing.B) {
	for _, writers := range []int{1, 16} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) { benchAccept(b, writers, 1<<20) })
	}
}

func benchAccept(b *testing.B, writers, size int) {
	e := openTest(b, b.TempDir(), Options{})
	var accounts []store.AccountID
	for i := range 200 {
		a, _ := addAccount(b, e, fmt.Sprint("user", i))
		accounts = append(accounts, a.ID)
	}
	bodies := make([][]byte, 64) // different ones, each a thread of its own
	for i := range bodies {
		bodies[i] = text(uint64(i), size)
	}
	b.SetBytes(int64(size))
	work := make(chan int, b.N)
	for i := range b.N {
		work <- i
	}
	close(work)
	start, cpu, written := time.Now(), cpuTime(), writtenBytes()
	b.ResetTimer()
	took := make([]time.Duration, b.N)
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for i := range work {
				start := time.Now()
				m := acceptance(accounts[rand.IntN(len(accounts))], bodies[i%len(bodies)])
				if _, err := e.Accept(context.Background(), m); err != nil {
					b.Error(err)
				}
				took[i] = time.Since(start)
			}
		})
	}
	wg.Wait()
	slices.Sort(took)
	b.ReportMetric(float64(took[b.N*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(took[b.N-1].Microseconds())/1000, "max-ms")
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "msg/s")
	b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(b.N), "cpu-µs/msg")
	b.ReportMetric(float64(writtenBytes()-written)/1024/float64(b.N), "KiB-written/msg")
}

// cpuTime is what the process has used; on a shared machine it tells more
// than the clock.
func cpuTime() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// writtenBytes is what the process has given to write calls.
func writtenBytes() (n int64) {
	f, err := os.Open("/proc/self/io")
	if err != nil {
		return 0
	}
	defer f.Close()
	var name string
	for {
		var v int64
		if _, err := fmt.Fscanln(f, &name, &v); err != nil {
			return n
		}
		if name == "wchar:" {
			n = v
		}
	}
}
