package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

const growthSummary = "how the cost grows with the messages in a mailbox and with the mailboxes"

// growth measures one server at rising sizes.
type growth struct {
	server       Server
	sizes, boxes []int
	probe        int
	connections  int
	settle       time.Duration
	restart      string // a shell command
	pidFile      string // where the server's number stands after a restart
	generator    Generator
	progress     io.Writer
}

// grown is all that was measured, over several runs if they share a file.
type grown struct {
	Messages  []*growthSize `json:"messages"`
	Mailboxes []*growthBox  `json:"mailboxes"`
}

// growthSize is what was measured with so many messages in a mailbox. What
// could not be measured is 0.
type growthSize struct {
	Messages int     `json:"messages"`
	Rate     float64 `json:"deliveries_per_second"`
	CPU      float64 `json:"delivery_cpu_us,omitempty"` // the server's processor time for one
	StartUp  float64 `json:"start_ms"`                  // from the restart's end to the greeting
	Cold     float64 `json:"select_cold_ms"`
	Warm     float64 `json:"select_warm_ms"`
	Memory   float64 `json:"view_octets_per_message"`
	Flags    float64 `json:"fetch_flags_ms"`
	Search   float64 `json:"search_ms"` // TEXT, one match
}

// growthBox is what was measured with so many mailboxes in an account.
type growthBox struct {
	Mailboxes int     `json:"mailboxes"`
	Rate      float64 `json:"appends_per_second"` // into any of them
	CPU       float64 `json:"append_cpu_us,omitempty"`
	List      float64 `json:"list_ms"`
}

// growthLeast is the smallest mailbox of which memory per message is told: of
// smaller ones, it drowns in what a process takes and gives back anyway.
const growthLeast = 10000

// Growth's users: one has the large mailbox, one the many.
const (
	growthUser    = watchUser + 1
	growthBoxUser = watchUser + 2
)

func runGrowth(ctx context.Context, c *cli, args []string) error {
	fs := flag.NewFlagSet("growth", flag.ContinueOnError)
	g := &growth{generator: Generator{Seed: 1, Size: 1 << 10}, progress: c.stderr}
	g.server.register(fs)
	sizes := fs.String("sizes", "1000,10000,100000", "`N,N,…` messages in the mailbox")
	fs.Func("size", "`SIZE` of a message (default 1K)", func(v string) (err error) {
		g.generator.Size, err = parseSize(v)
		return err
	})
	boxes := fs.String("mailboxes", "100,1000,10000", "`N,N,…` mailboxes of an account; empty for none")
	fs.IntVar(&g.probe, "probe", 2000, "`N` messages over which the rate is measured")
	fs.IntVar(&g.connections, "connections", 16, "`N` connections that deliver")
	fs.DurationVar(&g.settle, "settle", 10*time.Minute, "`TIME` that an index may take to catch up before the search counts")
	fs.StringVar(&g.restart, "restart", "", "shell `COMMAND` that restarts the server before each cold SELECT")
	fs.StringVar(&g.pidFile, "pid-file", "", "`FILE` with the server's PID, read again after each restart")
	out := fs.String("out", "", "JSON `FILE` to which the figures are added")
	picture := fs.String("svg", "", "`FILE` for the picture")
	asJSON := fs.Bool("json", false, "print JSON")
	if err := c.parse(fs, growthSummary, args); err != nil {
		return err
	}
	var err error
	if g.sizes, err = parseSizes(*sizes); err == nil {
		g.boxes, err = parseSizes(*boxes)
	}
	if err != nil || g.probe < 1 || g.connections < 1 {
		return usageError{errors.Join(err, errors.New("sizes, probe and connections are numbers from 1 on"))}
	}
	if len(g.sizes)+len(g.boxes) > 0 && (g.server.IMAP == "" || g.server.LMTP == "") {
		return usageError{errors.New("growth needs --imap and --lmtp")}
	}
	all, err := loadGrown(*out)
	if err != nil {
		return err
	}
	save := func() error { return all.save(*out, *picture) }
	if err := g.run(ctx, all, save); err != nil {
		return err
	}
	if err := save(); err != nil { // also the picture of old figures, without any new ones
		return err
	}
	if *asJSON {
		e := json.NewEncoder(c.stdout)
		e.SetIndent("", "  ")
		return e.Encode(all)
	}
	return all.print(c.stdout)
}

