// Package order is what SORT and THREAD know of messages and how they put them
// in order (RFC 5256, RFC 5957): base subjects, the texts by which strings are
// sorted, sent dates, Message-IDs, and the threading algorithms. It reads no
// mail and speaks no protocol. Messages are numbers from 0 on, in the order of
// the mailbox.
//
// All of it is linear or n log n in what it is given, whatever that is: the
// fields come from strangers.
package order
