// Package wire reads what IMAP clients send, and writes what they are answered.
// The methods of Decoder and Encoder are named after the grammar of RFC 9051
// §9, and a command's arguments read as one line each:
//
//	d.SP()
//	name := d.Mailbox()
//	d.SP()
//	flags := d.FlagList()
//	d.CRLF()
//	if err := d.Err(); err != nil {
//		return err
//	}
//
// The first error sticks: after it every method returns the zero value and
// moves nothing, so that only loops have to look at Err on their way. What is
// wrong is a *SyntaxError (BAD), a *LimitError (NO, with the code that it
// has), or an error of reading, which ends the connection.
//
// A command is lines, each but the last ended by the announcement of a literal
// that follows it (RFC 9051 §4.3). The decoder asks for a synchronising literal
// when the grammar arrives at it; strings come as strings, and the message of an
// APPEND is announced by LiteralHeader and then copied to a writer by Copy, in
// pieces. Skip passes over what is left of a command, however broken, without
// taking its literals for commands.
//
// All limits are the decoder's: see Limits, Bound, MaxSet and MaxDepth. What does
// not fit is refused before it is read.
//
// An Encoder appends to one buffer and allocates nothing else: responses to
// FETCH go from the store's rows and bytes to the connection without strings
// between.
package wire
