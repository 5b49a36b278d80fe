// Package netserve is the accept loop that all daemons share: limits in total
// and for each address, TLS from the first byte where it is wanted, back-off
// when accepting fails, and a shutdown that lets commands end.
//
// One connection is one goroutine. A panic ends one connection, with its
// stack in the log, and never the server.
package netserve
