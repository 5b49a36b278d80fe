package mail

// Meta is what reading a message needs to know of it without parsing it
// again: the header fields of its envelope and its MIME structure with
// offsets into the bytes that were parsed. It is made once, at acceptance, by
// Parse, and stored with the body.
type Meta struct {
	Size     int64 // of the message
	Envelope HeaderInfo
	Root     Part
}

// HeaderInfo is the header fields that an IMAP ENVELOPE is made of (RFC 9051
// §7.5.2) and References: field bodies as they stand in the message, unfolded
// (CRLF removed), not decoded, without the white space that they begin with.
// An empty string is an absent field; of a field that occurs more than once the
// last counts, of a list of addresses all do as one list (RFC 5322 §4.5.3).
type HeaderInfo struct {
	Date, Subject, From, Sender, ReplyTo, To, Cc, Bcc, InReplyTo, MessageID, References string

	Empty EmptyFields
}

// EmptyFields tells which fields are there though they are empty: an ENVELOPE
// has them as "", and NIL for those that are absent (RFC 9051 §7.5.2).
type EmptyFields uint8

const (
	EmptyDate EmptyFields = 1 << iota
	EmptySubject
	EmptyInReplyTo
	EmptyMessageID
)

// EmptyContent tells which fields of a part are there though they say nothing:
// a BODYSTRUCTURE has "" for them, not NIL.
type EmptyContent uint8

const (
	EmptyID EmptyContent = 1 << iota
	EmptyDescription
	EmptyMD5
	EmptyLocation
	EmptyDisposition // only parameters, or only a semicolon
)

// Param is one parameter of Content-Type or Content-Disposition, its name in
// lower case, RFC 2231 continuations and encodings resolved to UTF-8.
type Param struct {
	Name, Value string
	// Extended is the value as charset'language'text if it was encoded: in a
	// BODYSTRUCTURE the parameter is Name with "*" and this (RFC 2231 §6).
	Extended string
}

// Part is one body part of a message (RFC 2045). Type and Subtype are in
// lower case; a part without a usable Content-Type is text/plain with
// charset us-ascii, in multipart/digest message/rfc822 (RFC 2046 §5.1.5). Every
// text part has a charset parameter, and every multipart at least one part.
type Part struct {
	Type, Subtype string
	Params        []Param
	ID            string // Content-ID
	Description   string
	Encoding      string // Content-Transfer-Encoding, lower case; "7bit" if absent
	MD5           string
	Disposition   string // lower case; empty if absent
	DispParams    []Param
	Language      []string
	Location      string
	Empty         EmptyContent

	Header  Extent // the part's header with its blank line
	Body    Extent
	Lines   int64 // line ends in Body
	Parts   []Part
	Message *Message // of message/rfc822 and message/global
}

// Extent is where something lies in the message: bytes [Offset, Offset+Size).
type Extent struct{ Offset, Size int64 }

// Message is a message inside a part.
type Message struct {
	Envelope HeaderInfo
	Root     Part
}
