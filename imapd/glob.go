package imapd

import (
	"strings"

	"postrider/store"
)

// glob is a LIST pattern: "*" matches anything, "%" anything but a delimiter.
type glob struct {
	pattern string
	places  *places
	inbox   *places // for what is below INBOX, whose case does not count
	upper   *places // for INBOX itself
}

func newGlob(ref, pattern string) glob {
	if strings.HasPrefix(pattern, string(store.Delimiter)) {
		ref, pattern = "", pattern[1:]
	}
	pattern = collapse(ref + pattern)
	g := glob{pattern: pattern, places: placesOf(pattern), upper: placesOf(strings.ToUpper(pattern))}
	g.inbox = g.places
	if n := len(store.Inbox); len(pattern) >= n && strings.EqualFold(pattern[:n], store.Inbox) {
		g.inbox = placesOf(store.Inbox + pattern[n:])
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
		return g.upper.match(name)
	case strings.HasPrefix(name, store.Inbox+string(store.Delimiter)):
		return g.inbox.match(name)
	}
	return g.places.match(name)
}

// places are those of each byte in a pattern, as bits: of wildcards, and of
// bytes that stand for themselves. It is one goroutine's.
type places struct {
	n          int // bytes of the pattern
	of         map[byte][]uint64
	here, next []uint64
	none       []uint64
}

func placesOf(pattern string) *places {
	words := len(pattern)/64 + 1
	p := &places{n: len(pattern), of: map[byte][]uint64{}}
	p.here, p.next, p.none = make([]uint64, words), make([]uint64, words), make([]uint64, words)
	for i := range len(pattern) {
		if p.of[pattern[i]] == nil {
			p.of[pattern[i]] = make([]uint64, words)
		}
		p.of[pattern[i]][i/64] |= 1 << (i % 64)
	}
	return p
}

// places returns those of a byte.
func (p *places) places(c byte) []uint64 {
	if at := p.of[c]; at != nil {
		return at
	}
	return p.none
}

// match keeps, for each byte of the name, the set of places in the pattern
// where the match may stand, so that many wildcards cost no more than few.
func (p *places) match(name string) bool {
	if p.n > 2*len(name)+1 { // a wildcard between any two bytes
		return false
	}
	star, percent := p.places('*'), p.places('%')
	clear(p.here)
	p.here[0] = 1 | (star[0]|percent[0])&1<<1 // behind a wildcard, which may match nothing
	for i := range len(name) {
		own, level := p.places(name[i]), percent
		switch name[i] {
		case store.Delimiter:
			level = p.none
		case '*', '%': // which only wildcards match
			own = p.none
		}
		var alive, carry, skipped uint64
		for w, here := range p.here {
			moved := here & own[w]
			next := moved<<1 | carry | here&(star[w]|level[w])
			wild := next & (star[w] | percent[w])
			next |= wild<<1 | skipped
			carry, skipped = moved>>63, wild>>63
			p.next[w] = next
			alive |= next
		}
		if alive == 0 {
			return false
		}
		p.here, p.next = p.next, p.here
	}
	return p.here[p.n/64]>>(p.n%64)&1 != 0
}
