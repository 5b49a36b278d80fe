package main

import (
	"flag"
	"fmt"
	"strconv"
	"strings"
)

// Server is a server under test: where it listens and who its users are. An
// address that is empty is a protocol that it does not speak, or that is not
// to be measured.
type Server struct {
	Name       string `json:"name"`
	SMTP       string `json:"smtp,omitempty"`       // takes mail for the users
	Submission string `json:"submission,omitempty"` // relays; SMTP's address if empty
	LMTP       string `json:"lmtp,omitempty"`
	IMAP       string `json:"imap,omitempty"`
	POP3       string `json:"pop3,omitempty"`
	Sink       string `json:"sink,omitempty"` // where it sends outgoing mail: relay listens here
	UserFormat string `json:"user"`           // with one %d for the number
	Password   string `json:"-"`
	PIDs       []int  `json:"pids,omitempty"` // its processes, children found by themselves
}

const (
	defaultUser     = "bench%d@example.com"
	defaultPassword = "secret"
)

// User is the address and login of user n.
func (s *Server) User(n int) string { return fmt.Sprintf(s.UserFormat, n) }

// stores says whether the server has anything to look for: the one that only
// takes mail and stores nothing has no IMAP.
func (s *Server) stores() bool { return s.IMAP != "" }

func (s *Server) submission() string {
	if s.Submission != "" {
		return s.Submission
	}
	return s.SMTP
}

// register adds the server's settings to a subcommand's flags.
func (s *Server) register(fs *flag.FlagSet) {
	fs.StringVar(&s.Name, "name", "server", "`NAME` of the server in the output")
	fs.StringVar(&s.SMTP, "smtp", "", "`ADDRESS` that takes mail by SMTP, host:port")
	fs.StringVar(&s.Submission, "submission", "", "`ADDRESS` for mail to be relayed (default that of --smtp)")
	fs.StringVar(&s.LMTP, "lmtp", "", "`ADDRESS` for LMTP")
	fs.StringVar(&s.IMAP, "imap", "", "`ADDRESS` for IMAP, also to count what arrived")
	fs.StringVar(&s.POP3, "pop3", "", "`ADDRESS` for POP3")
	fs.StringVar(&s.Sink, "sink", "", "`ADDRESS` to which the server sends all outgoing mail; relay listens there")
	fs.StringVar(&s.UserFormat, "user", defaultUser, "`FORMAT` of user names, with %d for the number")
	fs.StringVar(&s.Password, "password", defaultPassword, "`PASSWORD` of every user")
	fs.Func("pid", "`PID` of the server, may be repeated; for memory and syncs", s.addPID)
}

func (s *Server) addPID(v string) error {
	pid, err := strconv.Atoi(v)
	if err == nil {
		s.PIDs = append(s.PIDs, pid)
	}
	return err
}

// parseServer reads "NAME,key=value,…" with the names of register's flags.
func parseServer(spec string) (*Server, error) {
	name, rest, _ := strings.Cut(spec, ",")
	if name == "" || strings.Contains(name, "=") {
		return nil, fmt.Errorf("%q does not begin with a name", spec)
	}
	s := &Server{}
	fs := flag.NewFlagSet("server", flag.ContinueOnError)
	s.register(fs)
	s.Name = name
	for _, pair := range strings.Split(rest, ",") {
		if pair == "" {
			continue
		}
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, fmt.Errorf("%q of server %s is not key=value", pair, name)
		}
		if err := fs.Set(key, value); err != nil {
			return nil, fmt.Errorf("server %s: %s: %w", name, key, err)
		}
	}
	return s, nil
}

// setAddr takes --addr for the first protocol that the workload needs.
func (s *Server) setAddr(w Workload, addr string) error {
	if addr == "" {
		return nil
	}
	first, _, _ := strings.Cut(w.Needs, " ")
	for protocol, field := range map[string]*string{
		"smtp": &s.SMTP, "submission": &s.Submission, "lmtp": &s.LMTP, "imap": &s.IMAP, "pop3": &s.POP3,
	} {
		if protocol != first {
			continue
		}
		if *field != "" {
			return fmt.Errorf("--addr and --%s are the same", protocol)
		}
		*field = addr
	}
	return nil
}
