package dmarcrpt

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"postrider/mailauth"
	"postrider/store"
)

// Namespace of reports (RFC 9990 §6.1); those of RFC 7489 have none, or any.
const Namespace = "urn:ietf:params:xml:ns:dmarc-2.0"

// Limits of a report that others send: a few kilobytes unpack to millions of
// records.
const (
	maxRecords  = 20_000 // that are read
	maxElements = 25 * maxRecords
	maxCount    = 1 << 40 // messages of one record
)

// Report is an aggregate report (RFC 9990 appendix A).
type Report struct {
	XMLName  xml.Name  `json:"-"`
	Version  string    `xml:"version,omitempty" json:"-"`
	Metadata Metadata  `xml:"report_metadata" json:"metadata"`
	Policy   Published `xml:"policy_published" json:"policy"`
	Records  records   `xml:"record" json:"records"`
}

// Metadata says who reports of when.
type Metadata struct {
	Org       string `xml:"org_name" json:"org"`
	Email     string `xml:"email" json:"email"`
	ID        string `xml:"report_id" json:"id"`
	Begin     int64  `xml:"date_range>begin" json:"begin"`
	End       int64  `xml:"date_range>end" json:"end"`
	Generator string `xml:"generator,omitempty" json:"-"`
}

// Published is the policy as it was found.
type Published struct {
	Domain    string `xml:"domain" json:"domain"`
	P         string `xml:"p" json:"p"`
	SP        string `xml:"sp,omitempty" json:"sp,omitempty"`
	NP        string `xml:"np,omitempty" json:"np,omitempty"`
	ADKIM     string `xml:"adkim,omitempty" json:"adkim,omitempty"`
	ASPF      string `xml:"aspf,omitempty" json:"aspf,omitempty"`
	Discovery string `xml:"discovery_method,omitempty" json:"-"`
	FO        string `xml:"fo,omitempty" json:"-"`
	Testing   string `xml:"testing,omitempty" json:"testing,omitempty"`
}

// Record is messages that were found alike.
type Record struct {
	Addr        string   `xml:"row>source_ip" json:"addr"`
	Count       int64    `xml:"row>count" json:"count"`
	Disposition string   `xml:"row>policy_evaluated>disposition" json:"disposition"`
	DKIM        string   `xml:"row>policy_evaluated>dkim" json:"dkim"`
	SPF         string   `xml:"row>policy_evaluated>spf" json:"spf"`
	Reasons     []Reason `xml:"row>policy_evaluated>reason" json:"reasons,omitempty"`
	EnvelopeTo  string   `xml:"identifiers>envelope_to,omitempty" json:"-"`
	Envelope    string   `xml:"identifiers>envelope_from" json:"envelope_from"`
	HeaderFrom  string   `xml:"identifiers>header_from" json:"header_from"`
	Signatures  []Signed `xml:"auth_results>dkim" json:"signatures,omitempty"`
	Sent        []Sent   `xml:"auth_results>spf" json:"spf_results,omitempty"`
}

// Reason is why a policy was not followed.
type Reason struct {
	Type    string `xml:"type" json:"type"`
	Comment string `xml:"comment,omitempty" json:"comment,omitempty"`
}

// Signed is the result of a signature.
type Signed struct {
	Domain   string `xml:"domain" json:"domain"`
	Selector string `xml:"selector" json:"selector"`
	Result   string `xml:"result" json:"result"`
}

// Sent is the result of SPF.
type Sent struct {
	Domain string `xml:"domain" json:"domain"`
	Scope  string `xml:"scope,omitempty" json:"scope,omitempty"`
	Result string `xml:"result" json:"result"`
}

// records are a report's, read up to a limit.
type records []Record

// UnmarshalXML takes the next record.
func (l *records) UnmarshalXML(d *xml.Decoder, start xml.StartElement) error {
	if len(*l) == maxRecords {
		return errMany
	}
	var r Record
	err := d.DecodeElement(&r, &start)
	r.Count = min(max(r.Count, 0), maxCount)
	*l = append(*l, r)
	return err
}

var (
	errNoReport = errors.New("dmarcrpt: not an aggregate report")
	errLong     = errors.New("dmarcrpt: the report is too long")
	errMany     = errors.New("dmarcrpt: there are more records than are read")
)

// Parse reads a report. What it does not know it passes over, since reporters
// add what they like. Of too many records it reads the first.
func Parse(text []byte) (*Report, error) {
	if bytes.Count(text, []byte{'<'}) > 2*maxElements {
		return nil, errLong
	}
	var r Report
	d := xml.NewDecoder(bytes.NewReader(text))
	d.Strict = false
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // names are ASCII
	if err := d.Decode(&r); err != nil && !errors.Is(err, errMany) {
		return nil, fmt.Errorf("%w: %w", errNoReport, err)
	}
	if r.XMLName.Local != "feedback" || r.Policy.Domain == "" || r.Metadata.Org == "" && r.Metadata.ID == "" {
		return nil, errNoReport
	}
	return &r, nil
}

// passed tells whether a record's messages passed DMARC.
func (r *Record) passed() bool { return pass(r.DKIM) || pass(r.SPF) }

