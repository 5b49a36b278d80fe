package store

import (
	"cmp"
	"fmt"
	"io"
	"iter"
	"slices"
	"sort"
	"time"

	"postrider/mail"
)

type (
	AccountID int64  // 0 is the system itself: notices, and mail relayed for nobody
	UID       uint32 // RFC 9051 §2.3.1.1
	ModSeq    int64  // RFC 7162 §3.1; counts per account
	OutID     int64  // an outgoing message
	RcptID    int64  // one recipient of one, as in postrider queue list
	OpID      string // idempotency key, kept for 7 days; empty for none
)

// MailboxID names a mailbox for as long as it lives, across renames.
type MailboxID struct {
	Account AccountID
	N       int64
}

// Use is a mailbox's special use (RFC 6154 §2), without the backslash.
type Use string

const (
	UseNone    Use = ""
	UseDrafts  Use = "Drafts"
	UseSent    Use = "Sent"
	UseJunk    Use = "Junk"
	UseTrash   Use = "Trash"
	UseArchive Use = "Archive"
	UseAll     Use = "All"
	UseFlagged Use = "Flagged"
)

// Inbox is the name of the mailbox that every account has; it is matched
// without regard to case (RFC 9051 §5.1). The hierarchy delimiter is "/".
// Names are Unicode in Normalization Form C.
const (
	Inbox     = "INBOX"
	Delimiter = '/'
)

// Mailbox is a mailbox's state at one moment, read from its counters.
type Mailbox struct {
	ID            MailboxID
	Name          string
	Use           Use
	UIDValidity   uint32
	UIDNext       UID
	ModSeq        ModSeq // highest of its messages and expunges
	Total, Unseen int64  // messages
	Deleted       int64  // messages with \Deleted
	Bytes         int64
	DeletedBytes  int64
	Created       ModSeq
}

// System is the set of a message's system flags (RFC 9051 §2.3.2).
type System uint8

const (
	Seen System = 1 << iota
	Answered
	Flagged
	Deleted
	Draft
)

// Flags is all flags of a message. Keywords are sorted without regard to
// case, each once, joined by single spaces, so that Flags can be compared.
type Flags struct {
	System   System
	Keywords string
}

// FlagMode says how a FlagChange combines with the flags that are there.
type FlagMode uint8

const (
	FlagsSet FlagMode = iota
	FlagsAdd
	FlagsRemove
)

// FlagChange is what SetFlags does to the flags of messages.
type FlagChange struct {
	Mode  FlagMode
	Flags Flags
	Keep  FlagMask // these stay as they are
}

// FlagMask is a set of flags: system flags, and all keywords or none.
type FlagMask struct {
	System   System
	Keywords bool
}

// Keep returns now with the flags of m as they are in was.
func (m FlagMask) Keep(was, now Flags) Flags {
	now.System = now.System&^m.System | was.System&m.System
	if m.Keywords {
		now.Keywords = was.Keywords
	}
	return now
}

// Unconditional is the unchangedSince of a SetFlags without a condition.
const Unconditional ModSeq = 1<<63 - 1

// UIDRange is the UIDs from Lo to Hi, both included.
type UIDRange struct{ Lo, Hi UID }

// UIDSet is a sorted set of disjoint ranges that do not touch.
type UIDSet []UIDRange

// MaxUID as the upper end of a range means "to the end".
const MaxUID UID = 1<<32 - 1

// AllUIDs is every message.
func AllUIDs() UIDSet { return UIDSet{{1, MaxUID}} }

// UIDSetOf returns the set of uids, which must ascend.
func UIDSetOf(uids ...UID) UIDSet {
	var s UIDSet
	for _, u := range uids {
		if n := len(s); n > 0 && s[n-1].Hi+1 == u {
			s[n-1].Hi = u
		} else {
			s = append(s, UIDRange{u, u})
		}
	}
	return s
}

