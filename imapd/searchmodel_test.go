package imapd_test

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/unicode/norm"

	"postrider/imapd/order"
	"postrider/search"
	"postrider/store"
)

// modelMail is a message as the model knows it: what it says, not how it is
// written.
type modelMail struct {
	subject, from, to, tag, body string
	hasDate                      bool
	sent                         time.Time // in the zone of the Date field
	received                     time.Time
	flags                        map[string]bool
	size                         int
	id                           string
	refs                         []string
	raw                          string
}

// modelWords are words of which some lie in others, in several scripts.
var modelWords = strings.Fields("ring spring Ring! in inn summer Grün GRÜN übung тест ТЕСТ 日本 a b x.y")

func (r *modelRandom) word() string { return modelWords[r.IntN(len(modelWords))] }

type modelRandom struct{ *rand.Rand }

func (r *modelRandom) some(n int) string {
	var w []string
	for range r.IntN(n) {
		w = append(w, r.word())
	}
	return strings.Join(w, " ")
}

// encoded writes a text as a field has it, in one of several ways.
func (r *modelRandom) encoded(s string) string {
	switch {
	case s == "":
		return s
	case r.IntN(3) == 0:
		return "=?utf-8?b?" + base64.StdEncoding.EncodeToString([]byte(s)) + "?="
	case r.IntN(3) == 0:
		var q strings.Builder
		for _, c := range []byte(s) {
			fmt.Fprintf(&q, "=%02X", c)
		}
		return "=?UTF-8*en?Q?" + q.String() + "?="
	}
	return s
}

func (r *modelRandom) mail(n int) *modelMail {
	m := &modelMail{subject: r.some(5), from: r.word(), to: r.word(), tag: fmt.Sprint("tag", r.IntN(9)), body: r.some(14), flags: map[string]bool{}}
	if r.IntN(3) == 0 {
		m.subject = strings.TrimSpace([]string{"Re: ", "[l] ", "Fwd: Re: "}[r.IntN(3)] + m.subject)
	}
	zone := time.FixedZone("", []int{0, 5*3600 + 1800, -8 * 3600}[r.IntN(3)])
	m.sent = time.Date(2024, 1, 1+r.IntN(5), r.IntN(24), r.IntN(3)*20, 0, 0, zone)
	m.hasDate = r.IntN(8) > 0
	m.received = time.Date(2024, 1, 10+r.IntN(5), r.IntN(24), 0, 0, 0, time.UTC)
	for _, f := range []string{`\Seen`, `\Flagged`, `\Answered`, "kw", "Later"} {
		if r.IntN(3) == 0 {
			m.flags[f] = true
		}
	}
	m.id = fmt.Sprintf("<i%d@x>", n)
	for range r.IntN(3) {
		m.refs = append(m.refs, fmt.Sprintf("<i%d@x>", r.IntN(n+2)))
	}
	var b strings.Builder
	field := func(name, value string) { b.WriteString(name + ": " + value + "\r\n") }
	field("Subject", r.encoded(m.subject))
	field("From", r.encoded(m.from)+" <a@b.test>")
	field("To", r.encoded(m.to)+" <c@d.test>")
	if m.hasDate {
		field("Date", m.sent.Format(time.RFC1123Z))
	}
	field("Message-ID", m.id)
	if len(m.refs) > 0 {
		field("References", strings.Join(m.refs, "\r\n "))
	}
	field("X-Tag", m.tag)
	if r.IntN(2) == 0 {
		field("Content-Type", "text/plain; charset=utf-8")
		field("Content-Transfer-Encoding", "base64")
		b.WriteString("\r\n" + base64.StdEncoding.EncodeToString([]byte(m.body)) + "\r\n")
	} else {
		field("Content-Type", "text/html; charset=utf-8")
		b.WriteString("\r\n" + m.body + "\r\n")
	}
	m.raw = b.String()
	m.size = len(m.raw)
	return m
}

// modelKey is a search key, and what it says of a message.
type modelKey struct {
	text string
	is   func(n int, m *modelMail) bool
}

// has compares without regard to case, and with marks apart from their letters
// (RFC 5051 §2): "u" is in "ü".
func has(text, part string) bool {
	plain := func(s string) string { return strings.ToLower(norm.NFKD.String(s)) }
	return strings.Contains(plain(text), plain(part))
}

func (r *modelRandom) key(depth, n int) modelKey {
	if depth > 0 {
		a := r.key(depth-1, n)
		switch r.IntN(5) {
		case 0:
			return modelKey{"NOT " + a.text, func(n int, m *modelMail) bool { return !a.is(n, m) }}
		case 1:
			b := r.key(depth-1, n)
			return modelKey{"OR " + a.text + " " + b.text, func(n int, m *modelMail) bool { return a.is(n, m) || b.is(n, m) }}
		case 2:
			b := r.key(depth-1, n)
			return modelKey{"(" + a.text + " " + b.text + ")", func(n int, m *modelMail) bool { return a.is(n, m) && b.is(n, m) }}
		}
	}
	return r.leaf(n)
}

