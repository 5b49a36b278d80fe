package store

import (
	"context"
	"time"

	"postrider/mail"
)

// Engine is a store of mail. Each method is one whole operation, durable on
// return; all may be called from many goroutines, and nothing above may
// assume that this process is the only one. Every engine passes
// store/storetest. Errors are *Error.
type Engine interface {
	Directory
	Mailboxes
	Sharing
	Messages
	Queue
	Journeys
	Transport
	Keys

	// Feed announces what this engine committed, in commit order.
	Feed() *Feed
	// Check verifies every invariant of the whole store and returns what it
	// found wrong, nil if nothing. It reads all bodies if deep.
	Check(ctx context.Context, deep bool) ([]string, error)
	// Close waits for operations under way and releases the files.
	Close() error
}

// Directory is who has an address here. Addresses are compared by
// mail.Address.Key.
type Directory interface {
	AddDomain(ctx context.Context, name string) (Domain, error) // Exists, Invalid
	RemoveDomain(ctx context.Context, name string) error        // NotFound; Exists while it has accounts or aliases
	Domains(ctx context.Context) ([]Domain, error)
	// Domain finds a domain by its name in A-labels or U-labels: NotFound.
	Domain(ctx context.Context, name string) (Domain, error)

	// AddAccount makes an account with INBOX, Drafts, Sent, Junk, Trash and
	// Archive, all subscribed: Exists if the address is an account or alias,
	// NotFound if its domain is not here.
	AddAccount(ctx context.Context, a NewAccount) (Account, error)
	RemoveAccount(ctx context.Context, id AccountID) error // with all its mail
	Accounts(ctx context.Context) ([]Account, error)
	Account(ctx context.Context, id AccountID) (Account, error)
	SetCredential(ctx context.Context, id AccountID, c Credential) error
	SetDisabled(ctx context.Context, id AccountID, disabled bool) error
	// SetQuota limits an account's bytes and messages, 0 not; what is there
	// already stays.
	SetQuota(ctx context.Context, id AccountID, bytes, messages int64) error
	// Credential finds what a login is compared with: NotFound.
	Credential(ctx context.Context, a mail.Address) (Account, Credential, error)

	SetAlias(ctx context.Context, a Alias) error // replaces; Exists if an account has the address
	RemoveAlias(ctx context.Context, a mail.Address) error
	Aliases(ctx context.Context) ([]Alias, error)
	// Lookup finds exactly this address, without plus-addressing or
	// catch-all, which are delivery's: NotFound.
	Lookup(ctx context.Context, a mail.Address) (Entry, error)
}

// Mailboxes is an account's tree of mailboxes. Names are as in the constants
// Inbox and Delimiter; parents need not exist.
type Mailboxes interface {
	// List returns all mailboxes of an account by name, with counters from
	// one snapshot.
	List(ctx context.Context, a AccountID) ([]Mailbox, error)
	Mailbox(ctx context.Context, a AccountID, name string) (Mailbox, error) // NotFound
	// Create makes a mailbox and subscribes nothing: Exists, Invalid.
	Create(ctx context.Context, a AccountID, name string, use Use) (Mailbox, error)
	// SetUse gives a mailbox another special use (RFC 6154 §5.4): Exists if
	// another mailbox of the account has it.
	SetUse(ctx context.Context, a AccountID, name string, use Use) error
	// Delete removes a mailbox and its messages, not its children (RFC 9051
	// §6.3.5): NotFound, Denied for INBOX.
	Delete(ctx context.Context, a AccountID, name string) error
	// Rename renames a mailbox and its children; renaming INBOX moves its
	// messages to a new mailbox and leaves INBOX empty (RFC 9051 §6.3.6).
	Rename(ctx context.Context, a AccountID, from, to string) error
	// Subscribe keeps or drops a name in the list of subscriptions, which
	// outlive mailboxes (RFC 9051 §6.3.7).
	Subscribe(ctx context.Context, a AccountID, name string, on bool) error
	Subscriptions(ctx context.Context, a AccountID) ([]string, error)
}

// Need says what Fetch has to read of each message.
type Need uint8

const (
	NeedMeta Need = 1 << iota // Content.Meta
	NeedBody                  // Content.ReaderAt
)

