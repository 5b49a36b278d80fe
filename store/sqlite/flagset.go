package sqlite

import (
	"slices"
	"strings"

	"postrider/store"
)

// cleanFlags brings flags into the form that store.Flags promises.
func cleanFlags(f store.Flags) store.Flags {
	if f.Keywords != "" {
		f.Keywords = joinKeywords(strings.Fields(f.Keywords))
	}
	f.System &= store.Seen | store.Answered | store.Flagged | store.Deleted | store.Draft
	return f
}

// joinKeywords sorts keywords without regard to case and keeps the first
// spelling of each (RFC 9051 §2.3.2).
func joinKeywords(words []string) string {
	slices.SortStableFunc(words, compareFold)
	words = slices.CompactFunc(words, func(a, b string) bool { return compareFold(a, b) == 0 })
	return strings.Join(words, " ")
}

func compareFold(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) }

// apply returns what f becomes by c, whose flags are clean. A keyword that is
// there keeps its spelling.
func apply(f store.Flags, c store.FlagChange) store.Flags {
	return c.Keep.Keep(f, applyAll(f, c))
}

// applyAll is apply for a change that keeps none.
func applyAll(f store.Flags, c store.FlagChange) store.Flags {
	switch c.Mode {
	case store.FlagsSet:
		return store.Flags{System: c.Flags.System, Keywords: respell(c.Flags.Keywords, f.Keywords)}
	case store.FlagsAdd:
		f.System |= c.Flags.System
		if c.Flags.Keywords != "" {
			f.Keywords = joinKeywords(append(strings.Fields(f.Keywords), strings.Fields(c.Flags.Keywords)...))
		}
	case store.FlagsRemove:
		f.System &^= c.Flags.System
		if c.Flags.Keywords != "" && f.Keywords != "" {
			gone := strings.Fields(c.Flags.Keywords)
			f.Keywords = strings.Join(slices.DeleteFunc(strings.Fields(f.Keywords), func(k string) bool {
				return slices.ContainsFunc(gone, func(g string) bool { return strings.EqualFold(g, k) })
			}), " ")
		}
	}
	return f
}

// respell gives keywords the spelling that they have in old.
func respell(keywords, old string) string {
	if keywords == "" || old == "" {
		return keywords
	}
	words := strings.Fields(keywords)
	for i, w := range words {
		for _, o := range strings.Fields(old) {
			if strings.EqualFold(w, o) {
				words[i] = o
			}
		}
	}
	return strings.Join(words, " ")
}
