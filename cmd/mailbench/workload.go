package main

import (
	"context"
	"flag"
	"strings"
)

// Workload is one kind of load that can be put on any server.
type Workload struct {
	Name    string // the subcommand
	Summary string // one line
	Needs   string // what the server must have: names of Server's addresses, separated by spaces
	// New registers the workload's flags and returns what will run with them.
	New func(fs *flag.FlagSet) Runner
}

// Runner is a workload with its settings. One Runner is used for all servers
// and all rounds, one after the other, never at once: what it keeps for a
// server between its steps, it keeps by the server's pointer or makes anew.
type Runner interface {
	// Prepare brings the server into the state that Run needs, such as a
	// filled mailbox; it is called once for each server. What is already
	// there from an earlier call may be used again.
	Prepare(ctx context.Context, s *Server) error
	// Run puts the load on the server. Operations that fail are in the
	// results; an error means that there is nothing to report.
	Run(ctx context.Context, s *Server) ([]*Result, error)
	// Verify compares what was acknowledged in the last Run with what the
	// server has, and sets the results' Stored, Missing and Extra.
	Verify(ctx context.Context, s *Server, results []*Result) error
}

// workloads is the table of workloads.
func workloads() []Workload {
	return []Workload{
		smtpWorkload(), lmtpWorkload(), appendWorkload(), pop3Workload(), relayWorkload(),
		fetchWorkload(), searchWorkload(), sortWorkload(), changeWorkload(), mixWorkload(), idleWorkload(), watchWorkload(),
	}
}

func findWorkload(name string) (Workload, bool) {
	for _, w := range workloads() {
		if w.Name == name {
			return w, true
		}
	}
	return Workload{}, false
}

// lacks names the first address that the workload needs and s has not.
func (w Workload) lacks(s *Server) string {
	have := map[string]string{
		"smtp": s.SMTP, "submission": s.submission(), "lmtp": s.LMTP, "imap": s.IMAP, "pop3": s.POP3, "sink": s.Sink,
	}
	for _, need := range strings.Fields(w.Needs) {
		if have[need] == "" {
			return need
		}
	}
	return ""
}
