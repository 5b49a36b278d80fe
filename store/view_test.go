package store

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

func row(uid UID, m ModSeq, f System, words string) Row {
	at := time.UnixMicro(1e15 + int64(uid)).UTC()
	return Row{UID: uid, ModSeq: m, Flags: Flags{f, words}, Received: at, Saved: at.Add(time.Hour),
		Size: 100 + int64(uid), EmailID: int64(uid) * 3, ThreadID: int64(uid) * 5}
}

func delta(m ModSeq, total int, gone UIDSet, changed ...Row) Delta {
	return Delta{Mailbox: Mailbox{ID: MailboxID{1, 1}, Name: "INBOX", UIDValidity: 7, ModSeq: m, Total: int64(total)},
		Changed: RowsOf(changed...), Gone: gone}
}

// rows returns all rows of a view.
func rows(v *View) []Row {
	var out []Row
	for i := range v.Len() {
		out = append(out, v.At(i))
	}
	return out
}

func TestViewAdvance(t *testing.T) {
	base := delta(10, 3, nil, row(2, 3, Seen, ""), row(5, 4, 0, "a b"), row(9, 10, 0, "a"))
	tests := []struct {
		name string
		d    Delta
		want []Row // nil: the whole mailbox must be read again
		diff Changes
	}{
		{"append", delta(12, 5, nil, row(10, 11, 0, "c"), row(12, 12, Flagged, "")),
			[]Row{row(2, 3, Seen, ""), row(5, 4, 0, "a b"), row(9, 10, 0, "a"), row(10, 11, 0, "c"), row(12, 12, Flagged, "")},
			Changes{Added: 2}},
		{"flags", delta(12, 3, nil, row(2, 11, Deleted, ""), row(9, 12, 0, "x")),
			[]Row{row(2, 11, Deleted, ""), row(5, 4, 0, "a b"), row(9, 12, 0, "x")},
			Changes{Updated: []int{0, 2}}},
		{"expunge", delta(12, 1, UIDSet{{1, 3}, {9, MaxUID}}),
			[]Row{row(5, 4, 0, "a b")},
			Changes{Expunged: []int{2, 0}, Gone: UIDSet{{2, 2}, {9, 9}}}},
		{"all at once", delta(15, 2, UIDSet{{5, 5}, {9, 10}}, row(2, 13, 0, "a"), row(11, 15, 0, "")),
			[]Row{row(2, 13, 0, "a"), row(11, 15, 0, "")},
			Changes{Expunged: []int{2, 1}, Gone: UIDSet{{5, 5}, {9, 9}}, Added: 1, Updated: []int{0}}},
		{"empty it", delta(12, 0, UIDSet{{1, 20}}), []Row{},
			Changes{Expunged: []int{2, 1, 0}, Gone: UIDSet{{2, 2}, {5, 5}, {9, 9}}}},
		{"gone before it was known", delta(12, 3, UIDSet{{10, 11}}),
			[]Row{row(2, 3, Seen, ""), row(5, 4, 0, "a b"), row(9, 10, 0, "a")}, Changes{}},
		{"a change of a message that is not there", delta(12, 3, nil, row(4, 12, 0, "")), nil, Changes{}},
		{"a count that does not agree", delta(12, 4, nil), nil, Changes{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			old := newView(base)
			before := rows(old)
			v := old.advance(tt.d)
			if !reflect.DeepEqual(rows(old), before) {
				t.Errorf("the old view changed: %+v", rows(old))
			}
			if tt.want == nil {
				if v != nil {
					t.Fatalf("got %+v, want nothing", rows(v))
				}
				return
			}
			if !slices.Equal(rows(v), tt.want) {
				t.Errorf("got  %+v\nwant %+v", rows(v), tt.want)
			}
			if got := Diff(old, v); !reflect.DeepEqual(got, tt.diff) {
				t.Errorf("diff %+v, want %+v", got, tt.diff)
			}
		})
	}
}

func TestViewAdvanceTwice(t *testing.T) {
	v := newView(delta(1, 1, nil, row(1, 1, 0, "")))
	v = v.advance(delta(2, 2, nil, row(2, 2, 0, "one")))
	v = v.advance(delta(3, 3, nil, row(3, 3, 0, "one")))
	if cap(v.rows.UID) == len(v.rows.UID) {
		t.Fatal("the view has no room behind its end, so this shows nothing")
	}
	a := v.advance(delta(4, 4, nil, row(4, 4, 0, "two")))
	b := v.advance(delta(4, 4, nil, row(5, 4, 0, "three")))
	if a.UID(3) != 4 || a.At(3).Flags.Keywords != "two" || b.UID(3) != 5 || b.At(3).Flags.Keywords != "three" {
		t.Errorf("views advanced from one write over each other: %+v %+v", rows(a), rows(b))
	}
}

