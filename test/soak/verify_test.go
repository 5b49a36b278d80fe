package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	"postrider/internal/lab"
)

// mailboxes are those that the load uses.
var mailboxes = []box{{alice, "INBOX"}, {bob, "INBOX"}, {carol, "INBOX"}, {carol, "Archive"}}

// verify reads everything and compares it with the ledger. Bodies are read of
// messages that are new since the last time; of all if whole.
func verify(t testing.TB, s *lab.Site, l *ledger, whole bool) (lost int) {
	t.Helper()
	all := map[box]found{}
	modseqs, err := inspect(s)
	if err != nil {
		t.Error(err)
	}
	for _, b := range mailboxes {
		f, err := readBox(t, s, l, b, whole)
		if err != nil {
			t.Errorf("reading %v: %v", b, err)
			return 0
		}
		f.modseq = modseqs[b]
		all[b] = f
	}
	queue, err := queueIDs(s)
	if err != nil {
		t.Error(err)
	}
	return l.compare(t, all, queue)
}

var (
	validityOf = regexp.MustCompile(`\[UIDVALIDITY (\d+)\]`)
	uidnextOf  = regexp.MustCompile(`\[UIDNEXT (\d+)\]`)
	uidOf      = regexp.MustCompile(`\bUID (\d+)`)
	flaggedIs  = regexp.MustCompile(`(?i)FLAGS \([^)]*\\Flagged`)
)

func number(re *regexp.Regexp, text string) (uint64, bool) {
	m := re.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseUint(m[1], 10, 64)
	return n, err == nil
}

func readBox(t testing.TB, s *lab.Site, l *ledger, b box, whole bool) (found, error) {
	f := found{tokens: map[uint32]string{}, flagged: map[uint32]bool{}}
	w, err := login(s.Addr["imap"], b.user)
	if err != nil {
		return f, err
	}
	defer w.Close()
	a, err := w.imap("SELECT %s", b.name)
	if err != nil {
		return f, err
	}
	for _, u := range a.lines {
		if n, ok := number(validityOf, u.text); ok {
			f.validity = uint32(n)
		}
		if n, ok := number(uidnextOf, u.text); ok {
			f.uidnext = uint32(n)
		}
	}
	if f.validity == 0 || f.uidnext == 0 {
		return f, fmt.Errorf("SELECT tells %+v", f.heights)
	}
	if a, err = w.imap("UID FETCH 1:* (FLAGS)"); err != nil {
		return f, err
	}
	l.mu.Lock()
	was := l.heights[b]
	l.mu.Unlock()
	first := uint32(1)
	if !whole && was.validity == f.validity {
		first = was.uidnext
	}
	for _, u := range a.lines {
		n, ok := number(uidOf, u.text)
		if !ok {
			continue
		}
		uid := uint32(n)
		f.flagged[uid] = flaggedIs.MatchString(u.text)
		if uid < first {
			l.mu.Lock()
			f.tokens[uid] = l.names[place{b, f.validity, uid}]
			l.mu.Unlock()
		}
	}
	if a, err = w.imap("UID FETCH %d:* (BODY.PEEK[])", first); err != nil {
		return f, err
	}
	for _, u := range a.lines {
		n, ok := number(uidOf, u.text)
		if !ok || uint32(n) < first && !whole { // n:* always names the last one
			continue
		}
		token, intact := l.tokenOf(u.literal)
		if !intact {
			t.Errorf("%v: UID %d is ALTERED: %q…", b, n, u.literal[:min(len(u.literal), 300)])
		}
		f.tokens[uint32(n)] = token
	}
	return f, nil
}

// queueIDs returns the ids of the messages that wait to be sent.
func queueIDs(s *lab.Site) (map[string]bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := s.Run(ctx, "", "queue", "list", "--json")
	if err != nil {
		return nil, fmt.Errorf("queue list: %w\n%s", err, out)
	}
	var rows []struct{ Message string }
	if err := json.Unmarshal([]byte(out), &rows); err != nil {
		return nil, fmt.Errorf("queue list: %w", err)
	}
	ids := map[string]bool{}
	for _, r := range rows {
		ids[r.Message] = true
	}
	return ids, nil
}
