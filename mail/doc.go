// Package mail is the format of messages: addresses, header fields, dates, the
// MIME tree, encodings and charsets. It is pure: it reads bytes that it is
// given, keeps no state and opens nothing.
//
// Invariants, which fuzz targets hold it to:
//   - Reading never fails because of what a message says, only because of the
//     reader. What is broken is read as other servers read it.
//   - Time is linear in the input, and memory bounded by the limits in parse.go.
//   - Message bytes are never changed. Offsets count from the first byte that
//     was parsed; the parts of a part lie inside its body, in order.
//   - What is written parses to what was written: addresses, dates, encoded
//     words, metadata.
//   - No value of a header field can add a field to what is written.
package mail
