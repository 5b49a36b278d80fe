// Package pop3d is the POP3 server: RFC 1939 whole but for the optional APOP,
// with RFC 2449 (CAPA), 2595 (STLS), 3206 (AUTH and SYS codes), 5034 (AUTH)
// and 6856 (UTF8, LANG).
//
// What holds:
//
//   - A maildrop is a snapshot of INBOX, taken at login, and belongs to one
//     session at a time; a second one is told [IN-USE]. Numbers and sizes do
//     not change while it lives. A message that IMAP expunges meanwhile keeps
//     its number, and RETR of it is an error.
//   - Deleting happens at QUIT, in one operation, and nowhere else: a
//     connection that breaks or idles too long deletes nothing. When the +OK
//     of QUIT is written, the deletion is durable and the maildrop is free.
//   - A size is that of what RETR sends less the dot-stuffing. It is the same
//     as IMAP's RFC822.SIZE but for the few messages that cannot be sent as
//     they are stored: those that do not end in CRLF, and the surrogates.
//   - A unique-id is UIDVALIDITY and UID, so it lives as long as those do.
//   - A message that RETR sent is marked \Seen when the session ends, however
//     it ends; TOP marks nothing. IMAP sessions see both changes at once.
//   - A client that did not say UTF8 never gets a header outside ASCII: it
//     gets a surrogate, see surrogate.go.
//   - Passwords need TLS or a peer in the plaintext networks; elsewhere USER
//     is refused, so that a password is not even sent.
//   - Nothing is read without a limit, and no peer is waited for without one.
//
// conn.go has the loop and the table of commands; only the loop writes -ERR.
package pop3d
