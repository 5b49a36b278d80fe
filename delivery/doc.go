// Package delivery decides what becomes of a message that a front end took:
// which addresses are ours, who may relay, where aliases lead, which header
// fields are put in front, and hands it to the store in one transaction.
//
// Invariants:
//
//   - The bytes of a message are never changed. What we add is a prefix, what
//     readers shall not see is a cut; both stand beside the body.
//   - A message is taken for all its recipients or for none.
//   - An account gets one copy, however many addresses lead to it.
//   - What cannot be found out is a temporary failure; only what is proven
//     (no such address, not ours, a loop) refuses for good.
package delivery
