// Package tlsrpt is SMTP TLS Reporting (RFC 8460): it counts how connections to
// other domains went, and tells each domain that asks for it once a day; what
// other servers tell us, it reads.
//
//   - Counting is cheap and may be lost: a crash costs the last minute's.
//   - A day's report is handed over before its counts are dropped, under an
//     operation id, so that a crash in between sends no second one.
//   - A connection that carries a report counts for none, and a report goes even
//     where TLS fails: that is what it is about.
package tlsrpt
