// Package smtpctest has a remote SMTP server for tests, which does whatever
// the test wants: it keeps to the protocol by default, and any of its replies
// can be replaced.
package smtpctest

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// What a hook may return in place of a reply.
const (
	Default = ""         // what a well-behaved server says
	Close   = "\x00hup"  // the connection ends without a word
	Hang    = "\x00hang" // nothing, until the client leaves
)

// Options say how the server behaves.
type Options struct {
	Addr string      // host:port; empty for 127.0.0.1 and a free port
	Ext  []string    // lines of the reply to EHLO after the first; nil for Extensions
	TLS  *tls.Config // offers STARTTLS
	// Implicit has TLS from the first byte.
	Implicit *tls.Config
	// Greet replaces the greeting.
	Greet func(c *Conn) string
	// Reply replaces the reply to a command line; several lines are joined by
	// CRLF. For "." it is the reply to a message.
	Reply func(c *Conn, line string) string
	// Block is called for every line of a message; false drops the connection.
	Block func(c *Conn, n int) bool
}

// Extensions are announced if Options say nothing.
var Extensions = []string{"PIPELINING", "SIZE 10485760", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN"}

// Message is a message that the server took.
type Message struct {
	From  string // what follows "MAIL FROM:"
	Rcpts []string
	Data  string // dots undone
	TLS   bool
}

// Server is a remote SMTP server.
type Server struct {
	o Options
	l net.Listener

	mu       sync.Mutex
	messages []Message
	lines    []string
	conns    int
	changed  chan struct{}
	wg       sync.WaitGroup
	open     map[net.Conn]bool
}

// Conn is one connection to the server.
type Conn struct {
	net.Conn
	Server *Server
	N      int // which connection this is, from 1
	TLS    bool
	br     *bufio.Reader

	mailing bool // MAIL was accepted
	msg     Message
}

// New starts a server that ends with the test.
func New(t testing.TB, o Options) *Server {
	t.Helper()
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", o.Addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{o: o, l: l, changed: make(chan struct{}, 1), open: map[net.Conn]bool{}}
	s.wg.Add(1)
	go s.accept()
	t.Cleanup(s.Close)
	return s
}

// Close ends the server and its connections.
func (s *Server) Close() {
	s.l.Close()
	s.mu.Lock()
	for c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// Addr is where the server listens.
func (s *Server) Addr() netip.AddrPort { return netip.MustParseAddrPort(s.l.Addr().String()) }

// Messages are those that the server took so far.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Message(nil), s.messages...)
}

// Lines are the commands that the server has read so far.
func (s *Server) Lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.lines...)
}

// Conns is how many connections there have been.
func (s *Server) Conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns
}

// Wait waits until n messages have been taken.
func (s *Server) Wait(t testing.TB, n int) []Message {
	t.Helper()
	end := time.After(time.Minute)
	for {
		if m := s.Messages(); len(m) >= n {
			return m
		}
		select {
		case <-s.changed:
		case <-end:
			t.Fatalf("the remote server has %d messages, want %d; it read %q", len(s.Messages()), n, s.Lines())
		}
	}
}

func (s *Server) accept() {
	defer s.wg.Done()
	for {
		nc, err := s.l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns++
		c := &Conn{Conn: nc, Server: s, N: s.conns, br: bufio.NewReader(nc)}
		s.open[nc] = true
		s.mu.Unlock()
		s.wg.Add(1)
		go func() {
			defer s.wg.Done()
			c.serve()
			c.Conn.Close()
			s.mu.Lock()
			delete(s.open, nc)
			s.mu.Unlock()
		}()
	}
}

func (c *Conn) serve() {
	c.SetDeadline(time.Now().Add(2 * time.Minute))
	if conf := c.Server.o.Implicit; conf != nil && !c.handshake(conf) {
		return
	}
	greeting := Default
	if c.Server.o.Greet != nil {
		greeting = c.Server.o.Greet(c)
	}
	if greeting == Default {
		greeting = "220 remote.test ESMTP"
	}
	if !c.say(greeting) {
		return
	}
	for {
		line, err := c.br.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		c.Server.mu.Lock()
		c.Server.lines = append(c.Server.lines, line)
		c.Server.mu.Unlock()
		if !c.command(line) {
			return
		}
	}
}

// say sends a reply; it tells whether the connection goes on.
func (c *Conn) say(reply string) bool {
	switch reply {
	case Close:
		return false
	case Hang:
		io.Copy(io.Discard, c.br)
		return false
	}
	_, err := io.WriteString(c.Conn, reply+"\r\n")
	return err == nil
}

func (c *Conn) hook(line string) string {
	if c.Server.o.Reply == nil {
		return Default
	}
	return c.Server.o.Reply(c, line)
}

