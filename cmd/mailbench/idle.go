package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// idleLoad is connections that wait in IDLE: what they cost in memory.
type idleLoad struct {
	archive
	connections, sources int
	settle               time.Duration
}

func idleWorkload() Workload {
	return Workload{
		Name: "idle", Needs: "imap",
		Summary: "connections that have selected a mailbox and wait in IDLE: memory for each (needs --pid)",
		New: func(fs *flag.FlagSet) Runner {
			r := &idleLoad{}
			r.register(fs)
			fs.IntVar(&r.connections, "connections", 1000, "`N` connections at once")
			fs.IntVar(&r.sources, "sources", 64, "`N` loopback addresses that connections come from, if the server is on one")
			fs.DurationVar(&r.settle, "settle", idleSettle, "`TIME` to wait before memory is looked at")
			return r
		},
	}
}

const (
	idleSettle = 21 * time.Second // Postrider gives memory back after 10 to 20 seconds in which nothing happens
	idleBuffer = 512              // octets for a connection that only waits
	idleAtOnce = 16               // connections that are being made
	idleUser   = usersIMAP + mixUsers
)

func (r *idleLoad) Prepare(ctx context.Context, s *Server) error {
	if r.connections < 2 || r.sources < 1 || r.sources > 250 {
		return usageError{errors.New("there must be 2 connections and 1 to 250 sources")}
	}
	if len(s.PIDs) == 0 {
		return usageError{errors.New("--pid is missing")}
	}
	if err := moreFiles(r.connections + 100); err != nil {
		return err
	}
	return r.prepare(ctx, s, idleUser)
}

func (r *idleLoad) Run(ctx context.Context, s *Server) ([]*Result, error) {
	// The first connection waits before anything is counted: what the server
	// has once for a mailbox is no cost of a connection.
	group := &idlers{server: s, user: idleUser, mailbox: r.mailbox(), want: r.count, sources: r.sources}
	defer group.close()
	if err := group.add(ctx, 1); err.first != nil {
		return nil, err.first
	}
	if err := wait(ctx, r.settle); err != nil {
		return nil, err
	}
	before, err := memoryOf(s.PIDs)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	tally := group.add(ctx, r.connections-1)
	elapsed := time.Since(start)
	if err := wait(ctx, r.settle); err != nil {
		return nil, err
	}
	after, err := memoryOf(s.PIDs)
	if err != nil {
		return nil, err
	}
	result := tally.result("memory", "connections", elapsed)
	n := float64(max(1, result.Count))
	result.Value = max(0, float64(after.pss-before.pss)/n)
	result.Count++ // the first
	result.Note = fmt.Sprintf("%.0f octets a connection; all processes %.1f MB before and %.1f MB after (%d and %d of them; with shared pages counted for each: %.1f and %.1f MB)",
		result.Value, megabytes(before.pss), megabytes(after.pss), before.processes, after.processes, megabytes(before.rss), megabytes(after.rss))
	return []*Result{result}, nil
}

// Verify has nothing to ask.
func (r *idleLoad) Verify(context.Context, *Server, []*Result) error { return nil }

func megabytes(n int64) float64 { return float64(n) / (1 << 20) }

// wait sleeps, unless ctx ends before.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// moreFiles raises the limit of open files to at least n.
func moreFiles(n int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if limit.Cur >= uint64(n) {
		return nil
	}
	limit.Cur, limit.Max = uint64(n), max(limit.Max, uint64(n))
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("%d open files are needed: raise the limit with ulimit -n (%w)", n, err)
	}
	return nil
}

// idlers is a group of connections in IDLE on one mailbox.
type idlers struct {
	server        *Server
	user          int
	mailbox       string
	want, sources int // messages in the mailbox, or -1 if any number will do
	mu            sync.Mutex
	conns         []*imapConn
}

// add opens n more; the time of each is from the connect to being in IDLE.
func (g *idlers) add(ctx context.Context, n int) *Tally {
	numbers := &counter{n: n}
	tally, _ := parallel(min(n, idleAtOnce), n/idleAtOnce+1, func(_ int, t *Tally) {
		for i, ok := numbers.take(ctx); ok && t.errors < 3; i, ok = numbers.take(ctx) {
			start := time.Now()
			c, err := g.open(ctx, g.source(i))
			if err != nil {
				t.fail(err)
				continue
			}
			t.done(start)
			g.mu.Lock()
			g.conns = append(g.conns, c)
			g.mu.Unlock()
		}
	})
	return tally
}

// source is an address that connection i comes from: a server may limit how
// many come from one, and one has only so many ports. Empty is any.
func (g *idlers) source(i int) string {
	host, _, _ := net.SplitHostPort(g.server.IMAP)
	if ip := net.ParseIP(host).To4(); ip == nil || !ip.IsLoopback() {
		return ""
	}
	return fmt.Sprintf("127.0.1.%d", 1+i%g.sources)
}

// open brings one connection into IDLE (RFC 2177).
func (g *idlers) open(ctx context.Context, source string) (*imapConn, error) {
	w, err := dialWireFrom(ctx, g.server.IMAP, source, idleBuffer)
	if err != nil {
		return nil, err
	}
	c, err := greetIMAP(w)
	if err != nil {
		return nil, err
	}
	err = c.login(g.server.User(g.user), g.server.Password)
	if err == nil {
		err = c.do("SELECT "+quoteIMAP(g.mailbox), nil)
	}
	if err == nil {
		tag := c.begin("IDLE")
		if err = c.flush(); err == nil {
			err = c.continuation(tag)
		}
	}
	if err != nil {
		c.close()
		return nil, err
	}
	c.caps, c.out = nil, nil // ten thousand of them
	return c, nil
}

func (g *idlers) close() {
	for _, c := range g.conns {
		c.close()
	}
}

// awaitExists reads until more than before messages exist.
func (c *imapConn) awaitExists(before int) error {
	for {
		line, err := c.response()
		if err != nil {
			return err
		}
		if bytes.HasPrefix(line, []byte("* BYE")) {
			return fmt.Errorf("%s", line)
		}
		rest, _ := bytes.CutPrefix(line, []byte("* "))
		if n, word := leadingNumber(rest); string(word) == "EXISTS" && n > before {
			return nil
		}
	}
}
