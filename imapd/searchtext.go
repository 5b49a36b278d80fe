package imapd

import (
	"postrider/mail"
	"postrider/search"
)

// matchSent compares the date of the Date field, as it stands there, without
// its time and zone. A message without a date that can be read does not match.
func (m *matcher) matchSent(c *candidate) bool {
	if m.sentSince == 0 && m.sentBefore == 0 {
		return true
	}
	t, err := mail.ParseDate(envelopeOf(c.content).Date)
	if err != nil {
		return false
	}
	d := dayOf(t)
	return (m.sentSince == 0 || d >= m.sentSince) && (m.sentBefore == 0 || d < m.sentBefore)
}

// hasTerms tells whether the message has what the index is not certain of.
func (c *candidate) hasTerms(terms []term) bool {
	var body, text [][]byte
	for i := range terms {
		t := &terms[i]
		switch {
		case t.of(c.index) == search.Yes:
		case t.In == search.InBody:
			body = append(body, t.Text)
		case t.In == search.InText:
			text = append(text, t.Text)
		default:
			if has, err := c.text.HasField(t.Field, t.Text); err != nil || !has {
				c.fail(err)
				return false
			}
		}
	}
	if len(body)+len(text) == 0 {
		return true
	}
	has, err := c.text.HasTexts(body, text)
	c.fail(err)
	return has
}

func (c *candidate) fail(err error) {
	if err != nil && c.err == nil {
		c.err = err
	}
}
