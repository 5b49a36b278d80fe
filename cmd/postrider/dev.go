package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"

	"postrider/mail"
)

// Where the dev command listens: no port needs a right, and none is a real
// service's.
const (
	devSMTP       = "1025"
	devSubmission = "1587"
	devPOP3       = "1110"
	devIMAP       = "1143"
)

func devCommand() command {
	return command{name: "dev", hidden: "config", args: "[--data DIR] [--domain D] [--listen 127.0.0.1]", run: runDev,
		summary: "Run a server to try programs with, without configuration.\n" +
			"Any address receives, any password logs in, accounts appear when they are first used, and nothing\n" +
			"leaves. Without --data the mail is gone when it ends."}
}

func runDev(c *cli, f *flags, args []string) (err error) {
	domain := f.String("domain", "localhost", "`DOMAIN` that is there from the start")
	listen := f.String("listen", "127.0.0.1", "`ADDRESS` to listen on")
	f.Lookup("data").Usage = "directory `DIR` where the mail stays"
	if err := f.parseFlags(args); err != nil {
		return err
	}
	if f.config != "" {
		return usagef("dev takes no configuration; use serve for that")
	}
	cfg, err := devConfig(f.data, *domain, *listen)
	if err != nil {
		return err
	}
	where := "in " + cfg.DataDir
	if f.data == "" {
		if cfg.DataDir, err = os.MkdirTemp("", "postrider-dev-"); err != nil {
			return err
		}
		where = "in " + cfg.DataDir + " and gone when this ends"
		defer os.RemoveAll(cfg.DataDir)
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)
	s, err := startServer(cfg, c.stderr)
	if err != nil {
		return err
	}
	c.greetDev(s, where)
	return s.wait(signals, nil)
}

// devConfig is the dev command's configuration.
func devConfig(data, domain, listen string) (*Config, error) {
	if _, err := mail.DomainKey(domain); err != nil {
		return nil, usagef("%q is no domain; write one such as example.test", domain)
	}
	if _, err := netip.ParseAddr(listen); err != nil {
		return nil, usagef("%q is no IP address; write 127.0.0.1, or 0.0.0.0 for all", listen)
	}
	at := func(port string) []string { return []string{net.JoinHostPort(listen, port)} }
	cfg := DefaultConfig()
	cfg.dev = true
	cfg.Hostname, cfg.Domains = "localhost", []string{domain}
	if data != "" {
		cfg.DataDir = data
	}
	cfg.SMTP.Listen = at(devSMTP)
	cfg.Submission = Listen{Listen: at(devSubmission)}
	cfg.POP3 = Listen{Listen: at(devPOP3)}
	cfg.IMAP = Listen{Listen: at(devIMAP)}
	// Any password will do, so that none is worth hiding.
	cfg.Auth.PlaintextNetworks = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	cfg.Limits.ConnectionsPerIP = 0
	if p := cfg.check(); p != nil {
		return nil, fmt.Errorf("%s: %s", p.key, p.what)
	}
	return cfg, nil
}

func (c *cli) greetDev(s *server, where string) {
	fmt.Fprintln(c.stdout, "Postrider is here to be tried: any address, any password, nothing leaves.")
	w := tabwriter.NewWriter(c.stdout, 0, 8, 2, ' ', 0)
	titles := map[string]string{"smtp": "SMTP", "submission": "submission", "pop3": "POP3", "imap": "IMAP"}
	for _, b := range s.listeners {
		fmt.Fprintf(w, "  %s\t%s\n", titles[b.name], b.address())
	}
	w.Flush()
	fmt.Fprintf(c.stdout, "Mail is kept %s. Ctrl-C ends it.\n", where)
}
