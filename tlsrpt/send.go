package tlsrpt

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"postrider/delivery"
	"postrider/internal/daily"
	"postrider/internal/maillog"
	"postrider/internal/resolve"
	"postrider/mail"
	"postrider/store"
)

// Limits of sending.
const (
	maxURIs  = 4 // of a domain that are told
	postTime = time.Minute
)

// Sender writes counts down and sends reports.
type Sender struct {
	Counter  *Counter
	Store    *store.Store
	Deliver  *delivery.Deliverer
	Resolver *resolve.Resolver
	Client   *http.Client // for reports by HTTPS; publichttp makes it
	Hostname string       // who reports
	Contact  mail.Address // whom to ask about reports, and who sends them
	Spread   float64      // [0, 1): how long after midnight it sends
	Now      func() time.Time
	Log      *slog.Logger
}

// Run works until ctx ends.
func (s *Sender) Run(ctx context.Context) {
	job := daily.Job{Flush: s.Counter.Flush, Send: s.Send, What: "TLS reports", Now: s.Now, Log: s.Log}
	job.Run(ctx)
}

// Send sends what is to be sent of the days that are over.
func (s *Sender) Send(ctx context.Context) error {
	over := store.DayOf(daily.Today(s.Now(), s.Spread)) - 1
	domains, err := s.Store.TLSDomains(ctx, over)
	for _, d := range domains {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		rerr := s.report(ctx, d)
		if rerr != nil {
			s.Log.Info(maillog.Warning, "doing", "TLS report", "domain", d.Domain, "err", rerr)
		}
		if rerr == nil || over-d.Day >= daily.GiveUp {
			err = errors.Join(err, s.Store.DropTLSCounts(ctx, d))
		}
	}
	return err
}

// report tells one domain of one day; nil if it does not want to know.
func (s *Sender) report(ctx context.Context, d store.TLSDomain) error {
	txts, _, err := s.Resolver.TXT(ctx, "_smtp._tls."+d.Domain)
	if err != nil && !errors.Is(err, resolve.ErrNoDomain) && !errors.Is(err, resolve.ErrBadName) {
		return err
	}
	uris := ParseRecord(txts)
	if len(uris) == 0 {
		return nil
	}
	counts, err := s.Store.TLSCounts(ctx, d)
	if err != nil {
		return err
	}
	r := &Report{Organization: s.Hostname, Contact: s.Contact.String(), Policies: results(d.Domain, counts),
		Range: DateRange{d.Day.Begin(), (d.Day + 1).Begin().Add(-time.Second)}}
	r.ID = fmt.Sprintf("%s.%s@%s", r.Range.Start.Format("20060102"), d.Domain, s.Hostname)
	packed, err := pack(r)
	if err != nil {
		return err
	}
	// Every address gets it; that some cannot be reached does not lose it for
	// the others (RFC 8460 §3).
	uris = uris[:min(len(uris), maxURIs)]
	var failed []error
	for i, u := range uris {
		if u.Scheme == "https" {
			err = s.post(ctx, u, packed)
		} else {
			err = s.mail(ctx, d, i, u, r, packed)
		}
		if err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) == len(uris) {
		return errors.Join(failed...)
	}
	s.Log.Info(maillog.Notice, "kind", "TLS report", "domain", d.Domain, "day", r.Range.Start.Format(time.DateOnly), "policies", len(r.Policies))
	return nil
}

func pack(r *Report) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := json.NewEncoder(z).Encode(r); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// ParseRecord finds where a domain wants reports in the TXT records of
// _smtp._tls.DOMAIN (RFC 8460 §3).
func ParseRecord(txts []string) []*url.URL {
	var found []string
	for _, t := range txts {
		if v, _, ok := strings.Cut(t, ";"); ok && strings.TrimSpace(v) == "v=TLSRPTv1" {
			found = append(found, t)
		}
	}
	if len(found) != 1 {
		return nil
	}
	var out []*url.URL
	for f := range strings.SplitSeq(found[0], ";") {
		key, value, _ := strings.Cut(f, "=")
		if strings.TrimSpace(key) != "rua" {
			continue
		}
		for a := range strings.SplitSeq(value, ",") {
			u, err := url.Parse(strings.TrimSpace(a))
			if err == nil && (u.Scheme == "mailto" && u.Opaque != "" || u.Scheme == "https" && u.Hostname() != "") {
				out = append(out, u)
			}
		}
	}
	return out
}

// post hands a report over by HTTPS (RFC 8460 §5.4).
func (s *Sender) post(ctx context.Context, u *url.URL, packed []byte) error {
	ctx, cancel := context.WithTimeout(ctx, postTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(packed))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/tlsrpt+gzip")
	resp, err := s.Client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	io.CopyN(io.Discard, resp.Body, 4096)
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s answers %d", u.Hostname(), resp.StatusCode)
	}
	return nil
}

// mail sends a report as a message (RFC 8460 §5.3).
func (s *Sender) mail(ctx context.Context, d store.TLSDomain, n int, u *url.URL, r *Report, packed []byte) error {
	to, err := url.PathUnescape(u.Opaque)
	if err != nil {
		return err
	}
	rcpt, err := mail.ParseAddress(to)
	if err != nil {
		return err
	}
	m := &delivery.Message{ID: mail.NewID(s.Now()), Op: store.OpID(fmt.Sprintf("tlsrpt/%d/%s/%d", d.Day, d.Domain, n)),
		Body: bytes.NewReader(s.compose(rcpt, d, r, packed)), Submission: true}
	m.Envelope = mail.Envelope{From: s.Contact, Body: mail.Body7Bit, Rcpts: []mail.Recipient{{Addr: rcpt, Notify: mail.NotifyNever}}}
	_, err = s.Deliver.Accept(ctx, m)
	return err
}

func (s *Sender) compose(to mail.Address, d store.TLSDomain, r *Report, packed []byte) []byte {
	var words strings.Builder
	fmt.Fprintf(&words, "This is a report on the TLS of connections from %s to the mail hosts of\n%s on %s (RFC 8460).\n\n",
		s.Hostname, d.Domain, r.Range.Start.Format(time.DateOnly))
	var lines strings.Builder
	Summarise(&lines, []*Report{r})
	words.WriteString(ascii(lines.String()))
	m := mail.DomainReport{
		From: s.Contact, To: []mail.Address{to}, Date: s.Now(), Domain: d.Domain, Submitter: s.Hostname, ID: r.ID,
		Fields: [][2]string{
			{"TLS-Report-Domain", d.Domain},
			{"TLS-Report-Submitter", s.Hostname},
			{"TLS-Required", "No"}, // it goes even where TLS fails
		},
		Type: `multipart/report; report-type="tlsrpt"`, Text: words.String(),
		Begin: r.Range.Start, End: r.Range.End,
		FileType: "application/tlsrpt+gzip", Extension: "json.gz", File: packed,
	}
	return m.Bytes()
}

func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '×':
			return 'x'
		case r > '~':
			return '?'
		}
		return r
	}, s)
}
