package queue

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"postrider/mail"
	"postrider/smtpc"
	"postrider/smtpc/smtpctest"
)

// parsed is a notice as Python's email package reads it.
type parsed struct {
	Type, Report string
	Header       map[string]string
	Text         string
	StatusType   string
	Status       []map[string]string
	Third        string
	Quoted       string
	Defects      []string
}

const reader = `
import email, email.policy, json, sys
m = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
p = list(m.iter_parts())
assert len(p) == 3, len(p)
status = p[1]
blocks = status.get_payload()
if status.get_content_type() == "message/global-delivery-status":
    # Python knows message/delivery-status only; the blocks are alike.
    text = blocks[0].as_bytes(policy=email.policy.default.clone(utf8=True, max_line_length=0)).decode("utf-8")
    blocks = [email.message_from_string(b, policy=email.policy.default) for b in text.replace("\r\n", "\n").strip().split("\n\n")]
q = p[2].get_payload()
quoted = p[2].get_content().as_string() if p[2].get_content_type() == "message/rfc822" else str(q[0] if isinstance(q, list) else q)
defects = [repr(d) for x in m.walk() for d in x.defects]
json.dump(dict(Type=m.get_content_type(), Report=m.get_param("report-type"), Header={k: str(v) for k, v in m.items()},
    Text=p[0].get_content(), StatusType=status.get_content_type(),
    Status=[{k: str(v) for k, v in b.items()} for b in blocks],
    Third=p[2].get_content_type(), Quoted=quoted, Defects=defects), sys.stdout)
`

// pythonReads parses a notice with Python's email package.
func pythonReads(t testing.TB, text string) *parsed {
	t.Helper()
	cmd := exec.Command("python3", "-c", reader)
	cmd.Stdin = strings.NewReader(text)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("python3: %v\n%s\n%s", err, errs.Bytes(), text)
	}
	p := &parsed{}
	if err := json.Unmarshal(out, p); err != nil {
		t.Fatal(err)
	}
	if p.Type != "multipart/report" || p.Report != "delivery-status" || p.Header["Auto-Submitted"] != "auto-replied" ||
		p.Header["From"] != "Mail Delivery System <MAILER-DAEMON@mail.a.test>" || p.Header["Return-Path"] != "<>" ||
		p.Header["Mime-Version"] != "1.0" || p.Header["Message-Id"] == "" || p.Header["Date"] == "" || len(p.Defects) > 0 {
		t.Errorf("got %+v", p)
	}
	if p.Status[0]["Reporting-MTA"] != "dns; mail.a.test" || p.Status[0]["Arrival-Date"] == "" {
		t.Errorf("got %+v", p.Status)
	}
	return p
}

// only is the one notice in alice's INBOX.
func (r *rig) only() *parsed {
	r.t.Helper()
	r.until("a notice", func() bool { return len(r.inbox()) > 0 })
	n := r.inbox()
	if len(n) != 1 {
		r.t.Fatalf("%d notices", len(n))
	}
	if testing.Verbose() {
		r.t.Log("\n" + n[0])
	}
	return pythonReads(r.t, n[0])
}

// has compares fields of a block.
func has(t testing.TB, block map[string]string, pairs ...string) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if got := block[pairs[i]]; got != pairs[i+1] {
			t.Errorf("%s: %q, want %q", pairs[i], got, pairs[i+1])
		}
	}
}

func contains(t testing.TB, text string, parts ...string) {
	t.Helper()
	flat := strings.Join(strings.Fields(text), " ")
	for _, p := range parts {
		if !strings.Contains(flat, p) {
			t.Errorf("%q is not in\n%s", p, text)
		}
	}
}

