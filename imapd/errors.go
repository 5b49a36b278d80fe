package imapd

import (
	"context"
	"errors"

	"github.com/emersion/go-imap/v2"

	"postrider/internal/maillog"
	"postrider/store"
)

func no(code imap.ResponseCode, text string) error {
	return &imap.Error{Type: imap.StatusResponseTypeNo, Code: code, Text: text}
}

func badCommand(text string) error {
	return &imap.Error{Type: imap.StatusResponseTypeBad, Text: text}
}

const expungedText = "Some of the messages no longer exist"

// Refusals that are not a store's.
var (
	errFlag        = badCommand("No such flag")
	errManyFlags   = no(imap.ResponseCodeLimit, "Too many keywords")
	errSequence    = badCommand("No message has this sequence number")
	errGone        = no(imap.ResponseCodeNonExistent, "The selected mailbox was deleted")
	errExpunged    = no("EXPUNGEISSUED", expungedText)
	errLogin       = no(imap.ResponseCodeAuthenticationFailed, "User or password is wrong")
	errUIDRequired = &imap.Error{Type: imap.StatusResponseTypeBad, Code: "UIDREQUIRED", Text: "Messages are named by UID only"}
	errPrivacy     = no(imap.ResponseCodePrivacyRequired, "Start TLS first")
)

// expunged is the end of a command that named messages which others have
// expunged. A UID that is not there is no error (RFC 9051 §6.4.9).
func (s *session) expunged() error {
	if !s.byUID() {
		return errExpunged
	}
	s.ok("EXPUNGEISSUED", expungedText)
	return nil
}

// wireError words an error of the store as a status response (the table in
// the style guide). What is not known is loud in the log and vague to the
// client.
func (s *session) wireError(err error, doing string) error {
	var already *imap.Error
	if err == nil || errors.As(err, &already) {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return no(imap.ResponseCodeUnavailable, "Not done in time, try again later")
	}
	switch store.KindOf(err) {
	case store.NotFound:
		return no(imap.ResponseCodeNonExistent, "No such mailbox")
	case store.Exists:
		return no(imap.ResponseCodeAlreadyExists, "The mailbox exists already")
	case store.Quota:
		return no(imap.ResponseCodeOverQuota, "The account is full")
	case store.TooBig:
		return no(imap.ResponseCodeTooBig, "The message is too large")
	case store.Auth:
		return errLogin
	case store.Busy:
		return no(imap.ResponseCodeUnavailable, "Busy, try again later")
	case store.Expunged:
		return errExpunged
	case store.Invalid:
		return badCommand("The request makes no sense")
	case store.Denied:
		return no(imap.ResponseCodeNoPerm, "Not permitted")
	case store.Full:
		s.c.log.Error(maillog.Failed, "doing", doing, "err", err) // an operator should act
		return no(imap.ResponseCodeUnavailable, "No space left on the server; reading and deleting still work")
	}
	s.c.log.Error(maillog.Failed, "doing", doing, "err", err)
	return no(imap.ResponseCodeServerBug, "Internal error, try again later")
}

// intoMailbox is wireError for commands that put messages into a mailbox: a
// client may create the one that is missing (RFC 9051 §6.3.12).
func (s *session) intoMailbox(err error, doing string) error {
	if store.KindOf(err) == store.NotFound {
		return no(imap.ResponseCodeTryCreate, "No such mailbox")
	}
	return s.wireError(err, doing)
}
