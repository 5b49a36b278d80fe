package store

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"postrider/mail"
)

// EventKind names what happened to a message. The comments name the type of
// the event's data; readers pass over kinds that they do not know.
type EventKind string

const (
	EventReceived  EventKind = "received"  // by SMTP or LMTP: Arrival
	EventSubmitted EventKind = "submitted" // by a user, or by this server itself: Arrival
	EventChecked   EventKind = "checked"   // SPF, DKIM, DMARC, ARC, the verdict: who checks owns the form
	EventSigned    EventKind = "signed"    // by us, DKIM or ARC: {"why": […]}
	EventRefused   EventKind = "refused"   // after all of it was here: Refusal
	EventFiled     EventKind = "filed"     // in a mailbox: FiledIn; the engine writes it
	EventQueued    EventKind = "queued"    // for other servers: QueuedFor; the engine writes it
	EventAttempt   EventKind = "attempt"   // a dialogue with another server: Attempt
	EventDelivered EventKind = "delivered" // to another server: Outcome
	EventDeferred  EventKind = "deferred"  // to be tried again: Outcome
	EventBounced   EventKind = "bounced"   // given up: Outcome
	EventNotice    EventKind = "notice"    // a notice tells of it, or it is one: NoticeOf
	EventActed     EventKind = "operator"  // an operator did something in the queue: Acted
	EventFetched   EventKind = "fetched"   // read for the first time: FetchedBy; noted by NoteFetched
	EventExpunged  EventKind = "expunged"  // out of its mailbox: ExpungedFrom; told by the mailbox itself
	EventWaiting   EventKind = "waiting"   // in the queue now: Waiting; told by the queue itself
	EventLost      EventKind = "lost"      // what was known of it, in damage that was repaired: Acted
)

// Event is one step of a message's journey.
type Event struct {
	Kind EventKind       `json:"kind"`
	At   time.Time       `json:"at"`
	Data json.RawMessage `json:"data"` // an object; see EventKind
}

// NewEvent makes an event of data that json.Marshal takes.
func NewEvent(kind EventKind, at time.Time, data any) Event {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // which would make every <address> longer
	if err := e.Encode(data); err != nil {
		b.Reset()
		b.WriteString("{}") // not of the types here
	}
	return Event{Kind: kind, At: at, Data: bytes.TrimSpace(b.Bytes())}
}

// Arrival is how a message came here.
type Arrival struct {
	From    string    `json:"from"` // reverse-path; empty for the null one
	To      []string  `json:"to"`   // of the envelope
	Size    int64     `json:"size"`
	Helo    string    `json:"helo,omitempty"`
	Addr    string    `json:"addr,omitempty"` // where from; empty for a local socket
	Proto   string    `json:"proto,omitempty"`
	TLS     string    `json:"tls,omitempty"`
	Auth    string    `json:"auth,omitempty"` // SASL mechanism
	User    string    `json:"user,omitempty"`
	Account AccountID `json:"account,omitempty"` // who logged in
}

// Refusal is why a message was not taken, in the words of the reply.
type Refusal struct {
	Code     int      `json:"code"`
	Enhanced string   `json:"enhanced"`
	Text     string   `json:"text"`
	Why      []string `json:"why,omitempty"` // in plain words
}

// FiledIn is a local recipient's mailbox.
type FiledIn struct {
	Account     AccountID `json:"account"`
	To          []string  `json:"to,omitempty"` // the envelope's addresses that led here
	Mailbox     string    `json:"mailbox"`
	Box         int64     `json:"box"`
	UIDValidity uint32    `json:"uidvalidity"`
	UID         UID       `json:"uid"`
}

// QueuedFor is an outgoing message with its recipients.
type QueuedFor struct {
	Out     OutID        `json:"out,string"`
	Account AccountID    `json:"account,omitempty"` // on whose behalf
	From    string       `json:"from"`
	Rcpts   []QueuedRcpt `json:"rcpts"`
}

// QueuedRcpt is one recipient elsewhere in the data of an EventQueued.
type QueuedRcpt struct {
	ID   RcptID `json:"id,string"`
	To   string `json:"to"`
	Via  string `json:"via,omitempty"` // the envelope's address, if an alias led from it to To
	Dest string `json:"dest"`
}

