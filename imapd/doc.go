// Package imapd is the IMAP server: IMAP4rev1 (RFC 3501) and IMAP4rev2
// (RFC 9051) with IDLE, NAMESPACE, UIDPLUS, MOVE, ESEARCH, SEARCHRES,
// LIST-EXTENDED, LIST-STATUS, STATUS=SIZE, SPECIAL-USE, CREATE-SPECIAL-USE,
// BINARY, LITERAL+, APPENDLIMIT, UNSELECT, ENABLE, UTF8=ACCEPT, ID, SASL-IR
// and CHILDREN.
//
// Three layers work on one connection.
//
//   - conn, the front, owns the socket. It finds where commands begin and
//     end, keeps the limits, dispatches by a table, does STARTTLS, CAPABILITY
//     and ID itself, and mends what the engine below does wrongly.
//   - go-imap's server, the engine, decodes the commands that conn hands to
//     it and calls the session. It reads and writes the conn as if that were
//     the socket.
//   - session does what the commands ask for: on the store, and on a
//     mailboxView, which is what the client has been told of the selected
//     mailbox. It knows go-imap's vocabulary and nothing of the wire, except
//     for responses that the engine cannot write, which it encodes itself.
//
// Invariants:
//
//   - The engine is given one command at a time, and the next one when the
//     last one's tagged response was written.
//   - Sequence numbers are indices into mailboxView.told. It changes only
//     where EXPUNGE is told, and that happens only in commands for which the
//     table in conn.go allows it (RFC 9051 §7.5.1).
//   - The sessions of an account that is disabled or removed end at once,
//     after the command under way.
//   - Nothing is written to the socket while a store transaction is open.
//   - Output is flushed when there is nothing more to read, so that pipelined
//     commands cost few packets.
package imapd
