package store

import (
	"context"
	"strings"

	"postrider/mail"
)

// Sharing is what an account lets others do in its mailboxes, and what is
// noted about them. The owner of a mailbox has all rights there, always.
type Sharing interface {
	// ACL returns what is granted in a mailbox: what is for anyone first, then
	// by account, what is granted before what is taken away.
	ACL(ctx context.Context, box MailboxID) ([]Grant, error)
	// SetACL changes what who has in a mailbox as mode says, what is granted
	// or, if negative, what is taken away. What becomes empty goes. Invalid if
	// who owns the mailbox, NotFound if the mailbox or who is not there.
	SetACL(ctx context.Context, box MailboxID, who AccountID, negative bool, mode FlagMode, r Rights) error
	// Rights returns what who may do in a mailbox.
	Rights(ctx context.Context, box MailboxID, who AccountID) (Rights, error)
	// Shared returns the mailboxes of others in which who may do anything, by
	// the owner's address and name.
	Shared(ctx context.Context, who AccountID) ([]SharedMailbox, error)

	// Annotations returns what is noted about a mailbox, or with the zero
	// MailboxID about the server, for who: what all share and what is who's
	// own, by name.
	Annotations(ctx context.Context, box MailboxID, who AccountID) ([]Annotation, error)
	// Annotate makes all changes or none; a nil value removes. TooBig above
	// MaxAnnotation bytes, Quota above MaxAnnotations or MaxAnnotationBytes.
	Annotate(ctx context.Context, box MailboxID, changes []Annotation) error
}

// Anyone is who a grant is for that is everybody's (RFC 4314 §2).
const Anyone AccountID = 0

// Rights is a set of what may be done in a mailbox (RFC 4314 §2.1).
type Rights uint16

const (
	RightLookup         Rights = 1 << iota // l: it is in lists
	RightRead                              // r: open it, read, copy from it
	RightSeen                              // s: change \Seen
	RightWrite                             // w: change flags but \Seen and \Deleted
	RightInsert                            // i: put messages into it
	RightPost                              // p: send mail to its own address
	RightCreate                            // k: make mailboxes below it
	RightDelete                            // x: delete or rename it
	RightDeleteMessages                    // t: change \Deleted
	RightExpunge                           // e: expunge
	RightAdminister                        // a: change who may do what
	AllRights           Rights = 1<<iota - 1
)

const rightLetters = "lrswipkxtea"

// String returns the letters of r in the order of RFC 4314 §2.1.
func (r Rights) String() string {
	var b strings.Builder
	for i, c := range rightLetters {
		if r&(1<<i) != 0 {
			b.WriteRune(c)
		}
	}
	return b.String()
}

// ParseRights reads letters. The two of RFC 2086 that are no more stand for
// what became of them (RFC 4314 §2.1.1).
func ParseRights(s string) (Rights, bool) {
	var r Rights
	for _, c := range s {
		switch i := strings.IndexRune(rightLetters, c); {
		case i >= 0:
			r |= 1 << i
		case c == 'c':
			r |= RightCreate | RightDelete
		case c == 'd':
			r |= RightDeleteMessages | RightExpunge
		default:
			return 0, false
		}
	}
	return r, true
}

// Grant is what somebody is given in a mailbox, or what is taken from what
// others give.
type Grant struct {
	Who      AccountID
	Address  mail.Address // of Who; zero for anyone
	Negative bool
	Rights   Rights
}

// SharedMailbox is a mailbox of somebody else.
type SharedMailbox struct {
	Mailbox
	Owner  mail.Address
	Rights Rights
}

// Limits of what is noted. They do not count for the quota.
const (
	MaxAnnotation      = 64 << 10 // bytes of a value
	MaxAnnotations     = 100      // about one mailbox or the server, that are shared, or somebody's own
	MaxAnnotationBytes = 4 << 20  // about all mailboxes of an account or the server, that are shared, or somebody's own
	MaxAnnotationName  = 1000     // bytes
)

// UseAnnotation is the name under which changes of a mailbox's Use are
// announced: clients see it as the owner's own annotation (RFC 6154 §5.4).
const UseAnnotation = "/specialuse"

// Annotation is a note (RFC 5464). Its name begins with "/", which is
// "/private" or "/shared" no more, and is in lower case: names are compared
// without regard to case.
type Annotation struct {
	Who   AccountID // whose own it is; 0 is shared
	Name  string
	Value []byte
}
