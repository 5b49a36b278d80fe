package imapd

import (
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"postrider/store"
)

const (
	maxKeyword      = 128      // bytes of one
	maxKeywords     = 64       // in one command
	maxKeywordBytes = 16 << 10 // of one message
)

var systemFlags = [...]struct {
	flag imap.Flag
	bit  store.System
}{
	{imap.FlagAnswered, store.Answered},
	{imap.FlagFlagged, store.Flagged},
	{imap.FlagDeleted, store.Deleted},
	{imap.FlagSeen, store.Seen},
	{imap.FlagDraft, store.Draft},
}

// parseFlags reads the flags of a command. \Recent is nobody's to set and is
// passed over, as clients copy it from what other servers say; other flags
// with a backslash that are not defined are an error (RFC 9051 §2.3.2).
func parseFlags(flags []string) (store.Flags, error) {
	var out store.Flags
	var keywords []string
next:
	for _, f := range flags {
		for _, s := range systemFlags {
			if strings.EqualFold(f, string(s.flag)) {
				out.System |= s.bit
				continue next
			}
		}
		switch {
		case strings.EqualFold(f, `\Recent`):
		case strings.HasPrefix(f, `\`) || len(f) > maxKeyword:
			return store.Flags{}, errFlag
		default:
			keywords = append(keywords, f)
		}
	}
	if len(keywords) > maxKeywords {
		return store.Flags{}, errManyFlags
	}
	out.Keywords = joinKeywords(keywords)
	return out, nil
}

// joinKeywords brings keywords to the form that store.Flags asks for.
func joinKeywords(k []string) string {
	slices.SortFunc(k, compareFold)
	k = slices.CompactFunc(k, strings.EqualFold)
	return strings.Join(k, " ")
}

func compareFold(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) }

// apply returns what flags are after a change.
func apply(f store.Flags, c store.FlagChange) store.Flags {
	return c.Keep.Keep(f, applyAll(f, c))
}

// applyAll is apply for a change that keeps none.
func applyAll(f store.Flags, c store.FlagChange) store.Flags {
	have := strings.Fields(f.Keywords)
	switch c.Mode {
	case store.FlagsSet:
		return c.Flags
	case store.FlagsAdd:
		f.System |= c.Flags.System
		have = append(have, strings.Fields(c.Flags.Keywords)...)
	case store.FlagsRemove:
		f.System &^= c.Flags.System
		drop := strings.Fields(c.Flags.Keywords)
		have = slices.DeleteFunc(have, func(k string) bool {
			return slices.ContainsFunc(drop, func(d string) bool { return strings.EqualFold(k, d) })
		})
	}
	f.Keywords = joinKeywords(have)
	return f
}
