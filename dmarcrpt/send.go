package dmarcrpt

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/net/publicsuffix"

	"postrider/delivery"
	"postrider/internal/daily"
	"postrider/internal/maillog"
	"postrider/internal/resolve"
	"postrider/mail"
	"postrider/mailauth"
	"postrider/store"
)

// Resolver looks policies up.
type Resolver interface {
	TXT(ctx context.Context, name string) ([]string, resolve.Info, error)
}

// Sender writes counts down and sends reports.
type Sender struct {
	Counter  *Counter
	Store    *store.Store
	Deliver  *delivery.Deliverer
	Resolver Resolver
	Hostname string       // who reports
	Contact  mail.Address // whom to ask about reports, and who sends them
	Spread   float64      // [0, 1): how long after midnight it sends
	Now      func() time.Time
	Log      *slog.Logger
}

// Run works until ctx ends.
func (s *Sender) Run(ctx context.Context) {
	job := daily.Job{Flush: s.Counter.Flush, Send: s.Send, What: "DMARC reports", Now: s.Now, Log: s.Log}
	job.Run(ctx)
}

// Send sends what is to be sent of the days that are over.
func (s *Sender) Send(ctx context.Context) error {
	over := store.DayOf(daily.Today(s.Now(), s.Spread)) - 1
	domains, err := s.Store.DMARCDomains(ctx, over)
	for _, d := range domains {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		rerr := s.report(ctx, d)
		if rerr != nil {
			s.Log.Info(maillog.Warning, "doing", "DMARC report", "domain", d.Domain, "err", rerr)
		}
		if rerr == nil || over-d.Day >= daily.GiveUp {
			err = errors.Join(err, s.Store.DropDMARCCounts(ctx, d))
		}
	}
	return err
}

// report tells one domain of one day; nil if it does not want to know.
func (s *Sender) report(ctx context.Context, d store.DMARCDomain) error {
	record, err := s.policy(ctx, d.Domain)
	if record == nil || err != nil {
		return err
	}
	to, err := s.recipients(ctx, d.Domain, record.RUA)
	if len(to) == 0 || err != nil {
		return err
	}
	counts, err := s.Store.DMARCCounts(ctx, d)
	if err != nil {
		return err
	}
	begin, end := d.Day.Begin(), (d.Day + 1).Begin().Add(-time.Second)
	r := &Report{XMLName: xml.Name{Space: Namespace, Local: "feedback"}, Version: "1.0", Policy: publish(d.Domain, record), Records: recordsOf(counts),
		Metadata: Metadata{Org: s.Hostname, Email: s.Contact.String(), ID: fmt.Sprintf("%s.%s.%s", begin.Format("20060102"), d.Domain, s.Hostname),
			Begin: begin.Unix(), End: end.Unix(), Generator: "Postrider"}}
	text, err := s.compose(to, r)
	if err != nil {
		return err
	}
	m := &delivery.Message{ID: mail.NewID(s.Now()), Op: store.OpID(fmt.Sprintf("dmarcrpt/%d/%s", d.Day, d.Domain)), Body: bytes.NewReader(text), Submission: true}
	m.Envelope = mail.Envelope{From: s.Contact, Body: mail.Body7Bit}
	for _, a := range to {
		m.Envelope.Rcpts = append(m.Envelope.Rcpts, mail.Recipient{Addr: a, Notify: mail.NotifyNever})
	}
	if _, err := s.Deliver.Accept(ctx, m); err != nil {
		return err
	}
	s.Log.Info(maillog.Notice, "id", m.ID, "kind", "DMARC report", "domain", d.Domain, "day", begin.Format(time.DateOnly), "records", len(r.Records))
	return nil
}

// policy finds a domain's record, nil if it has none now.
func (s *Sender) policy(ctx context.Context, domain string) (*mailauth.Record, error) {
	txts, _, err := s.Resolver.TXT(ctx, "_dmarc."+domain)
	if err != nil && !none(err) {
		return nil, err
	}
	var found *mailauth.Record
	for _, txt := range txts {
		if r, ok := mailauth.ParseRecord(txt); ok {
			if found != nil {
				return nil, nil
			}
			found = &r
		}
	}
	return found, nil
}

func none(err error) bool {
	return errors.Is(err, resolve.ErrNoDomain) || errors.Is(err, resolve.ErrBadName)
}

// recipients are the addresses that want a domain's reports: those elsewhere
// have to say that they do, or anybody could have them flooded (RFC 9990 §4).
func (s *Sender) recipients(ctx context.Context, domain string, rua []string) ([]mail.Address, error) {
	var to []mail.Address
	var failed error
	for _, uri := range rua {
		a, err := mail.ParseAddress(uri)
		if err != nil {
			continue
		}
		at, err := mail.DomainKey(a.Domain)
		if err != nil || at[0] == '[' {
			continue
		}
		ok := sameOrganization(domain, at)
		if !ok {
			if ok, err = s.invited(ctx, domain, at); err != nil {
				failed = err
			}
		}
		if ok {
			to = append(to, a)
		}
	}
	if len(to) > 0 {
		failed = nil
	}
	return to, failed
}

func sameOrganization(a, b string) bool {
	oa, ea := publicsuffix.EffectiveTLDPlusOne(a)
	ob, eb := publicsuffix.EffectiveTLDPlusOne(b)
	return a == b || ea == nil && eb == nil && oa == ob
}

func (s *Sender) invited(ctx context.Context, domain, at string) (bool, error) {
	txts, _, err := s.Resolver.TXT(ctx, domain+"._report._dmarc."+at)
	if err != nil && !none(err) {
		return false, err
	}
	for _, txt := range txts {
		if _, ok := mailauth.ParseRecord(txt); ok {
			return true, nil
		}
	}
	return false, nil
}

// compose makes the message (RFC 9990 §3.5.2).
func (s *Sender) compose(to []mail.Address, r *Report) ([]byte, error) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write([]byte(xml.Header))
	e := xml.NewEncoder(z)
	e.Indent("", " ")
	if err := e.Encode(r); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	m := mail.DomainReport{
		From: s.Contact, To: to, Date: s.Now(), Domain: r.Policy.Domain, Submitter: s.Hostname, ID: r.Metadata.ID,
		Type:  "multipart/mixed",
		Text:  fmt.Sprintf("What %s found in mail from %s on %s,\nas its DMARC record asks for (RFC 9990).\n", s.Hostname, r.Policy.Domain, day(r.Metadata.Begin)),
		Begin: time.Unix(r.Metadata.Begin, 0), End: time.Unix(r.Metadata.End, 0),
		FileType: "application/gzip", Extension: "xml.gz", File: packed.Bytes(),
	}
	return m.Bytes(), nil
}
