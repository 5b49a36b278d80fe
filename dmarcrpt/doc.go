// Package dmarcrpt counts what was found in other domains' mail, tells them
// once a day (RFC 9990), and reads what others tell of ours.
//
// Counts are kept in memory for a minute and then in the store: a crash loses
// a minute of statistics, and checking a message costs no transaction.
package dmarcrpt
