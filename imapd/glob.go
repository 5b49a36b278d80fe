package imapd

import (
	"strings"

	"postrider/store"
)

// glob is a LIST pattern: "*" matches anything, "%" anything but a delimiter.
type glob struct {
	pattern string
	inbox   string // the pattern for what is below INBOX, whose case does not count
}

func newGlob(ref, pattern string) glob {
	if strings.HasPrefix(pattern, string(store.Delimiter)) {
		ref, pattern = "", pattern[1:]
	}
	g := glob{pattern: collapse(ref + pattern)}
	g.inbox = g.pattern
	if n := len(store.Inbox); len(g.pattern) >= n && strings.EqualFold(g.pattern[:n], store.Inbox) {
		g.inbox = store.Inbox + g.pattern[n:]
	}
	return g
}

// collapse makes one wildcard of several that stand together: what is left has
// hardly more bytes than a name that it can match.
func collapse(pattern string) string {
	var b strings.Builder
	for i := 0; i < len(pattern); {
		j, star := i, false
		for ; j < len(pattern) && (pattern[j] == '*' || pattern[j] == '%'); j++ {
			star = star || pattern[j] == '*'
		}
		switch {
		case j == i:
			b.WriteByte(pattern[i])
			j++
		case star:
			b.WriteByte('*')
		default:
			b.WriteByte('%')
		}
		i = j
	}
	return b.String()
}

func (g glob) endsAtLevel() bool { return strings.HasSuffix(g.pattern, "%") }

func (g glob) match(name string) bool {
	switch {
	case name == store.Inbox: // "inb*" means it too
		return matchGlob(strings.ToUpper(g.pattern), name)
	case strings.HasPrefix(name, store.Inbox+string(store.Delimiter)):
		return matchGlob(g.inbox, name)
	}
	return matchGlob(g.pattern, name)
}

// matchGlob keeps, for each byte of the name, the set of places in the pattern
// where the match may stand, so that many wildcards cost no more than few.
func matchGlob(p, name string) bool {
	if len(p) > 2*len(name)+1 { // a wildcard between any two bytes
		return false
	}
	here := make([]bool, len(p)+1)
	next := make([]bool, len(p)+1)
	here[0] = true
	skipWildcards(p, here)
	for i := 0; i < len(name); i++ {
		clear(next)
		alive := false
		for at, ok := range here[:len(p)] {
			switch {
			case !ok:
			case p[at] == '*', p[at] == '%' && name[i] != store.Delimiter:
				next[at], alive = true, true
			case p[at] == name[i]:
				next[at+1], alive = true, true
			}
		}
		if !alive {
			return false
		}
		skipWildcards(p, next)
		here, next = next, here
	}
	return here[len(p)]
}

// skipWildcards adds the places behind wildcards, which may match nothing.
func skipWildcards(p string, at []bool) {
	for i := range len(p) {
		if at[i] && (p[i] == '*' || p[i] == '%') {
			at[i+1] = true
		}
	}
}
