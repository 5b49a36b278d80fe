// Package mailauth finds out who a message is from as far as DNS and
// signatures tell, and says who it is from when we send one: SPF (RFC 7208),
// DKIM (RFC 6376, RFC 8301, RFC 8463), DMARC (RFC 9989), ARC (RFC 8617), iprev
// and Authentication-Results (RFC 8601).
//
// A Check runs beside the transaction: the look-ups for the connection begin
// with the first recipient, those for the message when its header is there,
// and the body is hashed as it comes in, only if something signs it.
//
// Invariants:
//
//   - What DNS could not tell is temporary or neutral, never a refusal for
//     good; nor does a mistake in a sender's records (permerror) refuse mail by
//     itself.
//   - Everything that a peer chooses is bounded: signatures, seals, look-ups,
//     authors, key sizes, the header, the time.
//   - What was signed is what is read: more than one From, a body length tag,
//     a weak key or hash never pass.
//
// DKIM and ARC share one engine, which reads the body once for all signatures
// and signs it with two keys in one pass; emersion/go-msgauth, which has no
// ARC and reads it once for each, is what the tests compare it with.
package mailauth
