package order

import (
	"cmp"
	"math"
	"slices"
)

// Algorithm is how messages are put into threads.
type Algorithm uint8

const (
	OrderedSubject Algorithm = iota // RFC 5256 §3
	References                      // RFC 5256 §3
	// Refs is References without regard to subjects, its threads in the
	// order of their latest messages (draft-ietf-morg-inthread).
	Refs
)

// Algorithms are the names of all algorithms.
var Algorithms = map[string]Algorithm{"ORDEREDSUBJECT": OrderedSubject, "REFERENCES": References, "REFS": Refs}

// Message is what threading knows of one message.
type Message struct {
	Sent     int64  // sent date, as a number
	Subject  []byte // base subject, collated
	Reply    bool   // the subject is that of a reply or a forward
	Identity Identity
}

// Forest is messages in threads. Nodes are messages and, behind them, dummies,
// which stand at the top only. Siblings are in order.
type Forest struct {
	messages int
	roots    []int32
	first    []int32 // child of each node, none for no child
	next     []int32 // sibling
}

const none = -1

// Thread puts messages, which are in the order of the mailbox, into threads.
func Thread(a Algorithm, messages []Message) *Forest {
	t := &threading{msgs: messages}
	t.rankMessages()
	switch a {
	case OrderedSubject:
		return t.orderedSubject()
	case References:
		t.link()
		t.plant()
		t.gather()
		t.sortRoots()
	default:
		t.link()
		t.plant()
		t.sortRootsByLatest()
	}
	return &t.forest
}

// threading is a Thread under way.
type threading struct {
	msgs    []Message
	byDate  []int32 // messages by sent date, then as in the mailbox
	rank    []int32 // their place in byDate
	parents []int32 // of messages and of the dummies that link made
	forest  Forest
}

func (t *threading) isDummy(node int32) bool { return int(node) >= len(t.msgs) }

func (t *threading) rankMessages() {
	sent := make([]int64, len(t.msgs))
	for i := range t.msgs {
		sent[i] = t.msgs[i].Sent
	}
	t.byDate = Sort(len(t.msgs), []Column{{Numbers: sent}})
	t.rank = make([]int32, len(t.msgs))
	for k, i := range t.byDate {
		t.rank[i] = int32(k)
	}
	t.forest.messages = len(t.msgs)
}

// orderedSubject makes a thread of every base subject.
func (t *threading) orderedSubject() *Forest {
	f := &t.forest
	f.grow(len(t.msgs))
	heads := map[string]int32{} // by subject, its first message
	last := make([]int32, len(t.msgs))
	for _, i := range t.byDate {
		head, found := heads[string(t.msgs[i].Subject)]
		if !found {
			heads[string(t.msgs[i].Subject)] = i
			f.roots = append(f.roots, i)
			last[i] = none
			continue
		}
		if last[head] == none {
			f.first[head] = i
		} else {
			f.next[last[head]] = i
		}
		last[head] = i
	}
	return f
}

// grow makes room for nodes without children.
func (f *Forest) grow(nodes int) {
	for len(f.first) < nodes {
		f.first = append(f.first, none)
		f.next = append(f.next, none)
	}
}

// Bounds of linking: how many references count in all, beside some for each
// message, and how many steps the search for loops may take for each link.
// What real mail needs is far below; beyond, links are left out.
const (
	maxLinks     = 1 << 20
	linksPerNode = 8
	stepsPerLink = 64
	minSteps     = 1 << 22
)

// link makes parents of what messages tell of their ancestors (step 1).
func (t *threading) link() {
	total := 0
	for i := range t.msgs {
		total += len(t.msgs[i].Identity.References)
	}
	per := MaxReferences
	if n := len(t.msgs); total > maxLinks+linksPerNode*n {
		per = max(linksPerNode, maxLinks/n)
	}
	l := linker{nodes: make(map[MessageID]int32, 2*len(t.msgs)), steps: minSteps + stepsPerLink*total}
	for i := range t.msgs {
		l.add()
		id := t.msgs[i].Identity.Self
		if _, taken := l.nodes[id]; id != 0 && !taken { // the first of those with one ID has it
			l.nodes[id] = int32(i)
		}
	}
	for i := range t.msgs {
		refs := t.msgs[i].Identity.References
		l.message(int32(i), refs[max(0, len(refs)-per):])
	}
	t.parents = l.parents
}

