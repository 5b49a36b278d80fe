// Package search finds text in messages as IMAP's SEARCH has it: substrings,
// without regard to case, of what headers and text parts say once they are
// decoded (RFC 9051 §6.4.4, RFC 5051).
//
// [Reader] reads one message and is the definition. [Index] knows, for most
// messages, what Reader would find, without reading them. It is derived data:
// it is built in the background from what is stored, answers only for messages
// that it has, and may be deleted at any time. A message is known by its email
// id (RFC 8474), so that copies and moves change nothing in it.
//
// The index of an account is a number of blocks, immutable files of up to
// 4,096 messages each. A block has, for every three bytes of text that occur,
// the list of messages in which they do, and the texts of some header fields
// whole. A text that is sought can only be in the messages that have all of
// its groups of three bytes: the others are certain not to match, and those
// are read. The end of a text counts as bytes of its own, so that each one or
// two bytes of it begin a group: texts as short need no reading at all.
package search
