package imapd

import (
	"github.com/emersion/go-imap/v2"

	"postrider/imapd/wire"
	"postrider/store"
)

// encoder writes responses of our own to a connection: with the words of the
// grammar, which are wire.Encoder's, what this package knows of messages.
type encoder struct {
	wire.Encoder
	rev2 bool // the client has enabled IMAP4rev2
}

func newEncoder(c *conn) *encoder {
	return &encoder{Encoder: wire.NewEncoder(c, c.sess.utf8()), rev2: c.sess.rev2()}
}

// okCode writes an untagged OK with a response code.
func (e *encoder) okCode(code, text string) {
	e.Text("* OK [")
	e.Text(code)
	e.Text("] ")
	e.Text(text)
	e.CRLF()
}

// messageFlags writes the flags of a message.
func (e *encoder) messageFlags(f store.Flags) {
	e.Special('(')
	for _, s := range &systemFlags {
		if f.System&s.bit != 0 {
			e.ListSP()
			e.Text(string(s.flag))
		}
	}
	if f.Keywords != "" { // in the form of the list, see store.Flags
		e.ListSP()
		e.Text(f.Keywords)
	}
	e.Special(')')
}

// flagList writes a list of flags.
func (e *encoder) flagList(flags []imap.Flag) {
	e.List(len(flags), func(i int) { e.Text(string(flags[i])) })
}

// uidSet writes a set of UIDs.
func (e *encoder) uidSet(set store.UIDSet) {
	for i, r := range set {
		if i > 0 {
			e.Special(',')
		}
		e.Range(wire.Range{A: uint32(r.Lo), B: uint32(r.Hi)})
	}
}
