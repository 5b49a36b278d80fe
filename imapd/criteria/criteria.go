// Package criteria reads what SEARCH, SORT, THREAD and ESEARCH ask for: search
// keys, return options and the mailboxes to search. It knows nothing of
// messages; keys are made ready and compared by imapd.
package criteria

import (
	"strings"
	"time"

	"postrider/imapd/wire"
)

// Bounds of one command; how deep keys nest is the decoder's to say.
const (
	MaxKeys  = 2000 // search keys
	MaxTexts = 256  // texts that are sought: each is looked for in every message that is read
)

// Op is what a key asks of a message.
type Op uint8

const (
	All   Op = iota // nothing
	And             // all of Keys
	Or              // one of Keys
	Not             // not Keys[0]
	Fuzzy           // Keys[0], roughly (RFC 6203 §3)

	Seq       // Set, of sequence numbers; "$" too
	UID       // Set, of UIDs
	UIDAfter  // Number (RFC 9738 §3.2)
	UIDBefore // Number
	Flag      // a system flag, Name with its backslash, or a keyword
	Recent

	Since  // the internal date: Date or later
	Before // before Date
	On
	SentSince // the same of the Date field
	SentBefore
	SentOn
	SavedSince // and of the date on which the message came here (RFC 8514 §4.3)
	SavedBefore
	SavedOn
	Older   // at least Number seconds ago (RFC 5032 §3)
	Younger // at most

	Larger  // than Number octets
	Smaller // than Number octets
	ModSeq  // at least Number (RFC 7162 §3.1.5)

	Header // the field Name has Text
	Body   // the body has Text
	Text   // header or body has Text

	EmailID  // is Name (RFC 8474 §7)
	ThreadID // is Name
)

// Key is one search key.
type Key struct {
	Op     Op
	Keys   []Key
	Set    wire.Set
	Name   string
	Text   string // UTF-8
	Date   time.Time
	Number int64
}

// Has tells whether a key, or one inside it, is an op.
func (k *Key) Has(op Op) bool {
	if k.Op == op {
		return true
	}
	for i := range k.Keys {
		if k.Keys[i].Has(op) {
			return true
		}
	}
	return false
}

// Numbered tells whether a key names sequence numbers other than by "$".
func (k *Key) Numbered() bool {
	if k.Op == Seq && !k.Set.Saved {
		return true
	}
	for i := range k.Keys {
		if k.Keys[i].Numbered() {
			return true
		}
	}
	return false
}

// Saved tells whether a key names "$".
func (k *Key) Saved() bool {
	if k.Set.Saved {
		return true
	}
	for i := range k.Keys {
		if k.Keys[i].Saved() {
			return true
		}
	}
	return false
}

// systemFlags are the keys that ask for a flag; with UN before them for its
// absence.
var systemFlags = map[string]string{
	"ANSWERED": `\Answered`, "DELETED": `\Deleted`, "DRAFT": `\Draft`, "FLAGGED": `\Flagged`, "SEEN": `\Seen`,
}

func flagOf(word string) (name string, set bool) {
	if f, ok := systemFlags[word]; ok {
		return f, true
	}
	return systemFlags[strings.TrimPrefix(word, "UN")], false
}