// parseSizes reads rising numbers with commas between them.
func parseSizes(s string) ([]int, error) {
	var list []int
	for word := range strings.SplitSeq(s, ",") {
		if word == "" {
			continue
		}
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 || len(list) > 0 && n <= list[len(list)-1] {
			return nil, fmt.Errorf("%q is not a list of rising numbers", s)
		}
		list = append(list, n)
	}
	return list, nil
}

// run measures every size, and saves after each.
func (g *growth) run(ctx context.Context, all *grown, save func() error) error {
	if err := g.readPID(); err != nil {
		return err
	}
	for _, n := range g.sizes {
		p, err := g.messages(ctx, n)
		if err != nil {
			return fmt.Errorf("%d messages: %w", n, err)
		}
		all.addSize(p)
		if err := save(); err != nil {
			return err
		}
	}
	for _, n := range g.boxes {
		p, err := g.mailboxes(ctx, n)
		if err != nil {
			return fmt.Errorf("%d mailboxes: %w", n, err)
		}
		all.addBox(p)
		if err := save(); err != nil {
			return err
		}
	}
	return nil
}

func (g *growth) say(format string, args ...any) {
	fmt.Fprintf(g.progress, format+"\n", args...)
}

// messages brings the mailbox to n messages, the last of them timed, and
// opens it.
func (g *growth) messages(ctx context.Context, n int) (*growthSize, error) {
	p := &growthSize{Messages: n}
	have, err := g.have(ctx)
	if err != nil {
		return nil, err
	}
	if have > n {
		return nil, fmt.Errorf("there are %d messages already: begin with a new server", have)
	}
	if probe := min(g.probe, n/2); have < n {
		if _, err := g.deliver(ctx, have, max(have, n-probe)); err != nil {
			return nil, err
		}
		from, cpu := max(have, n-probe), g.cpu()
		if p.Rate, err = g.deliver(ctx, from, n); err != nil {
			return nil, err
		}
		p.CPU = (g.cpu() - cpu) / float64(n-from)
	}
	g.say("%d messages are there; %.0f/s at the end, for %.0f µs of processor time each", n, p.Rate, p.CPU)
	// An index catches up now, so that nothing is behind what follows.
	if p.Search, err = g.search(ctx, n); err != nil {
		return nil, err
	}
	if g.restart != "" {
		if p.StartUp, err = g.restartServer(ctx); err != nil {
			return nil, err
		}
	}
	if err := g.open(ctx, p); err != nil {
		return nil, err
	}
	return p, nil
}

// cpu is the processor time that the server has used, in microseconds; 0 if
// nobody knows which processes are the server.
func (g *growth) cpu() float64 { return cpuSeconds(g.server.PIDs) * 1e6 }

func (g *growth) have(ctx context.Context) (int, error) {
	c, err := loginIMAP(ctx, g.server.IMAP, g.server.User(growthUser), g.server.Password)
	if err != nil {
		return 0, err
	}
	defer c.close()
	return c.messages("INBOX")
}

// deliver sends messages from up to end by LMTP and returns the rate.
func (g *growth) deliver(ctx context.Context, from, end int) (float64, error) {
	const report = 50000
	numbers := &counter{n: end - from}
	start := time.Now()
	t, elapsed := parallel(g.connections, (end-from)/g.connections, func(_ int, t *Tally) {
		c, err := dialSMTP(ctx, g.server.LMTP, true)
		if err != nil {
			t.fail(err)
			return
		}
		defer c.quit()
		var m []byte
		to := []string{g.server.User(growthUser)}
		for i, ok := numbers.take(ctx); ok && t.errors == 0; i, ok = numbers.take(ctx) {
			m = g.generator.Append(m[:0], from+i)
			begun := time.Now()
			if err := c.send(g.generator.From(from+i), to, m); err != nil {
				t.fail(err)
				return
			}
			t.done(begun)
			if i > 0 && i%report == 0 {
				g.say("  %d messages, %.0f/s", from+i, float64(i)/time.Since(start).Seconds())
			}
		}
	})
	if t.first == nil && len(t.times) < end-from {
		t.first = errors.New("interrupted")
	}
	return float64(end-from) / max(elapsed.Seconds(), 1e-9), t.first
}

