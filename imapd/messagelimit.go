package imapd

import (
	"strconv"

	"github.com/emersion/go-imap/v2"
)

const (
	// messageLimit is how many messages one command should be about, which
	// clients that know MESSAGELIMIT keep to (RFC 9738 §3).
	messageLimit = 10_000
	// hardLimitTimes is how many times that a command is carried out for:
	// others do not know of the limit, and must work too (RFC 9738 §4.2).
	hardLimitTimes = 100
)

// withinLimit is the last messages of those that a command names, as many as
// it is carried out for. If some are left out, the tagged response says so; the
// client repeats the command for those.
func (s *session) withinLimit(indices []int) []int {
	n := s.srv.o.MessagesAtOnce
	if len(indices) <= n {
		return indices
	}
	indices = indices[len(indices)-n:]
	s.c.req.limited = s.limitCode(indices)
	return indices
}

// limitCode is the response code that names the lowest UID of those that were
// not too many.
func (s *session) limitCode(indices []int) string {
	return "MESSAGELIMIT " + strconv.Itoa(s.srv.o.MessagesAtOnce) + " " + strconv.FormatUint(uint64(s.box.told.UID(indices[0])), 10)
}

// refuseBeyondLimit refuses what is done to all messages or to none.
func (s *session) refuseBeyondLimit(indices []int) error {
	if n := s.srv.o.MessagesAtOnce; len(indices) > n {
		return no(imap.ResponseCode(s.limitCode(indices[len(indices)-n:])), "Too many messages for one command")
	}
	return nil
}
