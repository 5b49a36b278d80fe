package imapd

import (
	"fmt"
	"strconv"

	"postrider/store"
)

// Object identifiers (RFC 8474): a letter for their kind, then our numbers in
// hexadecimal.

// mailboxObjectID is the MAILBOXID, the same for as long as the mailbox lives.
func mailboxObjectID(m store.MailboxID) string { return fmt.Sprintf("F%x-%x", int64(m.Account), m.N) }

// objectID writes an EMAILID, of kind M, or a THREADID, T, among the items of a
// FETCH; NIL if there is none (RFC 8474 §5.3). A copy has the EMAILID of its
// original.
func (e *encoder) objectID(name string, kind byte, id int64) {
	e.ListSP()
	e.Text(name)
	if id == 0 {
		e.Text(" NIL")
		return
	}
	e.Text(" (")
	e.Raw(strconv.AppendInt(append(e.AvailableBuffer(), kind), id, 16))
	e.Special(')')
}

// parseEmailObjectID reads an EMAILID; false for what is none of ours.
func parseEmailObjectID(s string) (int64, bool) { return parseObjectID('M', s) }

// parseThreadObjectID reads a THREADID; false for what is none of ours.
func parseThreadObjectID(s string) (int64, bool) { return parseObjectID('T', s) }

func parseObjectID(kind byte, s string) (int64, bool) {
	if len(s) < 2 || s[0] != kind {
		return 0, false
	}
	n, err := strconv.ParseInt(s[1:], 16, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 16) != s[1:] {
		return 0, false
	}
	return n, true
}