func (r *modelRandom) leaf(n int) modelKey {
	part := r.word()
	if r.IntN(3) == 0 { // a part of a word, or across two
		whole := []rune(part + " " + r.word())
		from := r.IntN(len(whole))
		part = string(whole[from:min(len(whole), from+1+r.IntN(5))])
	}
	text := func(key string, of func(m *modelMail) string) modelKey {
		return modelKey{fmt.Sprintf("%s %q", key, part), func(_ int, m *modelMail) bool { return has(of(m), part) }}
	}
	day := time.Date(2024, 1, 1+r.IntN(14), 0, 0, 0, 0, time.UTC)
	date := func(key string, of func(m *modelMail) (time.Time, bool), is func(order int) bool) modelKey {
		return modelKey{key + day.Format(" 2-Jan-2006"), func(_ int, m *modelMail) bool {
			t, ok := of(m)
			y, mo, d := t.Date()
			return ok && is(time.Date(y, mo, d, 0, 0, 0, 0, time.UTC).Compare(day))
		}}
	}
	arrived := func(m *modelMail) (time.Time, bool) { return m.received, true }
	sent := func(m *modelMail) (time.Time, bool) { return m.sent, m.hasDate }
	since := func(order int) bool { return order >= 0 }
	before := func(order int) bool { return order < 0 }
	on := func(order int) bool { return order == 0 }
	switch r.IntN(16) {
	case 0:
		return text("SUBJECT", func(m *modelMail) string { return m.subject })
	case 1:
		return text("FROM", func(m *modelMail) string { return m.from + " <a@b.test>" })
	case 2:
		return text("HEADER X-Tag", func(m *modelMail) string { return m.tag })
	case 3, 4:
		return text("BODY", func(m *modelMail) string { return m.body + "\r\n" })
	case 5:
		words := strings.Fields(r.word() + " " + r.word())
		return modelKey{fmt.Sprintf("FUZZY BODY %q", strings.Join(words, " ")), func(_ int, m *modelMail) bool {
			for _, w := range words {
				for _, piece := range strings.FieldsFunc(w, func(c rune) bool { return c == '!' || c == '.' }) {
					if !has(m.body, piece) {
						return false
					}
				}
			}
			return true
		}}
	case 6:
		return date("SINCE", arrived, since)
	case 7:
		return date("BEFORE", arrived, before)
	case 8:
		return date("SENTON", sent, on)
	case 9:
		return date("SENTSINCE", sent, since)
	case 10:
		return date("SENTBEFORE", sent, before)
	case 11:
		flag := []string{`\Seen`, `\Flagged`, `\Answered`}[r.IntN(3)]
		key := strings.ToUpper(flag[1:])
		if r.IntN(2) == 0 {
			return modelKey{"UN" + key, func(_ int, m *modelMail) bool { return !m.flags[flag] }}
		}
		return modelKey{key, func(_ int, m *modelMail) bool { return m.flags[flag] }}
	case 12:
		return modelKey{"UNKEYWORD KW", func(_ int, m *modelMail) bool { return !m.flags["kw"] }}
	case 13:
		size := 150 + r.IntN(150)
		return modelKey{fmt.Sprint("LARGER ", size), func(_ int, m *modelMail) bool { return m.size > size }}
	case 14:
		age := r.IntN(5*24*3600) + 1 // it is 10:20:30 on 15 January
		return modelKey{fmt.Sprint("OLDER ", age), func(_ int, m *modelMail) bool {
			return !m.received.After(received.Add(-time.Duration(age) * time.Second))
		}}
	}
	lo, hi := 1+r.IntN(n), 1+r.IntN(2*n)
	return modelKey{fmt.Sprintf("%d:%d,1", hi, lo), func(n int, m *modelMail) bool { return n == 0 || n+1 >= min(lo, hi) && n+1 <= max(lo, hi) }}
}

