package imapd_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"postrider/store"
)

// TestUpdateModel keeps results of searches by what UPDATE tells, while
// another session changes the mailbox, and compares them with new searches.
func TestUpdateModel(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	box, err := w.store.Mailbox(ctx, w.alice.ID, store.Inbox)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(2, 3))
	deliver := func() {
		name := []string{"plain", "second", "bare"}[rnd.IntN(3)]
		if err := w.deliver(name, store.Inbox); err != nil {
			t.Fatal(err)
		}
	}
	for range 12 {
		deliver()
	}
	q := w.asking(t, nil)
	keys := []string{"UNSEEN", "SUBJECT lunch", "OR FLAGGED BODY ketchup", "NOT KEYWORD kw 1:8", "UID 6:* UNANSWERED"}
	results := map[string]map[int]bool{}
	for i, k := range keys {
		tag := fmt.Sprint("u", i)
		results[tag] = uidsOf(q.askTag(tag, "UID SEARCH RETURN (ALL UPDATE) "+k))
	}
	for round := range 150 {
		switch rnd.IntN(4) {
		case 0:
			deliver()
		case 1:
			if v, err := w.store.View(ctx, box.ID); err == nil && v.Len() > 4 {
				u := v.UID(rnd.IntN(v.Len()))
				w.store.Expunge(ctx, box.ID, store.UIDSetOf(u), false)
			}
		default:
			f := store.Flags{System: []store.System{store.Seen, store.Flagged, store.Answered, 0}[rnd.IntN(4)]}
			if rnd.IntN(2) == 0 {
				f.Keywords = "kw"
			}
			lo := store.UID(1 + rnd.IntN(40))
			change := store.FlagChange{Mode: []store.FlagMode{store.FlagsSet, store.FlagsAdd, store.FlagsRemove}[rnd.IntN(3)], Flags: f}
			w.store.SetFlags(ctx, box.ID, store.UIDSet{{Lo: lo, Hi: lo + 2}}, change, store.Unconditional)
		}
		// What may not tell of an EXPUNGE tells what it may.
		command := []string{"NOOP", "SEARCH SEEN", "UID SEARCH SEEN"}[rnd.IntN(3)]
		for line := range strings.Lines(q.ask(command)) {
			applyUpdate(t, results, line)
		}
		if round%3 != 0 {
			continue
		}
		for line := range strings.Lines(q.ask("NOOP")) {
			applyUpdate(t, results, line)
		}
		for i, k := range keys {
			if k = strings.TrimSuffix(k, " 1:8"); strings.Contains(keys[i], "1:8") {
				k += " UID 1:8" // the numbers of then
			}
			want := uidsOf(q.ask("UID SEARCH RETURN (ALL) " + k))
			if got := results[fmt.Sprint("u", i)]; !maps.Equal(got, want) {
				t.Fatalf("round %d: %s\nkept  %v\nthere %v", round, keys[i], slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
			}
		}
	}
}

// askTag is ask under a tag of its own.
func (q *asking) askTag(tag, command string) string {
	q.Helper()
	q.raw(tag + " " + command)
	var all string
	for {
		l := q.line()
		if strings.HasPrefix(l, tag+" ") {
			return all
		}
		all += l
	}
}

func applyUpdate(t *testing.T, results map[string]map[int]bool, line string) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(line), `* ESEARCH (TAG "`)
	tag, items, _ := strings.Cut(rest, `") UID `)
	list := results[tag]
	if !ok || list == nil {
		return
	}
	item, set, _ := strings.Cut(strings.TrimSuffix(items, ")"), " (0 ")
	for u := range uidSet(set) {
		if (item == "ADDTO") == list[u] {
			t.Fatalf("%s: %d is said twice", line, u)
		}
		if item == "ADDTO" {
			list[u] = true
		} else {
			delete(list, u)
		}
	}
}

// uidsOf are the UIDs of an ESEARCH response with ALL.
func uidsOf(answer string) map[int]bool {
	for line := range strings.Lines(answer) {
		if _, all, ok := strings.Cut(strings.TrimSpace(line), " UID ALL "); ok {
			return uidSet(all)
		}
	}
	return map[int]bool{}
}

func uidSet(set string) map[int]bool {
	list := map[int]bool{}
	for r := range strings.SplitSeq(set, ",") {
		a, b, ok := strings.Cut(r, ":")
		if !ok {
			b = a
		}
		lo, _ := strconv.Atoi(a)
		hi, _ := strconv.Atoi(b)
		for u := lo; u <= hi; u++ {
			list[u] = true
		}
	}
	return list
}
