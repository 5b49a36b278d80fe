// Command mailbench measures mail servers from outside: it speaks only SMTP,
// LMTP, IMAP and POP3, to any server, and imports nothing of Postrider's, so
// that no server has an advantage.
//
//	mailbench smtp --smtp 127.0.0.1:25 --imap 127.0.0.1:143 --connections 32
//	mailbench compare --server postrider,smtp=…,imap=… --server peers,smtp=…,imap=…
//
// # How it is built
//
// A Workload (workload.go) is one kind of load. It has flags of its own, and
// three steps: Prepare fills mailboxes and is not measured, Run puts the load
// on the server and measures, Verify asks the server over IMAP how many
// messages it really has. Run returns one Result (result.go) for each thing
// that it measured. A subcommand runs the steps once; compare runs Prepare once
// for each server and then Run and Verify on each server in turn, A B A B.
// Each workload has a file of its own and an entry in workloads().
//
// A Row (row.go) is a line of the comparison's table: it names the workload
// with its flags, which Result it takes, which figure of it counts, and the
// target. Rows with the same workload and flags share one run.
//
// Messages (message.go) are deterministic: message n of a Generator is always
// the same bytes. They hold words that a search can count on (Token, Common,
// Absent).
//
// The load generator shares the machine with the server that it measures, so
// it has to be cheap: smtpConn, imapConn and pop3Conn read lines in place,
// write whole messages with one call and skip literals without copying them.
//
// # Rules for a workload
//
//   - Users are numbered (Server.User). Each workload has a range of its own
//     (users.go), so that no workload finds another's messages.
//   - Everything that can be made before the clock starts is made before it.
//   - An operation that fails is counted in Result.Errors, and the first
//     one's reason kept; it never ends the run. Errors of Prepare do.
//   - What was acknowledged and is not there is Result.Missing; what is there
//     more often than it was sent is Result.Extra.
package main