// restartServer runs the command and waits for the greeting.
func (g *growth) restartServer(ctx context.Context) (float64, error) {
	if err := shell(ctx, g.restart); err != nil {
		return 0, err
	}
	start := time.Now()
	for {
		c, err := dialIMAP(ctx, g.server.IMAP)
		if err == nil {
			took := milliseconds(time.Since(start))
			c.close()
			return took, g.readPID()
		}
		if time.Since(start) > time.Minute {
			return 0, fmt.Errorf("no greeting after the restart: %w", err)
		}
		if err := wait(ctx, time.Millisecond); err != nil {
			return 0, err
		}
	}
}

func (g *growth) readPID() error {
	if g.pidFile == "" {
		return nil
	}
	b, err := os.ReadFile(g.pidFile)
	if err != nil {
		return err
	}
	g.server.PIDs = nil
	return g.server.addPID(strings.TrimSpace(string(b)))
}

// open measures the mailbox from the first SELECT on.
func (g *growth) open(ctx context.Context, p *growthSize) error {
	c, err := loginIMAP(ctx, g.server.IMAP, g.server.User(growthUser), g.server.Password)
	if err != nil {
		return err
	}
	defer c.close()
	before, noMemory := calmMemory(ctx, g.server.PIDs)
	if p.Cold, err = once(c, "SELECT INBOX", expectExists(p.Messages)); err != nil {
		return err
	}
	// What a server reads only when it is asked for belongs to the view too.
	if p.Flags, err = once(c, "FETCH 1:* FLAGS", expectFetched(p.Messages)); err != nil {
		return err
	}
	if after, err := calmMemory(ctx, g.server.PIDs); err == nil && noMemory == nil && p.Messages >= growthLeast {
		p.Memory = max(0, float64(after.pss-before.pss)/float64(p.Messages))
	}
	const times = 5
	warm, err := loginIMAP(ctx, g.server.IMAP, g.server.User(growthUser), g.server.Password)
	if err != nil {
		return err
	}
	defer warm.close()
	if p.Warm, err = again(warm, times, "SELECT INBOX", expectExists(p.Messages)); err != nil {
		return err
	}
	if p.Flags, err = again(c, 3, "FETCH 1:* FLAGS", expectFetched(p.Messages)); err != nil {
		return err
	}
	g.say("  SELECT %.1f ms cold, %.2f ms warm; %.0f octets a message; SEARCH TEXT %.1f ms", p.Cold, p.Warm, p.Memory, p.Search)
	return nil
}

// search looks for a word of one message until an index, if there is one, has
// caught up: the last three of its times are alike.
func (g *growth) search(ctx context.Context, n int) (float64, error) {
	c, err := loginIMAP(ctx, g.server.IMAP, g.server.User(growthUser), g.server.Password)
	if err != nil {
		return 0, err
	}
	defer c.close()
	if err := c.selectMailbox("INBOX", n); err != nil {
		return 0, err
	}
	command := "SEARCH TEXT " + quoteIMAP(Token(n/2))
	one := expect("messages found", 1, func(n counted) int { return len(n.found) })
	var last []float64
	for end := time.Now().Add(g.settle); ; {
		ms, err := once(c, command, one)
		if err != nil {
			return 0, err
		}
		last = append(last, ms)
		if k := len(last); k >= 3 {
			last = last[k-3:]
			if slices.Max(last) < 1.3*slices.Min(last) && slices.Max(last) < 100 || time.Now().After(end) {
				return median(last), nil
			}
		}
		// Searches that read messages must not take the time that the index needs.
		pause := max(200*time.Millisecond, 2*time.Duration(ms*float64(time.Millisecond)))
		if err := wait(ctx, pause); err != nil {
			return 0, err
		}
	}
}

