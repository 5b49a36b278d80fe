// Package smtpd is the SMTP server, for mail from other servers (MX), from
// users (submission, RFC 6409), and for LMTP (RFC 2033).
//
// The server half is our own. A front that gave go-smtp's the framing, the
// order of commands, the line limits and the counting of errors that it lacks
// would have been the whole state machine over again; its vocabulary
// (SMTPError, EnhancedCode) is what refusals are written in here.
//
// Invariants:
//
//   - A connection is one goroutine's. The loop in conn.go alone counts
//     errors, logs and writes replies; a handler returns one.
//   - Replies are collected and written before the next wait for input, so
//     that pipelined commands get theirs together (RFC 2920).
//   - Only CRLF ends a command, only CRLF "." CRLF ends DATA. A message with
//     a bare CR or LF is read to its true end and refused, so that nobody
//     behind us can find a second message in it.
//   - What followed STARTTLS in clear is never looked at.
//   - "250" after DATA or BDAT LAST means durable; a connection that ends
//     before leaves nothing behind.
package smtpd
