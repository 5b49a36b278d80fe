package search

// A gram is three bytes of folded text, in the lower 24 bits, and the space in
// which they were found above.
type gram uint32

// Spaces of grams.
const (
	inHeader gram = 0
	inBody   gram = 1 << 24
	spaces        = 2
)

// maxGrams is how many different grams of one message are kept. One that has
// more, which no text of people has, may match whatever is sought.
const maxGrams = 1 << 17

// gramSet is a sink that collects the different grams of one message.
type gramSet struct {
	space gram
	seen  [spaces << 24 >> 6]uint64 // 4 MiB, of which a text touches little
	list  []gram
	over  bool // there were more than maxGrams

	last   gram // the last two bytes of a text that goes on, and more above
	behind int  // how many they are, up to 2
}

func (s *gramSet) reset() {
	for _, g := range s.list {
		s.seen[g>>6] = 0
	}
	s.list, s.over, s.last, s.behind = s.list[:0], false, 0, 0
}

func (s *gramSet) done() bool { return s.over }

func (s *gramSet) text(folded []byte, last bool) {
	g, n := s.last, s.behind
	for _, c := range folded {
		g = g<<8&0xffffff | gram(c)
		if n < 2 {
			n++
			continue
		}
		s.add(g)
	}
	if last {
		// What ends the text: so that every byte and every two bytes of it
		// begin a gram.
		if n > 0 {
			s.add(g&0xff<<16 | textEnd<<8 | textEnd)
		}
		if n > 1 {
			s.add(g&0xffff<<8 | textEnd)
		}
		g, n = 0, 0
	}
	s.over = s.over || len(s.list) > maxGrams
	s.last, s.behind = g, n
}

func (s *gramSet) add(g gram) {
	k := g | s.space
	if w := &s.seen[k>>6]; *w>>(k&63)&1 == 0 {
		*w |= 1 << (k & 63)
		s.list = append(s.list, k)
	}
}

// textEnd stands behind the end of a text. It is in no folded text.
const textEnd = 0xff

// maxSought is how many grams of one sought text are looked up. More narrow
// little further.
const maxSought = 24

// gramsOf returns different grams of a folded text, some from everywhere in
// it if it is long.
func gramsOf(text []byte, space gram) []gram {
	n := len(text) - 2
	if n <= 0 {
		return nil
	}
	step := max(1, (n+maxSought-1)/maxSought)
	var list []gram
	seen := map[gram]bool{}
	for i := 0; i < n; i += step {
		g := space | gram(text[i])<<16 | gram(text[i+1])<<8 | gram(text[i+2])
		if !seen[g] {
			seen[g] = true
			list = append(list, g)
		}
	}
	return list
}

// shortRange are the first and the last of the grams that begin with a text of
// one or two bytes: a message that has one of them has the text, and the other
// way round.
func shortRange(text []byte, space gram) (first, last gram) {
	first = space | gram(text[0])<<16
	if len(text) == 1 {
		return first, first | 0xffff
	}
	first |= gram(text[1]) << 8
	return first, first | 0xff
}
