package order_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"postrider/imapd/order"
)

// letter is a message as the tests write it: "id subject date refs…". A date
// is a number; an id of "-" is none.
func letter(s string) (order.Message, raw) {
	var r raw
	f := strings.Fields(s)
	r.id, r.subject = f[0], strings.ReplaceAll(f[1], "_", " ")
	fmt.Sscan(f[2], &r.date)
	r.refs = f[3:]
	return r.message(), r
}

type raw struct {
	id, subject string
	date        int64
	refs        []string
}

func (r *raw) message() order.Message {
	id := ""
	if r.id != "-" {
		id = "<" + r.id + "@x>"
	}
	var refs strings.Builder
	for _, ref := range r.refs {
		refs.WriteString(" <" + ref + "@x>")
	}
	base, reply := order.BaseSubject(r.subject)
	return order.Message{Sent: r.date, Subject: order.AppendCollated(nil, base), Reply: reply,
		Identity: order.IdentityOf(id, refs.String(), "")}
}

func thread(a order.Algorithm, messages []order.Message) string {
	f := order.Thread(a, messages)
	var out []byte
	for r := range f.Threads() {
		out = f.AppendThread(out, r, func(i int) uint32 { return uint32(i) + 1 })
	}
	return string(out)
}

// TestThread follows the steps of RFC 5256 §3.
func TestThread(t *testing.T) {
	for _, c := range []struct {
		name, mail                string
		ordered, references, refs string
	}{
		{"nothing", ``, ``, ``, ``},
		{"one", `a x 1`, `(1)`, `(1)`, `(1)`},
		{"a reply", `a x 1
			b Re:_x 2 a`, `(1 2)`, `(1 2)`, `(1 2)`},
		{"the reply came first", `b Re:_x 2 a
			a x 1`, `(2 1)`, `(2 1)`, `(2 1)`},
		{"siblings", `a x 1
			b y 3 a
			c z 2 a`, `(1)(3)(2)`, `(1 (3)(2))`, `(1 (3)(2))`},
		{"a chain through a missing message", `a x 1
			c y 2 a b`, `(1)(2)`, `(1 2)`, `(1 2)`},
		{"siblings of a missing message", `b y 2 a
			c z 1 a`, `(2)(1)`, `((2)(1))`, `((2)(1))`},
		{"an only child of a missing message", `c z 1 a b`, `(1)`, `(1)`, `(1)`},
		{"missing below missing", `c y 2 a b
			d z 1 a`, `(2)(1)`, `((2)(1))`, `((2)(1))`},
		{"missing with a child each", `c y 1 a b
			d z 2 a b`, `(1)(2)`, `((1)(2))`, `((1)(2))`},
		{"itself", `a x 1 a`, `(1)`, `(1)`, `(1)`},
		{"a loop", `a x 1 b
			b y 2 a`, `(1)(2)`, `(2 1)`, `(2 1)`},
		{"a longer loop", `a x 1 c
			b y 2 a
			c z 3 b`, `(1)(2)(3)`, `(3 1 2)`, `(3 1 2)`},
		{"references in another order", `a x 1
			b y 2 a
			c z 3 b a`, `(1)(2)(3)`, `(1 (2)(3))`, `(1 (2)(3))`},
		{"the same Message-ID twice", `a x 1
			a y 2
			b z 3 a`, `(1)(2)(3)`, `(1 3)(2)`, `(2)(1 3)`},
		{"no Message-ID", `- x 1
			- y 2 -`, `(1)(2)`, `(1)(2)`, `(1)(2)`},
		{"truncated references are corrected", `c z 3 a b
			b y 2 a
			a x 1`, `(3)(2)(1)`, `(3 2 1)`, `(3 2 1)`},
		{"a parent that others tell of is broken by none", `a w 1
			b y 2 a c
			c z 3`, `(1)(2)(3)`, `(1)(3 2)`, `(1)(3 2)`},
		{"same subject", `a x 1
			b x 2`, `(1 2)`, `((1)(2))`, `(1)(2)`},
		{"same subject, a reply", `a Re:_x 1
			b x 2`, `(1 2)`, `(2 1)`, `(1)(2)`},
		{"same subject, two replies", `a Re:_x 1
			b re:_X 2
			c Fwd:_x 3`, `(1 (2)(3))`, `((1)(2)(3))`, `(1)(2)(3)`},
		{"a dummy takes those of its subject", `b Re:_x 2 a
			c Re:_x 3 a
			d x 1`, `(3 (1)(2))`, `((3)(1)(2))`, `(3)((1)(2))`},
		{"two dummies with one subject", `b Re:_x 2 a
			c x 3 a
			e x 1 d
			f x 4 d`, `(3 (1)(2)(4))`, `((3)(1)(2)(4))`, `((1)(2))((3)(4))`},
		{"no subject joins nothing", `a Re: 1
			b (fwd) 2`, `(1 2)`, `(1)(2)`, `(1)(2)`},
		{"the latest message orders REFS", `a x 1
			b y 2
			c z 3 a`, `(1)(2)(3)`, `(1 3)(2)`, `(2)(1 3)`},
		{"equal dates", `a x 1
			b y 1
			c z 1`, `(1)(2)(3)`, `(1)(2)(3)`, `(1)(2)(3)`},
		{"nested", `a x 1
			b x 2 a
			c x 3 a b
			d x 4 a b
			e x 5 a b d
			f x 6 a`, `(1 (2)(3)(4)(5)(6))`, `(1 (2 (3)(4 5))(6))`, `(1 (2 (3)(4 5))(6))`},
	} {
		var messages []order.Message
		for line := range strings.Lines(c.mail) {
			m, _ := letter(line)
			messages = append(messages, m)
		}
		for _, a := range []struct {
			name string
			want string
		}{{"ORDEREDSUBJECT", c.ordered}, {"REFERENCES", c.references}, {"REFS", c.refs}} {
			if got := thread(order.Algorithms[a.name], messages); got != a.want {
				t.Errorf("%s: %s\ngot  %s\nwant %s", c.name, a.name, got, a.want)
			}
		}
	}
}

