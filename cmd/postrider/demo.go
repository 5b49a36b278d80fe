package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"

	"postrider/internal/lab"
	"postrider/internal/labdns"
	"postrider/internal/maillog"
	"postrider/mail"
	"postrider/store"
)

const (
	demoTime     = time.Minute // for the whole demo
	demoPassword = "a secret of the demo"
	demoAlice    = "alice@a.test"
	demoBob      = "bob@b.test"
)

// demo is one run of the main job: two complete servers as child processes, a
// DNS, and the user agents of Alice and Bob, which only speak the protocols.
type demo struct {
	out     *script
	dir     string
	dns     *labdns.Server
	configB lab.Config
	a, b    *lab.Site
	message []byte // what goes into DATA, before dot-stuffing
	id, idB string // that A and B gave it

	mu        sync.Mutex
	delivered chan struct{} // closed when A says that it delivered
	filed     chan logLine  // B's word of the message that it accepted
}

// logLine is what the demo reads of a server's log.
type logLine struct {
	Msg  string `json:"msg"`
	ID   string `json:"id"`
	From string `json:"from"`
	Size int64  `json:"size"`
}

// traceLine is one line of an SMTP client's dialogue: Dir is ">" for its own,
// "<" for the server's, "=" for what nobody said.
type traceLine struct{ Phase, Dir, Line string }

func demoCommand() command {
	return command{name: "demo", hidden: "config data", run: runDemoCommand, summary: "Send a message from Alice to Bob, through two servers, and show every protocol line.\n" +
		"Two complete servers and a DNS run on loopback ports of the system's choosing and\n" +
		"leave nothing behind. Succeeds only if what Bob reads is what Alice wrote."}
}