// UIDSetOfRanges returns the set of ranges, which may overlap and stand in any
// order; it takes the slice over.
func UIDSetOfRanges(ranges []UIDRange) UIDSet {
	slices.SortFunc(ranges, func(a, b UIDRange) int { return cmp.Compare(a.Lo, b.Lo) })
	var s UIDSet
	for _, r := range ranges {
		if n := len(s); n > 0 && int64(r.Lo) <= int64(s[n-1].Hi)+1 {
			s[n-1].Hi = max(s[n-1].Hi, r.Hi)
		} else {
			s = append(s, r)
		}
	}
	return s
}

// Contains tells whether u is in s.
func (s UIDSet) Contains(u UID) bool {
	i := sort.Search(len(s), func(i int) bool { return s[i].Hi >= u })
	return i < len(s) && s[i].Lo <= u
}

// All yields every UID of s; do not call it on an open-ended set.
func (s UIDSet) All() iter.Seq[UID] {
	return func(yield func(UID) bool) {
		for _, r := range s {
			for u := uint64(r.Lo); u <= uint64(r.Hi); u++ {
				if !yield(UID(u)) {
					return
				}
			}
		}
	}
}

// plus returns the union of s and o.
func (s UIDSet) plus(o UIDSet) UIDSet {
	return UIDSetOfRanges(slices.Concat(s, o))
}

// minus returns what of s is not in o.
func (s UIDSet) minus(o UIDSet) UIDSet {
	var out UIDSet
	for _, r := range s {
		i := sort.Search(len(o), func(i int) bool { return o[i].Hi >= r.Lo })
		for ; i < len(o) && o[i].Lo <= r.Hi && r.Lo <= r.Hi; i++ {
			if o[i].Lo > r.Lo {
				out = append(out, UIDRange{r.Lo, o[i].Lo - 1})
			}
			if o[i].Hi >= r.Hi {
				r.Lo, r.Hi = 1, 0
				break
			}
			r.Lo = o[i].Hi + 1
		}
		if r.Lo <= r.Hi {
			out = append(out, r)
		}
	}
	return out
}

// Body is message bytes on their way in, CRLF line ends, never changed from
// here on. *bytes.Reader is one, *spool.Buffer another. The caller keeps it
// readable until the call that took it returns. One that can have the whole
// message in memory has a method Bytes too: see InMemory.
type Body interface {
	io.ReaderAt
	Size() int64
}

// InMemory returns all of b without copying it, nil if b cannot do that. What
// it returns may not be changed, and is valid as long as b.
func InMemory(b Body) []byte {
	if m, ok := b.(interface{ Bytes() []byte }); ok {
		return m.Bytes()
	}
	return nil
}

// NewMessage is a message to be stored as it is. A zero Received is now.
type NewMessage struct {
	Body     Body
	Flags    Flags
	Received time.Time
}

// Range is the bytes [From, To) of a body.
type Range struct{ From, To int64 }

// Acceptance is one message that this server takes responsibility for: a row
// in a mailbox for each local recipient, an outgoing row for the remote ones,
// all in one transaction (DESIGN: the way of a message).
type Acceptance struct {
	Op       OpID
	ID       mail.ID // the message's id, given by who accepted it
	Body     Body
	Cut      []Range // ranges of the body that readers do not see; ascending, disjoint
	Local    []LocalRcpt
	Outgoing []NewOutgoing
	Events   []Event    // how it came; the engine adds where it went
	Limit    *SendLimit // nil for none
}

// SendLimit bounds what an account submits in a day (UTC); zero fields bound
// nothing. An acceptance that goes beyond fails with a *SendLimitError.
type SendLimit struct {
	Account  AccountID
	Messages int
	Fresh    int // recipients elsewhere to whom it has not sent before
}

// SendLimitError says which limit an account has reached.
type SendLimitError struct {
	Limit  int
	Fresh  bool // of recipients, not of messages
	Always bool // this message alone is beyond it
}