func TestIdentity(t *testing.T) {
	id := func(s string) order.MessageID { return order.IdentityOf(s, "", "").Self }
	for _, same := range [][2]string{
		{`<"01KF8JCEOCBS0045PS"@xxx.yyy.com>`, `<01KF8JCEOCBS0045PS@xxx.yyy.com>`},
		{`junk <a@b> <c@d>`, `<a@b>`},
		{"< a @\tb >", `<a@b>`},
		{`<no <a@b>`, `<a@b>`},
		{`<"x>y"@b>`, `<"x>"y@b>`},
	} {
		if id(same[0]) == 0 || id(same[0]) != id(same[1]) {
			t.Errorf("%s and %s differ", same[0], same[1])
		}
	}
	for _, bad := range []string{"", "a@b", "<>", "<a>", "<@b>", "<a@>", "<a@b", "a@b>"} {
		if id(bad) != 0 {
			t.Errorf("%s counts as a Message-ID", bad)
		}
	}
	if id("<a@b>") == id("<A@b>") {
		t.Error("case makes no difference")
	}
	got := order.IdentityOf("<c@x>", "none here", "Your mail <b@x> of <d@x>")
	if len(got.References) != 1 || got.References[0] != id("<b@x>") {
		t.Errorf("In-Reply-To gives %v", got.References)
	}
	got = order.IdentityOf("", strings.Repeat("<a@x>", 1000)+"<b@x>", "<c@x>")
	if len(got.References) != order.MaxReferences || got.References[order.MaxReferences-1] != id("<b@x>") {
		t.Errorf("%d references, the last not the nearest", len(got.References))
	}
}

// naive is the text of RFC 5256 word by word, with pointers.
type naive struct {
	n        int // 0 for a dummy
	r        *raw
	parent   *naive
	children []*naive
}

func (n *naive) descends(from *naive) bool {
	for ; n != nil; n = n.parent {
		if n == from {
			return true
		}
	}
	return false
}

func (n *naive) unlink() {
	if n.parent != nil {
		n.parent.children = slices.DeleteFunc(n.parent.children, func(c *naive) bool { return c == n })
		n.parent = nil
	}
}

func (n *naive) adopt(c *naive) {
	c.unlink()
	c.parent = n
	n.children = append(n.children, c)
}

func (n *naive) prune(top bool) []*naive {
	var kept []*naive
	for _, c := range n.children {
		kept = append(kept, c.prune(false)...)
	}
	n.children = kept
	for _, c := range kept {
		c.parent = n
	}
	if n.n == 0 && (len(kept) == 0 || !top || len(kept) == 1) {
		return kept
	}
	return []*naive{n}
}

