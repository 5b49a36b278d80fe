package imapd

import (
	"strings"
	"time"

	"postrider/imapd/criteria"
	"postrider/search"
	"postrider/store"
)

// matcher is a search key made ready for one mailbox: sets resolved, texts
// folded. It knows no sequence numbers, so that it still holds when these
// change.
type matcher struct {
	root  node
	terms []*term
	rows  bool // it asks for what is in a row
	meta  bool // it asks for the Date field
	now   time.Time
}

// node is one key.
type node struct {
	op      criteria.Op
	kids    []node
	uids    store.UIDSet
	system  store.System // of Flag
	keyword string       // of Flag, if it is none of the system's
	day     day
	number  int64 // size, mod-sequence, object identifier; a time in microseconds
	term    *term
}

// term is a text that is sought, and what the index knows of each message;
// nil is nothing.
type term struct {
	search.Term
	n     int // its place in matcher.terms
	known []search.Verdict
}

func (t *term) of(index int) search.Verdict {
	if t.known == nil || index >= len(t.known) {
		return search.Maybe
	}
	return t.known[index]
}

// day is a date without time: year, month and day in one number.
type day int

func dayOf(t time.Time) day {
	y, m, d := t.Date()
	return day(y*10000 + int(m)*100 + d)
}

// compile makes a key ready.
func (g *ground) compile(k *criteria.Key, now time.Time) *matcher {
	m := &matcher{now: now}
	m.root = m.node(g, k, false)
	return m
}

// node makes one key ready; fuzzy tells whether it is inside FUZZY.
func (m *matcher) node(g *ground, k *criteria.Key, fuzzy bool) node {
	n := node{op: k.Op, number: k.Number}
	switch k.Op {
	case criteria.Fuzzy:
		return m.node(g, &k.Keys[0], true)
	case criteria.And, criteria.Or, criteria.Not:
		for i := range k.Keys {
			n.kids = append(n.kids, m.node(g, &k.Keys[i], fuzzy))
		}
	case criteria.Seq:
		n.op, n.uids = criteria.UID, g.resolve(k.Set, false)
	case criteria.UID:
		n.uids = g.resolve(k.Set, true)
	case criteria.Flag:
		m.rows = true
		if n.system = systemOf(k.Name); n.system == 0 {
			n.keyword = k.Name
		}
	case criteria.Since, criteria.Before, criteria.On, criteria.SavedSince, criteria.SavedBefore, criteria.SavedOn:
		m.rows, n.day = true, dayOf(k.Date)
	case criteria.SentSince, criteria.SentBefore, criteria.SentOn:
		m.meta, n.day = true, dayOf(k.Date)
	case criteria.Older, criteria.Younger:
		m.rows, n.number = true, m.now.Add(-time.Duration(k.Number)*time.Second).UnixMicro()
	case criteria.Larger, criteria.Smaller, criteria.ModSeq:
		m.rows = true
	case criteria.EmailID, criteria.ThreadID:
		m.objectID(&n, k)
	case criteria.Header, criteria.Body, criteria.Text:
		return m.text(k, fuzzy)
	}
	return n
}

// objectID makes EMAILID or THREADID ready. What is none of our identifiers
// is no message's.
func (m *matcher) objectID(n *node, k *criteria.Key) {
	parse := parseEmailObjectID
	if k.Op == criteria.ThreadID {
		parse = parseThreadObjectID
	}
	m.rows = true
	id, ok := parse(k.Name)
	if n.number = id; !ok {
		*n = node{op: criteria.Not, kids: []node{{op: criteria.All}}}
	}
}

// text makes a key with a text ready. A fuzzy one asks for each of its words,
// wherever it stands (RFC 6203 §3 leaves that to the server).
func (m *matcher) text(k *criteria.Key, fuzzy bool) node {
	words := []string{k.Text}
	if fuzzy {
		words = fuzzyWords(k.Text)
	}
	n := node{op: criteria.And}
	for _, w := range words {
		t := &term{Term: search.Term{In: search.InField, Field: k.Name, Text: search.Fold(w)}, n: len(m.terms)}
		switch k.Op {
		case criteria.Body:
			t.In = search.InBody
		case criteria.Text:
			t.In = search.InText
		}
		m.terms = append(m.terms, t)
		n.kids = append(n.kids, node{op: k.Op, term: t})
	}
	if len(n.kids) == 1 {
		return n.kids[0]
	}
	return n
}

func systemOf(flag string) store.System {
	for _, f := range &systemFlags {
		if strings.EqualFold(flag, string(f.flag)) {
			return f.bit
		}
	}
	return 0
}

// hasKeyword tells whether a set of keywords has one.
func hasKeyword(keywords, want string) bool {
	for k := range strings.FieldsSeq(keywords) {
		if strings.EqualFold(k, want) {
			return true
		}
	}
	return false
}