// Messages is what happens to messages in mailboxes.
type Messages interface {
	// Accept takes a message in for all its recipients or for none. An op
	// that was done before is not done again. Quota if a local account is
	// full, NotFound if one is gone, Full if the disk is.
	Accept(ctx context.Context, a *Acceptance) (Accepted, error)
	// Append stores a message as IMAP does: no prefix, any flags, a date
	// (RFC 9051 §6.3.12).
	Append(ctx context.Context, op OpID, box MailboxID, b Body, f Flags, received time.Time) (Filed, error)
	// AppendAll stores several messages in the order given, all or none (RFC
	// 3502).
	AppendAll(ctx context.Context, op OpID, box MailboxID, msgs []NewMessage) ([]Filed, error)
	// Replace stores a message in the mailbox to and expunges the message uid
	// of the mailbox from, both or neither (RFC 8508): Expunged if uid is not
	// there. What goes makes room in the quota for what comes.
	Replace(ctx context.Context, op OpID, from MailboxID, uid UID, to MailboxID, m NewMessage) (Filed, error)
	// Copy copies or moves messages, in ascending order of UID; UIDs that
	// are gone are passed over. Into the same mailbox is allowed.
	Copy(ctx context.Context, op OpID, from MailboxID, uids UIDSet, to MailboxID, move bool) (CopyResult, error)
	// CopyWithout is Copy for messages that arrive without the flags in drop.
	CopyWithout(ctx context.Context, op OpID, from MailboxID, uids UIDSet, to MailboxID, move bool, drop FlagMask) (CopyResult, error)
	// SetFlags changes flags. Messages whose ModSeq is above unchangedSince
	// are left alone and reported (RFC 7162 §3.1.3); Unconditional changes
	// all. A message whose flags stay the same keeps its ModSeq.
	SetFlags(ctx context.Context, box MailboxID, uids UIDSet, c FlagChange, unchangedSince ModSeq) (FlagResult, error)
	// Expunge removes the messages of uids, if onlyDeleted only those that
	// have the flag \Deleted, and returns which went.
	Expunge(ctx context.Context, box MailboxID, uids UIDSet, onlyDeleted bool) (UIDSet, error)

	// Changes tells what became of a mailbox after since; 0 asks for all of
	// it. NotFound if the mailbox is gone.
	Changes(ctx context.Context, box MailboxID, since ModSeq) (Delta, error)
	// Shapes returns the shape of each message that has one. It is quick, as
	// such messages are rare and it finds them without passing the others.
	// NotFound if the mailbox is gone.
	Shapes(ctx context.Context, box MailboxID) (map[UID]Shape, error)
	// Fetch calls fn for each message of uids that is there, ascending. No
	// transaction is open while fn runs, so fn may write to a slow peer; an
	// error of fn ends the fetch and is returned as it is.
	Fetch(ctx context.Context, box MailboxID, uids UIDSet, need Need, fn func(*Content) error) error
}

// Queue is the outgoing message queue: rows that survive anything, leased to
// one worker at a time.
type Queue interface {
	// DueDests returns up to max destinations with an active recipient due
	// at or before now and not leased, earliest first, and when the next
	// recipient after now is due; zero if none waits. Its cost does not grow
	// with the number of recipients that wait.
	DueDests(ctx context.Context, now time.Time, max int) ([]Dest, time.Time, error)
	// Lease takes the message at dest that has been due the longest, with up to
	// max of its recipients there; nil if none is due. The lease ends by
	// itself after ttl: then they are due again, and when another has leased
	// them Finish fails.
	Lease(ctx context.Context, owner, dest string, now time.Time, ttl time.Duration, max int) (*Leased, error)
	// LeaseSeveral is Lease of up to messages messages, oldest first; empty if
	// none is due.
	LeaseSeveral(ctx context.Context, owner, dest string, now time.Time, ttl time.Duration, max, messages int) ([]*Leased, error)
	// LeaseMessage is Lease of one message's recipients at dest.
	LeaseMessage(ctx context.Context, owner, dest string, id OutID, now time.Time, ttl time.Duration, max int) (*Leased, error)
	// CloseDest has nothing at dest due before until, however much waits there:
	// it cannot be spoken with, now fails times in a row. A zero until opens
	// it again, as OutRetry and OutRelease do.
	CloseDest(ctx context.Context, dest string, until time.Time, fails int) error
	// Late returns up to max messages whose recipients at dest were due but
	// for the closing of dest, and whose sender has to be told: that they
	// have expired, or that they are late if they were created by then.
	Late(ctx context.Context, dest string, now, created time.Time, max int) ([]OutID, error)
	// Finish writes the outcome of leased recipients and accepts the notices
	// that tell senders of it, in one transaction: each outcome has exactly
	// one notice, also after a crash. Recipients whose fence has moved on
	// are an error of kind Expunged, and nothing is written.
	Finish(ctx context.Context, outcomes []RcptOutcome, notices ...*Acceptance) error
	// Unlease ends every lease of owner and makes its recipients due: for a
	// node that starts after its own crash, when nobody holds them any more.
	Unlease(ctx context.Context, owner string) (int, error)
	// FetchOutgoing reads a queued message as Fetch reads a stored one.
	FetchOutgoing(ctx context.Context, id OutID, fn func(*Content) error) error

	// Outgoing lists recipients in the queue with their messages, oldest
	// first. Those at a closed destination are due when it opens.
	Outgoing(ctx context.Context, f OutFilter) ([]Leased, error)
	// Suppressions lists the addresses that nothing is sent to, and those
	// that mail has come back from.
	Suppressions(ctx context.Context) ([]Suppression, error)
	// Suppress has nothing sent to an address until s.Until.
	Suppress(ctx context.Context, s Suppression) error
	// Unsuppress forgets an address: NotFound.
	Unsuppress(ctx context.Context, a mail.Address) error
	// Act does a to the recipients that f selects and returns to how many.
	// OutRetry, OutDrop and OutBounce pass over those that a worker has leased, OutHold
	// and OutRelease those that are held already, or are not. Of very many
	// recipients some may be done, and counted, when it fails.
	Act(ctx context.Context, f OutFilter, a OutAction, now time.Time) (int, error)
}
