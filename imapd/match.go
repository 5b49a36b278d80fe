package imapd

import (
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"

	"postrider/search"
	"postrider/store"
)

const (
	maxSearchDepth = 100  // of nested NOT, OR and lists
	maxSearchKeys  = 1000 // of one SEARCH
)

// verdict is what is known of whether a message matches.
type verdict uint8

const (
	no_ verdict = iota
	unknown
	yes
)

func verdictOf(b bool) verdict {
	if b {
		return yes
	}
	return no_
}

// candidate is a message that is being compared.
type candidate struct {
	index   int            // in told
	row     store.Row      // set if the matcher uses it
	content *store.Content // nil in the first pass
	text    *search.Reader // of content
	err     error          // reading failed
}

// matcher is a SEARCH made ready: sets resolved, texts folded.
type matcher struct {
	sets       [][]int // ascending; the index must be in all
	since      day
	before     day
	sentSince  day
	sentBefore day
	flags      []imap.Flag
	notFlags   []imap.Flag
	larger     int64
	smaller    int64
	terms      []term
	not        []*matcher
	or         [][2]*matcher
}

// term is a text that is sought, and what the index knows of each message of
// told; nil is nothing.
type term struct {
	search.Term
	known []search.Verdict
}

func (t *term) of(index int) search.Verdict {
	if t.known == nil {
		return search.Maybe
	}
	return t.known[index]
}

// day is a date without time: year, month and day in one number. 0 is none.
type day int

func dayOf(t time.Time) day {
	if t.IsZero() {
		return 0
	}
	y, m, d := t.Date()
	return day(y*10000 + int(m)*100 + d)
}

// newMatcher makes criteria ready for the selected mailbox.
func (s *session) newMatcher(c *imap.SearchCriteria) (*matcher, error) {
	keys := 0
	return s.compile(c, 0, &keys)
}

func (s *session) compile(c *imap.SearchCriteria, depth int, keys *int) (*matcher, error) {
	*keys += 1 + len(c.Header) + len(c.Body) + len(c.Text) + len(c.Flag) + len(c.NotFlag) + len(c.SeqNum) + len(c.UID)
	if depth > maxSearchDepth || *keys > maxSearchKeys {
		return nil, no(imap.ResponseCodeLimit, "The search is too large")
	}
	m := &matcher{
		since: dayOf(c.Since), before: dayOf(c.Before), sentSince: dayOf(c.SentSince), sentBefore: dayOf(c.SentBefore),
		flags: c.Flag, notFlags: c.NotFlag, larger: c.Larger, smaller: c.Smaller,
	}
	for _, set := range c.SeqNum {
		list, err := s.box.seqIndices(set, false)
		if err != nil {
			return nil, err
		}
		m.sets = append(m.sets, list)
	}
	for _, set := range c.UID {
		list, err := s.resolve(set)
		if err != nil {
			return nil, err
		}
		m.sets = append(m.sets, list)
	}
	for _, h := range c.Header {
		m.seek(search.InField, h.Key, h.Value)
	}
	for _, text := range c.Body {
		m.seek(search.InBody, "", text)
	}
	for _, text := range c.Text {
		m.seek(search.InText, "", text)
	}
	for i := range c.Not {
		sub, err := s.compile(&c.Not[i], depth+1, keys)
		if err != nil {
			return nil, err
		}
		m.not = append(m.not, sub)
	}
	for i := range c.Or {
		var pair [2]*matcher
		for j := range pair {
			sub, err := s.compile(&c.Or[i][j], depth+1, keys)
			if err != nil {
				return nil, err
			}
			pair[j] = sub
		}
		m.or = append(m.or, pair)
	}
	return m, nil
}

func (m *matcher) seek(in search.Where, field, text string) {
	m.terms = append(m.terms, term{Term: search.Term{In: in, Field: field, Text: search.Fold(text)}})
}

// allTerms adds the terms of m and of all inside it to list.
func (m *matcher) allTerms(list []*term) []*term {
	for i := range m.terms {
		list = append(list, &m.terms[i])
	}
	for _, sub := range m.not {
		list = sub.allTerms(list)
	}
	for _, pair := range m.or {
		list = pair[1].allTerms(pair[0].allTerms(list))
	}
	return list
}

// usesRow tells whether m or one inside it asks for what is in a row.
func (m *matcher) usesRow() bool {
	return len(m.flags)+len(m.notFlags) > 0 || m.since != 0 || m.before != 0 || m.larger != 0 || m.smaller != 0 ||
		slices.ContainsFunc(m.not, (*matcher).usesRow) ||
		slices.ContainsFunc(m.or, func(pair [2]*matcher) bool { return pair[0].usesRow() || pair[1].usesRow() })
}

// match compares a message; without content the verdict may be unknown. All
// parts must say yes; the cheap ones are asked first.
func (m *matcher) match(c *candidate) verdict {
	if !m.matchRow(c) {
		return no_
	}
	v := m.matchNested(c)
	if v == no_ {
		return no_
	}
	return min(v, m.matchStored(c))
}

// matchRow decides what the view knows.
func (m *matcher) matchRow(c *candidate) bool {
	for _, set := range m.sets {
		if _, in := slices.BinarySearch(set, c.index); !in {
			return false
		}
	}
	for _, f := range m.flags {
		if !hasFlag(c.row.Flags, f) {
			return false
		}
	}
	for _, f := range m.notFlags {
		if hasFlag(c.row.Flags, f) {
			return false
		}
	}
	// Dates are compared without time and zone (RFC 9051 §6.4.4): the
	// date as INTERNALDATE tells it.
	if d := dayOf(c.row.Received); m.since != 0 && d < m.since || m.before != 0 && d >= m.before {
		return false
	}
	return (m.larger == 0 || c.row.Size > m.larger) && (m.smaller == 0 || c.row.Size < m.smaller)
}

func (m *matcher) matchNested(c *candidate) verdict {
	v := yes
	for _, sub := range m.not {
		// yes and no change places, unknown stays.
		if v = min(v, yes-sub.match(c)); v == no_ {
			return no_
		}
	}
	for _, pair := range m.or {
		either := pair[0].match(c)
		if either != yes {
			either = max(either, pair[1].match(c))
		}
		if v = min(v, either); v == no_ {
			return no_
		}
	}
	return v
}

// matchStored decides what needs the message itself, as far as the index does
// not know it.
func (m *matcher) matchStored(c *candidate) verdict {
	v := yes
	for i := range m.terms {
		switch m.terms[i].of(c.index) {
		case search.No:
			return no_
		case search.Maybe:
			v = unknown
		}
	}
	sent := m.sentSince != 0 || m.sentBefore != 0
	switch {
	case v == yes && !sent:
		return yes
	case c.content == nil:
		return unknown
	case !m.matchSent(c):
		return no_
	}
	return verdictOf(v == yes || c.hasTerms(m.terms))
}
