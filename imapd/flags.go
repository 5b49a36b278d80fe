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
func parseFlags(flags []imap.Flag) (store.Flags, error) {
	var out store.Flags
	var keywords []string
next:
	for _, f := range flags {
		for _, s := range systemFlags {
			if strings.EqualFold(string(f), string(s.flag)) {
				out.System |= s.bit
				continue next
			}
		}
		switch {
		case strings.EqualFold(string(f), `\Recent`):
		case strings.HasPrefix(string(f), `\`) || len(f) > maxKeyword || !isASCII(string(f)):
			return store.Flags{}, errFlag
		default:
			keywords = append(keywords, string(f))
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

// hasFlag tells whether a message has a flag.
func hasFlag(f store.Flags, want imap.Flag) bool {
	for _, s := range systemFlags {
		if strings.EqualFold(string(want), string(s.flag)) {
			return f.System&s.bit != 0
		}
	}
	for k := range strings.FieldsSeq(f.Keywords) {
		if strings.EqualFold(k, string(want)) {
			return true
		}
	}
	return false
}

// apply returns what flags are after a change.
func apply(f store.Flags, c store.FlagChange) store.Flags {
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

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] > '~' {
			return false
		}
	}
	return true
}
