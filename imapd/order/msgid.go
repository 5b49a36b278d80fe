package order

import (
	"hash/maphash"
	"iter"
	"strings"
)

// MaxReferences is how many of a message's References count: the last ones,
// which are the nearest ancestors (RFC 5322 §3.6.4).
const MaxReferences = 100

// seed makes it impossible to prepare Message-IDs that meet in one hash.
var seed = maphash.MakeSeed()

// MessageID stands for a Message-ID; 0 is none.
type MessageID uint64

// Identity is how a message is connected with others.
type Identity struct {
	Self       MessageID   // 0 if it has no valid Message-ID
	References []MessageID // the farthest ancestor first
}

// IdentityOf reads the fields that THREAD needs (RFC 5256 §3): References, or
// else the first valid Message-ID in In-Reply-To.
func IdentityOf(messageID, references, inReplyTo string) Identity {
	var id Identity
	for m := range messageIDs(messageID) {
		id.Self = m
		break
	}
	id.References = lastReferences(references)
	if len(id.References) == 0 {
		for m := range messageIDs(inReplyTo) {
			id.References = []MessageID{m}
			break
		}
	}
	return id
}

func lastReferences(s string) []MessageID {
	var ring [MaxReferences]MessageID
	n := 0
	for m := range messageIDs(s) {
		ring[n%MaxReferences] = m
		n++
	}
	first := max(0, n-MaxReferences)
	refs := make([]MessageID, 0, n-first)
	for k := first; k < n; k++ {
		refs = append(refs, ring[k%MaxReferences])
	}
	return refs
}

// messageIDs yields the valid Message-IDs of a field: "<", a left side, "@", a
// right side, ">". White space and quoting make no difference (RFC 5256 §3,
// RFC 5322 §3.6.4 and §4.5.4).
func messageIDs(s string) iter.Seq[MessageID] {
	return func(yield func(MessageID) bool) {
		var text []byte
		for {
			_, rest, ok := strings.Cut(s, "<")
			if !ok {
				return
			}
			var valid bool
			text, s, valid = readMessageID(text[:0], rest)
			if !valid {
				continue
			}
			id := MessageID(maphash.Bytes(seed, text))
			if id == 0 {
				id = 1
			}
			if !yield(id) {
				return
			}
		}
	}
}

// readMessageID reads up to the ">", or to a "<" that begins another one, and
// appends what stands there without quoting.
func readMessageID(text []byte, s string) (id []byte, rest string, valid bool) {
	quoted, at := false, -1
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && quoted && i+1 < len(s):
			i++
			text = append(text, s[i])
		case c == '"':
			quoted = !quoted
		case quoted:
			text = append(text, c)
		case c == '>':
			return text, s[i+1:], at > 0 && at < len(text)-1
		case c == '<':
			return text, s[i:], false
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
		default:
			if c == '@' && at < 0 {
				at = len(text)
			}
			text = append(text, c)
		}
	}
	return text, "", false
}
