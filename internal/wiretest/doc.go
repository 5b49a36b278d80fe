// Package wiretest runs golden dialogues: text files that say what a client
// sends and what the server must answer, byte for byte.
//
// A file is a txtar archive. Its comment says in prose what the file shows and
// which RFC demands it; each section after it, "-- name --", is one dialogue
// and runs as a subtest of its own on a fresh server. A file without any
// section is a single dialogue. In a dialogue, empty lines and lines that
// begin with # count for nothing; every other line is a connection, a verb and
// its text:
//
//	1 C: text        send text and CRLF
//	1 C| "raw\x00"   send a Go-quoted string as it is, no CRLF
//	1 C| "x" 2000    the same, 2000 times over
//	1 S: text        expect exactly this line, ended by CRLF
//	1 S~ text        the same; the S~ lines of a run may come in any order
//	1 S| "raw"       expect exactly these bytes
//	1 TLS            do the client's side of a TLS handshake
//	1 DEFLATE        from here on, both directions are compressed (RFC 1951)
//	1 PLAIN          from here on, neither is
//	1 EOF            expect the server to close the connection
//	1 CLOSE          close our side
//
// In S: and S~ lines, * matches any run of characters, the empty one too;
// $name takes a run of non-space characters the first time and has to equal it
// from then on; $$ is a dollar. In C: lines, $name stands for what was taken
// and $$ for a dollar. Names set in Env.Vars count as taken.
//
// Dialogues can be played in several variants of the protocol (DirIn). A line
// whose verb is followed by the name of a variant ("1 S:rev2 text") counts only
// in that one, and a dialogue whose first line is "ONLY rev1" is played only
// there.
//
// Connections are opened at their first use. What stands before a colon in
// the first word names one ("1"); the whole word, such as "2:lmtp", goes to
// Env.Dial when it is opened, so that a dialogue can ask for different kinds.
package wiretest