func (c *Conn) command(line string) bool {
	verb, arg, _ := strings.Cut(line, " ")
	verb = strings.ToUpper(verb)
	if r := c.hook(line); r != Default {
		c.mailing = c.mailing || verb == "MAIL" && strings.HasPrefix(r, "2")
		if verb == "RCPT" && strings.HasPrefix(r, "25") {
			c.msg.Rcpts = append(c.msg.Rcpts, strings.TrimPrefix(arg, "TO:"))
		}
		if verb == "DATA" && strings.HasPrefix(r, "354") {
			return c.say(r) && c.data()
		}
		return c.say(r)
	}
	switch verb {
	case "EHLO":
		return c.say(c.ehlo())
	case "STARTTLS":
		return c.say("220 2.0.0 go ahead") && c.handshake(c.Server.o.TLS)
	case "MAIL":
		c.mailing = true
		c.msg = Message{From: strings.TrimPrefix(arg, "FROM:"), TLS: c.TLS}
		return c.say("250 2.1.0 ok")
	case "RCPT":
		if !c.mailing {
			return c.say("503 5.5.1 MAIL first")
		}
		c.msg.Rcpts = append(c.msg.Rcpts, strings.TrimPrefix(arg, "TO:"))
		return c.say("250 2.1.5 ok")
	case "DATA":
		if len(c.msg.Rcpts) == 0 {
			return c.say("554 5.5.1 no valid recipients")
		}
		return c.say("354 go ahead") && c.data()
	case "AUTH":
		return c.auth(arg)
	case "RSET":
		c.mailing, c.msg = false, Message{}
		return c.say("250 2.0.0 ok")
	case "QUIT":
		c.say("221 2.0.0 bye")
		return false
	}
	return c.say("250 2.0.0 ok")
}

func (c *Conn) ehlo() string {
	ext := c.Server.o.Ext
	if ext == nil {
		ext = Extensions
	}
	lines := []string{"remote.test"}
	lines = append(lines, ext...)
	if c.Server.o.TLS != nil && !c.TLS {
		lines = append(lines, "STARTTLS")
	}
	for i := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		lines[i] = "250" + sep + lines[i]
	}
	return strings.Join(lines, "\r\n")
}

func (c *Conn) handshake(conf *tls.Config) bool {
	tc := tls.Server(c.Conn, conf)
	if tc.Handshake() != nil {
		return false
	}
	c.Conn, c.br, c.TLS = tc, bufio.NewReader(tc), true
	return true
}

// auth takes any password of AUTH PLAIN, and LOGIN's two answers.
func (c *Conn) auth(arg string) bool {
	if strings.HasPrefix(strings.ToUpper(arg), "LOGIN") {
		for _, prompt := range []string{"user name please", "Password:"} {
			c.say("334 " + base64.StdEncoding.EncodeToString([]byte(prompt)))
			line, _ := c.br.ReadString('\n')
			c.Server.mu.Lock()
			c.Server.lines = append(c.Server.lines, strings.TrimSpace(line))
			c.Server.mu.Unlock()
		}
	}
	return c.say("235 2.7.0 welcome")
}

func (c *Conn) data() bool {
	var b bytes.Buffer
	for n := 0; ; n++ {
		line, err := c.br.ReadString('\n')
		if err != nil {
			return false
		}
		if c.Server.o.Block != nil && !c.Server.o.Block(c, n) {
			return false
		}
		if line == ".\r\n" {
			break
		}
		b.WriteString(strings.TrimPrefix(line, "."))
	}
	c.msg.Data = b.String()
	r := c.hook(".")
	if r == Default {
		r = "250 2.0.0 queued as 42"
	}
	if strings.HasPrefix(r, "2") || r == Close {
		c.Server.mu.Lock()
		c.Server.messages = append(c.Server.messages, c.msg)
		c.Server.mu.Unlock()
		select {
		case c.Server.changed <- struct{}{}:
		default:
		}
	}
	c.mailing, c.msg = false, Message{}
	return c.say(r)
}

// Chain makes an authority and a certificate of it for names, and returns the
// configuration of a server that presents both, and the two certificates, the
// server's own first.
func Chain(t testing.TB, names ...string) (*tls.Config, []*x509.Certificate) {
	t.Helper()
	make := func(tmpl, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) *x509.Certificate {
		der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, parentKey)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	var keys [2]*ecdsa.PrivateKey
	for i := range keys {
		var err error
		if keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	from, until := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotBefore: from, NotAfter: until}
	root := make(ca, ca, keys[0], keys[0])
	leaf := make(&x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "server"}, DNSNames: names,
		NotBefore: from, NotAfter: until, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, root, keys[1], keys[0])
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw, root.Raw}, PrivateKey: keys[1]}}},
		[]*x509.Certificate{leaf, root}
}

// Certificate makes a self-signed certificate for names, and the pool that
// trusts it.
func Certificate(t testing.TB, names ...string) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true,
		BasicConstraintsValid: true, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, pool
}
