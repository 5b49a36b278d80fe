package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"time"
)

// healthTime bounds one listener's check.
const healthTime = 4 * time.Second

func healthCommand() command {
	return command{name: "health", args: "[-v]", run: runHealth,
		summary: "See whether every listener answers with its greeting.\nEnds with status 1 if one does not."}
}

// greetings is how each service's first line begins; LMTP's is SMTP's (RFC
// 2033 §4).
func greetings() map[string]string {
	return map[string]string{"smtp": "220 ", "submission": "220 ", "lmtp": "220 ", "pop3": "+OK", "imap": "* OK"}
}

func runHealth(c *cli, f *flags, args []string) error {
	verbose := f.Bool("v", false, "say what was checked")
	if err := f.parseFlags(args); err != nil {
		return err
	}
	cfg, err := f.load(c)
	if err != nil {
		return err
	}
	addrs := cfg.healthAddrs()
	if len(addrs) == 0 {
		return fmt.Errorf("no listener is configured, so that nothing can answer")
	}
	names := slices.Sorted(maps.Keys(addrs))
	failed := make(chan error, len(names))
	for _, name := range names {
		go func() { failed <- checkListener(name, addrs[name]) }()
	}
	var first error
	for range names {
		if err := <-failed; err != nil && (first == nil || err.Error() < first.Error()) {
			first = err
		}
	}
	if first == nil && *verbose {
		fmt.Fprintf(c.stdout, "%s: all answer\n", strings.Join(names, ", "))
	}
	return first
}

// healthAddrs returns the addresses to check, by listener name: what the
// running server wrote, or what is configured where that cannot be read.
func (c *Config) healthAddrs() map[string]string {
	addrs := map[string]string{}
	if text, err := os.ReadFile(listenersPath(c.DataDir)); err == nil && json.Unmarshal(text, &addrs) == nil {
		return addrs
	}
	for _, w := range c.wantedListeners() {
		for i, a := range w.addrs {
			addrs[listenerName(w.name, i+1)] = a
		}
	}
	return addrs
}

// checkListener reads one greeting.
func checkListener(name, addr string) error {
	fail := func(err error) error {
		return fmt.Errorf("%s does not answer on %s: %w; is the server running?", name, addr, err)
	}
	network, at := "tcp", addr
	if path := unixPath(addr); path != "" {
		network, at = "unix", path
	} else if host, port, err := net.SplitHostPort(addr); err == nil {
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			at = net.JoinHostPort("localhost", port)
		}
	}
	conn, err := net.DialTimeout(network, at, healthTime)
	if err != nil {
		return fail(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(healthTime))
	service, _, _ := strings.Cut(name, "#")
	service, isTLS := strings.CutSuffix(service, "-tls")
	if isTLS {
		// Whether it answers is the question, not whether others trust it.
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	line, err := bufio.NewReader(io.LimitReader(conn, 1024)).ReadString('\n')
	if err != nil {
		return fail(err)
	}
	if !strings.HasPrefix(line, greetings()[service]) {
		return fail(fmt.Errorf("it greets with %q", strings.TrimSpace(line)))
	}
	if service == "imap" {
		io.WriteString(conn, "a LOGOUT\r\n")
	} else {
		io.WriteString(conn, "QUIT\r\n")
	}
	io.Copy(io.Discard, conn) // a polite end, so that the server's log has no broken connections
	return nil
}
