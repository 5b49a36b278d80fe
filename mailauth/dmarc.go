package mailauth

import (
	"context"
	"strings"
	"sync"

	"golang.org/x/net/publicsuffix"

	"postrider/mail"
)

// Disposition is what a domain asks to be done with mail that is not its own
// (RFC 9989 §4.7, tag p).
type Disposition string

const (
	AskNone       Disposition = "none"
	AskQuarantine Disposition = "quarantine"
	AskReject     Disposition = "reject"
)

// Record is a DMARC policy record (RFC 9989 §4.7).
type Record struct {
	P, SP, NP  Disposition // empty where absent
	StrictDKIM bool        // adkim=s
	StrictSPF  bool        // aspf=s
	Testing    bool        // t=y: each policy counts one step less
	PSD        byte        // 'y', 'n', or 'u'
	RUA        []string    // where aggregate reports go
	FO         string
}

// ParseRecord reads a TXT record; ok is false if it is no DMARC record at all.
// The one that is, but asks for nothing that is known, has no P.
func ParseRecord(txt string) (r Record, ok bool) {
	// The version comes first, and its case counts (RFC 9989 §4.8).
	first, _, _ := strings.Cut(txt, ";")
	name, value, _ := strings.Cut(first, "=")
	if trimSpace(name) != "v" || trimSpace(value) != "DMARC1" {
		return r, false
	}
	t := map[string]string{}
	for part := range strings.SplitSeq(txt, ";") {
		name, value, found := strings.Cut(part, "=")
		name = strings.ToLower(trimSpace(name))
		if _, there := t[name]; found && !there && len(t) < maxTags {
			t[name] = trimSpace(value)
		}
	}
	r = Record{StrictDKIM: strings.EqualFold(t["adkim"], "s"), StrictSPF: strings.EqualFold(t["aspf"], "s"),
		Testing: strings.EqualFold(t["t"], "y"), PSD: 'u', FO: t["fo"], RUA: reportURIs(t["rua"])}
	if t["pct"] == "0" {
		r.Testing = true // as who wrote it for RFC 7489 meant it (RFC 9989 appendix A.6)
	}
	if psd := strings.ToLower(t["psd"]); psd == "y" || psd == "n" {
		r.PSD = psd[0]
	}
	wrong := false
	for tag, to := range map[string]*Disposition{"p": &r.P, "sp": &r.SP, "np": &r.NP} {
		d, known := disposition(t[tag])
		if _, there := t[tag]; there && !known {
			wrong = true
		}
		*to = d
	}
	if r.P == "" || wrong {
		// RFC 9989 §4.10.1: who wants reports is watched and nothing more.
		r.P, r.SP, r.NP = "", "", ""
		if len(r.RUA) > 0 {
			r.P = AskNone
		}
	}
	return r, true
}

func disposition(s string) (Disposition, bool) {
	switch d := Disposition(strings.ToLower(s)); d {
	case AskNone, AskQuarantine, AskReject:
		return d, true
	}
	return "", false
}

// maxReportURIs is how many addresses of a record get reports.
const maxReportURIs = 4

// reportURIs reads rua: mailto addresses, without the size that older records
// put behind "!".
func reportURIs(list string) []string {
	var out []string
	for uri := range strings.SplitSeq(list, ",") {
		uri = trimSpace(uri)
		if len(uri) < 8 || !strings.EqualFold(uri[:7], "mailto:") || len(out) == maxReportURIs {
			continue
		}
		addr, _, _ := strings.Cut(uri[7:], "!")
		addr, _, _ = strings.Cut(addr, "?")
		if a, err := mail.ParseAddress(addr); err == nil {
			out = append(out, a.String())
		}
	}
	return out
}

// dmarcTree looks policy records up, each name once.
type dmarcTree struct {
	r     Resolver
	mu    sync.Mutex
	known map[string]*found
}

// found is the record at a name, once done is closed.
type found struct {
	done   chan struct{}
	record *Record // nil if there is none
	err    error   // temporary
}

func newTree(r Resolver) *dmarcTree { return &dmarcTree{r: r, known: map[string]*found{}} }

// ask begins to look a name up.
func (t *dmarcTree) ask(ctx context.Context, domain string) *found {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f := t.known[domain]; f != nil {
		return f
	}
	f := &found{done: make(chan struct{})}
	t.known[domain] = f
	go func() {
		defer close(f.done)
		f.record, f.err = findRecord(ctx, t.r, domain)
	}()
	return f
}

// findRecord looks up the record of a domain. Of several none counts (RFC
// 9989 §4.10).
func findRecord(ctx context.Context, r Resolver, domain string) (*Record, error) {
	txts, _, err := r.TXT(ctx, "_dmarc."+domain)
	if err != nil && !nothing(err) {
		return nil, err
	}
	var only *Record
	for _, txt := range txts {
		if rec, ok := ParseRecord(txt); ok {
			if only != nil {
				return nil, nil
			}
			only = &rec
		}
	}
	return only, nil
}

// maxLabels is how long a name's tail is that is walked (RFC 9989 §4.10).
const maxLabels = 8

// names are the names that a walk asks, the domain itself first.
func names(domain string) []string {
	all := []string{domain}
	labels := strings.Split(domain, ".")
	rest := labels[1:]
	if len(labels) > maxLabels {
		rest = labels[len(labels)-maxLabels+1:]
	}
	for ; len(rest) > 0; rest = rest[1:] {
		all = append(all, strings.Join(rest, "."))
	}
	return all
}

// walk is the DNS Tree Walk (RFC 9989 §4.10): the organizational domain of a
// domain, and the name of its public suffix if that says so. All names are
// asked at once; what the walk would not have asked is not looked at. With an
// error, which is temporary, org is what is known so far.
func (t *dmarcTree) walk(ctx context.Context, domain string) (org, psd string, err error) {
	all := names(domain)
	asked := make([]*found, len(all))
	for i, n := range all {
		asked[i] = t.ask(ctx, n)
	}
	org = domain
	for i, n := range all {
		<-asked[i].done
		f := asked[i]
		switch {
		case f.err != nil:
			return org, "", f.err
		case f.record == nil:
		case f.record.PSD == 'n':
			return n, "", nil
		case f.record.PSD == 'y' && i > 0:
			return oneBelow(domain, n), n, nil
		case f.record.PSD == 'y':
			return n, "", nil
		default:
			org = n
		}
	}
	return org, "", nil
}

// oneBelow is the name one label longer than parent on the way to domain.
func oneBelow(domain, parent string) string {
	head := strings.TrimSuffix(domain, "."+parent)
	return head[strings.LastIndexByte(head, '.')+1:] + "." + parent
}

// suffixOrg is the organizational domain by the public suffix list (RFC 7489
// §3.2), empty if the domain is itself a public suffix.
func suffixOrg(domain string) string {
	org, err := publicsuffix.EffectiveTLDPlusOne(domain)
	if err != nil {
		return ""
	}
	return org
}
