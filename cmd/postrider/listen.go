package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// lmtpMode lets the group of the server's user hand over mail.
const lmtpMode = 0o660

// bound is one open listener of a service. Its name is the service's, with
// "-tls" if TLS is there from the first byte.
type bound struct {
	name string
	path string // of a unix socket
	net.Listener
}

// wanted is a name and the addresses to listen on.
type wanted struct {
	name  string
	addrs []string
}

// wantedListeners lists what the configuration asks for.
func (c *Config) wantedListeners() []wanted {
	return []wanted{
		{"smtp", c.SMTP.Listen},
		{"submission", c.Submission.Listen}, {"submission-tls", c.Submission.ListenTLS},
		{"pop3", c.POP3.Listen}, {"pop3-tls", c.POP3.ListenTLS},
		{"imap", c.IMAP.Listen}, {"imap-tls", c.IMAP.ListenTLS},
		{"lmtp", c.LMTP.Listen},
		{"http", c.HTTP.Listen}, {"http-tls", c.HTTP.ListenTLS},
	}
}

// bind opens every listener, or none. Those that systemd passes replace the
// configured ones of the same name.
func bind(cfg *Config) (all []bound, err error) {
	defer func() {
		if err != nil {
			closeAll(all)
		}
	}()
	all, err = inherited()
	if err != nil {
		return all, err
	}
	passed := map[string]bool{}
	for _, b := range all {
		passed[b.name] = true
	}
	for _, w := range cfg.wantedListeners() {
		if passed[w.name] {
			continue
		}
		for _, a := range w.addrs {
			l, err := bindOne(a)
			if err != nil {
				return all, fmt.Errorf("%s cannot listen on %s: %w", w.name, a, bindHint(a, err))
			}
			all = append(all, bound{w.name, unixPath(a), l})
		}
	}
	return all, nil
}

func bindOne(a string) (net.Listener, error) {
	if path := unixPath(a); path != "" {
		return listenUnix(path, lmtpMode)
	}
	return net.Listen("tcp", a)
}

// unixPath returns the path in a listen address, "" if it is another one.
func unixPath(a string) string {
	path, ok := strings.CutPrefix(a, unixPrefix)
	if !ok {
		return ""
	}
	return path
}

// bindHint adds what to do about an address that cannot be had.
func bindHint(a string, err error) error {
	switch {
	case unixPath(a) != "":
		return fmt.Errorf("%w; choose a path in a directory that the server may write to, and no other program's socket", err)
	case errors.Is(err, syscall.EADDRINUSE):
		return errors.New("another program has this port; stop that program, or choose another port")
	case errors.Is(err, syscall.EACCES):
		return errors.New("a port below 1024 needs a right; run setcap cap_net_bind_service=+ep on the binary, use the systemd unit, or start as root with a user configured")
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return errors.New("this machine does not have the address; choose one of its own")
	}
	return err
}

func closeAll(all []bound) {
	for _, b := range all {
		b.Close()
	}
}

// inherited returns the listeners that systemd passes (sd_listen_fds(3)): the
// FileDescriptorName of each socket is a listener's name, such as
// "submission-tls".
func inherited() ([]bound, error) {
	const firstFD = 3
	pid, n := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS")
	if pid != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	count, err := strconv.Atoi(n)
	if err != nil || count <= 0 {
		return nil, nil
	}
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	known := map[string]bool{}
	for _, w := range (&Config{}).wantedListeners() {
		known[w.name] = true
	}
	var all []bound
	for i := range count {
		if i >= len(names) || !known[names[i]] {
			return all, fmt.Errorf("systemd passes a socket without a name that is known; write FileDescriptorName=smtp, submission, submission-tls, pop3, pop3-tls, imap, imap-tls, lmtp, http or http-tls")
		}
		f := os.NewFile(uintptr(firstFD+i), names[i])
		l, err := net.FileListener(f)
		f.Close()
		if err != nil {
			return all, fmt.Errorf("socket %s from systemd: %w", names[i], err)
		}
		b := bound{name: names[i], Listener: l}
		if l.Addr().Network() == "unix" {
			b.path = l.Addr().String()
		}
		all = append(all, b)
	}
	return all, nil
}

func listenersPath(data string) string { return filepath.Join(runDir(data), "listeners.json") }

// address is where a listener can be reached, as it is configured: with the
// port that the system chose.
func (b bound) address() string {
	if b.path != "" {
		return unixPrefix + b.path
	}
	return b.Addr().String()
}

// listenerName names the n-th address of a service, from 1: the second of smtp
// is "smtp#2".
func listenerName(service string, n int) string {
	if n == 1 {
		return service
	}
	return fmt.Sprintf("%s#%d", service, n)
}

// writeListeners tells others where the server listens: a JSON object with a
// listener's name and its address. The file is there only while everything is open.
func writeListeners(data string, all []bound) error {
	addrs := map[string]string{}
	count := map[string]int{}
	for _, b := range all {
		count[b.name]++
		addrs[listenerName(b.name, count[b.name])] = b.address()
	}
	text, err := json.MarshalIndent(addrs, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(listenersPath(data), append(text, '\n'))
}

// addrPorts lists the TCP addresses of the listeners with this name.
func addrPorts(all []bound, name string) []netip.AddrPort {
	var out []netip.AddrPort
	for _, b := range all {
		if t, ok := b.Addr().(*net.TCPAddr); ok && b.name == name {
			out = append(out, t.AddrPort())
		}
	}
	return out
}

// notifySystemd tells systemd of the server's state (sd_notify(3)), if it
// wants to know.
func notifySystemd(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	if path[0] == '@' {
		path = "\x00" + path[1:]
	}
	if c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"}); err == nil {
		c.Write([]byte(state))
		c.Close()
	}
}
