package smtpd

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/emersion/go-smtp"

	"postrider/delivery"
	"postrider/store"
)

// refuse makes a refusal: reply code (RFC 5321 §4.2), enhanced code (RFC 3463)
// and text.
func refuse(code int, class, subject, detail int, text string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{class, subject, detail}, Message: text}
}

// hangUp is a refusal that ends the connection.
type hangUp struct{ *smtp.SMTPError }

// Refusals of the loop.
var (
	errUnknown     = refuse(500, 5, 5, 2, "Command not recognized")
	errLineTooLong = refuse(500, 5, 5, 2, "Line too long")
	errControl     = refuse(500, 5, 5, 2, "Line holds a character that no command may hold")
	errBareLF      = refuse(500, 5, 5, 2, "A line ends in CR LF, this one ended in LF alone")
	errNotHere     = refuse(502, 5, 5, 1, "Command not implemented here")
	errNoArgument  = refuse(501, 5, 5, 4, "Command takes no argument")
	errWantHello   = refuse(503, 5, 5, 1, "Say hello first")
	errWantMail    = refuse(503, 5, 5, 1, "MAIL first")
	errNested      = refuse(503, 5, 5, 1, "A mail transaction is under way, RSET ends it")
	errWantLogin   = refuse(530, 5, 7, 0, "Authentication required")
	errWantTLS     = refuse(530, 5, 7, 0, "Must issue a STARTTLS command first")

	errNotSMTP     = hangUp{refuse(421, 4, 7, 0, "This is no web server, closing")}
	errSpeaksTLS   = hangUp{refuse(421, 4, 7, 0, "This port wants STARTTLS, closing")}
	errTooMany     = hangUp{refuse(421, 4, 7, 0, "Too many errors, closing")}
	errShutdown    = hangUp{refuse(421, 4, 3, 2, "Server is stopping, come back later")}
	errTimeout     = hangUp{refuse(421, 4, 4, 2, "Timeout, closing")}
	errPanic       = hangUp{refuse(421, 4, 3, 0, "Internal error, closing")}
	errUnavailable = refuse(451, 4, 3, 0, "Local error, try again later")
)

// kinds is how errors of the store read on the wire.
var kinds = map[store.Kind]*smtp.SMTPError{
	store.NotFound: refuse(550, 5, 1, 1, "No such user here"),
	store.Quota:    refuse(452, 4, 2, 2, "Mailbox is full"),
	store.TooBig:   refuse(552, 5, 3, 4, "Message too big"),
	store.Auth:     refuse(535, 5, 7, 8, "Authentication failed"),
	store.Busy:     refuse(451, 4, 3, 0, "Busy, try again later"),
	store.Invalid:  refuse(501, 5, 5, 4, "Invalid argument"),
	store.Denied:   refuse(550, 5, 7, 1, "Not permitted"),
	store.Full:     refuse(452, 4, 3, 1, "Insufficient system storage"),
}

// refusalOf says an error in the protocol's words. Whatever it does not know
// is a fault of ours: temporary, and loud says that it has to be logged.
func refusalOf(err error) (e *smtp.SMTPError, loud bool) {
	var limit *store.SendLimitError
	switch {
	case errors.As(err, &e):
		return e, false
	case errors.As(err, &limit):
		return limitWords(limit), false
	case errors.Is(err, delivery.ErrLoop):
		return refuse(554, 5, 4, 6, "Mail loop: too many hops, or an address that leads to itself"), false
	case errors.Is(err, delivery.ErrDisabled):
		return refuse(450, 4, 2, 1, "Mailbox is disabled"), false
	case errors.Is(err, syscall.ENOSPC):
		return kinds[store.Full], true
	}
	if e, ok := kinds[store.KindOf(err)]; ok {
		return e, e.Code == 452 && e.EnhancedCode[1] == 3
	}
	return errUnavailable, true
}

// limitWords tells a user that he has sent too much.
func limitWords(l *store.SendLimitError) *smtp.SMTPError {
	switch {
	case l.Always:
		return refuse(550, 5, 7, 1, fmt.Sprintf("You may write to %d new recipients a day, and these are more", l.Limit))
	case l.Fresh:
		return refuse(450, 4, 7, 1, fmt.Sprintf("You have written to %d new recipients today, which is the limit; try again tomorrow", l.Limit))
	}
	return refuse(450, 4, 7, 1, fmt.Sprintf("You have sent %d messages today, which is the limit; try again tomorrow", l.Limit))
}
