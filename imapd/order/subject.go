package order

import "strings"

// BaseSubject returns the base subject of a decoded subject (RFC 5256 §2.1),
// and whether the message is a reply or a forward: whether anything was
// removed that says so (§3, THREAD).
func BaseSubject(subject string) (base string, reply bool) {
	s := subjectCutter{s: oneSpaced(subject)}
	for s.round() {
	}
	return s.s, s.reply
}

// oneSpaced makes white space of any kind and number one space (step 1).
func oneSpaced(s string) string {
	isSpace := func(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }
	clean := true
	for i := 0; i < len(s) && clean; i++ {
		clean = !isSpace(s[i]) || s[i] == ' ' && (i == 0 || s[i-1] != ' ')
	}
	if clean {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case !isSpace(s[i]):
			out = append(out, s[i])
		case len(out) == 0 || out[len(out)-1] != ' ':
			out = append(out, ' ')
		}
	}
	return string(out)
}

// subjectCutter cuts a subject down from both ends.
type subjectCutter struct {
	s     string
	reply bool
}

// round does steps 2 to 6 once, and tells whether step 6 asks for another.
func (c *subjectCutter) round() (again bool) {
	c.trailers()
	for c.leader() {
	}
	const header, trailer = "[fwd:", "]"
	if !hasPrefixFold(c.s, header) || !strings.HasSuffix(c.s, trailer) {
		return false
	}
	c.s, c.reply = c.s[len(header):len(c.s)-len(trailer)], true
	return true
}

// trailers removes every subj-trailer (step 2).
func (c *subjectCutter) trailers() {
	const fwd = "(fwd)"
	for {
		c.s = strings.TrimRight(c.s, " ")
		i := len(c.s) - len(fwd)
		if i < 0 || !strings.EqualFold(c.s[i:], fwd) {
			return
		}
		c.s, c.reply = c.s[:i], true
	}
}

// leader does steps 3 and 4 once, with all blobs that follow each other, and
// tells whether anything that they remove may be left. The last blob stays if
// there were no base subject without it.
func (c *subjectCutter) leader() bool {
	c.s = strings.TrimLeft(c.s, " ")
	rest, last := c.s, c.s
	for {
		after, ok := cutBlob(rest)
		if !ok {
			break
		}
		rest, last = after, rest
	}
	if after, ok := cutRefwd(rest); ok {
		c.s, c.reply = after, true
		return true
	}
	if rest == "" {
		rest = last
	}
	c.s = rest
	return false
}

// cutBlob removes a subj-blob from the beginning.
func cutBlob(s string) (rest string, ok bool) {
	if s == "" || s[0] != '[' {
		return s, false
	}
	end := strings.IndexAny(s[1:], "[]")
	if end < 0 || s[1+end] == '[' {
		return s, false
	}
	return strings.TrimLeft(s[end+2:], " "), true
}

// cutRefwd removes a subj-refwd from the beginning.
func cutRefwd(s string) (rest string, ok bool) {
	switch {
	case hasPrefixFold(s, "fwd"):
		rest = s[3:]
	case hasPrefixFold(s, "re"), hasPrefixFold(s, "fw"):
		rest = s[2:]
	default:
		return s, false
	}
	rest, _ = cutBlob(strings.TrimLeft(rest, " "))
	return strings.CutPrefix(rest, ":")
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}
