package imapd

import (
	"postrider/imapd/criteria"
	"postrider/mail"
	"postrider/search"
	"postrider/store"
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

// stage is how much of a message may be looked at. What a stage leaves unknown
// is for the next.
type stage uint8

const (
	inView    stage = iota // what the view and the index know
	inFields               // the stored header fields
	inWhole                // all texts, read together
	lastStage = inWhole
)

// candidate is a message that is being compared.
type candidate struct {
	uid     store.UID
	index   int       // in the view
	row     store.Row // set if the matcher uses it
	stage   stage
	content *store.Content // nil in the first stage
	text    *search.Reader // of content
	found   []verdict      // by term, as far as the index does not know
	sent    day            // of the Date field
	hasSent verdict        // whether there is one; unknown if not looked
	err     error          // reading failed
}

// matches decides a message whose content is there, looking no further than
// it has to.
func (m *matcher) matches(c *candidate) bool {
	for c.stage = inFields; ; c.stage++ {
		if c.stage == inWhole {
			m.findTexts(c)
		}
		v := m.match(&m.root, c)
		if v != unknown || c.stage == lastStage || c.err != nil {
			return v == yes && c.err == nil
		}
	}
}

// match compares a message with one key; the verdict may be unknown before the
// last stage.
func (m *matcher) match(n *node, c *candidate) verdict {
	switch n.op {
	case criteria.And:
		v := yes
		for i := range n.kids {
			if v = min(v, m.match(&n.kids[i], c)); v == no_ {
				break
			}
		}
		return v
	case criteria.Or:
		v := no_
		for i := range n.kids {
			if v = max(v, m.match(&n.kids[i], c)); v == yes {
				break
			}
		}
		return v
	case criteria.Not: // yes and no change places, unknown stays
		return yes - m.match(&n.kids[0], c)
	case criteria.SentSince, criteria.SentBefore, criteria.SentOn:
		return m.matchSent(n, c)
	case criteria.Header, criteria.Body, criteria.Text:
		return m.matchText(n.term, c)
	}
	return verdictOf(n.matchRow(c))
}

// matchRow decides what the view knows. Dates are compared without time and
// zone (RFC 9051 §6.4.4): the date as INTERNALDATE and SAVEDATE tell it.
func (n *node) matchRow(c *candidate) bool {
	switch n.op {
	case criteria.UID:
		return n.uids.Contains(c.uid)
	case criteria.UIDAfter:
		return int64(c.uid) > n.number
	case criteria.UIDBefore:
		return int64(c.uid) < n.number
	case criteria.Flag:
		if n.system != 0 {
			return c.row.Flags.System&n.system != 0
		}
		return hasKeyword(c.row.Flags.Keywords, n.keyword)
	case criteria.Recent: // no message is (RFC 9051 §2.3.2)
		return false
	case criteria.Since:
		return dayOf(c.row.Received) >= n.day
	case criteria.Before:
		return dayOf(c.row.Received) < n.day
	case criteria.On:
		return dayOf(c.row.Received) == n.day
	case criteria.SavedSince:
		return dayOf(c.row.Saved) >= n.day
	case criteria.SavedBefore:
		return dayOf(c.row.Saved) < n.day
	case criteria.SavedOn:
		return dayOf(c.row.Saved) == n.day
	case criteria.Older:
		return c.row.Received.UnixMicro() <= n.number
	case criteria.Younger:
		return c.row.Received.UnixMicro() >= n.number
	case criteria.Larger:
		return c.row.Size > n.number
	case criteria.Smaller:
		return c.row.Size < n.number
	case criteria.ModSeq:
		return int64(c.row.ModSeq) >= n.number
	case criteria.EmailID:
		return c.row.EmailID == n.number
	case criteria.ThreadID:
		return c.row.ThreadID == n.number
	}
	return true // All
}

// matchSent compares the date of the Date field, as it stands there, without
// its time and zone. A message without a date that can be read does not match.
func (m *matcher) matchSent(n *node, c *candidate) verdict {
	if c.stage == inView {
		return unknown
	}
	if c.hasSent == unknown {
		t, err := mail.ParseSentDate(envelopeOf(c.content).Date)
		c.sent, c.hasSent = dayOf(t), verdictOf(err == nil)
	}
	switch {
	case c.hasSent == no_:
		return no_
	case n.op == criteria.SentSince:
		return verdictOf(c.sent >= n.day)
	case n.op == criteria.SentBefore:
		return verdictOf(c.sent < n.day)
	}
	return verdictOf(c.sent == n.day)
}

// matchText decides what the index is certain of, and what has been read.
func (m *matcher) matchText(t *term, c *candidate) verdict {
	switch t.of(c.index) {
	case search.Yes:
		return yes
	case search.No:
		return no_
	}
	if c.stage == inView || t.In != search.InField && c.stage < inWhole {
		return unknown
	}
	if t.In == search.InField && c.found[t.n] == unknown {
		has, err := c.text.HasField(t.Field, t.Text)
		c.fail(err)
		c.found[t.n] = verdictOf(has)
	}
	return c.found[t.n]
}

// findTexts reads the message once for all texts that the index is not certain
// of.
func (m *matcher) findTexts(c *candidate) {
	var body, text [][]byte
	var inBody, inText []*term
	for _, t := range m.terms {
		if t.In == search.InField || t.of(c.index) != search.Maybe {
			continue
		}
		c.found[t.n] = no_
		if t.In == search.InBody {
			body, inBody = append(body, t.Text), append(inBody, t)
		} else {
			text, inText = append(text, t.Text), append(inText, t)
		}
	}
	if len(body)+len(text) == 0 {
		return
	}
	c.fail(c.text.FindTexts(body, text, func(i int) {
		if i < len(inText) {
			c.found[inText[i].n] = yes
		} else {
			c.found[inBody[i-len(inText)].n] = yes
		}
	}))
}

func (c *candidate) fail(err error) {
	if err != nil && c.err == nil {
		c.err = err
	}
}
