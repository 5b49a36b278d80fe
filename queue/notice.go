package queue

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-message"

	"postrider/delivery"
	"postrider/mail"
	"postrider/store"
)

// Limits of a notice.
const (
	maxHeader   = 64 << 10 // of the original that is looked at and returned
	maxReturn   = 64 << 10 // of an original returned whole though nobody asked
	maxFull     = 1 << 20  // of one returned because of RET=FULL
	maxSubject  = 100      // runes of the original's subject in ours
	maxText     = 900      // octets of one server's words: without a space they are one line (RFC 5322 §2.1.1)
	wrapAt      = 74       // columns of the text for people
	foldAt      = 76       // columns of a field of the second part
	senderLabel = "Mail Delivery System"
)

func (k kind) String() string {
	return [...]string{"none", "failed", "delayed", "relayed", "delivered"}[k]
}

// Notifier composes delivery status notices (RFC 3464).
type Notifier struct {
	hostname string
	now      func() time.Time
}

// NewNotifier makes a Notifier for the server of this name; now may be nil.
func NewNotifier(hostname string, now func() time.Time) *Notifier {
	if now == nil {
		now = time.Now
	}
	return &Notifier{hostname: hostname, now: now}
}

// original is the message that a notice is about.
type original struct {
	id      mail.ID
	env     mail.Envelope
	arrived time.Time
	expires time.Time
	size    int64
	body    interface {
		ReadAt([]byte, int64) (int, error)
	}
	header  []byte // its beginning
	subject string
	msgID   string // of its Message-ID field
}

// fate is what a notice says of one recipient.
type fate struct {
	rcpt    mail.Recipient
	kind    kind
	status  string // enhanced status code (RFC 3463)
	host    string // remote server; empty if none spoke
	diag    string // its reply; empty if none
	words   string // ours, if no server spoke
	last    time.Time
	expired bool
}

// Delivered is a delivery.Options.Notice: it tells the sender that rcpts have
// the message in their mailboxes, as NOTIFY=SUCCESS asks.
func (n *Notifier) Delivered(_ context.Context, m *delivery.Message, rcpts []mail.Recipient) (*delivery.Message, error) {
	o := &original{id: m.ID, env: m.Envelope, arrived: n.now(), size: m.Body.Size(), body: m.Body}
	if err := o.read(); err != nil {
		return nil, err
	}
	var fates []fate
	for _, r := range rcpts {
		fates = append(fates, fate{rcpt: r, kind: deliver, status: "2.1.5", last: o.arrived})
	}
	notice, err := n.compose(o, deliver, fates)
	if err == nil {
		notice.Events = []store.Event{store.NewEvent(store.EventNotice, o.arrived, &store.NoticeOf{About: m.ID, Tells: deliver.String(), To: m.Envelope.From.String()})}
	}
	return notice, err
}

// addNotices composes and prepares the notices that a result calls for: one
// of each kind at most, whatever the number of recipients.
func (q *Queue) addNotices(ctx context.Context, r *result, c *store.Content) {
	o := &original{id: r.m.Message, env: r.m.Envelope, arrived: r.m.Created, expires: r.m.Expires, size: c.Size, body: c}
	o.env.From = q.o.Deliver.Origin(ctx, o.env.From)
	r.sender = o.env.From
	if err := o.read(); err != nil {
		o.header = nil // the notice matters more than what it quotes
	}
	for _, k := range []kind{failure, delay, relay} {
		var fates []fate
		op := store.OpID("")
		for _, v := range r.verdicts {
			if v.notice != k {
				continue
			}
			if op == "" {
				op = store.OpID("dsn/" + strconv.FormatInt(int64(v.rcpt.ID), 10))
				if k == delay {
					op += "/delayed"
				}
			}
			fates = append(fates, fateOf(v, q.o.Now()))
		}
		if len(fates) == 0 {
			continue
		}
		m, err := q.notice.compose(o, k, fates)
		var a *store.Acceptance
		if err == nil {
			m.Op = op
			m.Events = []store.Event{store.NewEvent(store.EventNotice, q.o.Now(), &store.NoticeOf{About: o.id, Tells: k.String(), To: o.env.From.String()})}
			a, err = q.o.Deliver.Prepare(ctx, m)
		}
		if err != nil {
			q.unsaid(r, k, err)
			continue
		}
		r.notices, r.about = append(r.notices, a), append(r.about, k)
	}
}

// fateOf puts a verdict into the terms of a notice.
func fateOf(v verdict, now time.Time) fate {
	f := fate{rcpt: v.rcpt.Recipient, kind: v.notice, status: v.outcome.Enhanced, expired: v.expired, last: now}
	if v.outcome.Code != 0 {
		f.host, f.diag = v.outcome.Host, cut(v.outcome.Reply())
	} else {
		f.host, f.words = v.outcome.Host, cut(v.outcome.Text)
	}
	switch {
	case v.expired:
		// The class stays that of a persistent transient failure: sending
		// again later may succeed (RFC 3463 §2).
		f.status = "4.4.7"
	case v.notice == failure && !strings.HasPrefix(f.status, "5."):
		f.status = "5.0.0"
	}
	return f
}

func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + " …"
}

