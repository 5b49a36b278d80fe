package imapd_test

import (
	"bufio"
	"compress/flate"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	stressClients = 20
	stressLines   = 20_000 // of each client's that are kept for who reads of a failure
)

// stressTime is how long TestStress runs; POSTRIDER_STRESS says otherwise.
func stressTime(t *testing.T) time.Duration {
	if text := os.Getenv("POSTRIDER_STRESS"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if testing.Short() {
		return 3 * time.Second
	}
	return 20 * time.Second
}

// model is what all clients together have been told: what flags a message had
// at a mod-sequence is one truth for all.
type model struct {
	mu    sync.Mutex
	flags map[[2]int]string // by UID and mod-sequence
	gone  map[int]bool      // UIDs that somebody was told are expunged
}

// saw notes flags at a mod-sequence, and returns what was told of them before
// if that was something else.
func (m *model) saw(uid, modSeq int, flags string) (other string, differs bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := [2]int{uid, modSeq}
	before, ok := m.flags[k]
	if !ok {
		m.flags[k] = flags
		return "", false
	}
	return before, before != flags
}

func (m *model) lost(uid int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone[uid] = true
}

// isGone tells whether a message has gone, as somebody knows who was told so
// before now.
func (m *model) isGone(uid int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.gone[uid]
}

// message is what a client knows of one.
type message struct {
	flags  string
	modSeq int
	known  bool // its flags
}

// watcher is a client that keeps its own idea of the mailbox and compares
// every untagged response with it and with the model.
type watcher struct {
	*client
	*model
	id       int
	rnd      *rand.Rand
	enable   string // what it enables
	deflate  bool
	tag      int
	uids     []int            // by sequence number; 0 is not known yet
	by       map[int]*message // by UID
	validity int
	since    int      // the mod-sequence up to which it knows everything
	recent   []string // the last lines on the wire
	fail     func(string)
}

// note keeps a line for who reads of a failure.
func (w *watcher) note(l string) {
	if w.recent = append(w.recent, l); len(w.recent) > 2*stressLines {
		w.recent = slices.Delete(w.recent, 0, stressLines)
	}
}

var (
	existsLine   = regexp.MustCompile(`^\* (\d+) EXISTS$`)
	expungeLine  = regexp.MustCompile(`^\* (\d+) EXPUNGE$`)
	vanishedLine = regexp.MustCompile(`^\* VANISHED (\(EARLIER\) )?([\d:,]+)$`)
	fetchLine    = regexp.MustCompile(`^\* (\d+) (UID)?FETCH \((.*)\)$`)
	uidItem      = regexp.MustCompile(`\bUID (\d+)`)
	flagsItem    = regexp.MustCompile(`\bFLAGS \(([^)]*)\)`)
	modSeqItem   = regexp.MustCompile(`\bMODSEQ \((\d+)\)`)
	highest      = regexp.MustCompile(`\[HIGHESTMODSEQ (\d+)\]`)
	validityCode = regexp.MustCompile(`\[UIDVALIDITY (\d+)\]`)

	// quiet are the commands during which EXPUNGE may not be told.
	quiet = map[string]bool{"FETCH": true, "STORE": true, "SEARCH": true, "SORT": true, "THREAD": true}
)

func (w *watcher) has(extension string) bool { return strings.Contains(w.enable, extension) }

// sequence tells whether it knows messages by sequence numbers.
func (w *watcher) sequence() bool { return !w.has("UIDONLY") }

// do gives a command and reads its responses to the tagged one.
func (w *watcher) do(command string) string {
	w.tag++
	tag := fmt.Sprintf("c%d-%d", w.id, w.tag)
	w.send(tag + " " + command)
	w.note("C: " + tag + " " + command)
	verb, _, _ := strings.Cut(command, " ")
	if verb == "IDLE" {
		w.until("+ ", verb)
		w.send("DONE")
	}
	answer := w.until(tag+" ", verb)
	if verb == "SELECT" && w.has("QRESYNC") {
		w.fromCache()
	}
	if at := slices.Index(w.uids, 0); w.has("QRESYNC") && w.sequence() && at >= 0 {
		// Who is told of expunges by UID has to know the UIDs: those of new
		// messages, which stand at the end.
		last := 0
		if at > 0 {
			last = w.uids[at-1]
		}
		w.do(fmt.Sprintf("UID FETCH %d:* (UID FLAGS)", last+1))
	}
	return answer
}

// fromCache numbers the messages that it knows after coming back: they are
// the first ones, and what was told meanwhile must fit.
func (w *watcher) fromCache() {
	uids := slices.Sorted(maps.Keys(w.by))
	if len(uids) > len(w.uids) && w.sequence() {
		w.fail(fmt.Sprintf("it knows %d messages, and there are %d", len(uids), len(w.uids)))
		return
	}
	for i, uid := range w.uids {
		if uid != 0 && (i >= len(uids) || uids[i] != uid) {
			w.fail(fmt.Sprintf("message %d is UID %d, known were %v", i+1, uid, uids))
			return
		}
	}
	for len(uids) < len(w.uids) {
		uids = append(uids, 0)
	}
	w.uids = uids
}

func (w *watcher) until(prefix, verb string) string {
	for {
		l := w.line()
		w.note("S: " + l)
		if strings.HasPrefix(l, prefix) {
			if strings.HasPrefix(l, prefix+"BAD") || strings.Contains(l, "SERVERBUG") {
				w.fail(verb + ": " + l)
			}
			if m := highest.FindStringSubmatch(l); m != nil {
				w.since = number(m[1])
			}
			return l
		}
		w.untagged(l, verb)
	}
}

func (w *watcher) untagged(l, verb string) {
	if m := existsLine.FindStringSubmatch(l); m != nil {
		n := number(m[1])
		if n < len(w.uids) && w.sequence() && verb != "SELECT" {
			w.fail(fmt.Sprintf("%s with %d messages", l, len(w.uids)))
		}
		for len(w.uids) < n {
			w.uids = append(w.uids, 0)
		}
	} else if m := expungeLine.FindStringSubmatch(l); m != nil {
		w.expunged(number(m[1]), verb, l)
	} else if m := vanishedLine.FindStringSubmatch(l); m != nil {
		w.vanished(m[2], m[1] != "", verb, l)
	} else if m := fetchLine.FindStringSubmatch(l); m != nil {
		w.fetched(number(m[1]), m[2] != "", m[3], verb, l)
	} else if m := validityCode.FindStringSubmatch(l); m != nil {
		w.validity = number(m[1])
	} else if m := highest.FindStringSubmatch(l); m != nil && verb == "SELECT" {
		w.since = number(m[1])
	}
}

func (w *watcher) expunged(n int, verb, l string) {
	if n < 1 || n > len(w.uids) || quiet[verb] || w.has("QRESYNC") || w.has("UIDONLY") {
		w.fail(fmt.Sprintf("%s in %s with %d messages", l, verb, len(w.uids)))
		return
	}
	if uid := w.uids[n-1]; uid != 0 {
		w.forget(uid)
	}
	w.uids = slices.Delete(w.uids, n-1, n)
}

func (w *watcher) forget(uid int) {
	w.lost(uid)
	delete(w.by, uid)
}

// vanished takes UIDs that have gone: of EARLIER ones some may never have been
// known.
func (w *watcher) vanished(set string, earlier bool, verb, l string) {
	if !earlier && (quiet[verb] || !w.has("QRESYNC") && !w.has("UIDONLY")) {
		w.fail(l + " in " + verb)
	}
	for r := range strings.SplitSeq(set, ",") {
		a, b, ranged := strings.Cut(r, ":")
		if !ranged {
			b = a
		}
		for uid := number(a); uid <= number(b); uid++ {
			at := slices.Index(w.uids, uid)
			if at < 0 && !earlier {
				at = w.untold(uid)
			}
			if at < 0 && w.sequence() && !earlier {
				w.fail(fmt.Sprintf("%s, where UID %d cannot be one of %v", l, uid, w.uids))
			}
			if at >= 0 {
				w.uids = slices.Delete(w.uids, at, at+1)
			}
			w.forget(uid)
		}
	}
}

// untold is where a message stands whose UID it has not been told: UIDs
// ascend, so that is behind all those with a lower one.
func (w *watcher) untold(uid int) int {
	at := -1
	for i, u := range w.uids {
		if u > uid {
			break
		}
		if u == 0 && at < 0 {
			at = i
		} else if u != 0 {
			at = -1
		}
	}
	return at
}

func (w *watcher) fetched(n int, byUID bool, items, verb, l string) {
	uid := 0
	if byUID == w.sequence() {
		w.fail(l + " is of the wrong kind")
	}
	if m := uidItem.FindStringSubmatch(items); m != nil {
		uid = number(m[1])
	}
	if byUID {
		uid = n
	} else {
		if n < 1 || n > len(w.uids) || uid != 0 && w.uids[n-1] != 0 && w.uids[n-1] != uid {
			w.fail(fmt.Sprintf("%s in %s, where message %d of %v was known", l, verb, n, w.uids))
			return
		}
		if uid != 0 {
			w.uids[n-1] = uid
			known := slices.DeleteFunc(slices.Clone(w.uids), func(u int) bool { return u == 0 })
			if !slices.IsSorted(known) {
				w.fail(fmt.Sprintf("UIDs do not ascend: %v", w.uids))
			}
		}
		uid = w.uids[n-1]
	}
	if uid == 0 {
		return
	}
	if w.by[uid] == nil {
		w.by[uid] = &message{}
	}
	m := w.by[uid]
	if f := flagsItem.FindStringSubmatch(items); f != nil {
		m.flags, m.known = sorted(f[1]), true
	}
	if q := modSeqItem.FindStringSubmatch(items); q != nil {
		modSeq := number(q[1])
		if modSeq < m.modSeq {
			w.fail(fmt.Sprintf("%s, where the mod-sequence was %d", l, m.modSeq))
		}
		m.modSeq = modSeq
		if f := flagsItem.FindStringSubmatch(items); f != nil {
			if other, differs := w.saw(uid, modSeq, m.flags); differs {
				w.fail(fmt.Sprintf("%s, where another was told (%s)", l, other))
			}
		}
	}
}

func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

func sorted(flags string) string {
	f := strings.Fields(flags)
	slices.Sort(f)
	return strings.Join(f, " ")
}

// step does something that is legal.
func (w *watcher) step() {
	n := len(w.uids)
	uid, seq := "UID ", func() string { return strconv.Itoa(1 + w.rnd.IntN(1000)) }
	if w.sequence() {
		uid, seq = "", func() string { return strconv.Itoa(1 + w.rnd.IntN(len(w.uids))) }
		if w.rnd.IntN(3) == 0 {
			uid, seq = "UID ", func() string { return strconv.Itoa(1 + w.rnd.IntN(1000)) }
		}
	}
	choice := w.rnd.IntN(16)
	if n == 0 && choice >= 4 {
		choice = 0
	}
	switch choice {
	case 0, 1:
		if n < 100 {
			w.do("APPEND INBOX {16+}\r\nSubject: x\r\n\r\ny\n")
		} else {
			w.do(`UID STORE 1:* +FLAGS.SILENT (\Deleted)`)
			w.forgetFlags()
			w.do("EXPUNGE")
		}
	case 2:
		w.do("NOOP")
	case 3:
		w.do("IDLE")
	case 4, 5:
		flag := []string{`\Deleted`, `\Seen`, `\Flagged`, "Key"}[w.rnd.IntN(4)]
		op := []string{"+FLAGS", "-FLAGS", "FLAGS"}[w.rnd.IntN(3)]
		w.do(fmt.Sprintf("%sSTORE %s,%s %s (%s)", uid, seq(), seq(), op, flag))
	case 6:
		w.do(fmt.Sprintf(`%sSTORE %s:%s +FLAGS.SILENT (\Deleted)`, uid, seq(), seq()))
		w.forgetFlags()
	case 7:
		w.do("EXPUNGE")
	case 8:
		w.do(fmt.Sprintf("%sFETCH %s:* (UID FLAGS)", uid, seq()))
	case 9:
		w.do("UID FETCH 1:* (UID FLAGS)")
	case 10:
		w.do(fmt.Sprintf("%sCOPY %s INBOX", uid, seq()))
	case 11:
		w.do(fmt.Sprintf("%sMOVE %s Trash", uid, seq()))
	case 12:
		w.do(uid + "SEARCH UNSEEN NOT FLAGGED")
	case 13:
		if w.has("CONDSTORE") || w.has("QRESYNC") {
			w.do(fmt.Sprintf("%sSTORE %s:%s (UNCHANGEDSINCE %d) +FLAGS.SILENT (Key)", uid, seq(), seq(), w.since))
			w.forgetFlags()
			w.do(fmt.Sprintf("UID FETCH 1:* (UID FLAGS MODSEQ) (CHANGEDSINCE %d)", w.since))
		}
	case 14:
		w.compare()
	case 15:
		w.again()
	}
}

// forgetFlags is for what a silent STORE leaves for the client to work out.
func (w *watcher) forgetFlags() {
	for _, m := range w.by {
		m.known = false
	}
}

// compare looks at everything, and sees that it was told before.
func (w *watcher) compare() {
	w.do("NOOP")
	told := map[int]message{}
	for uid, m := range w.by {
		told[uid] = *m
	}
	items := "UID FLAGS"
	if w.has("CONDSTORE") || w.has("QRESYNC") {
		items += " MODSEQ"
	}
	changed := map[int]bool{} // told anew by this command, before its own answers
	before := maps.Clone(told)
	w.do("UID FETCH 1:* (" + items + ")")
	for uid, m := range w.by {
		b, ok := before[uid]
		if ok && b.known && b.flags != m.flags && !changed[uid] && b.modSeq != 0 && b.modSeq == m.modSeq {
			w.fail(fmt.Sprintf("UID %d has flags (%s), told were (%s) at the same mod-sequence %d", uid, m.flags, b.flags, m.modSeq))
		}
	}
}

// again leaves the mailbox and comes back, with QRESYNC by what it knows; that
// and a full look must be the same.
func (w *watcher) again() {
	since, validity := w.since, w.validity
	if !w.has("QRESYNC") {
		w.do("UNSELECT")
		w.uids, w.by = nil, map[int]*message{}
		w.do("SELECT INBOX")
		return
	}
	w.do("UNSELECT")
	// What it keeps is its cache by UID; numbers mean nothing any more.
	w.uids = nil
	for _, m := range w.by {
		m.known = m.known && m.modSeq <= since
	}
	w.do(fmt.Sprintf("SELECT INBOX (QRESYNC (%d %d))", validity, since))
	cache := map[int]message{}
	for uid, m := range w.by {
		cache[uid] = *m
	}
	w.by = map[int]*message{}
	w.do("UID FETCH 1:* (UID FLAGS MODSEQ)")
	for uid, m := range w.by {
		c, ok := cache[uid]
		if ok && c.known && c.modSeq == m.modSeq && c.flags != m.flags {
			w.fail(fmt.Sprintf("after QRESYNC UID %d has (%s), a full look (%s)", uid, c.flags, m.flags))
		}
		if ok && c.modSeq > m.modSeq {
			w.fail(fmt.Sprintf("after QRESYNC UID %d has mod-sequence %d, a full look %d", uid, c.modSeq, m.modSeq))
		}
		if !ok && m.modSeq <= since && w.sequence() { // who has no numbers did not ask for the UIDs of new ones
			w.fail(fmt.Sprintf("QRESYNC since %d did not tell UID %d of %d", since, uid, m.modSeq))
		}
	}
	for uid := range cache {
		if w.by[uid] == nil && !w.isGone(uid) {
			w.fail(fmt.Sprintf("QRESYNC since %d left UID %d, which is not there", since, uid))
		}
	}
}

func (w *watcher) open() {
	w.line()
	w.do(`LOGIN alice@a.test "correct horse"`)
	if w.deflate {
		w.do("COMPRESS DEFLATE")
		out, err := flate.NewWriter(w.Conn, flate.BestSpeed)
		if err != nil {
			w.t.Fatal(err)
		}
		w.r = bufio.NewReader(flate.NewReader(w.r))
		w.Conn = deflating{w.Conn, out}
	}
	if w.enable != "" {
		w.do("ENABLE " + w.enable)
	}
	w.do("SELECT INBOX")
}

// deflating compresses what a client says.
type deflating struct {
	net.Conn
	w *flate.Writer
}

func (d deflating) Write(p []byte) (int, error) {
	if _, err := d.w.Write(p); err != nil {
		return 0, err
	}
	return len(p), d.w.Flush()
}

// state is the mailbox as the client sees it after a look at everything.
func (w *watcher) state() string {
	w.do("NOOP")
	w.uids, w.by = nil, map[int]*message{}
	w.do("SELECT INBOX")
	w.do("UID FETCH 1:* (UID FLAGS)")
	var b strings.Builder
	for _, uid := range slices.Sorted(maps.Keys(w.by)) {
		fmt.Fprintf(&b, "%d(%s) ", uid, w.by[uid].flags)
	}
	return b.String()
}

// TestStress has clients of all kinds change one mailbox at once, each keeping
// count. No sequence number may ever be wrong, flags at a mod-sequence are the
// same for all, whoever comes back knows what a full look shows, and all agree
// in the end.
func TestStress(t *testing.T) {
	w := newWorld(t)
	all := &model{flags: map[[2]int]string{}, gone: map[int]bool{}}
	kinds := []string{"", "CONDSTORE", "QRESYNC", "UIDONLY CONDSTORE", "IMAP4rev2", "QRESYNC IMAP4rev2", "UIDONLY QRESYNC"}
	last := stressTime(t)
	var clients []*watcher
	for i := range stressClients {
		nc := w.dial("x")
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(last + 60*time.Second))
		c := &watcher{
			client: newClient(t, nc), model: all, id: i, rnd: rand.New(rand.NewPCG(7, uint64(i))), by: map[int]*message{},
			enable: kinds[i%len(kinds)], deflate: i%5 == 4,
		}
		c.fail = func(s string) {
			t.Errorf("client %d (%s): %s\n%s", i, c.enable, s, strings.Join(c.recent[max(0, len(c.recent)-30):], "\n"))
			name := filepath.Join(t.ArtifactDir(), fmt.Sprintf("client%d.txt", i))
			if err := os.WriteFile(name, []byte(strings.Join(c.recent, "\n")), 0o600); err != nil {
				t.Error(err)
			}
		}
		c.open()
		clients = append(clients, c)
	}
	var wg sync.WaitGroup
	steps := make([]int, stressClients)
	for i, c := range clients {
		wg.Go(func() {
			for end := time.Now().Add(last); time.Now().Before(end) && !t.Failed(); steps[i]++ {
				c.step()
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	total := 0
	for _, n := range steps {
		total += n
	}
	t.Logf("%d commands in %v; %d states of messages, %d expunged", total, last, len(all.flags), len(all.gone))
	want := clients[0].state()
	for _, c := range clients[1:] {
		if got := c.state(); got != want {
			t.Errorf("client %d sees\n%s\nclient 0\n%s", c.id, got, want)
		}
	}
}

// TestWatcherPlacesWhatVanished shows that a client that knows few UIDs of many
// finds the place of one that goes, as a client that counts right does.
func TestWatcherPlacesWhatVanished(t *testing.T) {
	for _, c := range []struct {
		uids []int
		gone string
		want []int
	}{
		{[]int{7, 0, 9, 0, 0}, "12", []int{7, 0, 9, 0}},
		{[]int{7, 0, 9, 0, 0}, "8", []int{7, 9, 0, 0}},
		{[]int{0, 0, 9}, "3", []int{0, 9}},
		{[]int{7, 0, 0, 12, 0}, "8:9,14", []int{7, 12}},
		{[]int{7, 0, 9}, "9", []int{7, 0}},
	} {
		w := &watcher{model: &model{gone: map[int]bool{}}, by: map[int]*message{}, uids: slices.Clone(c.uids), enable: "QRESYNC"}
		w.fail = func(s string) { t.Error(s) }
		w.vanished(c.gone, false, "NOOP", "VANISHED "+c.gone)
		if !slices.Equal(w.uids, c.want) {
			t.Errorf("of %v, %s gone, are left %v, want %v", c.uids, c.gone, w.uids, c.want)
		}
	}
}
