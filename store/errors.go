package store

import (
	"errors"
	"fmt"
)

// Kind says what went wrong in terms that every front end can translate into
// its own protocol; each daemon does so in one file, errors.go.
type Kind uint8

const (
	Internal Kind = iota // a fault of ours, or unknown: temporary to the peer, loud in the log
	NotFound             // no such domain, account, mailbox, message or row
	Exists               // it is there already
	Quota                // the account would be over its quota
	TooBig               // larger than a limit allows
	Auth                 // wrong credentials
	Busy                 // try again: locked, or too much at once
	Expunged             // the message was there and is gone
	Invalid              // the request makes no sense
	Denied               // understood, and not allowed
	Full                 // the disk is full; reading and deleting still work
)

var kindNames = [...]string{"internal error", "not found", "exists already", "over quota", "too big",
	"authentication failed", "busy", "expunged", "invalid", "not permitted", "no space left"}

func (k Kind) String() string { return kindNames[k] }

// Error is what every method of this package returns when it fails.
type Error struct {
	Kind Kind
	Op   string // the operation, such as "append"
	Err  error  // the cause; may be nil; not for the peer's eyes
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Op + ": " + e.Kind.String()
	}
	return fmt.Sprintf("%s: %s: %v", e.Op, e.Kind, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error; its cause is formatted as by fmt.Errorf.
func Errorf(k Kind, op, format string, args ...any) error {
	return &Error{Kind: k, Op: op, Err: fmt.Errorf(format, args...)}
}

// KindOf returns the kind of err, Internal if it has none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// ErrUnknown says that an operation may or may not have taken place. The
// front end answers with a temporary failure; a retry with the same OpID is
// safe.
var ErrUnknown = &Error{Kind: Busy, Op: "commit", Err: errors.New("outcome unknown")}