func TestNoticeFailed(t *testing.T) {
	s := smtpctest.New(t, refuse("RCPT TO:<nobody", "550-5.1.1 The user is not here,\r\n550 5.1.1 and never was"))
	r := newRig(t, s).run()
	id := r.send(func(e *mail.Envelope) {
		e.EnvID = "QQ314159"
		e.Rcpts[0].ORcpt = "rfc822;old@b.test"
	}, "nobody@b.test", "bob@b.test", "nobody2@b.test")
	p := r.only()
	r.empty()
	has(t, p.Header, "Subject", "Not delivered: Lunch on Friday", "To", "alice@a.test", "In-Reply-To", "<lunch@a.test>")
	has(t, p.Status[0], "Original-Envelope-Id", "QQ314159", "X-Postrider-Id", string(id), "Arrival-Date", "Sun, 01 Mar 2026 12:00:00 +0000")
	if len(p.Status) != 3 {
		t.Fatalf("%d blocks", len(p.Status))
	}
	has(t, p.Status[1], "Original-Recipient", "rfc822; old@b.test", "Final-Recipient", "rfc822; nobody@b.test", "Action", "failed",
		"Status", "5.1.1", "Remote-MTA", "dns; mx.b.test", "Diagnostic-Code", "smtp; 550 5.1.1 The user is not here, and never was",
		"Last-Attempt-Date", "Sun, 01 Mar 2026 12:00:00 +0000", "Will-Retry-Until", "")
	has(t, p.Status[2], "Final-Recipient", "rfc822; nobody2@b.test", "Original-Recipient", "")
	contains(t, p.Text, "could not be delivered to these addresses: nobody@b.test (you wrote to old@b.test) There is no such address there.",
		"The server mx.b.test said: 550 5.1.1 The user is not here, and never was", "will not try again", string(id))
	if strings.Contains(p.Text, "    bob@b.test") || p.Third != "message/rfc822" || !strings.Contains(p.Quoted, "hello") {
		t.Errorf("got %+v", p)
	}
	if len(s.Messages()) != 1 || len(s.Messages()[0].Rcpts) != 1 {
		t.Errorf("the remote server has %+v", s.Messages())
	}
}

func TestNoticeDelayedOnceThenExpired(t *testing.T) {
	s := smtpctest.New(t, refuse("MAIL", "451 4.3.2 no disk"))
	r := newRig(t, s).run()
	r.send(nil, "bob@b.test")
	for n := 1; len(r.inbox()) == 0; n++ {
		q := r.tried(n)
		if age := r.clock.Now().Sub(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)); age > 4*time.Hour {
			t.Fatalf("no notice at the age of %v", age)
		} else if age == 4*time.Hour {
			break
		}
		r.later(q.Due.Sub(r.clock.Now()))
	}
	p := r.only()
	has(t, p.Header, "Subject", "Delayed: Lunch on Friday")
	has(t, p.Status[1], "Action", "delayed", "Status", "4.3.2", "Diagnostic-Code", "smtp; 451 4.3.2 no disk",
		"Will-Retry-Until", "Fri, 06 Mar 2026 12:00:00 +0000", "Last-Attempt-Date", "Sun, 01 Mar 2026 16:00:00 +0000")
	contains(t, p.Text, "has not been delivered yet", "You do not have to do anything")
	if p.Third != "text/rfc822-headers" || strings.Contains(p.Quoted, "hello") || !strings.Contains(p.Quoted, "Lunch") {
		t.Errorf("quoted as %s: %s", p.Third, p.Quoted)
	}
	for n := 0; len(r.queued()) == 1; n++ {
		if n > 100 {
			t.Fatal("it never expires")
		}
		q := r.queued()[0]
		if q.Due.After(r.clock.Now()) {
			r.later(q.Due.Sub(r.clock.Now()))
		}
		r.until("the next attempt", func() bool { now := r.queued(); return len(now) == 0 || now[0].Tries > q.Tries })
	}
	if got := r.clock.Now(); !got.Equal(time.Date(2026, 3, 6, 12, 0, 0, 0, time.UTC)) {
		t.Errorf("given up at %v", got)
	}
	n := r.inbox()
	if len(n) != 2 {
		t.Fatalf("%d notices", len(n))
	}
	if testing.Verbose() {
		t.Log("\n" + n[1])
	}
	p = pythonReads(t, n[1])
	has(t, p.Header, "Subject", "Not delivered: Lunch on Friday")
	has(t, p.Status[1], "Action", "failed", "Status", "4.4.7", "Diagnostic-Code", "smtp; 451 4.3.2 no disk", "Will-Retry-Until", "")
	contains(t, p.Text, "the time for that is over", "The server mx.b.test said: 451 4.3.2 no disk")
}

