package queue

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// BenchmarkDeadDestination measures the processor's time while many messages
// wait for one destination that does not answer: of waiting for ten seconds,
// and of the attempt when the destination is open again. POSTRIDER_WAITING is
// how many; 2000 if it is not set.
func BenchmarkDeadDestination(b *testing.B) {
	const settled = 3 * time.Second
	many, _ := strconv.Atoi(os.Getenv("POSTRIDER_WAITING"))
	if many == 0 {
		many = 2000
	}
	r := newRig(b, nil)
	work := make(chan int, many)
	for i := range many {
		work <- i
	}
	close(work)
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for i := range work {
				r.send(nil, fmt.Sprintf("u%d@dead.test", i))
			}
		})
	}
	all.Wait()
	closed := func() bool {
		ds, _, err := r.store.DueDests(context.Background(), r.clock.Now(), 10)
		return err == nil && len(ds) == 0
	}
	cpu := func() time.Duration {
		var u syscall.Rusage
		syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	began := cpu()
	r.run()
	for !closed() {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(settled) // late mail has been looked for
	b.ReportMetric(float64((cpu()-began).Microseconds())/1000, "first-cpu-ms")
	began = cpu()
	time.Sleep(10 * time.Second)
	b.ReportMetric(float64((cpu()-began).Microseconds())/10000, "cpu-ms/s-waiting")
	began = cpu()
	r.later(10 * time.Minute)
	for !closed() {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(settled)
	b.ReportMetric(float64((cpu()-began).Microseconds())/1000, "again-cpu-ms")
	b.ReportMetric(0, "ns/op")
}
