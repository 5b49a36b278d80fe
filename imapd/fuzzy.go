package imapd

import (
	"strings"
	"unicode"

	"postrider/imapd/criteria"
)

// maxFuzzyWords is how many words of a fuzzy text are sought.
const maxFuzzyWords = 16

// fuzzyWords are what a fuzzy text is taken for: its words, in any order. What
// has none, as "::", is taken as it is.
func fuzzyWords(text string) []string {
	words := strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) && !unicode.IsMark(r) })
	if len(words) == 0 {
		return []string{text}
	}
	return words[:min(len(words), maxFuzzyWords)]
}

// scores rates messages that were found (RFC 6203 §4). A message gets what it
// can for each fuzzy text that it has as it was written, and half of that for
// one of which it has only the words; texts in the subject count twice. The
// best message of those found has 100.
func (s *session) scores(g *ground, k *criteria.Key, list []int) ([]int, error) {
	points := make([]int, len(list))
	most := 0
	for _, text := range fuzzyTexts(k, false, nil) {
		weight := 1
		if text.Op == criteria.Header && strings.EqualFold(text.Name, "Subject") {
			weight = 2
		}
		for _, fuzzy := range []bool{true, false} {
			key := text
			if fuzzy {
				key = criteria.Key{Op: criteria.Fuzzy, Keys: []criteria.Key{text}}
			}
			have, err := s.matching(g, &key, list)
			if err != nil {
				return nil, err
			}
			at := 0
			for _, i := range have { // both ascend
				for list[at] != i {
					at++
				}
				points[at] += weight
				most = max(most, points[at])
			}
		}
	}
	for k := range points {
		if most > 0 {
			points[k] = max(1, points[k]*100/most)
		} else {
			points[k] = 100 // nothing was sought roughly that is a text
		}
	}
	return points, nil
}

// maxScored is how many texts count for a score.
const maxScored = 8

// fuzzyTexts adds the texts that are sought roughly. Those that a message must
// not have count for nothing.
func fuzzyTexts(k *criteria.Key, fuzzy bool, list []criteria.Key) []criteria.Key {
	switch k.Op {
	case criteria.Not:
		return list
	case criteria.Fuzzy:
		fuzzy = true
	case criteria.Header, criteria.Body, criteria.Text:
		if fuzzy && len(list) < maxScored {
			list = append(list, *k)
		}
	}
	for i := range k.Keys {
		list = fuzzyTexts(&k.Keys[i], fuzzy, list)
	}
	return list
}
