package mtasts

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"postrider/mail"
)

// Limits of a policy.
const (
	maxText = 64 << 10                 // octets (RFC 8461 §3.3)
	maxMX   = 1000                     // patterns that are kept
	maxAge  = 31_557_600 * time.Second // RFC 8461 §3.2: about a year
	Version = "STSv1"
	Path    = "/.well-known/mta-sts.txt" // at https://mta-sts.DOMAIN
)

// Mode is what becomes of mail if a host does not fulfil the policy.
type Mode string

const (
	Enforce Mode = "enforce" // it is not sent there
	Testing Mode = "testing" // it is sent, and the failure is reported
	None    Mode = "none"    // there is no policy any more
)

// Policy is what a domain demands (RFC 8461 §3.2).
type Policy struct {
	Mode   Mode
	MX     []string // patterns in lower-case A-labels: a host, or "*." and a domain
	MaxAge time.Duration
	Text   string // as it was fetched
}

// ParsePolicy reads a policy's text. Of a field that stands there twice the
// first counts; unknown ones are ignored.
func ParsePolicy(text string) (*Policy, error) {
	if len(text) > maxText {
		return nil, errors.New("the policy is too long")
	}
	p := &Policy{Text: text}
	seen := map[string]bool{}
	for line := range strings.Lines(text) {
		line = strings.Trim(line, " \t\r\n")
		if line == "" {
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("the policy has a line without a colon")
		}
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if seen[key] && key != "mx" {
			continue
		}
		seen[key] = true
		if err := p.set(key, value); err != nil {
			return nil, err
		}
	}
	switch {
	case !seen["version"]:
		return nil, errors.New("the policy names no version")
	case !seen["mode"]:
		return nil, errors.New("the policy names no mode")
	case !seen["max_age"]:
		return nil, errors.New("the policy has no max_age")
	case len(p.MX) == 0 && p.Mode != None:
		return nil, errors.New("the policy names no host")
	}
	return p, nil
}

func (p *Policy) set(key, value string) error {
	switch key {
	case "version":
		if value != Version {
			return errors.New("the policy is of an unknown version")
		}
	case "mode":
		p.Mode = Mode(value)
		if p.Mode != Enforce && p.Mode != Testing && p.Mode != None {
			return errors.New("the policy is of an unknown mode")
		}
	case "max_age":
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			return errors.New("the policy's max_age is no number")
		}
		p.MaxAge = min(time.Duration(min(n, uint64(maxAge/time.Second)))*time.Second, maxAge)
	case "mx":
		pattern, err := pattern(value)
		if err != nil {
			return err
		}
		if len(p.MX) < maxMX {
			p.MX = append(p.MX, pattern)
		}
	}
	return nil
}

// pattern brings an mx pattern into its plain form.
func pattern(s string) (string, error) {
	star := ""
	if rest, ok := strings.CutPrefix(s, "*."); ok {
		star, s = "*.", rest
	}
	d, err := mail.DomainKey(strings.TrimSuffix(s, "."))
	if err != nil || strings.HasPrefix(d, "[") {
		return "", errors.New("the policy has an mx that is no host name")
	}
	return star + d, nil
}

// Matches tells whether host is one of the policy's. A star stands for one
// label (RFC 8461 §4.1).
func (p *Policy) Matches(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, m := range p.MX {
		if m == host {
			return true
		}
		if domain, ok := strings.CutPrefix(m, "*."); ok {
			if label, rest, ok := strings.Cut(host, "."); ok && label != "" && rest == domain {
				return true
			}
		}
	}
	return false
}

// Lines are the policy's text as a report shows it (RFC 8460 §4.4).
func (p *Policy) Lines() []string {
	var out []string
	for l := range strings.Lines(p.Text) {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, l)
		}
	}
	return out
}

// New makes a policy of our own for hosts.
func New(mode Mode, age time.Duration, hosts ...string) *Policy {
	p := &Policy{Mode: mode, MX: hosts, MaxAge: age}
	var b strings.Builder
	fmt.Fprintf(&b, "version: %s\r\nmode: %s\r\n", Version, mode)
	for _, h := range hosts {
		fmt.Fprintf(&b, "mx: %s\r\n", h)
	}
	fmt.Fprintf(&b, "max_age: %d\r\n", int64(age/time.Second))
	p.Text = b.String()
	return p
}

// ParseRecord finds the id in the TXT records of _mta-sts.DOMAIN. Anything but
// exactly one record of ours says that the domain has no policy (RFC 8461
// §3.1).
func ParseRecord(txts []string) (id string, ok bool) {
	found := ""
	for _, t := range txts {
		if v, _, _ := strings.Cut(t, ";"); strings.TrimRight(v, " \t") != "v="+Version {
			continue
		}
		if found != "" {
			return "", false
		}
		found = t
	}
	for f := range strings.SplitSeq(found, ";") {
		key, value, _ := strings.Cut(f, "=")
		if strings.TrimSpace(key) == "id" && id == "" {
			id = strings.TrimSpace(value)
		}
	}
	if len(id) < 1 || len(id) > 32 || strings.ContainsFunc(id, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return "", false
	}
	return id, true
}

// Record is the TXT record that announces a policy.
func Record(id string) string { return "v=" + Version + "; id=" + id + ";" }