// TestSearchModel asks a server with an index and one without the same, and
// compares both with a model that has never seen the messages' bytes.
func TestSearchModel(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	box, err := w.store.Mailbox(ctx, w.alice.ID, store.Inbox)
	if err != nil {
		t.Fatal(err)
	}
	rnd := &modelRandom{rand.New(rand.NewPCG(5, 9))}
	var mail []*modelMail
	for n := range 200 {
		m := rnd.mail(n)
		f := store.Flags{}
		var keywords []string
		for _, name := range []string{"kw", "Later"} {
			if m.flags[name] {
				keywords = append(keywords, name)
			}
		}
		f.Keywords = strings.Join(keywords, " ")
		for name, bit := range map[string]store.System{`\Seen`: store.Seen, `\Flagged`: store.Flagged, `\Answered`: store.Answered} {
			if m.flags[name] {
				f.System |= bit
			}
		}
		if _, err := w.store.Append(ctx, "", box.ID, strings.NewReader(m.raw), f, m.received); err != nil {
			t.Fatal(err)
		}
		mail = append(mail, m)
	}
	ix, err := search.Open(t.TempDir(), w.store, search.Options{Idle: true})
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	if err := ix.Update(ctx, w.alice.ID); err != nil {
		t.Fatal(err)
	}
	with, without := w.asking(t, ix), w.asking(t, nil)
	some := 0
	for range 250 {
		k := rnd.key(3, len(mail))
		want := "* SEARCH"
		for n, m := range mail {
			if k.is(n, m) {
				want += fmt.Sprint(" ", n+1)
			}
		}
		want += "\r\n"
		if len(want) > 30 && len(want) < 600 {
			some++
		}
		for _, q := range []*asking{with, without} {
			if got := q.ask("SEARCH CHARSET UTF-8 " + k.text); got != want {
				t.Fatalf("SEARCH %s\ngot  %swant %s", k.text, got, want)
			}
		}
	}
	if some < 60 {
		t.Errorf("only %d searches found some", some)
	}
	sortModel(t, rnd, without, mail)
}

// sortModel compares SORT and THREAD with the model. Threads are made by
// package order, which has a model of its own; here it gets what the model
// knows.
func sortModel(t *testing.T, rnd *modelRandom, q *asking, mail []*modelMail) {
	collate := func(s string) string { return string(order.AppendCollated(nil, s)) }
	base := func(m *modelMail) string { b, _ := order.BaseSubject(m.subject); return collate(b) }
	sent := func(m *modelMail) int64 {
		if m.hasDate {
			return m.sent.Unix()
		}
		return m.received.Unix()
	}
	compares := map[string]func(a, b *modelMail) int{
		"ARRIVAL":     func(a, b *modelMail) int { return a.received.Compare(b.received) },
		"DATE":        func(a, b *modelMail) int { return cmp.Compare(sent(a), sent(b)) },
		"SIZE":        func(a, b *modelMail) int { return cmp.Compare(a.size, b.size) },
		"SUBJECT":     func(a, b *modelMail) int { return cmp.Compare(base(a), base(b)) },
		"FROM":        func(a, b *modelMail) int { return 0 }, // all are a@b.test
		"DISPLAYFROM": func(a, b *modelMail) int { return cmp.Compare(collate(a.from), collate(b.from)) },
		"DISPLAYTO":   func(a, b *modelMail) int { return cmp.Compare(collate(a.to), collate(b.to)) },
	}
	names := []string{"ARRIVAL", "DATE", "SIZE", "SUBJECT", "FROM", "DISPLAYFROM", "DISPLAYTO"}
	for range 40 {
		k := rnd.key(1, len(mail))
		var found []int
		var messages []order.Message
		for n, m := range mail {
			if k.is(n, m) {
				found = append(found, n)
				b, reply := order.BaseSubject(m.subject)
				messages = append(messages, order.Message{Sent: sent(m), Subject: order.AppendCollated(nil, b), Reply: reply,
					Identity: order.IdentityOf(m.id, strings.Join(m.refs, " "), "")})
			}
		}
		var criteria []string
		var by []func(a, b *modelMail) int
		for range 1 + rnd.IntN(3) {
			name := names[rnd.IntN(len(names))]
			compare := compares[name]
			if rnd.IntN(2) == 0 {
				forward := compare
				name, compare = "REVERSE "+name, func(a, b *modelMail) int { return -forward(a, b) }
			}
			criteria, by = append(criteria, name), append(by, compare)
		}
		sorted := slices.Clone(found)
		slices.SortStableFunc(sorted, func(a, b int) int {
			for _, compare := range by {
				if c := compare(mail[a], mail[b]); c != 0 {
					return c
				}
			}
			return 0
		})
		want := "* SORT"
		for _, n := range sorted {
			want += fmt.Sprint(" ", n+1)
		}
		command := "SORT (" + strings.Join(criteria, " ") + ") UTF-8 " + k.text
		if got := q.ask(command); got != want+"\r\n" {
			t.Fatalf("%s\ngot  %swant %s", command, got, want)
		}
		for name, a := range order.Algorithms {
			want := "* THREAD "
			f := order.Thread(a, messages)
			for root := range f.Threads() {
				want = string(f.AppendThread([]byte(want), root, func(i int) uint32 { return uint32(found[i]) + 1 }))
			}
			command := "THREAD " + name + " UTF-8 " + k.text
			if got := q.ask(command); strings.TrimSpace(got) != strings.TrimSpace(want) {
				t.Fatalf("%s\ngot  %swant %s", command, got, want)
			}
		}
	}
}