func (n *naive) sortChildren() {
	for _, c := range n.children {
		c.sortChildren()
	}
	slices.SortFunc(n.children, func(a, b *naive) int {
		if a.n == 0 {
			a = a.children[0]
		}
		if b.n == 0 {
			b = b.children[0]
		}
		return cmp.Or(cmp.Compare(a.r.date, b.r.date), cmp.Compare(a.n, b.n))
	})
}

func (n *naive) latest() (date int64) {
	if n.n != 0 {
		date = n.r.date
	}
	for _, c := range n.children {
		date = max(date, c.latest())
	}
	return date
}

func (n *naive) String() string {
	var s string
	if n.n != 0 {
		s = fmt.Sprint(n.n)
	}
	if len(n.children) == 1 {
		return s + " " + n.children[0].String()
	}
	if n.n != 0 && len(n.children) > 0 {
		s += " "
	}
	for _, c := range n.children {
		s += "(" + c.String() + ")"
	}
	return s
}

func (n *naive) subject() (base string, reply bool) {
	if n.n == 0 {
		base, _ = order.BaseSubject(n.children[0].r.subject)
		return strings.ToUpper(base), false
	}
	base, reply = order.BaseSubject(n.r.subject)
	return strings.ToUpper(base), reply
}

func naiveThread(mail []raw, subjects bool) string {
	nodes := map[string]*naive{}
	var list []*naive
	for i := range mail { // ids of messages before references to them
		m := &naive{n: i + 1, r: &mail[i]}
		list = append(list, m)
		if id := mail[i].id; id != "-" && nodes[id] == nil {
			nodes[id] = m
		}
	}
	all := slices.Clone(list)
	node := func(id string) *naive {
		if nodes[id] == nil {
			nodes[id] = &naive{}
			all = append(all, nodes[id])
		}
		return nodes[id]
	}
	for _, m := range list {
		var last *naive
		for _, ref := range m.r.refs {
			n := node(ref)
			if last != nil && n.parent == nil && !last.descends(n) {
				last.adopt(n)
			}
			last = n
		}
		m.unlink()
		if last != nil && !last.descends(m) {
			last.adopt(m)
		}
	}
	root := &naive{n: -1}
	for _, m := range all {
		if m.parent == nil {
			root.children = append(root.children, m.prune(true)...)
		}
	}
	root.sortChildren()
	if subjects {
		table := map[string]*naive{}
		for _, m := range root.children {
			s, reply := m.subject()
			if s == "" {
				continue
			}
			t := table[s]
			if t == nil {
				table[s] = m
				continue
			}
			if _, tReply := t.subject(); t.n != 0 && (m.n == 0 || tReply && !reply) {
				table[s] = m
			}
		}
		for _, m := range slices.Clone(root.children) {
			s, reply := m.subject()
			t := table[s]
			if s == "" || t == m {
				continue
			}
			_, tReply := t.subject()
			move := func(to, c *naive) {
				root.children = slices.DeleteFunc(root.children, func(x *naive) bool { return x == c })
				c.parent = nil
				to.adopt(c)
			}
			switch {
			case m.n == 0 && t.n == 0:
				for _, c := range slices.Clone(m.children) {
					t.adopt(c)
				}
				root.children = slices.DeleteFunc(root.children, func(x *naive) bool { return x == m })
			case t.n == 0, reply && !tReply:
				move(t, m)
			default:
				dummy := &naive{}
				move(dummy, t)
				move(dummy, m)
				root.children = append(root.children, dummy)
				table[s] = dummy
			}
		}
		root.sortChildren()
	} else {
		slices.SortFunc(root.children, func(a, b *naive) int {
			first := func(n *naive) int {
				if n.n == 0 {
					return n.children[0].n
				}
				return n.n + 1000
			}
			return cmp.Or(cmp.Compare(a.latest(), b.latest()), cmp.Compare(first(a), first(b)))
		})
	}
	var out strings.Builder
	for _, c := range root.children {
		out.WriteString("(" + c.String() + ")")
	}
	return out.String()
}