func runDemoCommand(c *cli, f *flags, args []string) error {
	if err := f.parseFlags(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return runDemo(ctx, c.stdout, colorful(c.stdout))
}

// colorful tells whether w is a terminal that shows colours and whose user
// wants them (no-color.org).
func colorful(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// runDemo plays the six steps; an error says which failed.
func runDemo(ctx context.Context, w io.Writer, color bool) error {
	ctx, cancel := context.WithTimeout(ctx, demoTime)
	defer cancel()
	d := &demo{out: &script{w: w, color: color}, delivered: make(chan struct{}), filed: make(chan logLine, 1)}
	defer d.stop()
	if err := d.start(ctx); err != nil {
		return err
	}
	steps := []struct {
		title string
		run   func(context.Context) error
	}{
		{"Alice composes a message", d.compose},
		{"Alice's user agent submits it to her server, mail.a.test", d.submit},
		{"Her server keeps it in its outgoing message queue: Bob's server is down", d.queued},
		{"Her server finds Bob's by DNS and pushes the message on, as an SMTP client", d.relay},
		{"Bob's server files it in Bob's mailbox", d.mailbox},
		{"Bob's user agent pulls it out: by POP3, and by IMAP", d.fetch},
	}
	for i, s := range steps {
		d.out.step(i+1, s.title)
		if err := s.run(ctx); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	if err := d.journey(ctx, d.a, d.id); err != nil {
		return err
	}
	if err := d.read(ctx); err != nil {
		return err
	}
	if err := d.journey(ctx, d.b, d.idB); err != nil {
		return err
	}
	d.out.result(fmt.Sprintf("What Bob read, by POP3 and by IMAP, is byte for byte what Alice wrote: SHA-256 %x", sha256.Sum256(d.message)))
	return nil
}

// start opens the DNS and A's server. B's address is chosen, but nobody
// listens there yet.
func (d *demo) start(ctx context.Context) error {
	const hostA, hostB = "127.0.0.1", "127.0.0.2"
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	if d.dir, err = os.MkdirTemp("", "postrider-demo-"); err != nil {
		return err
	}
	portB, err := lab.FreePort(hostB)
	if err != nil {
		return err
	}
	zone := fmt.Sprintf("$TTL 60\n"+
		"a.test. IN SOA mail.a.test. postmaster.a.test. 1 60 60 60 60\na.test. IN MX 10 mail.a.test.\nmail.a.test. IN A %s\n"+
		"b.test. IN SOA mail.b.test. postmaster.b.test. 1 60 60 60 60\nb.test. IN MX 10 mail.b.test.\nmail.b.test. IN A %s\n", hostA, hostB)
	if d.dns, err = labdns.Start("127.0.0.1:0", strings.NewReader(zone)); err != nil {
		return err
	}
	d.configB = lab.Config{
		Binary: binary, Dir: filepath.Join(d.dir, "b"), Host: hostB, Hostname: "mail.b.test", Domain: "b.test",
		SMTPPort: portB, Resolver: d.dns.Addr(), Port: portB, Log: d.logOfB,
		Accounts: []lab.Account{{Address: demoBob, Password: demoPassword}},
	}
	d.out.note("mail.a.test and mail.b.test are two processes of this program, each with its own data; their MX records are served by a DNS server at " + d.dns.Addr() + ".")
	d.a, err = lab.Start(ctx, lab.Config{
		Binary: binary, Dir: filepath.Join(d.dir, "a"), Host: hostA, Hostname: "mail.a.test", Domain: "a.test",
		Resolver: d.dns.Addr(), Port: portB, Log: d.logOfA,
		Accounts: []lab.Account{{Address: demoAlice, Password: demoPassword}},
	})
	return err
}

// stop ends what start and relay began and leaves nothing behind.
func (d *demo) stop() {
	for _, s := range []*lab.Site{d.a, d.b} {
		if s != nil {
			s.Stop()
		}
	}
	if d.dns != nil {
		d.dns.Close()
	}
	if d.dir != "" {
		os.RemoveAll(d.dir)
	}
}

// logOfA waits for A to say that it delivered.
func (d *demo) logOfA(line []byte) {
	var l logLine
	if json.Unmarshal(line, &l) != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if l.Msg == maillog.Delivered {
		select {
		case <-d.delivered:
		default:
			close(d.delivered)
		}
	}
}

func (d *demo) logOfB(line []byte) {
	var l logLine
	if json.Unmarshal(line, &l) == nil && l.Msg == maillog.Accepted {
		select {
		case d.filed <- l:
		default:
		}
	}
}

func (d *demo) compose(context.Context) error {
	d.message = []byte(strings.ReplaceAll(fmt.Sprintf(`From: Alice <%s>
To: Bob <%s>
Subject: From Alice to Bob
Date: %s
Message-ID: <%s@a.test>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Hello Bob,

this is the message of the lecture, with greetings from Zürich.
.This line starts with a dot, which SMTP and POP3 double on the wire.

Alice
`, demoAlice, demoBob, mail.FormatDate(time.Now()), mail.NewID(time.Now())), "\n", "\r\n"))
	d.out.text(string(d.message))
	return nil
}

func (d *demo) submit(ctx context.Context) error {
	c, err := d.out.dial(ctx, d.a.Addr["submission"])
	if err != nil {
		return err
	}
	defer c.close()
	c.phase("handshake")
	c.hear("220")
	c.say("EHLO laptop.a.test")
	c.hear("250")
	c.say("AUTH PLAIN")
	c.hear("334")
	c.saySecret(plainResponse(demoAlice, demoPassword))
	c.hear("235")
	c.phase("transfer")
	c.say("MAIL FROM:<" + demoAlice + "> BODY=8BITMIME")
	c.hear("250")
	c.say("RCPT TO:<" + demoBob + ">")
	c.hear("250")
	c.say("DATA")
	c.hear("354")
	for line := range strings.Lines(string(d.message)) {
		if strings.HasPrefix(line, ".") {
			line = "." + line // RFC 5321 §4.5.2
		}
		c.say(strings.TrimSuffix(line, "\r\n"))
	}
	c.say(".")
	reply := c.hear("250")
	c.phase("closure")
	c.say("QUIT")
	c.hear("221")
	if c.err != nil {
		return c.err
	}
	_, id, ok := strings.Cut(reply, "id ")
	if !ok {
		return fmt.Errorf("the reply to DATA names no id: %q", reply)
	}
	d.id, _, _ = strings.Cut(id, " ")
	return nil
}

// queued shows the committed queue row, read through A's control socket by
// the command that an operator would use.
func (d *demo) queued(ctx context.Context) error {
	out, err := d.a.Run(ctx, "", "queue", "list", "--json")
	if err != nil {
		return err
	}
	var rows []json.RawMessage
	if err := json.Unmarshal([]byte(out), &rows); err != nil {
		return fmt.Errorf("queue list: %w", err)
	}
	if len(rows) != 1 || !bytes.Contains(rows[0], []byte(d.id)) || !bytes.Contains(rows[0], []byte(demoBob)) {
		return fmt.Errorf("the queue should hold one row, for message %s, and holds %s", d.id, out)
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, rows[0], "", "  "); err != nil {
		return err
	}
	d.out.text("$ postrider queue list --json\n" + pretty.String())
	return d.journey(ctx, d.a, d.id)
}

// journey shows what a server tells of a message, by the command that an
// operator would use.
func (d *demo) journey(ctx context.Context, s *lab.Site, id string) error {
	out, err := s.Run(ctx, "", "journey", id)
	if err == nil {
		d.out.text(s.Hostname + "$ postrider journey " + id + "\n" + out)
	}
	return err
}

// read waits until B has noted that Bob read the message, which it does in
// the background.
func (d *demo) read(ctx context.Context) error {
	for {
		out, err := d.b.Run(ctx, "", "journey", d.idB)
		if err != nil {
			return err
		}
		if strings.Contains(out, string(store.EventFetched)) {
			return nil
		}
		select {
		case <-ctx.Done():
			return late(ctx, d.b, "has not noted who read the message")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// dialogue is what A's server said to B's in the attempt that succeeded, from
// the journey.
func (d *demo) dialogue(ctx context.Context) ([]traceLine, error) {
	out, err := d.a.Run(ctx, "", "journey", d.id, "--json")
	if err != nil {
		return nil, err
	}
	var found []journeyOf
	if err := json.Unmarshal([]byte(out), &found); err != nil || len(found) != 1 {
		return nil, fmt.Errorf("journey of %s: %w: %s", d.id, err, out)
	}
	var lines []traceLine
	for _, ev := range found[0].Events {
		if ev.Kind != store.EventAttempt {
			continue
		}
		lines = nil
		phase := "handshake"
		for _, l := range eventData[store.Attempt](&ev).Lines {
			dir, text, _ := strings.Cut(l, " ")
			if strings.HasPrefix(text, "MAIL FROM:") {
				phase = "transfer"
			}
			lines = append(lines, traceLine{phase, map[string]string{"C:": ">", "S:": "<", "--": "="}[dir], text})
		}
	}
	if len(lines) == 0 {
		return nil, errors.New("the journey has no dialogue")
	}
	return lines, nil
}

// relay starts Bob's server, waits until Alice's has delivered, and shows
// what they said to each other, as Alice's server logged it.
func (d *demo) relay(ctx context.Context) (err error) {
	if d.b, err = lab.Start(ctx, d.configB); err != nil {
		return err
	}
	d.out.note("mail.b.test is up now; the next attempt from the queue finds it.")
	select {
	case <-d.delivered:
	case <-ctx.Done():
		return late(ctx, d.a, "has not delivered")
	}
	text, err := d.carried(ctx)
	if err != nil {
		return err
	}
	lines, err := d.dialogue(ctx)
	if err != nil {
		return err
	}
	d.out.dialogue(lines, text)
	d.out.note("The dialogue stands in the message's journey; the message's own lines, which no journey has, are shown from the copy that mail.b.test took.")
	out, err := d.a.Run(ctx, "", "queue", "list", "--json")
	if err == nil && strings.TrimSpace(out) != "[]" {
		err = fmt.Errorf("the queue is not empty afterwards: %s", out)
	}
	return err
}

// late says why nothing more is waited for: somebody ended the demo, or a
// site did not do its part.
func late(ctx context.Context, s *lab.Site, what string) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return errors.New("interrupted")
	}
	log := strings.Split(strings.TrimSpace(s.LogTail()), "\n")
	return fmt.Errorf("%s %s in time; its log ends with %s", s.Hostname, what, log[len(log)-1])
}

// carried returns what went into DATA from A to B: B's copy less the fields
// that B put in front, up to its own Received.
func (d *demo) carried(ctx context.Context) ([]byte, error) {
	quiet := &script{w: io.Discard}
	c, err := quiet.dial(ctx, d.b.Addr["imap"])
	if err != nil {
		return nil, err
	}
	defer c.close()
	c.hear("* OK")
	c.imapLogin()
	c.imap("b EXAMINE INBOX")
	c.imap("c FETCH 1 BODY.PEEK[]")
	for f := range mail.Fields(c.literal) {
		c.literal = c.literal[len(f.Raw):]
		if f.Name == "Received" {
			break
		}
	}
	return c.literal, c.err
}

// mailbox shows that B took responsibility, by its log and by IMAP.
func (d *demo) mailbox(ctx context.Context) error {
	select {
	case l := <-d.filed:
		d.idB = l.ID
		d.out.note(fmt.Sprintf("mail.b.test logged: accepted, id %s, from <%s>, %d bytes.", l.ID, l.From, l.Size))
	case <-ctx.Done():
		return late(ctx, d.b, "has accepted nothing")
	}
	c, err := d.out.dial(ctx, d.b.Addr["imap"])
	if err != nil {
		return err
	}
	defer c.close()
	c.phase("handshake")
	c.hear("* OK")
	c.imapLogin()
	c.phase("transfer")
	status := c.imap("b STATUS INBOX (MESSAGES UNSEEN UIDNEXT)")
	c.phase("closure")
	c.imap("c LOGOUT")
	if c.err == nil && !strings.Contains(status, "MESSAGES 1 ") {
		return fmt.Errorf("the INBOX of Bob should hold one message: %s", status)
	}
	return c.err
}

func (d *demo) fetch(ctx context.Context) error {
	for _, f := range []struct {
		how  string
		read func(context.Context) ([]byte, error)
	}{{"POP3 RETR", d.fetchPOP3}, {"IMAP BODY[]", d.fetchIMAP}} {
		got, err := f.read(ctx)
		if err != nil {
			return err
		}
		if err := d.compare(f.how, got); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) fetchPOP3(ctx context.Context) ([]byte, error) {
	c, err := d.out.dial(ctx, d.b.Addr["pop3"])
	if err != nil {
		return nil, err
	}
	defer c.close()
	c.phase("handshake")
	c.hear("+OK")
	c.say("USER " + demoBob)
	c.hear("+OK")
	c.say("PASS", demoPassword)
	c.hear("+OK")
	c.phase("transfer")
	c.say("STAT")
	c.hear("+OK 1 ")
	c.say("UIDL")
	c.hear("+OK")
	c.hearDotted()
	c.say("RETR 1")
	c.hear("+OK")
	got := c.hearDotted()
	c.phase("closure")
	c.say("QUIT")
	c.hear("+OK")
	return got, c.err
}

func (d *demo) fetchIMAP(ctx context.Context) ([]byte, error) {
	c, err := d.out.dial(ctx, d.b.Addr["imap"])
	if err != nil {
		return nil, err
	}
	defer c.close()
	c.phase("handshake")
	c.hear("* OK")
	c.imapLogin()
	c.phase("transfer")
	c.imap("b SELECT INBOX")
	c.imap("c FETCH 1 (FLAGS BODY[])")
	got := c.literal
	c.phase("closure")
	c.imap("d LOGOUT")
	return got, c.err
}

// compare checks that got is Alice's message behind header fields of the two
// servers, by the SHA-256 of what she wrote.
func (d *demo) compare(how string, got []byte) error {
	cut := len(got) - len(d.message)
	if cut < 0 || sha256.Sum256(got[cut:]) != sha256.Sum256(d.message) {
		return fmt.Errorf("%s: what Bob read is not what Alice wrote", how)
	}
	known := []string{"Return-Path", "Received", "DKIM-Signature", "Authentication-Results", "Received-SPF"}
	var ours []string
	for f := range mail.Fields(got[:cut]) {
		if !slices.Contains(known, f.Name) {
			return fmt.Errorf("%s: a field %s stands before Alice's message", how, f.Name)
		}
		ours = append(ours, f.Name)
		cut -= len(f.Raw)
	}
	if cut != 0 {
		return fmt.Errorf("%s: there is more than header fields before Alice's message", how)
	}
	d.out.note(fmt.Sprintf("%s: SHA-256 of Alice's %d bytes is the same; before them stand %s, put there by the servers.",
		how, len(d.message), strings.Join(ours, ", ")))
	return nil
}