func TestNoticeRelayed(t *testing.T) {
	s := smtpctest.New(t, smtpctest.Options{Ext: []string{"SIZE"}})
	r := newRig(t, s).run()
	r.send(func(e *mail.Envelope) {
		e.Ret = mail.RetFull
		e.Rcpts[0].Notify = mail.NotifySuccess | mail.NotifyFailure
		e.Rcpts[1].Notify = mail.NotifyFailure
	}, "bob@b.test", "carol@b.test")
	p := r.only()
	r.empty()
	has(t, p.Header, "Subject", "Passed on: Lunch on Friday")
	if len(p.Status) != 2 || p.Third != "text/rfc822-headers" {
		t.Errorf("got %+v", p)
	}
	has(t, p.Status[1], "Final-Recipient", "rfc822; bob@b.test", "Action", "relayed", "Status", "2.0.0", "Remote-MTA", "dns; mx.b.test",
		"Diagnostic-Code", "smtp; 250 2.0.0 queued as 42")
	contains(t, p.Text, "was passed on for this address")
}

func TestNoNoticeWhereTheRemoteServerSendsThem(t *testing.T) {
	s := smtpctest.New(t, smtpctest.Options{})
	r := newRig(t, s).run()
	r.send(func(e *mail.Envelope) { e.Rcpts[0].Notify = mail.NotifySuccess }, "bob@b.test")
	if m := s.Wait(t, 1)[0]; !strings.Contains(m.Rcpts[0], "NOTIFY=SUCCESS") {
		t.Errorf("got %+v", m)
	}
	r.empty()
	if n := r.inbox(); len(n) != 0 {
		t.Errorf("got %q", n)
	}
}

func TestNullSenderNeverGetsANotice(t *testing.T) {
	s := smtpctest.New(t, refuse("RCPT", "550 5.1.1 no such user"))
	r := newRig(t, s).run()
	null := func(e *mail.Envelope) {
		e.From = mail.Address{}
		e.Rcpts[0].Notify = mail.NotifySuccess | mail.NotifyFailure
	}
	r.send(null, "bob@b.test")
	r.send(null, "bob@nomail.test")
	r.empty()
	if n := r.inbox(); len(n) != 0 || len(s.Messages()) != 0 {
		t.Errorf("got %q", n)
	}
	if strings.Contains(r.log.String(), "msg=notice") {
		t.Errorf("log:\n%s", r.log)
	}
}

func TestNotifyNever(t *testing.T) {
	s := smtpctest.New(t, refuse("RCPT", "550 5.1.1 no such user"))
	r := newRig(t, s).run()
	r.send(func(e *mail.Envelope) { e.Rcpts[0].Notify = mail.NotifyNever }, "bob@b.test")
	r.empty()
	if n := r.inbox(); len(n) != 0 {
		t.Errorf("got %q", n)
	}
}

func TestNoticeWithoutARemoteServer(t *testing.T) {
	r := newRig(t, nil).run()
	r.send(nil, "bob@nomail.test")
	p := r.only()
	has(t, p.Status[1], "Action", "failed", "Status", "5.1.10", "Remote-MTA", "",
		"Diagnostic-Code", "x-postrider; the domain nomail.test accepts no mail (null MX)")
	contains(t, p.Text, "This domain accepts no mail at all.")
}

func TestWhatIsReturned(t *testing.T) {
	big := letter + strings.Repeat("0123456789012345678901234567890123456789\r\n", 3000)
	for _, c := range []struct {
		ret  mail.Ret
		text string
		want string
	}{
		{"", letter, "message/rfc822"}, {mail.RetHeaders, letter, "text/rfc822-headers"}, {mail.RetFull, letter, "message/rfc822"},
		{"", big, "text/rfc822-headers"}, {mail.RetFull, big, "message/rfc822"},
		{"", "two lines of text\r\nwithout any header\r\n", "message/rfc822"},
		{"", "Subject: gr\xc3\xbcn\r\n\r\n8-bit h\xc3\xa4llo\r\n", "message/rfc822"},
	} {
		t.Run(fmt.Sprintf("%s %.10s %d", c.ret, c.text, len(c.text)), func(t *testing.T) {
			r := newRig(t, nil).run()
			r.sendText(c.text, func(e *mail.Envelope) { e.Ret = c.ret }, "bob@nomail.test")
			r.until("a notice", func() bool { return len(r.inbox()) == 1 })
			p := pythonReads(t, r.inbox()[0])
			if p.Third != c.want {
				t.Errorf("got %s", p.Third)
			}
			if c.want == "message/rfc822" && !strings.Contains(r.inbox()[0], c.text) {
				t.Errorf("got %s", p.Quoted)
			}
		})
	}
}