func TestViewNothingNew(t *testing.T) {
	base := delta(3, 1, nil, row(2, 3, Seen, ""))
	v := newView(base)
	if same := v.advance(delta(3, 1, nil)); same != v {
		t.Error("nothing new, and another view")
	}
	d := delta(3, 1, nil)
	d.Mailbox.Name = "Renamed"
	named := v.advance(d)
	c := Diff(v, named)
	if named == v || named.Mailbox().Name != "Renamed" || !c.Empty() {
		t.Error("a new name must give a new view with the same messages")
	}
}

func TestViewReplaced(t *testing.T) {
	base := delta(3, 3, nil, row(2, 3, Seen, ""), row(3, 3, 0, "a"), row(4, 3, 0, ""))
	v := newView(base)
	full := delta(9, 2, nil, row(3, 3, 0, "a"), row(7, 8, 0, ""))
	full.Full = true
	want := Changes{Expunged: []int{2, 0}, Gone: UIDSet{{2, 2}, {4, 4}}, Added: 1}
	if got := Diff(v, v.advance(full)); !reflect.DeepEqual(got, want) {
		t.Errorf("read anew: %+v, want %+v", got, want)
	}
	base.Mailbox.UIDValidity++
	want = Changes{Expunged: []int{2, 1, 0}, Gone: UIDSet{{2, 4}}, Added: 3}
	if got := Diff(v, v.advance(base)); !reflect.DeepEqual(got, want) {
		t.Errorf("new UIDVALIDITY: %+v, want %+v", got, want)
	}
}

func TestViewIndex(t *testing.T) {
	v := newView(delta(3, 3, nil, row(2, 3, 0, ""), row(5, 3, 0, ""), row(9, 3, 0, "")))
	for _, tt := range []struct {
		u  UID
		i  int
		ok bool
	}{{1, 0, false}, {2, 0, true}, {3, 1, false}, {9, 2, true}, {10, 3, false}, {MaxUID, 3, false}} {
		if i, ok := v.Index(tt.u); i != tt.i || ok != tt.ok {
			t.Errorf("Index(%d) = %d, %v", tt.u, i, ok)
		}
	}
}

func TestViewForgetsUnusedKeywords(t *testing.T) {
	v := newView(delta(1, 1, nil, row(1, 1, 0, "")))
	for m := ModSeq(2); m < 10000; m++ {
		v = v.advance(delta(m, 1, nil, row(1, m, 0, fmt.Sprintf("invented%d", m))))
	}
	if n := len(v.rows.keywords.text); n > 100 {
		t.Errorf("%d sets of keywords are kept for one message", n)
	}
	if got := v.At(0).Flags.Keywords; got != "invented9999" {
		t.Errorf("keyword is %q", got)
	}
}

// model is a mailbox in plain words, to compare views with.
type model struct {
	box  Mailbox
	msgs []Row
	gone map[UID]ModSeq
}

func newModel() *model {
	return &model{box: Mailbox{ID: MailboxID{1, 1}, Name: "INBOX", UIDValidity: 7, UIDNext: 1}, gone: map[UID]ModSeq{}}
}

// step does something at random.
func (m *model) step(r *rand.Rand) {
	m.box.ModSeq++
	words := []string{"", "", "", "a", "a b", "c"}
	switch n := len(m.msgs); r.IntN(6) {
	case 0, 1, 2:
		for range 1 + r.IntN(4) {
			x := row(m.box.UIDNext, m.box.ModSeq, System(r.IntN(32)), words[r.IntN(len(words))])
			m.msgs = append(m.msgs, x)
			m.box.UIDNext += UID(1 + r.IntN(2))
		}
	case 3, 4:
		for i := range n {
			if r.IntN(4) == 0 {
				m.msgs[i].ModSeq = m.box.ModSeq
				m.msgs[i].Flags = Flags{System(r.IntN(32)), words[r.IntN(len(words))]}
			}
		}
	case 5:
		share := r.IntN(4)
		m.msgs = slices.DeleteFunc(m.msgs, func(x Row) bool {
			if r.IntN(4) >= share {
				return false
			}
			m.gone[x.UID] = m.box.ModSeq
			return true
		})
	}
	m.box.Total = int64(len(m.msgs))
}

