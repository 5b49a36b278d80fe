package imapd_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	stressClients = 6
	stressTime    = 3 * time.Second
)

// watcher is a client that keeps its own idea of the mailbox and compares
// every untagged response with it.
type watcher struct {
	*client
	id    int
	rnd   *rand.Rand
	tag   int
	uids  []int           // by sequence number; 0 is not known yet
	flags map[int]string  // by UID, as told last
	quiet map[string]bool // commands during which EXPUNGE may not be told
	fail  func(string)
}

var (
	existsLine  = regexp.MustCompile(`^\* (\d+) EXISTS$`)
	expungeLine = regexp.MustCompile(`^\* (\d+) EXPUNGE$`)
	fetchLine   = regexp.MustCompile(`^\* (\d+) FETCH \(UID (\d+) FLAGS \(([^)]*)\)\)$`)
)

// do gives a command and reads its responses to the tagged one.
func (w *watcher) do(command string) string {
	w.tag++
	tag := fmt.Sprintf("c%d-%d", w.id, w.tag)
	w.send(tag + " " + command)
	verb, _, _ := strings.Cut(command, " ")
	if verb == "IDLE" {
		w.until("+ ", verb)
		w.send("DONE")
	}
	return w.until(tag+" ", verb)
}

func (w *watcher) until(prefix, verb string) string {
	for {
		l := w.line()
		if strings.HasPrefix(l, prefix) {
			if strings.HasPrefix(l, prefix+"BAD") {
				w.fail(verb + ": " + l)
			}
			return l
		}
		w.untagged(l, verb)
	}
}

func (w *watcher) untagged(l, verb string) {
	switch {
	case existsLine.MatchString(l):
		n := number(existsLine, l, 1)
		if n < len(w.uids) {
			w.fail(fmt.Sprintf("%s with %d messages", l, len(w.uids)))
		}
		for len(w.uids) < n {
			w.uids = append(w.uids, 0)
		}
	case expungeLine.MatchString(l):
		n := number(expungeLine, l, 1)
		if n < 1 || n > len(w.uids) || w.quiet[verb] {
			w.fail(fmt.Sprintf("%s in %s with %d messages", l, verb, len(w.uids)))
			return
		}
		w.uids = slices.Delete(w.uids, n-1, n)
	case fetchLine.MatchString(l):
		n, uid := number(fetchLine, l, 1), number(fetchLine, l, 2)
		if n < 1 || n > len(w.uids) || w.uids[n-1] != 0 && w.uids[n-1] != uid {
			w.fail(fmt.Sprintf("%s in %s, where message %d of %v was known", l, verb, n, w.uids))
			return
		}
		w.uids[n-1] = uid
		w.flags[uid] = fetchLine.FindStringSubmatch(l)[3]
		known := slices.DeleteFunc(slices.Clone(w.uids), func(u int) bool { return u == 0 })
		if !slices.IsSorted(known) {
			w.fail(fmt.Sprintf("UIDs do not ascend: %v", w.uids))
		}
	}
}

func number(re *regexp.Regexp, l string, group int) int {
	n, _ := strconv.Atoi(re.FindStringSubmatch(l)[group])
	return n
}

// step does something that is legal.
func (w *watcher) step() {
	n := len(w.uids)
	pick := func() int { return 1 + w.rnd.IntN(n) }
	choice := w.rnd.IntN(12)
	if n == 0 && choice >= 4 {
		choice = 0
	}
	switch choice {
	case 0, 1:
		w.do("APPEND INBOX {16+}\r\nSubject: x\r\n\r\ny\n")
	case 2:
		w.do("NOOP")
	case 3:
		w.do("IDLE")
	case 4, 5:
		a, b := pick(), pick()
		flag := []string{`\Deleted`, `\Seen`, `\Flagged`, "Key"}[w.rnd.IntN(4)]
		op := []string{"+FLAGS", "-FLAGS", "FLAGS"}[w.rnd.IntN(3)]
		w.do(fmt.Sprintf("STORE %d:%d %s (%s)", min(a, b), max(a, b), op, flag))
	case 6:
		w.silent(pick())
	case 7:
		w.do("EXPUNGE")
	case 8:
		w.do(fmt.Sprintf("FETCH %d:* (UID FLAGS)", pick()))
	case 9:
		w.do("UID FETCH 1:* (FLAGS)")
	case 10:
		w.do(fmt.Sprintf("COPY %d INBOX", pick()))
	case 11:
		w.do(fmt.Sprintf("MOVE %d Trash", pick()))
	}
}

func (w *watcher) open() {
	w.line()
	w.do(`LOGIN alice@a.test "correct horse"`)
	w.do("SELECT INBOX")
}

// silent deletes a message without being told of it, unless somebody else
// has changed it too.
func (w *watcher) silent(n int) {
	uid := w.uids[n-1]
	f, known := w.flags[uid]
	delete(w.flags, uid)
	answer := w.do(fmt.Sprintf(`STORE %d +FLAGS.SILENT (\Deleted)`, n))
	if _, told := w.flags[uid]; told || !known {
		return
	}
	if strings.Contains(answer, " OK ") && !strings.Contains(f, `\Deleted`) {
		f += ` \Deleted`
	}
	w.flags[uid] = f
}

// state is the mailbox as the client sees it after a look at everything.
func (w *watcher) state() string {
	w.do("NOOP")
	told := maps.Clone(w.flags)
	w.do("FETCH 1:* (UID FLAGS)")
	var b strings.Builder
	for i, u := range w.uids {
		if f, ok := told[u]; ok && sorted(f) != sorted(w.flags[u]) {
			w.fail(fmt.Sprintf("UID %d has flags (%s), told were (%s)", u, w.flags[u], f))
		}
		fmt.Fprintf(&b, "%d:%d(%s) ", i+1, u, sorted(w.flags[u]))
	}
	return b.String()
}

func sorted(flags string) string {
	f := strings.Fields(flags)
	slices.Sort(f)
	return strings.Join(f, " ")
}

// TestStress has clients change one mailbox at once, each keeping count. No
// sequence number may ever be wrong, and all agree in the end.
func TestStress(t *testing.T) {
	w := newWorld(t)
	var clients []*watcher
	for i := range stressClients {
		nc := w.dial("x")
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(60 * time.Second))
		c := &watcher{
			client: newClient(t, nc), id: i, rnd: rand.New(rand.NewPCG(7, uint64(i))), flags: map[int]string{},
			quiet: map[string]bool{"FETCH": true, "STORE": true, "SEARCH": true},
			fail:  func(s string) { t.Errorf("client %d: %s", i, s) },
		}
		c.open()
		clients = append(clients, c)
	}
	var wg sync.WaitGroup
	steps := make([]int, stressClients)
	for i, c := range clients {
		wg.Go(func() {
			for end := time.Now().Add(stressTime); time.Now().Before(end) && !t.Failed(); steps[i]++ {
				c.step()
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	t.Logf("commands: %v", steps)
	want := clients[0].state()
	for _, c := range clients[1:] {
		if got := c.state(); got != want {
			t.Errorf("client %d sees\n%s\nclient 0\n%s", c.id, got, want)
		}
	}
}