func (e *SendLimitError) Error() string {
	what := "messages a day"
	if e.Fresh {
		what = "new recipients a day"
	}
	return fmt.Sprintf("the account's limit is %d %s", e.Limit, what)
}

// LocalRcpt files a message into a mailbox.
type LocalRcpt struct {
	Account  AccountID
	Mailbox  string // name; if it is not there the message goes to INBOX
	Prefix   []byte // header fields of ours put before the body, CRLF line ends
	Flags    Flags
	Received time.Time
	To       []mail.Address // the envelope's recipients that led here, for the journey
}

// NewOutgoing is one message on its way out. One acceptance has several only
// if their envelopes differ, as with an alias that has its own sender.
type NewOutgoing struct {
	Account  AccountID     // who submitted it, or whose alias sends it on
	Envelope mail.Envelope // Rcpts: those that this row is for
	Prefix   []byte
	Expires  time.Time
	Due      time.Time
	Via      []string // for the journey: the address that led to Envelope.Rcpts[i], if it is another; may be short
}

// Filed says where a local recipient's message went.
type Filed struct {
	Mailbox     MailboxID
	UIDValidity uint32
	UID         UID
}

// Accepted answers an Acceptance: Filed has the order of Local, Out of
// Outgoing.
type Accepted struct {
	Filed []Filed
	Out   []OutID
	Again bool // the op had been done before; nothing was written now
}

// Shape is what is out of the ordinary in a message's bytes, as served, for
// who has to tell its size in a protocol that cannot send it as it is (RFC
// 1939 §11, RFC 6856 §2.1). It never changes.
type Shape uint8

const (
	ShapeOpen       Shape = 1 << iota // it is not empty and does not end in CRLF
	ShapeHighHeader                   // what stands before its first blank line is not all ASCII
)

// Delta is what became of a mailbox after a known ModSeq, read from one
// snapshot.
type Delta struct {
	Mailbox Mailbox
	Changed Rows   // new or with new flags, ascending by UID
	Gone    UIDSet // expunged since
	Full    bool   // Gone could not be told: Changed is the whole mailbox
}

// CopyResult answers COPY and MOVE (RFC 4315 §3): Source[i] became Dest[i].
type CopyResult struct {
	UIDValidity  uint32
	Source, Dest []UID
}

// FlagResult answers SetFlags.
type FlagResult struct {
	ModSeq   ModSeq // of the messages that were changed
	Modified UIDSet // left alone because they had changed since (RFC 7162 §3.1.3)

	// Delta is what Changes would have told after Before, had nobody else
	// changed the mailbox since. Before is 0 if the engine does not tell.
	Before ModSeq
	Delta  Delta
}

// Content is one stored message as it is served: Prefix, then the body less
// the cuts. It is read by ReadAt over [0, Size) and stays valid until the
// callback of Fetch that handed it out returns; reading takes no
// transaction.
type Content struct {
	UID     UID
	Prefix  []byte
	Meta    *mail.Meta // of the body less the cuts: add len(Prefix) to its offsets
	Size    int64
	EmailID int64
	io.ReaderAt
}

// Domain is a domain whose mail is ours.
type Domain struct {
	Name    string // lower-case A-labels
	Created time.Time
}

// Credential is what is kept of a password: an argon2id hash in PHC format
// and the keys of SCRAM-SHA-256 (RFC 5802 §3). Neither yields the other, so
// both are made when the password is set; the weaker bounds the strength. A
// zero Credential never logs in.
type Credential struct {
	Argon2id        string
	ScramSalt       []byte
	ScramIterations int
	StoredKey       []byte
	ServerKey       []byte
}

// Account is a user of this server.
type Account struct {
	ID         AccountID
	Address    mail.Address
	Admin      bool
	Disabled   bool  // no login, mail is refused temporarily
	Quota      int64 // bytes; 0 is unlimited
	QuotaCount int64 // messages; 0 is unlimited
	Bytes      int64
	Count      int64
	ModSeq     ModSeq
	Created    time.Time
}

