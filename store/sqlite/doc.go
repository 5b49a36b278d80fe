// Package sqlite is the embedded engine: one SQLite database for everything
// but bodies that are large, or come many at once: those stand in append-only
// segment files beside it, and the others go there later.
//
// Writing. One goroutine owns the only connection that writes. Operations
// that arrive while a commit is under way share the next one, each inside its
// own savepoint, so that one failure fails alone. An operation returns after
// the commit, which is synced to the disk (synchronous=FULL); its changes are
// published on the feed after the commit, in commit order.
//
// Filing mail happens in the writer's memory, see filing.go: what reads or
// changes mailboxes in any other way first has it written.
//
// Reading uses its own connections, and never waits for the writer. No
// transaction is open while a caller's code runs that may wait for a peer.
//
// Invariants, verified by Check:
//   - every change to a mailbox raises acct.modseq first and carries its value;
//   - a UID is below its mailbox's uidnext and is never given twice;
//   - each message has a row, written once, and is in one page, see page.go;
//   - the counters of acct and mailbox equal what their messages sum up to;
//   - body_ref has the number of rows in message and out that name a body, if it is not one;
//   - whoever commits a row that names bytes in a segment has synced them before.
//
// Several handles, in one process or many, may be open on one directory. Only
// the one opened as Owner removes what no row names.
package sqlite
