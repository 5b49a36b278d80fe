// Package store keeps accounts, mailboxes, messages and the outgoing queue.
//
// Everything that changes mail is one whole operation of an [Engine]: begin,
// change, commit, publish. When such a method returns nil, its effect is
// durable: it survives kill -9 and the loss of power. When it returns an
// error, nothing of it is left behind, except where the error is
// [ErrUnknown]: then the same operation may be tried again under the same
// [OpID] without doing it twice.
//
// Reading goes through a [View], an immutable snapshot of one mailbox that all
// of its sessions share, and through Fetch for what is not in a view.
// Changes are announced on a [Feed] after their commit, in commit order.
//
// The package knows no wire protocol. Numbers are 64 bits, times are in
// microseconds, UIDs and UIDVALIDITY are 32 bits (RFC 9051 §2.3.1.1).
package store