// Attempt is a dialogue with another server.
type Attempt struct {
	Dest   string   `json:"dest"`
	Rcpts  []RcptID `json:"rcpts"`
	Try    int      `json:"try"`
	Host   string   `json:"host,omitempty"` // chosen last
	Addr   string   `json:"addr,omitempty"`
	TLS    string   `json:"tls,omitempty"`
	Policy string   `json:"policy,omitempty"` // that TLS was held to
	Route  string   `json:"route,omitempty"`  // if it is not the destination's own
	Ms     int64    `json:"ms"`
	Lines  []string `json:"lines"` // "C: …", "S: …", "-- …"
}

// Outcome is what an attempt, or giving up, meant for recipients.
type Outcome struct {
	Rcpts    []RcptID  `json:"rcpts"`
	To       []string  `json:"to"`
	Host     string    `json:"host,omitempty"`
	Addr     string    `json:"addr,omitempty"`
	TLS      string    `json:"tls,omitempty"`
	Code     int       `json:"code,omitempty"` // 0 if the words are ours
	Enhanced string    `json:"enhanced"`
	Text     string    `json:"text"`            // the remote server's own words, or ours
	Words    string    `json:"words,omitempty"` // the same in plain words
	Next     time.Time `json:"next,omitzero"`   // when it is tried again
	Expired  bool      `json:"expired,omitempty"`
}

// NoticeOf connects a notice and the message that it is about.
type NoticeOf struct {
	About  mail.ID `json:"about,omitempty"`  // in the notice's journey
	Notice mail.ID `json:"notice,omitempty"` // in the message's
	Tells  string  `json:"tells"`            // failed, delayed, relayed or delivered
	To     string  `json:"to"`
}

// Acted is what an operator did, or what happened without one.
type Acted struct {
	What  string   `json:"what"`
	Rcpts []RcptID `json:"rcpts,omitempty"`
	To    []string `json:"to,omitempty"`
	Final bool     `json:"final,omitempty"` // they have left the queue
	Again bool     `json:"again,omitempty"` // they are in it again
}

// Waiting is a recipient that is in the queue when the journey is asked for.
type Waiting struct {
	Rcpts []RcptID  `json:"rcpts"`
	To    []string  `json:"to"`
	Held  bool      `json:"held,omitempty"`
	Tries int       `json:"tries"`
	Next  time.Time `json:"next,omitzero"`
	Now   bool      `json:"now,omitempty"`  // an attempt is under way, and Next not known
	Dead  string    `json:"dead,omitempty"` // the destination, if that does not answer
}

// FetchedBy is the first reading of an account's copy.
type FetchedBy struct {
	Account AccountID `json:"account"`
	How     string    `json:"how"` // pop3, imap
}

// ExpungedFrom is the end of a filed message. Who moved it elsewhere has
// expunged it too.
type ExpungedFrom struct {
	Account AccountID `json:"account"`
	Mailbox string    `json:"mailbox"`
	UID     UID       `json:"uid"`
}

// Journey is what is known of a message, its events in order.
type Journey struct {
	ID     mail.ID
	Events []Event
}

// JourneyQuery asks for messages by what people have of them. One field is
// set.
type JourneyQuery struct {
	MessageID string // with or without its brackets
	Queue     int64  // an OutID or a RcptID
}

// Untaken is a message that was refused when all of it was here.
type Untaken struct {
	ID        mail.ID
	MessageID string // of its header
	Events    []Event
}

// Fetch is messages that somebody has just read.
type Fetch struct {
	Mailbox MailboxID
	UIDs    UIDSet
	How     string // the protocol
	At      time.Time
}

// Journeys is what became of messages. An acceptance brings its events with
// it, an outcome in the queue too: they are there exactly if what they tell of
// is. Journeys are forgotten when they are older than the engine is told to
// keep them and nothing of the message waits in the queue.
type Journeys interface {
	// Journey returns a message's journey: NotFound.
	Journey(ctx context.Context, id mail.ID) (*Journey, error)
	// FindJourneys returns the ids of messages, newest first.
	FindJourneys(ctx context.Context, q JourneyQuery) ([]mail.ID, error)
	// NoteUntaken writes down what became of messages that were refused.
	NoteUntaken(ctx context.Context, us []Untaken) error
	// NoteFetched writes down the first reading of each of these messages by
	// their account, and passes over those that have been read before.
	NoteFetched(ctx context.Context, fs []Fetch) error
}
