// Package smtpc is the sending side of SMTP: it finds the hosts that take a
// domain's mail, connects to one of them and hands messages over, with one
// outcome for each recipient (RFC 5321).
//
// A Client holds what all connections share. A Session is the way to one
// destination: it looks the hosts up once, and keeps its connection for the
// next message. Its invariants:
//
//   - An outcome is permanent only if the remote server or the DNS said so, or
//     if the message itself cannot be carried; everything else is temporary.
//   - Once the end of a message has been sent, no other host is tried in the
//     same attempt: whatever comes then is the outcome.
//   - Bytes that arrive in clear after the reply to STARTTLS, and replies that
//     nobody asked for, end the connection.
//   - What the remote server sends is bounded in line length, lines and time.
//   - The record of a dialogue has neither credentials nor message text.
package smtpc
