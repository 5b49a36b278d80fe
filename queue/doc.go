// Package queue sends what leaves this server: it takes recipients that are
// due from the store, hands them to smtpc, and writes down what became of
// each, with the notices that tell the sender (RFC 5321 §4.5.4, RFC 3461,
// RFC 3464).
//
// One goroutine schedules; a bounded number of workers send, each for one
// destination. No goroutine waits for a message: what waits are rows with the
// time of their next attempt. Its invariants:
//
//   - A recipient is leased before anything is sent, and its outcome and the
//     notice of it are written in one transaction. After a crash the lease is
//     ended at the next start and the recipient tried again; a message may
//     then arrive twice, and never not at all.
//   - One destination that does not answer costs one worker, however many
//     messages wait for it, and all such destinations together at most half
//     of the workers.
//   - A notice has the null sender, and the null sender never gets one.
package queue