// read looks at the original's header.
func (o *original) read() error {
	b := make([]byte, min(o.size, maxHeader))
	if n, err := o.body.ReadAt(b, 0); n < len(b) {
		return fmt.Errorf("read header of %s: %w", o.id, err)
	}
	o.header = b[:mail.HeaderSize(b)]
	for f := range mail.Fields(o.header) {
		switch {
		case o.subject == "" && strings.EqualFold(f.Name, "Subject"):
			o.subject = oneLine(mail.DecodeText(f.Value()))
		case o.msgID == "" && strings.EqualFold(f.Name, "Message-ID"):
			if v := strings.TrimSpace(f.Value()); isMessageID(v) {
				o.msgID = v
			}
		}
	}
	return nil
}

// isMessageID tells whether a Message-ID may be repeated in a header of ours.
func isMessageID(s string) bool {
	if len(s) < 3 || len(s) > 250 || s[0] != '<' || s[len(s)-1] != '>' {
		return false
	}
	for i := 1; i < len(s)-1; i++ {
		if s[i] <= ' ' || s[i] > '~' || s[i] == '<' || s[i] == '>' {
			return false
		}
	}
	return true
}

// oneLine makes text fit to stand in a subject and in a sentence.
func oneLine(s string) string {
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "\uFFFD"), func(r rune) bool {
		return r <= ' ' || r == 0x7f || r >= 0x80 && r <= 0xa0 || r == 0x2028 || r == 0x2029
	}), " ")
	if r := []rune(s); len(r) > maxSubject {
		return string(r[:maxSubject]) + " …"
	}
	return s
}

// compose makes the whole notice.
func (n *Notifier) compose(o *original, k kind, fates []fate) (*delivery.Message, error) {
	id := mail.NewID(n.now())
	// Who sent by SMTPUTF8 can be told in UTF-8 (RFC 6533 §2).
	global := o.env.UTF8 || !o.env.From.IsASCII()
	var b bytes.Buffer
	w, err := message.CreateWriter(&b, n.header(o, k, id))
	if err != nil {
		return nil, fmt.Errorf("compose notice: %w", err)
	}
	quote, err := o.quote(k, global)
	if err != nil {
		return nil, err
	}
	for _, p := range []part{textPart(n.text(o, k, fates)), n.status(o, fates, global), quote} {
		if err := p.write(w); err != nil {
			return nil, fmt.Errorf("compose notice: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compose notice: %w", err)
	}
	m := &delivery.Message{ID: id, Body: bytes.NewReader(b.Bytes())}
	m.Envelope.UTF8 = global
	m.Envelope.RequireTLS = o.env.RequireTLS // RFC 8689 §5
	m.Envelope.Body = mail.Body7Bit
	if hasEight(b.Bytes()) {
		m.Envelope.Body = mail.Body8Bit
	}
	m.Envelope.Rcpts = []mail.Recipient{{Addr: o.env.From, Notify: mail.NotifyNever}}
	return m, nil
}

// header is that of the whole notice. The last field set is the first written.
func (n *Notifier) header(o *original, k kind, id mail.ID) message.Header {
	subject := map[kind]string{failure: "Not delivered", delay: "Delayed", relay: "Passed on", deliver: "Delivered"}[k]
	if o.subject != "" {
		subject += ": " + o.subject
	}
	var h message.Header
	h.SetContentType("multipart/report", map[string]string{"report-type": "delivery-status"}) // RFC 6522 §3
	h.Set("MIME-Version", "1.0")
	h.Set("Auto-Submitted", "auto-replied") // robots must not answer (RFC 3834 §5)
	if o.msgID != "" {
		h.Set("References", o.msgID)
		h.Set("In-Reply-To", o.msgID)
	}
	h.Set("Message-ID", fmt.Sprintf("<%s@%s>", id, n.hostname))
	h.Set("Subject", mail.EncodeWord(subject))
	h.Set("To", "<"+o.env.From.String()+">")
	h.Set("From", fmt.Sprintf("%s <MAILER-DAEMON@%s>", senderLabel, n.hostname))
	h.Set("Date", mail.FormatDate(n.now()))
	return h
}

// part is one of the three parts of a notice (RFC 6522 §3).
type part struct {
	contentType string
	encoding    string // empty is 7bit
	text        []byte
}

func (p part) write(w *message.Writer) error {
	var h message.Header
	if p.encoding != "" {
		h.Set("Content-Transfer-Encoding", p.encoding)
	}
	h.Set("Content-Type", p.contentType)
	pw, err := w.CreatePart(h)
	if err != nil {
		return err
	}
	if _, err := pw.Write(p.text); err != nil {
		return err
	}
	return pw.Close()
}

// quote is the third part: the original, or its header (RFC 3461 §4.3,
// RFC 6522 §3).
func (o *original) quote(k kind, global bool) (part, error) {
	// RFC 8689 §5: what had to travel over TLS alone comes back as its header.
	full := k == failure && !o.env.RequireTLS && o.size > 0 && (o.env.Ret == mail.RetFull && o.size <= maxFull || o.env.Ret == "" && o.size <= maxReturn)
	p := part{contentType: "text/rfc822-headers", text: bytes.TrimSuffix(o.header, []byte("\r\n\r\n"))}
	if full {
		p.text = make([]byte, o.size)
		if n, err := o.body.ReadAt(p.text, 0); n < len(p.text) {
			return p, fmt.Errorf("quote %s: %w", o.id, err)
		}
	}
	switch {
	case full && global:
		p.contentType = "message/global"
	case full:
		p.contentType = "message/rfc822"
	case global:
		p.contentType = "message/global-headers"
	}
	if hasEight(p.text) {
		p.encoding = "8bit"
	}
	return p, nil
}

func hasEight(b []byte) bool {
	for _, c := range b {
		if c > 127 {
			return true
		}
	}
	return false
}
