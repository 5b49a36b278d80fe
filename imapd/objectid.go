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

// emailObjectID is the EMAILID; a copy has that of its original.
func emailObjectID(id int64) string { return "M" + strconv.FormatInt(id, 16) }

// threadObjectID is the THREADID.
func threadObjectID(id int64) string { return "T" + strconv.FormatInt(id, 16) }

// objectID writes an identifier among the items of a FETCH; NIL if there is
// none (RFC 8474 §5.3).
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
