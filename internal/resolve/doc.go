// Package resolve asks recursive DNS resolvers over the wire. It is the one
// client of the DNS for all that this server looks up: mail hosts, policies,
// keys.
//
//   - ErrNoDomain and ErrBadName are proven facts; every other error is
//     temporary. A name without records of the type is no error: the answer is
//     empty. Both an empty answer and ErrNoDomain are what RFC 7208 §4.6.4
//     calls a void lookup.
//   - Answers to other questions, and records of names that nobody asked for,
//     are ignored. A query's ID and port are random.
//   - An answer is Secure only if every part of it was validated by DNSSEC (the
//     AD bit, RFC 6840 §5.8) by a resolver that is trusted to say so: by default
//     one on loopback, since over a network anybody may set that bit.
package resolve