// NewAccount is what AddAccount makes. Quota is in bytes and QuotaCount in
// messages; 0 is no limit.
type NewAccount struct {
	Address    mail.Address
	Credential Credential
	Admin      bool
	Quota      int64
	QuotaCount int64
}

// Alias sends an address's mail on to others, local or remote. An alias with
// an empty Local is the domain's catch-all.
type Alias struct {
	Address mail.Address
	Targets []mail.Address
}

// Entry is what an address stands for: exactly one of the two.
type Entry struct {
	Account *Account
	Alias   *Alias
}

// RcptState is whether the scheduler may take an outgoing recipient.
type RcptState uint8

const (
	RcptActive RcptState = iota
	RcptHeld
)

// Outgoing is a message in the outgoing queue.
type Outgoing struct {
	ID       OutID
	Account  AccountID
	Message  mail.ID
	Envelope mail.Envelope // without Rcpts
	Size     int64         // of what is sent: prefix, then body less the cuts
	Created  time.Time
	Expires  time.Time
}

// OutRcpt is one recipient of an outgoing message, until its outcome is final.
type OutRcpt struct {
	ID         RcptID
	Out        OutID
	Recipient  mail.Recipient
	Dest       string // the domain that its mail goes to, lower-case A-labels
	State      RcptState
	Due        time.Time
	Tries      int    // attempts made
	Last       string // the last outcome, one line, for people
	LastAt     time.Time
	Delayed    bool      // a notice of delay went out
	Doomed     bool      // an operator gave it up: it is returned to the sender
	Suppressed time.Time // until when nothing is sent to this address; see Suppression
	Fence      int64     // raised by each lease

	// What a list tells besides; a lease leaves them out.
	Leased bool // it is being sent now, and Due is when the lease ends
	Closed bool // Dest does not answer, and is left alone until Due
}

// Dest is a destination with work due.
type Dest struct {
	Name  string
	Due   time.Time // of its earliest active recipient, or when it is open again
	Fails int       // how often in a row it could not be spoken with
}

// Leased is one message for recipients at one destination, ours until the
// lease ends.
type Leased struct {
	// Content is the message if it is still in memory, from its acceptance a
	// moment ago; nil if FetchOutgoing has to read it.
	Content *Content
	Outgoing
	Rcpts []OutRcpt
}

// RcptOutcome is what became of one leased recipient.
type RcptOutcome struct {
	ID      RcptID
	Fence   int64
	Done    bool // delivered, bounced or expired: the row goes
	Due     time.Time
	Last    string
	Attempt bool     // counts as an attempt
	Delayed bool     // a notice of delay goes out with this
	Events  []Event  // for the message's journey; what concerns several recipients stands with one
	Refused *Refused // the address was refused for good; nil if not
	Taken   bool     // its server took the message: earlier refusals no longer count
}

// Refused counts an address that was refused for good: after so many times,
// each less than For after the one before, nothing is sent to it For long.
type Refused struct {
	Reason string
	After  int
	For    time.Duration
}

// Suppression is an address elsewhere that nothing is sent to, or soon will
// be.
type Suppression struct {
	Address mail.Address
	Until   time.Time // zero: not yet
	Refused int       // how often mail to it came back
	At      time.Time // for the last time, or when an operator put it here
	Reason  string
}

// OutFilter selects outgoing recipients; zero fields select all.
type OutFilter struct {
	IDs     []RcptID
	Out     OutID
	Message mail.ID
	Dest    string
	State   *RcptState
	Rcpt    string    // in the recipient's address, in any case
	Sender  string    // in the sender's
	Last    string    // in the last outcome
	Before  time.Time // accepted then or earlier
	Limit   int
}

// OutAction is what an operator does to outgoing recipients.
type OutAction uint8

const (
	OutRetry   OutAction = iota // due now
	OutHold                     // not until released
	OutRelease                  // active again, due now
	OutDrop                     // gone, without a notice
	OutBounce                   // due now, and not to be sent but returned: see OutRcpt.Doomed
)
