package soak

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

// box is a mailbox of an account.
type box struct{ user, name string }

// span is how many copies of a message may be in a mailbox.
type span struct{ min, max int }

// item is one message, and what the replies to the commands about it promise.
type item struct {
	token   string
	sum     [sha256.Size]byte
	boxes   map[box]span
	acked   bool   // at least one command about it was
	moved   bool   // it is in exactly one mailbox, whatever else is not known
	flagged *bool  // as promised; nil is not known
	queued  string // id of the reply that promised to send it; "" is none
}

// place is a message's identity for ever (RFC 9051 §2.3.1.1).
type place struct {
	box           box
	validity, uid uint32
}

// heights are a mailbox's numbers that never go back.
type heights struct {
	validity, uidnext uint32
	modseq            uint64
}

// ledger is what clients were promised.
type ledger struct {
	mu       sync.Mutex
	rand     *rand.Rand
	items    map[string]*item
	names    map[place]string // tokens
	heights  map[box]heights
	acked    int      // messages
	refused  []string // replies, since the last call of refusals
	attempts int
}

func newLedger(seed uint64) *ledger {
	return &ledger{rand: rand.New(rand.NewPCG(seed, 3)), items: map[string]*item{}, names: map[place]string{}, heights: map[box]heights{}}
}

const tokenField = "X-Token: "

// compose makes a message that the ledger knows. Most are small, some are too
// large to be kept in the database.
func (l *ledger) compose() (*item, []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := 500 + l.rand.IntN(6000)
	switch l.rand.IntN(40) {
	case 0:
		size = 280_000 + l.rand.IntN(60_000)
	case 1, 2:
		size = 30_000 + l.rand.IntN(60_000)
	}
	l.attempts++
	it := &item{token: fmt.Sprintf("t%d-%08x", l.attempts, l.rand.Uint32()), boxes: map[box]span{}}
	var b bytes.Buffer
	fmt.Fprintf(&b, tokenField+"%s\r\nFrom: Alice <%s>\r\nTo: Bob <%s>\r\nSubject: %s\r\nDate: Mon, 23 Nov 2026 09:00:00 +0000\r\nMessage-ID: <%s@a.test>\r\n\r\n",
		it.token, alice, bob, it.token, it.token)
	for b.Len() < size {
		fmt.Fprintf(&b, "%016x a line of no great interest %016x\r\n", l.rand.Uint64(), l.rand.Uint64())
		if l.rand.IntN(20) == 0 {
			b.WriteString(".\r\n..\r\n")
		}
	}
	it.sum = sha256.Sum256(b.Bytes())
	l.items[it.token] = it
	return it, b.Bytes()
}

// chance is true once in n.
func (l *ledger) chance(n int) bool { return l.roll(n) == 0 }

func (l *ledger) roll(n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rand.IntN(n)
}

// may notes that a command was sent which may put a copy into each of boxes.
func (l *ledger) may(it *item, boxes ...box) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range boxes {
		s := it.boxes[b]
		s.max++
		it.boxes[b] = s
	}
}

// did notes that it has been promised.
func (l *ledger) did(it *item, boxes ...box) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !it.acked {
		it.acked = true
		l.acked++
	}
	for _, b := range boxes {
		s := it.boxes[b]
		s.min++
		it.boxes[b] = s
	}
}

// set notes how many copies there may be.
func (l *ledger) set(it *item, change func(it *item)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(it)
}

// named notes that a reply gave a message this UID.
func (l *ledger) named(t testing.TB, p place, token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.name(t, p, token)
}

func (l *ledger) name(t testing.TB, p place, token string) {
	if was := l.names[p]; was != "" && was != token {
		t.Errorf("%v names %s and named %s", p, token, was)
	}
	l.names[p] = token
}

// failed notes why a command was not carried out, if the server said so.
func (l *ledger) failed(err error) {
	var r *refusedError
	if errors.As(err, &r) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.refused = append(l.refused, r.reply)
	}
}

// refusals returns the refusals since the last call.
func (l *ledger) refusals() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.refused
	l.refused = nil
	return r
}

func (l *ledger) ackedNow() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked
}

// found is what a mailbox holds.
type found struct {
	heights
	tokens  map[uint32]string
	flagged map[uint32]bool
}

// compare holds what is there against what was promised, and takes what is
// there for promised from now on. It returns how many messages were lost.
func (l *ledger) compare(t testing.TB, all map[box]found, queue map[string]bool) (lost int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	copies := map[string]map[box]int{}
	flags := map[string]bool{}
	for b, f := range all {
		was := l.heights[b]
		if f.validity < was.validity || f.validity == was.validity && (f.uidnext < was.uidnext || f.modseq < was.modseq) {
			t.Errorf("%v went back from %+v to %+v", b, was, f.heights)
		}
		l.heights[b] = f.heights
		for uid, token := range f.tokens {
			if uid >= f.uidnext {
				t.Errorf("%v: UID %d, and UIDNEXT is %d", b, uid, f.uidnext)
			}
			l.name(t, place{b, f.validity, uid}, token)
			if copies[token] == nil {
				copies[token] = map[box]int{}
			}
			copies[token][b]++
			flags[token] = f.flagged[uid]
			if l.items[token] == nil {
				t.Errorf("%v: UID %d is %q, which nobody sent", b, uid, token)
			}
		}
	}
	for _, token := range slices.Sorted(maps.Keys(l.items)) {
		lost += l.settle(t, l.items[token], copies[token], flags, queue)
	}
	return lost
}

// settle compares one message.
func (l *ledger) settle(t testing.TB, it *item, got map[box]int, flags map[string]bool, queue map[string]bool) (lost int) {
	t.Helper()
	total := 0
	for b, n := range got {
		total += n
		if s := it.boxes[b]; n > s.max {
			t.Errorf("%s is in %v %d times, and may be %d to %d", it.token, b, n, s.min, s.max)
		}
	}
	for b, s := range it.boxes {
		if got[b] < s.min {
			lost++
			t.Errorf("LOST: %s is in %v %d times, and may be %d to %d", it.token, b, got[b], s.min, s.max)
		}
		it.boxes[b] = span{got[b], got[b]}
	}
	if it.moved && total != 1 {
		lost++
		t.Errorf("LOST: %s was moved and is there %d times", it.token, total)
	}
	if it.flagged != nil && total > 0 && flags[it.token] != *it.flagged {
		t.Errorf("LOST: %s: flagged is %v", it.token, flags[it.token])
	}
	if it.flagged == nil && total > 0 {
		is := flags[it.token]
		it.flagged = &is
	}
	if it.queued != "" && !queue[it.queued] {
		lost++
		t.Errorf("LOST: %s, queued as %s", it.token, it.queued)
	}
	return lost
}

// tokenOf finds the message that a body was sent as, and whether it is whole:
// a server may only put fields in front of it.
func (l *ledger) tokenOf(body []byte) (string, bool) {
	at := bytes.Index(body, []byte(tokenField))
	if at < 0 {
		return "", false
	}
	token, _, _ := strings.Cut(string(body[at+len(tokenField):min(len(body), at+200)]), "\r\n")
	l.mu.Lock()
	defer l.mu.Unlock()
	it := l.items[token]
	return token, it != nil && sha256.Sum256(body[at:]) == it.sum
}
