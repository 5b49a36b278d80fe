package pop3d

import (
	"errors"

	"postrider/internal/maillog"
	"postrider/store"
)

// refusal is a -ERR answer. Refusals are values, and their text is all that a
// peer ever learns of an error.
type refusal struct {
	code   string // extended response code (RFC 2449 §8), without brackets
	text   string
	fault  bool // the client's mistake; too many end the connection
	hangup bool // ends the connection
}

func (r *refusal) Error() string { return r.text }

var (
	errUnknown     = &refusal{text: "unknown command", fault: true}
	errControl     = &refusal{text: "control characters in command", fault: true}
	errLongLine    = &refusal{text: "line too long", fault: true}
	errEndlessLine = &refusal{text: "line too long", fault: true, hangup: true}
	errHTTP        = &refusal{text: "this is POP3", hangup: true}
	errTooMany     = &refusal{code: "SYS/TEMP", text: "too many commands before login", hangup: true}
	errStopping    = &refusal{code: "SYS/TEMP", text: "server is shutting down", hangup: true}
	errNotLoggedIn = &refusal{text: "log in first", fault: true}
	errLoggedIn    = &refusal{text: "not after login", fault: true}
	errNoArgument  = &refusal{text: "no argument expected", fault: true}

	errWantUser    = &refusal{text: "USER first", fault: true}
	errWantName    = &refusal{text: "USER needs a name", fault: true}
	errInUse       = &refusal{code: "IN-USE", text: "another session has this maildrop"}
	errWrong       = &refusal{code: "AUTH", text: "user or password is wrong", fault: true}
	errPlaintext   = &refusal{code: "AUTH", text: "start TLS before you log in", fault: true}
	errMechanism   = &refusal{text: "no such mechanism", fault: true}
	errBase64      = &refusal{text: "not base64", fault: true}
	errMalformed   = &refusal{text: "malformed response", fault: true}
	errCancelled   = &refusal{text: "cancelled", fault: true}
	errNoTLS       = &refusal{text: "TLS is not available", fault: true}
	errHaveTLS     = &refusal{text: "TLS is on already", fault: true}
	errInjected    = &refusal{text: "nothing may follow STLS", fault: true, hangup: true}
	errTLSAfterUTF = &refusal{text: "STLS has to come before UTF8", fault: true}
	errLanguage    = &refusal{text: "no such language"}

	errNumber    = &refusal{text: "not a message number", fault: true}
	errTopUsage  = &refusal{text: "TOP needs a message number and a number of lines", fault: true}
	errNoMessage = &refusal{text: "no such message"}
	errDeleted   = &refusal{text: "message is deleted"}
	errGone      = &refusal{text: "message is gone"}
	errNotPurged = &refusal{code: "SYS/TEMP", text: "deleted messages were not removed", hangup: true}
	errTemporary = &refusal{code: "SYS/TEMP", text: "temporary failure, try again later"}
)

// Errors that end a connection without an answer.
var (
	errLost   = errors.New("connection lost")                     // nobody is there to answer to
	errBroken = errors.New("message broke off while it was sent") // the store failed too late for a -ERR
	errPanic  = errors.New("internal error, see panic")           // a bug
)

// refusal says how an error reads on the wire.
func (c *conn) refusal(err error) *refusal {
	var r *refusal
	if errors.As(err, &r) {
		return r
	}
	switch store.KindOf(err) {
	case store.NotFound:
		return errNoMessage
	case store.Expunged:
		return errGone
	case store.Auth:
		return errWrong
	case store.Denied:
		return errPlaintext
	case store.Invalid:
		return errMalformed
	case store.Busy, store.Full:
		return errTemporary
	}
	c.log.Error(maillog.Failed, "err", err.Error())
	return errTemporary
}
