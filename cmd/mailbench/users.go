package main

// The users that each workload works on: first number and how many there are
// at most, so that no workload finds messages of another.
const (
	usersSMTP      = 1   // 100: mailboxes of smtp with many recipients
	usersSMTPOne   = 101 // 1: smtp into one mailbox
	usersSMTPAlone = 102 // 100: smtp over one connection
	usersLMTP      = 202 // 100
	usersAppend    = 302 // 8: append, one for each connection
	usersPOP3      = 310 // 1
	usersRelay     = 311 // 1: who submits what is relayed
	usersIMAP      = 320 // 80: fetch, search, mix, idle
)

// usersTotal is how many users a server that is to run every workload needs.
const usersTotal = 399
