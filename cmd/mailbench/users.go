package main

// The users that each workload works on: first number and how many there are
// at most. Loads that deliver count what arrives, so that they may share
// mailboxes; those that read have theirs to themselves.
const (
	usersSMTP   = 1   // 100: mailboxes of smtp and lmtp with many recipients
	usersOne    = 101 // 1: smtp into one mailbox
	usersAppend = 102 // 8: append, one for each connection
	usersPOP3   = 110 // 1
	usersRelay  = 111 // 1: who submits what is relayed
	usersIMAP   = 120 // 80: fetch, search, mix, idle
)

// usersTotal is how many users a server that is to run every workload needs.
const usersTotal = 199
