// Package imapd is the IMAP server: IMAP4rev1 (RFC 3501) and IMAP4rev2
// (RFC 9051), each with the extensions that caps.go announces; docs/rfc.md
// lists them with what differs, and `make caps` which dialogues show them.
//
// Three layers work on one connection.
//
//   - conn owns the socket. Its loop reads commands, finds them in the table
//     of dispatch.go, refuses what the state does not allow, calls the handler,
//     tells what is new where that may be told, and writes the tagged response:
//     only the loop does, so that none is missing or there twice.
//   - wire.Decoder reads a command's arguments by the grammar of RFC 9051 §9,
//     with all limits; wire.Encoder writes responses by the same.
//   - session has the handlers. One reads all its arguments and the line's end
//     first, and then does what was asked: on the store, and on a mailboxView,
//     which is what the client has been told of the selected mailbox.
//
// Invariants:
//
//   - One command at a time is carried out, in order, as if the others had not
//     been sent yet (RFC 9051 §5.5). A connection is one goroutine's; while it
//     idles, or listens after NOTIFY, a second one waits for the client to say
//     something.
//   - Sequence numbers are indices into mailboxView.told. It changes only
//     where EXPUNGE is told, and that happens only in commands for which the
//     table in dispatch.go allows it (RFC 9051 §7.5.1).
//   - A mailbox is found by the client's name for it in one place, place.go, which
//     knows the mailboxes of others and what the client may do there; every
//     command asks for the rights that RFC 4314 §4 wants.
//   - The sessions of an account that is disabled or removed end at once,
//     after the command under way.
//   - Nothing is written to the socket while a store transaction is open.
//   - Output is flushed when there is nothing more to read, so that pipelined
//     commands cost few packets.
package imapd
