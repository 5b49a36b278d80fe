package tlsrpt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Limits of a report that others send.
const (
	maxPolicies = 1000
	maxFailures = 10_000
	maxCommas   = 100_000 // all values but the first of each list: a few kilobytes unpack to millions
	maxShown    = 20      // failures that a summary lists for each policy
	maxWord     = 200
)

// Report is the JSON of a report (RFC 8460 §4.4).
type Report struct {
	Organization string    `json:"organization-name"`
	Range        DateRange `json:"date-range"`
	Contact      string    `json:"contact-info"`
	ID           string    `json:"report-id"`
	Policies     []Result  `json:"policies"`
}

// DateRange is the time that a report is about.
type DateRange struct {
	Start time.Time `json:"start-datetime"`
	End   time.Time `json:"end-datetime"`
}

// Result is how connections under one policy went.
type Result struct {
	Policy   Policy    `json:"policy"`
	Summary  Summary   `json:"summary"`
	Failures []Failure `json:"failure-details,omitempty"`
}

// Policy is what connections were made under.
type Policy struct {
	Type   string `json:"policy-type"`
	String words  `json:"policy-string,omitempty"`
	Domain string `json:"policy-domain"`
	MXHost words  `json:"mx-host,omitempty"`
}

// Summary counts connections.
type Summary struct {
	Success int64 `json:"total-successful-session-count"`
	Failure int64 `json:"total-failure-session-count"`
}

// Failure is one kind of failure and how often it was seen.
type Failure struct {
	Type       string `json:"result-type"`
	Sender     string `json:"sending-mta-ip,omitempty"`
	Host       string `json:"receiving-mx-hostname,omitempty"`
	Helo       string `json:"receiving-mx-helo,omitempty"`
	Receiver   string `json:"receiving-ip,omitempty"`
	Sessions   int64  `json:"failed-session-count"`
	Additional string `json:"additional-information,omitempty"`
	Reason     string `json:"failure-reason-code,omitempty"`
}

// words is a list of strings, for which some servers write one string.
type words []string

func (w *words) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*w = words{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(w))
}

var errLong = errors.New("TLS report: it is too long")

// Parse reads a report, unpacked.
func Parse(text []byte) (*Report, error) {
	var r Report
	if bytes.Count(text, []byte{','}) > maxCommas {
		return nil, errLong
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("TLS report: %w", err)
	}
	failures := 0
	for _, p := range r.Policies {
		failures += len(p.Failures)
	}
	switch {
	case len(r.Policies) == 0:
		return nil, errors.New("TLS report: it has no policies")
	case len(r.Policies) > maxPolicies || failures > maxFailures:
		return nil, errLong
	}
	return &r, nil
}

// Summarise writes what reports say, for people. What stands in a report is
// its sender's word: it is made printable, and cut.
func Summarise(w io.Writer, reports []*Report) error {
	var b strings.Builder
	for _, r := range reports {
		fmt.Fprintf(&b, "%s, %s to %s\n", show(r.Organization), r.Range.Start.UTC().Format(time.DateTime), r.Range.End.UTC().Format(time.DateTime))
		for _, p := range r.Policies {
			fmt.Fprintf(&b, "  %s (%s): %d connections as they should be, %d not\n", show(p.Policy.Domain), policyWords(p.Policy.Type), p.Summary.Success, p.Summary.Failure)
			for i, f := range p.Failures {
				if i == maxShown {
					fmt.Fprintf(&b, "    … and %d more kinds of failure\n", len(p.Failures)-i)
					break
				}
				fmt.Fprintf(&b, "    %d × %s", f.Sessions, failureWords(f.Type))
				for _, more := range []struct{ what, value string }{{"at", f.Host}, {"address", f.Receiver}, {"from", f.Sender}, {"", f.Reason}} {
					if more.value != "" {
						fmt.Fprintf(&b, ", %s", strings.TrimSpace(more.what+" "+show(more.value)))
					}
				}
				b.WriteByte('\n')
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func policyWords(s string) string {
	switch s {
	case "tlsa":
		return "DANE"
	case "sts":
		return "MTA-STS"
	case "no-policy-found":
		return "no policy"
	}
	return show(s)
}

func failureWords(s string) string {
	switch s {
	case "starttls-not-supported":
		return "TLS was not offered"
	case "certificate-host-mismatch":
		return "the certificate is for another host"
	case "certificate-expired":
		return "the certificate has ended"
	case "certificate-not-trusted":
		return "the certificate is from nobody who is trusted"
	case "validation-failure":
		return "the connection did not fulfil the policy"
	case "tlsa-invalid":
		return "no TLSA record could be used"
	case "dnssec-invalid":
		return "the TLSA records could not be looked up"
	case "dane-required":
		return "DANE is required, and there is none"
	case "sts-policy-fetch-error":
		return "the MTA-STS policy could not be fetched"
	case "sts-policy-invalid":
		return "the MTA-STS policy is not valid"
	case "sts-webpki-invalid":
		return "the web server of the MTA-STS policy has no valid certificate"
	}
	return show(s)
}

// show makes a stranger's text fit to stand in a line.
func show(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if r := []rune(s); len(r) > maxWord {
		s = string(r[:maxWord]) + "…"
	}
	return s
}
