package main

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"postrider/mail"
)

// unixPrefix marks a listen address that is a path.
const unixPrefix = "unix:"

// What every server must take at least (RFC 5321 §4.5.3.1.7, §4.5.3.1.8).
const (
	minMessageBytes = 64 << 10
	minRecipients   = 100
)

// problem is what is wrong with the value of a key, and what to write there.
// Where two keys do not go together, the other one may be the one that was
// set.
type problem struct{ key, what, other string }

func problemf(key, format string, args ...any) *problem {
	return &problem{key: key, what: fmt.Sprintf(format, args...)}
}

// check refuses values that cannot work, each before it does harm, and brings
// the others into their plain form.
func (c *Config) check() *problem {
	for _, part := range []func() *problem{c.checkTop, c.checkListen, c.checkChecks, c.checkLimits, c.checkQueue, c.checkRoutes, c.checkMTASTS, c.checkACME, c.checkAccounts} {
		if p := part(); p != nil {
			return p
		}
	}
	return nil
}

func (c *Config) checkTop() *problem {
	if c.Hostname != "" {
		if _, err := mail.DomainKey(c.Hostname); err != nil {
			return problemf("hostname", `%q is no host name; write one such as "mail.example.org"`, c.Hostname)
		}
	}
	if c.DataDir == "" {
		return problemf("data_dir", `a data directory is needed; write its path, such as "/var/lib/postrider"`)
	}
	if abs, err := filepath.Abs(c.DataDir); err == nil {
		c.DataDir = abs
	}
	for _, d := range c.Domains {
		if _, err := mail.DomainKey(d); err != nil {
			return problemf("domains", `%q is no domain; write one such as "example.org"`, d)
		}
	}
	if _, ok := logLevel(c.Log.Level); !ok {
		return problemf("log.level", `%q is no level; write "trace", "debug", "info", "warn" or "error"`, c.Log.Level)
	}
	if !slices.Contains([]string{"auto", "text", "json"}, c.Log.Format) {
		return problemf("log.format", `%q is no format; write "auto", "text" or "json"`, c.Log.Format)
	}
	if (c.TLS.Certificate == "") != (c.TLS.Key == "") {
		return &problem{"tls.certificate", "certificate and key belong together; give both, or neither for a self-signed one", "tls.key"}
	}
	for i, p := range c.Auth.PlaintextNetworks {
		c.Auth.PlaintextNetworks[i] = p.Masked()
	}
	return nil
}

// listenKeys lists where the services listen.
func (c *Config) listenKeys() []struct {
	key   string
	addrs []string
} {
	return []struct {
		key   string
		addrs []string
	}{
		{"smtp.listen", c.SMTP.Listen},
		{"submission.listen", c.Submission.Listen}, {"submission.listen_tls", c.Submission.ListenTLS},
		{"pop3.listen", c.POP3.Listen}, {"pop3.listen_tls", c.POP3.ListenTLS},
		{"imap.listen", c.IMAP.Listen}, {"imap.listen_tls", c.IMAP.ListenTLS},
		{"lmtp.listen", c.LMTP.Listen},
		{"http.listen", c.HTTP.Listen}, {"http.listen_tls", c.HTTP.ListenTLS},
	}
}

func (c *Config) checkListen() *problem {
	seen := map[string]string{}
	for _, l := range c.listenKeys() {
		for _, a := range l.addrs {
			if what := badListen(a); what != "" {
				return problemf(l.key, "%s", what)
			}
			if l.key == "lmtp.listen" && !isLocal(a) {
				return problemf(l.key, `%q is open to others, and LMTP has no login; write "127.0.0.1:24" or "unix:/run/postrider/lmtp.sock"`, a)
			}
			if strings.HasSuffix(a, ":0") {
				continue
			}
			if first := seen[a]; first == l.key {
				return problemf(l.key, "%q stands there twice; take one out", a)
			} else if first != "" {
				return &problem{l.key, fmt.Sprintf("%q stands in %s and in %s; give each service an address of its own", a, first, l.key), first}
			}
			seen[a] = l.key
		}
	}
	return nil
}

// badListen says what is wrong with a listen address, "" if nothing.
func badListen(a string) string {
	if path, ok := strings.CutPrefix(a, unixPrefix); ok {
		if !filepath.IsAbs(path) {
			return fmt.Sprintf(`%q has no absolute path; write "unix:/run/postrider/lmtp.sock"`, a)
		}
		return ""
	}
	host, port, err := net.SplitHostPort(a)
	if err != nil {
		return fmt.Sprintf(`%q is no address; write ":25", "127.0.0.1:25" or "[::1]:25"`, a)
	}
	if _, err := netip.ParseAddr(host); host != "" && host != "localhost" && err != nil {
		return fmt.Sprintf(`%q does not begin with an IP address; write ":25", "127.0.0.1:25" or "[::1]:25"`, a)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Sprintf(`%q has no port from 0 to 65535 at its end; write ":25"`, a)
	}
	return ""
}

