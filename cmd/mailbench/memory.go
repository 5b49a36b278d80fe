package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"time"
)

// memory is what a server's processes hold, in octets.
type memory struct {
	processes int
	rss       int64 // resident; pages that processes share count for each of them
	pss       int64 // the same, but each shared page is divided by its users
}

// memoryOf adds up the processes with these numbers and all that descend from
// them. It needs Linux, and the right to look at the processes.
func memoryOf(pids []int) (memory, error) {
	var m memory
	if len(pids) == 0 {
		return m, fmt.Errorf("memory needs --pid")
	}
	for pid := range processTree(pids) {
		rss, pss, err := rollup(pid)
		if os.IsNotExist(err) || err == nil && rss == 0 {
			continue // it ended meanwhile
		}
		if err != nil {
			return m, err
		}
		m.processes++
		m.rss += rss
		m.pss += pss
	}
	if m.processes == 0 {
		return m, fmt.Errorf("there is no process %v", pids)
	}
	return m, nil
}

// calmMemory is memoryOf, once it hardly changes any more: a runtime gives
// back what it does not need only after a while. It waits ten seconds at most.
func calmMemory(ctx context.Context, pids []int) (memory, error) {
	last, err := memoryOf(pids)
	for range 10 {
		if err != nil {
			break
		}
		if err := wait(ctx, time.Second); err != nil {
			return last, err
		}
		before := last.pss
		if last, err = memoryOf(pids); max(last.pss-before, before-last.pss) < before/100 {
			break
		}
	}
	return last, err
}

// rollup reads what a process holds.
func rollup(pid int) (rss, pss int64, err error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		switch fields := bytes.Fields(lines.Bytes()); {
		case len(fields) < 2:
		case string(fields[0]) == "Rss:":
			rss = kilobytes(fields[1])
		case string(fields[0]) == "Pss:":
			pss = kilobytes(fields[1])
		}
	}
	return rss, pss, nil // a process that has just ended has no lines
}

func kilobytes(b []byte) int64 {
	n, _ := strconv.ParseInt(string(b), 10, 64)
	return n << 10
}
