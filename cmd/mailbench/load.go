package main

import (
	"flag"
	"fmt"
	"strconv"
	"strings"
)

// load is what all workloads that send messages have in common.
type load struct {
	count       int
	connections int
	mailboxes   int
	first       int // user
	generator   Generator
	messages    [][]byte // rendered before the clock starts, and kept for the next round
}

// maxRendered bounds the octets of rendered messages that are kept.
const maxRendered = 512 << 20

func (l *load) register(fs *flag.FlagSet, count, connections, mailboxes, first int) {
	fs.IntVar(&l.count, "count", count, "`N` messages")
	fs.IntVar(&l.connections, "connections", connections, "`N` connections at once")
	fs.IntVar(&l.mailboxes, "mailboxes", mailboxes, "`N` mailboxes, which take turns")
	fs.IntVar(&l.first, "first", first, "`NUMBER` of the first user")
	fs.Uint64Var(&l.generator.Seed, "seed", 1, "`SEED` of the messages")
	fs.BoolVar(&l.generator.Mixed, "mixed", false, "make 9 of 100 messages 100 KB and 1 of 100 1 MB large")
	fs.Func("size", "`SIZE` of a message, such as 10K or 1M (default 10K)", func(v string) (err error) {
		l.generator.Size, err = parseSize(v)
		return err
	})
}

// render makes the messages. Beyond maxRendered, those that there are serve
// again and again.
func (l *load) render() {
	n, size := 0, 0
	for ; n < l.count && size < maxRendered; n++ {
		size += l.generator.SizeOf(n)
	}
	if len(l.messages) != n {
		l.messages = l.generator.Render(0, n)
	}
}

func (l *load) message(n int) []byte { return l.messages[n%len(l.messages)] }

// check refuses settings that make no sense.
func (l *load) check() error {
	if l.count < 1 || l.connections < 1 || l.mailboxes < 1 || l.generator.Size < 0 {
		return usageError{fmt.Errorf("count, connections and mailboxes must be at least 1")}
	}
	return nil
}

// parseSize reads octets, with K or M for powers of 1024.
func parseSize(v string) (int, error) {
	factor := 1
	number := strings.TrimSuffix(strings.ToUpper(v), "B")
	for suffix, f := range map[string]int{"K": 1 << 10, "M": 1 << 20} {
		if rest, ok := strings.CutSuffix(number, suffix); ok {
			number, factor = rest, f
		}
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > 1<<30/factor {
		return 0, fmt.Errorf("%q is no size", v)
	}
	return n * factor, nil
}