// isLocal tells whether nobody outside this machine reaches a.
func isLocal(a string) bool {
	if strings.HasPrefix(a, unixPrefix) {
		return true
	}
	host, _, err := net.SplitHostPort(a)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

func (c *Config) checkChecks() *problem {
	k := &c.Checks
	if _, ok := dmarcPolicy(k.Policy); !ok {
		return problemf("checks.policy", `%q is no way; write "enforce", "junk" or "report"`, k.Policy)
	}
	if _, ok := spfAction(k.SPFFail); !ok {
		return problemf("checks.spf_fail", `%q is no way; write "accept", "junk" or "refuse"`, k.SPFFail)
	}
	if t := time.Duration(k.Timeout); t <= 0 || t > time.Minute {
		return problemf("checks.timeout", `%v is no time to wait for the DNS; write a few seconds, "5s"`, k.Timeout)
	}
	for i, d := range k.TrustedSealers {
		key, err := mail.DomainKey(d)
		if err != nil || strings.HasPrefix(key, "[") {
			return problemf("checks.trusted_sealers", `%q is no domain; write one such as "lists.example.org"`, d)
		}
		k.TrustedSealers[i] = key
	}
	for i, p := range k.ExemptNetworks {
		k.ExemptNetworks[i] = p.Masked()
	}
	return nil
}

func (c *Config) checkLimits() *problem {
	l := &c.Limits
	switch {
	case l.MessageBytes < minMessageBytes:
		return problemf("limits.message_bytes", `%v is too little; RFC 5321 asks for %v at least, write a size such as "50MB"`, l.MessageBytes, Size(minMessageBytes))
	case l.Recipients < minRecipients:
		return problemf("limits.recipients", "%d is too few; RFC 5321 asks for %d at least", l.Recipients, minRecipients)
	case l.Received < 2:
		return problemf("limits.received", "%d hops are too few for any mail; write 50", l.Received)
	case l.Connections < 0:
		return problemf("limits.connections", "%d is negative; write 0 for no limit", l.Connections)
	case l.ConnectionsPerIP < 0:
		return problemf("limits.connections_per_ip", "%d is negative; write 0 for no limit", l.ConnectionsPerIP)
	case l.UnknownRcptsPerHour < 0:
		return problemf("limits.unknown_recipients_per_hour", "%d is negative; write 0 for no limit", l.UnknownRcptsPerHour)
	case l.MessagesPerDay < 0:
		return problemf("limits.messages_per_day", "%d is negative; write 0 for no limit", l.MessagesPerDay)
	case l.NewRcptsPerDay < 0:
		return problemf("limits.new_recipients_per_day", "%d is negative; write 0 for no limit", l.NewRcptsPerDay)
	case l.FetchCache < 1<<20:
		return problemf("limits.fetch_cache", `less than 1 MiB is of no use; write a size such as "32MB"`)
	}
	return nil
}

func (c *Config) checkQueue() *problem {
	q := &c.Queue
	if q.Smarthost != "" {
		host, port, err := net.SplitHostPort(q.Smarthost)
		if n, nerr := strconv.Atoi(port); err != nil || host == "" || nerr != nil || n < 1 || n > 65535 {
			return problemf("queue.smarthost", `%q is no host with a port; write "smtp.example.net:587"`, q.Smarthost)
		}
	}
	if (q.SmarthostUser == "") != (q.SmarthostPassword == "") {
		return &problem{"queue.smarthost_user", "smarthost_user and smarthost_password belong together; give both or neither", "queue.smarthost_password"}
	}
	if q.SmarthostUser != "" && q.Smarthost == "" {
		return &problem{"queue.smarthost_user", "there is no smarthost to log in to", "queue.smarthost_password"}
	}
	if _, ok := smarthostTLS(q.SmarthostTLS); !ok {
		return problemf("queue.smarthost_tls", `%q is no way; write "starttls", "tls", "opportunistic" or "none"`, q.SmarthostTLS)
	}
	if q.Resolver != "" {
		if _, err := netip.ParseAddrPort(q.Resolver); err != nil {
			return problemf("queue.resolver", `%q is no IP address with a port; write "127.0.0.1:53", or nothing for the system's resolver`, q.Resolver)
		}
	}
	for _, list := range [][]netip.Prefix{q.TrustedResolvers, q.PrivateNetworks} {
		for i, p := range list {
			list[i] = p.Masked()
		}
	}
	for _, r := range q.Retry {
		if time.Duration(r) < time.Second {
			return problemf("queue.retry", "%v is too short between two attempts; write a second at least", r)
		}
	}
	switch {
	case len(q.Retry) == 0:
		return problemf("queue.retry", `at least one delay is needed; write ["5m", "15m", "1h"]`)
	case q.Port < 1 || q.Port > 65535:
		return problemf("queue.port", "%d is no port; write 25", q.Port)
	case q.Expire <= 0:
		return problemf("queue.expire", `mail must be kept for some time; write "5d"`)
	case q.Workers < 1:
		return problemf("queue.workers", "%d is too few; write 1 at least", q.Workers)
	case q.SuppressAfter < 0:
		return problemf("queue.suppress_after", "%d is negative; write 0 to send to every address always", q.SuppressAfter)
	case q.SuppressAfter > 0 && q.SuppressFor <= 0:
		return problemf("queue.suppress_for", `this must be some time; write "30d"`)
	case q.PerDestination < 1:
		return problemf("queue.per_destination", "%d is too few; write 1 at least", q.PerDestination)
	}
	return nil
}

func (c *Config) checkAccounts() *problem {
	seen := map[string]bool{}
	for i, a := range c.Accounts {
		key := fmt.Sprintf("account[%d].address", i)
		addr, err := mail.ParseAddress(a.Address)
		if err != nil {
			return problemf(key, `%q is no address; write one such as "bob@example.org"`, a.Address)
		}
		if a.Password == "" {
			return problemf(key, "%s has no password; write password = \"…\" below", a.Address)
		}
		if seen[addr.Key()] {
			return problemf(key, "%s stands there twice; take one out", a.Address)
		}
		seen[addr.Key()] = true
	}
	return nil
}