func pass(s string) bool { return strings.EqualFold(strings.TrimSpace(s), "pass") }

// publish makes a policy as a report has it.
func publish(domain string, r *mailauth.Record) Published {
	mode := func(strict bool) string {
		if strict {
			return "s"
		}
		return "r"
	}
	p := Published{Domain: domain, P: string(r.P), SP: string(r.SP), NP: string(r.NP), ADKIM: mode(r.StrictDKIM), ASPF: mode(r.StrictSPF),
		Discovery: "treewalk", FO: r.FO, Testing: "n"}
	if r.Testing {
		p.Testing = "y"
	}
	return p
}

// recordsOf turns a day's counts into what a report says of them.
func recordsOf(counts []store.DMARCCount) []Record {
	var all []Record
	for _, c := range counts {
		var t mailauth.Tally
		if err := json.Unmarshal([]byte(c.What), &t); err != nil {
			continue
		}
		word := func(ok bool) string {
			if ok {
				return "pass"
			}
			return "fail"
		}
		r := Record{Addr: t.Addr, Count: c.Messages, Disposition: t.Disposition, DKIM: word(t.DKIM), SPF: word(t.SPF),
			Envelope: t.Envelope, HeaderFrom: t.HeaderFrom, Sent: []Sent{{t.SPFDomain, t.SPFScope, string(t.SPFResult)}}}
		if t.Override != "" {
			r.Reasons = []Reason{{Type: t.Override}}
		}
		for _, s := range t.Signatures {
			if s.Domain != "" && s.Selector != "" {
				r.Signatures = append(r.Signatures, Signed{s.Domain, s.Selector, string(s.Result)})
			}
		}
		all = append(all, r)
	}
	return all
}

// Summarise prints what reports say of our domains, those sources first that
// did not pass.
func Summarise(w io.Writer, reports []*Report) error {
	type source struct {
		domain, addr, how string
		count             int64
	}
	type total struct {
		passed, failed int64
		orgs           map[string]bool
		begin, end     int64
	}
	totals := map[string]*total{}
	failing := map[source]int64{}
	for _, r := range reports {
		t := totals[r.Policy.Domain]
		if t == nil {
			t = &total{orgs: map[string]bool{}, begin: r.Metadata.Begin}
			totals[r.Policy.Domain] = t
		}
		t.orgs[r.Metadata.Org] = true
		t.begin, t.end = min(t.begin, r.Metadata.Begin), max(t.end, r.Metadata.End)
		for i := range r.Records {
			rec := &r.Records[i]
			if rec.passed() {
				t.passed += rec.Count
				continue
			}
			t.failed += rec.Count
			failing[source{domain: r.Policy.Domain, addr: rec.Addr, how: rec.how()}] += rec.Count
		}
	}
	for _, domain := range sorted(totals) {
		t := totals[domain]
		who := fmt.Sprintf("%d servers report", len(t.orgs))
		if len(t.orgs) == 1 {
			who = "1 server reports"
		}
		fmt.Fprintf(w, "%s, %s to %s, as %s: %d messages were proved to be the domain's, %d were not.\n", show(domain),
			day(t.begin), day(t.end), who, t.passed, t.failed)
		var sources []source
		for s, n := range failing {
			if s.domain == domain {
				s.count = n
				sources = append(sources, s)
			}
		}
		slices.SortFunc(sources, func(a, b source) int {
			return int(min(max(b.count-a.count, -1), 1))*2 + strings.Compare(a.addr+a.how, b.addr+b.how)
		})
		for _, s := range sources[:min(len(sources), maxShown)] {
			fmt.Fprintf(w, "  %6d from %s: %s\n", s.count, show(s.addr), s.how)
		}
		if n := len(sources) - maxShown; n > 0 {
			fmt.Fprintf(w, "  and %d more sources\n", n)
		}
	}
	return nil
}

// maxShown is how many sources of a domain are listed.
const maxShown = 50

// how says in words what became of a record's messages, and why they failed.
func (r *Record) how() string {
	done := map[string]string{"reject": "refused", "quarantine": "filed as junk", "none": "let through"}[strings.ToLower(r.Disposition)]
	if done == "" {
		done = "let through"
	}
	for _, s := range r.Signatures {
		if pass(s.Result) {
			return done + "; signed by " + show(s.Domain) + ", which is not aligned: a service that sends for you needs a key of yours"
		}
	}
	for _, s := range r.Sent {
		if pass(s.Result) {
			return done + "; sent by " + show(s.Domain) + ", which is not aligned: a forwarder, or a service that sends for you"
		}
	}
	for _, s := range r.Signatures {
		return done + "; the signature of " + show(s.Domain) + " is " + show(s.Result) + ": changed on the way, or a wrong key"
	}
	return done + "; nothing shows that it is yours: a server that you forgot, or somebody else"
}

func day(unix int64) string { return time.Unix(unix, 0).UTC().Format(time.DateOnly) }

func sorted[T any](m map[string]T) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// show makes a value of somebody else's fit for a terminal.
func show(s string) string {
	if len(s) > 100 {
		s = s[:100]
	}
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