// TestThreadRandom compares with the naive model on mail that is wrong in all
// ways.
func TestThreadRandom(t *testing.T) {
	for round := range 3000 {
		rnd := rand.New(rand.NewPCG(uint64(round), 1))
		var messages []order.Message
		var mail []raw
		ids := 1 + rnd.IntN(12)
		for range rnd.IntN(14) {
			r := raw{id: fmt.Sprint("i", rnd.IntN(ids)), date: rnd.Int64N(6)}
			if rnd.IntN(8) == 0 {
				r.id = "-"
			}
			r.subject = []string{"x", "Re: x", "y", "[fwd: Y]", "", "z", "Re: z (fwd)", "[l] Z"}[rnd.IntN(8)]
			for range rnd.IntN(5) {
				r.refs = append(r.refs, fmt.Sprint("i", rnd.IntN(ids+2)))
			}
			mail = append(mail, r)
			messages = append(messages, r.message())
		}
		for a, subjects := range map[order.Algorithm]bool{order.References: true, order.Refs: false} {
			if got, want := thread(a, messages), naiveThread(mail, subjects); got != want {
				t.Fatalf("round %d, algorithm %d, %v\ngot  %s\nwant %s", round, a, mail, got, want)
			}
		}
	}
}

// TestThreadHostile has what would take forever, or all memory, if each step
// were taken as it is written.
func TestThreadHostile(t *testing.T) {
	const n = 20000
	chain := make([]order.Message, n)
	for i := range chain {
		chain[i].Identity = order.Identity{Self: order.MessageID(i + 1), References: []order.MessageID{order.MessageID(i)}}
		chain[i].Sent = int64(i)
	}
	if got := thread(order.References, chain[1:]); strings.Count(got, "(") != 1 {
		t.Errorf("a chain has %d threads", strings.Count(got, "("))
	}
	slices.Reverse(chain)
	thread(order.References, chain)
	wide := make([]order.Message, n) // all references of all are different
	var next order.MessageID
	for i := range wide {
		for range order.MaxReferences {
			next++
			wide[i].Identity.References = append(wide[i].Identity.References, next)
		}
	}
	thread(order.Refs, wide)
	for i := range wide { // long chains that are asked for loops again and again
		for k := range wide[i].Identity.References {
			wide[i].Identity.References[k] = order.MessageID((i*37+k*k)%(n/2) + 1)
		}
		wide[i].Identity.Self = order.MessageID(i%n + 1)
	}
	thread(order.References, wide)
}

// TestDeepThread branches on each of many levels.
func TestDeepThread(t *testing.T) {
	const n = 20000
	messages := make([]order.Message, 0, 2*n)
	for i := range n {
		id := order.Identity{Self: order.MessageID(2*i + 1)}
		if i > 0 {
			id.References = []order.MessageID{order.MessageID(2*i - 1)}
		}
		leaf := id
		leaf.Self++
		messages = append(messages, order.Message{Identity: id}, order.Message{Identity: leaf})
	}
	got := thread(order.References, messages)
	if open, closed := strings.Count(got, "("), strings.Count(got, ")"); open != closed || open < 2*n-2 {
		t.Errorf("%d parentheses are opened and %d closed", open, closed)
	}
}

func FuzzIdentity(f *testing.F) {
	f.Add(`<a@b>`, `<"q\"@x"@y> <b@c>`, `text <z@z>`)
	f.Fuzz(func(t *testing.T, id, refs, parent string) {
		got := order.IdentityOf(id, refs, parent)
		if len(got.References) > order.MaxReferences {
			t.Errorf("%d references", len(got.References))
		}
	})
}

// FuzzThread takes bytes for messages, and checks that each is in a thread once.
func FuzzThread(f *testing.F) {
	f.Add([]byte("\x01\x02\x03\x04\x05\x06\x07\x08"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var messages []order.Message
		for len(b) >= 3 && len(messages) < 1000 {
			m := order.Message{Sent: int64(b[0] >> 4), Reply: b[0]&1 != 0, Subject: b[0:1]}
			m.Identity.Self = order.MessageID(b[1])
			for n := int(b[2] & 3); n > 0 && len(b) > 3; n-- {
				m.Identity.References = append(m.Identity.References, order.MessageID(b[3])+1)
				b = b[1:]
			}
			messages, b = append(messages, m), b[3:]
		}
		for name, a := range order.Algorithms {
			out := thread(a, messages)
			seen := map[string]bool{}
			for _, w := range strings.FieldsFunc(out, func(r rune) bool { return r == '(' || r == ')' || r == ' ' }) {
				if seen[w] {
					t.Fatalf("%s has message %s twice: %s", name, w, out)
				}
				seen[w] = true
			}
			if len(seen) != len(messages) {
				t.Fatalf("%s has %d of %d messages: %s", name, len(seen), len(messages), out)
			}
		}
	})
}