// linker is the table of step 1.
type linker struct {
	nodes   map[MessageID]int32
	parents []int32
	bears   []bool // the node has, or had, children
	steps   int    // that are left
}

func (l *linker) add() int32 {
	l.parents = append(l.parents, none)
	l.bears = append(l.bears, false)
	return int32(len(l.parents)) - 1
}

// node returns the node with an ID, a dummy if no message has it.
func (l *linker) node(id MessageID) int32 {
	n, ok := l.nodes[id]
	if !ok {
		n = l.add()
		l.nodes[id] = n
	}
	return n
}

// message links the references of a message (1.A), and it to the last (1.B).
func (l *linker) message(i int32, refs []MessageID) {
	last := int32(none)
	for _, id := range refs {
		n := l.node(id)
		if last != none && l.parents[n] == none {
			l.put(n, last)
		}
		last = n
	}
	if l.parents[i] == last && last != none {
		return
	}
	l.parents[i] = none
	if last != none {
		l.put(i, last)
	}
}

// put puts n below parent unless that makes a loop.
func (l *linker) put(n, parent int32) {
	if !l.isBelow(parent, n) {
		l.parents[n] = parent
		l.bears[parent] = true
	}
}

// isBelow tells whether n is m or a descendant of m, also if it takes too long
// to find out.
func (l *linker) isBelow(n, m int32) bool {
	if !l.bears[m] {
		return n == m // as in mail that comes in the order in which it was written
	}
	for ; n != none; n = l.parents[n] {
		if l.steps--; n == m || l.steps < 0 {
			return true
		}
	}
	return false
}

// plant makes the forest: roots, and children in order (steps 2, 3 and 6). A
// dummy's children go to the next message above, or stay below the topmost
// dummy if there is none; a dummy at the top goes unless it has two children.
func (t *threading) plant() {
	f := &t.forest
	nodes := len(t.parents)
	f.grow(nodes)
	above := t.messagesAbove()
	count := make([]int32, nodes)
	for i := range t.msgs {
		if p := above[i]; p != none {
			count[p]++
		}
	}
	last := make([]int32, nodes)
	isRoot := make([]bool, nodes)
	for _, i := range t.byDate {
		p := above[i]
		if p != none && t.isDummy(p) && count[p] == 1 {
			p = none
		}
		switch {
		case p == none:
			f.roots = append(f.roots, i)
			continue
		case f.first[p] == none:
			f.first[p] = i
		default:
			f.next[last[p]] = i
		}
		last[p] = i
		if t.isDummy(p) && !isRoot[p] {
			isRoot[p] = true
			f.roots = append(f.roots, p)
		}
	}
}

// messagesAbove returns for each message the message that it is below, the
// topmost dummy, or none.
func (t *threading) messagesAbove() []int32 {
	above := make([]int32, len(t.parents))
	known := make([]bool, len(t.parents))
	var path []int32
	for i := range t.parents {
		path = path[:0]
		n := int32(i)
		for !known[n] && t.parents[n] != none && t.isDummy(t.parents[n]) {
			path = append(path, n)
			n = t.parents[n]
		}
		if !known[n] { // its parent is a message, or there is none
			above[n], known[n] = t.parents[n], true
		}
		// What is above a dummy is above all that hangs below it; if nothing
		// is, that dummy itself.
		for k := len(path) - 1; k >= 0; k-- {
			dummy := t.parents[path[k]]
			if above[path[k]] = above[dummy]; above[dummy] == none {
				above[path[k]] = dummy
			}
			known[path[k]] = true
		}
	}
	return above
}