// changes is the engine's Changes.
func (m *model) changes(since ModSeq) Delta {
	d := Delta{Mailbox: m.box, Full: since == 0}
	for _, x := range m.msgs {
		if x.ModSeq > since {
			d.Changed.Append(x)
		}
	}
	var gone []UID
	for u, at := range m.gone {
		if at > since && since > 0 {
			gone = append(gone, u)
		}
	}
	slices.Sort(gone)
	d.Gone = UIDSetOf(gone...)
	return d
}

// apply does to a session's list of UIDs what a client does that is told c,
// and returns which the client was told anew.
func apply(t *testing.T, uids []UID, c Changes, v *View) []UID {
	before := slices.Clone(uids)
	for k, i := range c.Expunged {
		if k > 0 && i >= c.Expunged[k-1] {
			t.Fatalf("expunged is not descending: %v", c.Expunged)
		}
		if !c.Gone.Contains(uids[i]) {
			t.Fatalf("expunged %d is not in gone %v", uids[i], c.Gone)
		}
		uids = slices.Delete(uids, i, i+1)
	}
	for i := range c.Added {
		uids = append(uids, v.UID(v.Len()-c.Added+i))
	}
	for _, i := range c.Updated {
		if !slices.Contains(before, v.UID(i)) {
			t.Fatalf("updated %d, which the client does not have", v.UID(i))
		}
	}
	return uids
}

func TestViewModel(t *testing.T) {
	type kept struct {
		v    *View
		rows []Row
	}
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		m := newModel()
		v := newView(m.changes(0))
		var uids []UID
		var old []kept
		for range 60 {
			for range r.IntN(4) {
				m.step(r)
			}
			next := v.advance(m.changes(v.ModSeq()))
			if next == nil {
				t.Fatalf("seed %d: a delta did not apply", seed)
			}
			if !slices.Equal(rows(next), m.msgs) {
				t.Fatalf("seed %d: view\n%+v\nmailbox\n%+v", seed, rows(next), m.msgs)
			}
			uids = apply(t, uids, Diff(v, next), next)
			if !slices.Equal(uids, next.rows.UID) {
				t.Fatalf("seed %d: the client has %v, the view %v", seed, uids, next.rows.UID)
			}
			v = next
			old = append(old, kept{v, slices.Clone(m.msgs)})
		}
		last := old[len(old)-1].v
		for _, k := range old {
			if !slices.Equal(rows(k.v), k.rows) {
				t.Fatalf("seed %d: a view changed afterwards", seed)
			}
			checkUpdated(t, k.v, last)
		}
	}
}

// checkUpdated compares what Diff says of flags with both views.
func checkUpdated(t *testing.T, old, new *View) {
	t.Helper()
	var want []int
	for i := range new.Len() {
		if j, ok := old.Index(new.UID(i)); ok && old.At(j).ModSeq != new.At(i).ModSeq {
			want = append(want, i)
		}
	}
	if c := Diff(old, new); !slices.Equal(c.Updated, want) {
		t.Fatalf("updated %v, want %v", c.Updated, want)
	}
}

func BenchmarkViewAdvance(b *testing.B) {
	const n = 100_000
	all := delta(1, n, nil)
	for u := range UID(n) {
		all.Changed.Append(row(u+1, 1, 0, ""))
	}
	b.Run("append", func(b *testing.B) {
		v, m := newView(all), ModSeq(1)
		for b.Loop() {
			m++
			v = v.advance(delta(m, n+int(m)-1, nil, row(UID(n+m), m, 0, "")))
		}
	})
	b.Run("flag", func(b *testing.B) {
		v, m := newView(all), ModSeq(1)
		for b.Loop() {
			m++
			v = v.advance(delta(m, n, nil, row(n/2, m, Seen, "")))
		}
	})
}

func TestViewFlagsInUse(t *testing.T) {
	for _, test := range []struct {
		rows  []Row
		first int
		sets  []string
	}{
		{nil, 0, nil},
		{[]Row{row(1, 1, Seen, "a"), row(2, 1, Seen|Flagged, "a b"), row(3, 1, Flagged, "a"), row(4, 1, 0, "")}, 2, []string{"a", "a b"}},
		{[]Row{row(1, 1, Seen, ""), row(2, 1, Seen, "")}, 2, nil},
	} {
		v := newView(delta(1, len(test.rows), nil, test.rows...))
		if got := v.FirstWithout(Seen); got != test.first {
			t.Errorf("%v: the first unseen is at %d, want %d", test.rows, got, test.first)
		}
		if got := v.KeywordSets(); !slices.Equal(got, test.sets) {
			t.Errorf("%v: keywords %q, want %q", test.rows, got, test.sets)
		}
	}
}
