package smtpc

import (
	"time"

	"postrider/mail"
)

// Dir is which way a line of a dialogue went.
type Dir byte

const (
	Sent     Dir = '>' // by us
	Received Dir = '<' // by the remote server
	Remark   Dir = '=' // said by nobody: a lookup, a connection, a handshake
)

// Phase is the part of an SMTP session that a line belongs to.
type Phase uint8

const (
	Lookup    Phase = iota // DNS
	Handshake              // connection, greeting, EHLO, TLS, AUTH
	Transfer               // MAIL to the reply after the dot
	Closure                // QUIT
)

func (p Phase) String() string {
	return [...]string{"lookup", "handshake", "transfer", "closure"}[p]
}

// Line is one line of a dialogue. Message text is "[1234 bytes]", credentials
// are "[credentials]".
type Line struct {
	Time    time.Time
	Message mail.ID // the message that the dialogue is about
	Dest    string
	Host    string // the remote host's name; empty during Lookup
	Phase   Phase
	Dir     Dir
	Text    string
}

// Limits of what is kept of an attempt.
const (
	maxKept     = 500 // lines
	maxKeptText = 600 // octets of one
)

// recorder takes down a session's dialogue: every line goes to the client's
// Trace at once, and is kept until the attempt has ended.
type recorder struct {
	now   func() time.Time
	trace func(Line)
	at    Line // Message, Dest, Host and Phase of the lines to come
	kept  []Line
}

func (r *recorder) add(d Dir, text string) {
	l := r.at
	l.Time, l.Dir = r.now(), d
	if l.Text = text; len(text) > maxKeptText {
		l.Text = printable(text[:maxKeptText]) + " [cut]"
	}
	if len(r.kept) < maxKept {
		r.kept = append(r.kept, l)
	}
	if r.trace != nil {
		r.trace(l)
	}
}

// take returns what was kept since the last call.
func (r *recorder) take() []Line {
	k := r.kept
	r.kept = nil
	return k
}