func TestInternationalNotice(t *testing.T) {
	s := smtpctest.New(t, smtpctest.Options{Ext: []string{"8BITMIME"}})
	r := newRig(t, s).run()
	r.send(func(e *mail.Envelope) { e.UTF8 = true; e.Rcpts[0].ORcpt = "utf-8;jürgen@b.test" }, "jürgen@b.test")
	p := r.only()
	if p.StatusType != "message/global-delivery-status" || p.Third != "message/global" {
		t.Errorf("got %+v", p)
	}
	has(t, p.Status[1], "Final-Recipient", "utf-8; jürgen@b.test", "Original-Recipient", "utf-8; jürgen@b.test", "Status", "5.6.7")
	contains(t, p.Text, "jürgen@b.test")
}

// TestNoticeLines shows that no word of a server makes a line too long for
// SMTP (RFC 5321 §4.5.3.1.6).
func TestNoticeLines(t *testing.T) {
	n := NewNotifier("mail.a.test", nil)
	text := "Subject: x\r\n\r\n"
	o := &original{id: "id", size: int64(len(text)), body: strings.NewReader(text)}
	o.env.From = mail.Address{Local: "alice", Domain: "a.test"}
	v := verdict{notice: failure, outcome: smtpc.Outcome{Status: smtpc.Permanent, Code: 550, Enhanced: "5.1.1", Text: strings.Repeat("x", 1500)}}
	m, err := n.compose(o, failure, []fate{fateOf(v, time.Now())})
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, m.Body.Size())
	m.Body.ReadAt(b, 0)
	for _, l := range strings.Split(string(b), "\r\n") {
		if len(l) > 998 {
			t.Errorf("a line of %d octets", len(l))
		}
	}
}

// FuzzNotice composes notices about anything: three parts come out, and
// nothing that a peer said becomes a header field.
func FuzzNotice(f *testing.F) {
	f.Add("Subject: x\r\n\r\n", "no\r\nEvil: 1", "env\r\nEvil: 1", "rfc822;a\r\nEvil: 1@b", true)
	f.Add("", "", "", ";", false)
	f.Add("Subject: =?utf-8?q?a=0D=0AEvil:_1?=\r\nMessage-ID: <a\r\n b>\r\n\r\n", "é", "x y", "utf-8;é", false)
	n := NewNotifier("mail.a.test", nil)
	f.Fuzz(func(t *testing.T, text, words, envid, orcpt string, utf8 bool) {
		o := &original{id: "id", size: int64(len(text)), body: strings.NewReader(text)}
		o.env.From = mail.Address{Local: "alice", Domain: "a.test"}
		o.env.UTF8, o.env.EnvID, o.env.Ret = utf8, envid, mail.RetHeaders
		if err := o.read(); err != nil {
			t.Fatal(err)
		}
		r := mail.Recipient{Addr: mail.Address{Local: "bob", Domain: "b.test"}, ORcpt: orcpt}
		m, err := n.compose(o, failure, []fate{{rcpt: r, kind: failure, status: "5.0.0", host: "mx.b.test", diag: words}})
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, m.Body.Size())
		m.Body.ReadAt(b, 0)
		meta, err := mail.Parse(bytes.NewReader(b))
		if err != nil || meta.Root.Subtype != "report" || len(meta.Root.Parts) != 3 {
			t.Fatalf("%v\n%s", err, b)
		}
		status := meta.Root.Parts[1].Body
		for _, part := range [][]byte{b[:meta.Root.Header.Size], b[status.Offset : status.Offset+status.Size]} {
			for _, l := range strings.Split(string(part), "\r\n") {
				if strings.HasPrefix(l, "Evil") || strings.ContainsAny(l, "\r\n\x00") {
					t.Fatalf("%q in\n%s", l, b)
				}
			}
		}
	})
}