// mailboxes brings the account to n mailboxes and appends to them at random.
func (g *growth) mailboxes(ctx context.Context, n int) (*growthBox, error) {
	user := g.server.User(growthBoxUser)
	c, err := loginIMAP(ctx, g.server.IMAP, user, g.server.Password)
	if err != nil {
		return nil, err
	}
	defer c.close()
	for i := range n {
		if err := c.makeBox(i); err != nil {
			return nil, err
		}
	}
	p := &growthBox{Mailboxes: n}
	if p.List, err = again(c, 3, `LIST "" "growth-*"`, expect("mailboxes", n, func(n counted) int { return n.listed })); err != nil {
		return nil, err
	}
	numbers, cpu := &counter{n: g.probe}, g.cpu()
	t, elapsed := parallel(g.connections, g.probe/g.connections, func(worker int, t *Tally) {
		a, err := loginIMAP(ctx, g.server.IMAP, user, g.server.Password)
		if err != nil {
			t.fail(err)
			return
		}
		defer a.close()
		random := g.generator.random(worker)
		for i, ok := numbers.take(ctx); ok && t.errors == 0; i, ok = numbers.take(ctx) {
			start := time.Now()
			if err := a.append(boxName(random.below(n)), g.generator.Message(i)); err != nil {
				t.fail(err)
				return
			}
			t.done(start)
		}
	})
	p.Rate = float64(len(t.times)) / elapsed.Seconds()
	p.CPU = (g.cpu() - cpu) / float64(max(1, len(t.times)))
	g.say("%d mailboxes are there; %.0f/s appended to any of them; LIST %.1f ms", n, p.Rate, p.List)
	return p, t.first
}

func boxName(i int) string { return fmt.Sprintf("growth-%05d", i) }

// makeBox creates a mailbox if there is none.
func (c *imapConn) makeBox(i int) error {
	err := c.do("CREATE "+boxName(i), nil)
	if err != nil && strings.HasPrefix(err.Error(), "NO [ALREADYEXISTS]") {
		return nil
	}
	return err
}

// once is the time of one command in milliseconds.
func once(c *imapConn, command string, check func(counted) error) (float64, error) {
	return again(c, 1, command, check)
}

// again is the median time of a command in milliseconds.
func again(c *imapConn, times int, command string, check func(counted) error) (float64, error) {
	t := newTally(times)
	for range times {
		c.timed(t, command, check)
	}
	return t.sum("", "").P50, t.first
}

// addSize puts a point in its place, instead of an older one of the same size.
// A rate that was not measured again stays.
func (g *grown) addSize(p *growthSize) {
	i, found := slices.BinarySearchFunc(g.Messages, p.Messages, func(q *growthSize, n int) int { return q.Messages - n })
	if !found {
		g.Messages = slices.Insert(g.Messages, i, p)
		return
	}
	if p.Rate == 0 {
		p.Rate, p.CPU = g.Messages[i].Rate, g.Messages[i].CPU
	}
	g.Messages[i] = p
}

func (g *grown) addBox(p *growthBox) {
	i, found := slices.BinarySearchFunc(g.Mailboxes, p.Mailboxes, func(q *growthBox, n int) int { return q.Mailboxes - n })
	if found {
		g.Mailboxes[i] = p
	} else {
		g.Mailboxes = slices.Insert(g.Mailboxes, i, p)
	}
}

// print writes the tables, in Markdown.
func (g *grown) print(w io.Writer) error {
	var b strings.Builder
	b.WriteString("| messages | deliveries/s | CPU of each, µs | start, ms | SELECT cold, ms | warm, ms | memory, octets a message | FETCH 1:* FLAGS, ms | SEARCH TEXT, ms |\n")
	b.WriteString("|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, p := range g.Messages {
		fmt.Fprintf(&b, "| %d | %.0f | %.0f | %s | %.1f | %.2f | %s | %.1f | %.1f |\n", p.Messages, p.Rate, p.CPU, orDash(p.StartUp), p.Cold, p.Warm, orDash(p.Memory), p.Flags, p.Search)
	}
	if len(g.Mailboxes) > 0 {
		b.WriteString("\n| mailboxes | appends/s | CPU of each, µs | LIST, ms |\n|--:|--:|--:|--:|\n")
		for _, p := range g.Mailboxes {
			fmt.Fprintf(&b, "| %d | %.0f | %.0f | %.1f |\n", p.Mailboxes, p.Rate, p.CPU, p.List)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func orDash(v float64) string {
	if v == 0 {
		return "-"
	}
	return strconv.FormatFloat(math.Round(v), 'f', -1, 64)
}