// place is a node's place in the order of sent dates; a dummy's is that of its
// first child.
func (t *threading) place(node int32) int32 {
	if t.isDummy(node) {
		node = t.forest.first[node]
	}
	return t.rank[node]
}

// sortRoots puts threads in order (steps 4 and 6).
func (t *threading) sortRoots() {
	slices.SortFunc(t.forest.roots, func(a, b int32) int { return int(t.place(a)) - int(t.place(b)) })
}

// sortRootsByLatest puts threads in the order of the latest message of each,
// and where those are of one date, of their roots in the mailbox, dummies
// first.
func (t *threading) sortRootsByLatest() {
	f := &t.forest
	latest := make(map[int32]int64, len(f.roots))
	for _, r := range f.roots {
		most := int64(math.MinInt64)
		for n := range f.below(r) {
			if !t.isDummy(n) {
				most = max(most, t.msgs[n].Sent)
			}
		}
		latest[r] = most
	}
	slices.SortFunc(f.roots, func(a, b int32) int {
		aDummy, bDummy := t.isDummy(a), t.isDummy(b)
		switch {
		case latest[a] != latest[b]:
			return cmp.Compare(latest[a], latest[b])
		case aDummy && bDummy:
			return cmp.Compare(f.first[a], f.first[b])
		case aDummy:
			return -1
		case bDummy:
			return 1
		}
		return cmp.Compare(a, b)
	})
}

// gather joins threads with the same base subject (step 5).
func (t *threading) gather() {
	t.sortRoots()
	f := &t.forest
	table := t.subjectTable()
	var roots []int32
	touched := map[int32]bool{} // nodes with new children
	adopt := func(parent, child int32) {
		f.next[child] = f.first[parent]
		f.first[parent] = child
		touched[parent] = true
	}
	gone := map[int32]bool{}
	for _, r := range f.roots {
		subject, reply := t.threadSubject(r)
		chief, ok := table[string(subject)]
		if len(subject) == 0 || !ok || chief == r {
			roots = append(roots, r)
			continue
		}
		switch {
		case t.isDummy(r): // then chief is one too
			for c := f.first[r]; c != none; {
				next := f.next[c]
				adopt(chief, c)
				c = next
			}
			f.first[r] = none
		case t.isDummy(chief):
			adopt(chief, r)
		case reply && !t.msgs[chief].Reply:
			adopt(chief, r)
		default:
			dummy := int32(len(f.first))
			f.grow(len(f.first) + 1)
			adopt(dummy, chief)
			adopt(dummy, r)
			table[string(subject)] = dummy
			gone[chief] = true
			roots = append(roots, dummy)
		}
	}
	f.roots = slices.DeleteFunc(roots, func(r int32) bool { return gone[r] })
	for parent := range touched {
		t.sortChildren(parent)
	}
}

// subjectTable finds the thread that others with its base subject join (5.B).
func (t *threading) subjectTable() map[string]int32 {
	table := make(map[string]int32, len(t.forest.roots))
	for _, r := range t.forest.roots {
		subject, reply := t.threadSubject(r)
		if len(subject) == 0 {
			continue
		}
		chief, found := table[string(subject)]
		if !found || !t.isDummy(chief) && (t.isDummy(r) || t.msgs[chief].Reply && !reply) {
			table[string(subject)] = r
		}
	}
	return table
}

// threadSubject is the subject of a thread, and whether its root is a reply or
// a forward.
func (t *threading) threadSubject(root int32) (subject []byte, reply bool) {
	if t.isDummy(root) {
		return t.msgs[t.forest.first[root]].Subject, false
	}
	return t.msgs[root].Subject, t.msgs[root].Reply
}

// sortChildren puts a node's children in order.
func (t *threading) sortChildren(parent int32) {
	f := &t.forest
	var list []int32
	for c := f.first[parent]; c != none; c = f.next[c] {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b int32) int { return int(t.place(a)) - int(t.place(b)) })
	link := &f.first[parent]
	for _, c := range list {
		*link = c
		link = &f.next[c]
	}
	*link = none
}
