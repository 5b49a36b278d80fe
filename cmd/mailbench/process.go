package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"
)

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// processStat is what /proc/PID/stat tells of a process.
type processStat struct {
	parent int
	ticks  int64 // of processor time, with those of its children that have ended
}

// userHZ is what Linux counts processor time in, for programs.
const userHZ = 100

// readStat reads /proc/PID/stat (proc(5)).
func readStat(pid int) (processStat, error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return processStat{}, err
	}
	// The name, in parentheses, may have spaces and parentheses in it.
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 15 {
		return processStat{}, errors.New("/proc has another format")
	}
	var s processStat
	s.parent, err = strconv.Atoi(f[1])
	for _, field := range f[11:15] { // utime, stime, cutime, cstime
		n, _ := strconv.ParseInt(field, 10, 64)
		s.ticks += n
	}
	return s, err
}

// processTree is pids with all their descendants, and their stat.
func processTree(pids []int) map[int]processStat {
	all := map[int]processStat{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if s, err := readStat(pid); err == nil {
			all[pid] = s
		}
	}
	tree := map[int]processStat{}
	for pid := range all {
		for p, depth := pid, 0; p > 1 && depth < 32; p, depth = all[p].parent, depth+1 {
			if slices.Contains(pids, p) {
				tree[pid] = all[pid]
				break
			}
		}
	}
	return tree
}

// cpuSeconds is the processor time that pids and their descendants have used
// so far; 0 if there are no pids.
func cpuSeconds(pids []int) float64 {
	ticks := int64(0)
	if len(pids) > 0 {
		for _, s := range processTree(pids) {
			ticks += s.ticks
		}
	}
	return float64(ticks) / userHZ
}

// cpuClock starts to measure the processor time of s; what it returns puts
// the time since then, shared among its operations, into r.
func cpuClock(s *Server) func(r *Result) {
	before := cpuSeconds(s.PIDs)
	return func(r *Result) {
		if used := cpuSeconds(s.PIDs) - before; r.Count > 0 && used > 0 {
			r.CPU = used * 1e6 / float64(r.Count)
		}
	}
}

// syncTrace is an strace that counts the syncs of a server.
type syncTrace struct {
	cmd *exec.Cmd
	out string
}

const syncCalls = "fsync,fdatasync,sync_file_range,msync,syncfs,sync"

// traceSyncs attaches strace to pids and their descendants, also those to come.
func traceSyncs(ctx context.Context, pids []int) (*syncTrace, error) {
	if len(pids) == 0 {
		return nil, errors.New("no --pid is given")
	}
	path, err := exec.LookPath("strace")
	if err != nil {
		return nil, errors.New("strace is not installed")
	}
	f, err := os.CreateTemp("", "mailbench-strace-")
	if err != nil {
		return nil, err
	}
	f.Close()
	t := &syncTrace{out: f.Name()}
	args := []string{"-f", "-qq", "-c", "-e", "trace=" + syncCalls, "-o", t.out}
	tree := processTree(pids)
	for pid := range tree {
		args = append(args, "-p", strconv.Itoa(pid))
	}
	t.cmd = exec.CommandContext(ctx, path, args...)
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is for us: strace has to let go in order
	t.cmd.Cancel = func() error { return t.cmd.Process.Signal(os.Interrupt) }
	if err := t.cmd.Start(); err != nil {
		os.Remove(t.out)
		return nil, err
	}
	if err := t.attached(tree); err != nil {
		t.stop()
		return nil, err
	}
	return t, nil
}

// attached waits until every process is traced.
func (t *syncTrace) attached(tree map[int]processStat) error {
	for range 100 {
		missing := 0
		for pid := range tree {
			b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
			if err == nil && strings.Contains(string(b), "TracerPid:\t0\n") {
				missing++
			}
		}
		if missing == 0 {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return errors.New("strace does not attach; it needs root")
}

// stop ends strace and returns how many syncs there were.
func (t *syncTrace) stop() (int, error) {
	defer os.Remove(t.out)
	t.cmd.Process.Signal(os.Interrupt)
	t.cmd.Wait() // its status is that of the interrupt
	b, err := os.ReadFile(t.out)
	if err != nil {
		return 0, err
	}
	return parseSyncs(string(b))
}

// parseSyncs adds up the calls in strace's summary.
func parseSyncs(summary string) (int, error) {
	sum := 0
	for _, line := range strings.Split(summary, "\n") {
		f := strings.Fields(line)
		if len(f) < 5 || !slices.Contains(strings.Split(syncCalls, ","), f[len(f)-1]) {
			continue
		}
		n, err := strconv.Atoi(f[3]) // % time, seconds, usecs/call, calls, [errors], syscall
		if err != nil {
			return 0, fmt.Errorf("strace prints %q", line)
		}
		sum += n
	}
	return sum, nil
}
