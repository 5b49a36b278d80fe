package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	quietInterval = 10 * time.Second
	quietWork     = 4 << 20  // octets allocated in an interval, below which the server is idle
	quietGarbage  = 12 << 20 // octets that are worth giving back
)

// giveBack returns memory to the system whenever the server has been idle for
// an interval. The collector runs when the heap has doubled, which with the
// ballast leaves up to 64 MiB of dead objects in memory, such as the 19 MiB of
// each password hash, and an idle server would keep them.
func giveBack(ctx context.Context) {
	const allocated, live, objects, free = 0, 1, 2, 3
	m := []metrics.Sample{
		allocated: {Name: "/gc/heap/allocs:bytes"},
		live:      {Name: "/gc/heap/live:bytes"}, // at the end of the last collection
		objects:   {Name: "/memory/classes/heap/objects:bytes"},
		free:      {Name: "/memory/classes/heap/free:bytes"},
	}
	tick := time.NewTicker(quietInterval)
	defer tick.Stop()
	for before := uint64(0); ; {
		metrics.Read(m)
		// The first round is the start itself, whose garbage nobody needs.
		idle := before == 0 || m[allocated].Value.Uint64()-before < quietWork
		if used := m[objects].Value.Uint64() + m[free].Value.Uint64(); idle && used > m[live].Value.Uint64()+quietGarbage {
			debug.FreeOSMemory()
		}
		before = m[allocated].Value.Uint64()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
