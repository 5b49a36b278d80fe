package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"postrider/internal/maillog"
	"postrider/internal/resolve"
	"postrider/mailauth"
	"postrider/smtpc/mtasts"
	"postrider/store"
	"postrider/tlsrpt"
)

// dnsRecord is a record to publish, and what was found in its place.
type dnsRecord struct {
	Name   string   `json:"name"` // without the final dot
	Type   string   `json:"type"`
	Value  string   `json:"value"` // as in a zone file, but TXT without quotes
	Why    string   `json:"why"`
	Needed bool     `json:"needed"` // mail is lost or mistrusted without it
	State  string   `json:"state,omitempty"`
	Found  []string `json:"found,omitempty"`
	Fix    string   `json:"fix,omitempty"`
}

// States of a record.
const (
	published = "published"
	missing   = "missing"
	differs   = "differs"
	unknown   = "unknown" // it could not be looked up
)

// reportsLocal is where other servers send what they found out about a domain's
// mail.
const reportsLocal = "dmarc-reports"

// recordsOf are the records of a domain.
func recordsOf(ctx context.Context, a *admin, domain string) ([]dnsRecord, error) {
	host := a.hostname
	all := []dnsRecord{
		{Name: domain, Type: "MX", Value: "10 " + host + ".", Why: "where mail for the domain goes", Needed: true},
		{Name: domain, Type: "TXT", Value: a.spfRecord(), Why: "SPF: who sends the domain's mail", Needed: true},
	}
	if host != domain {
		all = append(all, dnsRecord{Name: host, Type: "TXT", Value: "v=spf1 a -all", Why: "SPF of the server's own name, for notices, which have no sender", Needed: true})
	}
	keys, err := a.store.DomainKeys(ctx, domain)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		r, err := keyRecord(k)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	all = append(all, dnsRecord{Name: "_dmarc." + domain, Type: "TXT", Value: "v=DMARC1; p=quarantine; rua=mailto:" + reportsLocal + "@" + domain,
		Why: "DMARC: what to do with mail that only pretends to be from the domain, and where to report it", Needed: true})
	all = append(all, a.transportRecords(domain)...)
	return append(all, a.serviceRecords(domain)...), nil
}

// spfRecord allows the hosts that the domain's MX names, which are this one.
func (a *admin) spfRecord() string {
	if host, _, err := net.SplitHostPort(a.cfg.Queue.Smarthost); err == nil && net.ParseIP(host) == nil {
		return "v=spf1 mx a:" + host + " -all"
	}
	return "v=spf1 mx -all"
}

// serviceRecords tell mail programs where the services are (RFC 6186, RFC 8314
// §5.1): with TLS first.
func (a *admin) serviceRecords(domain string) []dnsRecord {
	var all []dnsRecord
	add := func(service string, listen []string, priority int, why string) {
		value := "0 0 0 ."
		if port := firstPort(listen); port != 0 {
			value = fmt.Sprintf("%d 1 %d %s.", priority, port, a.hostname)
		}
		all = append(all, dnsRecord{Name: "_" + service + "._tcp." + domain, Type: "SRV", Value: value, Why: why})
	}
	c := a.cfg
	add("submissions", c.Submission.ListenTLS, 0, "where mail programs send, with TLS")
	add("submission", c.Submission.Listen, 10, "where mail programs send, with STARTTLS")
	add("imaps", c.IMAP.ListenTLS, 0, "where mail programs read, with TLS")
	add("imap", c.IMAP.Listen, 10, "where mail programs read, with STARTTLS")
	add("pop3s", c.POP3.ListenTLS, 20, "where mail programs fetch, with TLS")
	add("pop3", c.POP3.Listen, 30, "where mail programs fetch, with STLS")
	return all
}

// firstPort is the port of a service that others can reach, 0 if none.
func firstPort(listen []string) int {
	for _, l := range listen {
		if _, port, err := net.SplitHostPort(l); err == nil && !isLocal(l) {
			if n, err := strconv.Atoi(port); err == nil && n > 0 {
				return n
			}
		}
	}
	return 0
}

type domainDNSArgs struct {
	Name    string `json:"name"`
	Offline bool   `json:"offline"`
}

// domainDNS lists the records of a domain, and looks what is published.
func domainDNS(ctx context.Context, a *admin, in domainDNSArgs) ([]dnsRecord, error) {
	name, err := parseDomain(in.Name)
	if err != nil {
		return nil, err
	}
	if _, err := a.store.Domain(ctx, name); err != nil {
		if store.KindOf(err) == store.NotFound {
			err = adminErrorf("the domain %s is not here; see postrider domain list", name)
		}
		return nil, err
	}
	all, err := recordsOf(ctx, a, name)
	if err != nil || in.Offline {
		return all, err
	}
	done := make(chan struct{})
	for i := range all {
		go func() {
			all[i].look(ctx, a.resolver)
			done <- struct{}{}
		}()
	}
	for range all {
		<-done
	}
	return all, nil
}

// look finds what is published in the record's place, and says how to mend it.
func (r *dnsRecord) look(ctx context.Context, res *resolve.Resolver) {
	found, err := r.find(ctx, res)
	if err != nil && !errors.Is(err, resolve.ErrNoDomain) && !errors.Is(err, resolve.ErrBadName) {
		r.State, r.Fix = unknown, "it could not be looked up: "+err.Error()
		return
	}
	r.Found = found
	r.judge()
}

// find returns the records of the name and type, in the form of Value. Of TXT
// only those of the same kind: a domain may have others.
func (r *dnsRecord) find(ctx context.Context, res *resolve.Resolver) (out []string, err error) {
	switch r.Type {
	case "TXT":
		all, _, err := res.TXT(ctx, r.Name)
		kind, _, _ := strings.Cut(r.Value, " ")
		kind = strings.TrimSuffix(kind, ";")
		for _, txt := range all {
			same := strings.Contains(r.Name, "._domainkey.")
			switch {
			case r.isSPF():
				same = mailauth.IsSPF(txt)
			case len(txt) >= len(kind):
				same = same || strings.EqualFold(txt[:len(kind)], kind)
			}
			if same {
				out = append(out, txt)
			}
		}
		return out, err
	case "MX":
		all, _, err := res.MX(ctx, r.Name)
		for _, m := range all {
			out = append(out, fmt.Sprintf("%d %s.", m.Pref, m.Host))
		}
		return out, err
	case "SRV":
		all, _, err := res.SRV(ctx, r.Name)
		for _, s := range all {
			out = append(out, fmt.Sprintf("%d %d %d %s.", s.Priority, s.Weight, s.Port, s.Target))
		}
		return out, err
	case "TLSA":
		all, _, err := res.TLSA(ctx, r.Name)
		for _, t := range all {
			out = append(out, fmt.Sprintf("%d %d %d %x", t.Usage, t.Selector, t.Matching, t.Data))
		}
		return out, err
	case "CNAME":
		all, _, err := res.CNAME(ctx, r.Name)
		for _, n := range all {
			out = append(out, n+".")
		}
		if len(out) == 0 { // an address does as well
			addrs, _, err := res.Addrs(ctx, r.Name)
			for _, a := range addrs {
				out = append(out, a.String())
			}
			return out, err
		}
		return out, err
	}
	return nil, fmt.Errorf("no way to look up %s", r.Type)
}

// judge compares what was found with what should be there.
func (r *dnsRecord) judge() {
	same := slices.ContainsFunc(r.Found, func(s string) bool { return r.same(s) })
	switch {
	case len(r.Found) == 0 && r.Type == "SRV" && strings.HasPrefix(r.Value, "0 0 0 "):
		r.State = published // nothing there says the same
	case len(r.Found) == 0:
		r.State, r.Fix = missing, "add it"
	case r.Type == "TXT" && len(r.Found) > 1:
		r.State, r.Fix = differs, "several such records count as none; leave one"
	case r.isSPF() && !mailauth.ValidSPF(r.Found[0]):
		r.State, r.Fix = differs, "it has a fault, for which others take it for none; replace it"
	case !same && r.Type == "MX":
		r.State, r.Fix = differs, "mail goes elsewhere; add this one, or take the domain from here"
	case !same:
		r.State, r.Fix = differs, "replace it, or see that it means the same"
	default:
		r.State = published
		r.weak()
	}
}

// same tells whether a record says what it has to.
func (r *dnsRecord) same(s string) bool {
	switch {
	case r.Type == "MX" || r.Type == "SRV":
		want, got := strings.Fields(r.Value), strings.Fields(s)
		// Priorities are the owner's affair; host and port count.
		return len(want) == len(got) && strings.EqualFold(want[len(want)-1], got[len(got)-1]) && (r.Type == "MX" || want[2] == got[2])
	case r.Type == "TXT" && strings.HasPrefix(r.Value, "v=DMARC1"):
		rec, ok := mailauth.ParseRecord(s)
		return ok && rec.P != ""
	case r.isSPF():
		return coversSPF(s, r.Value)
	case r.Type == "TXT" && strings.HasPrefix(r.Value, "v="+mtasts.Version):
		got, ok := mtasts.ParseRecord([]string{s})
		want, _ := mtasts.ParseRecord([]string{r.Value})
		return ok && got == want
	case r.Type == "TXT" && strings.HasPrefix(r.Value, "v=TLSRPTv1"):
		return len(tlsrpt.ParseRecord([]string{s})) > 0 // wherever the owner wants them
	case r.Type == "TXT" && strings.Contains(r.Name, "._domainkey."):
		return mailauth.SameKey(s, r.Value)
	case r.Type == "CNAME":
		return true // wherever it leads, the policy is fetched from there
	case r.Type == "TLSA":
		return strings.EqualFold(s, r.Value)
	}
	return s == r.Value
}

// weak says what could be better in a record that does.
func (r *dnsRecord) weak() {
	if strings.HasPrefix(r.Value, "v=DMARC1") && len(r.Found) == 1 {
		if rec, _ := mailauth.ParseRecord(r.Found[0]); rec.P == mailauth.AskNone {
			r.Fix = "p=none lets everybody pretend to be the domain; once the reports are clean, ask for quarantine or reject"
		}
	}
	if r.isSPF() && len(r.Found) == 1 && slices.ContainsFunc(spfTerms(r.Found[0]), func(t string) bool { return t == "all" }) {
		r.State, r.Fix = differs, "+all lets everybody send as the domain; end it in -all"
	}
}

func (r *dnsRecord) isSPF() bool { return r.Type == "TXT" && mailauth.IsSPF(r.Value) }

// spfTerms are the terms of a record up to its "all", in lower case, without the
// "+" that may stand before a mechanism.
func spfTerms(record string) (terms []string) {
	for _, t := range strings.Fields(strings.ToLower(record))[1:] {
		terms = append(terms, strings.TrimPrefix(t, "+"))
		if strings.TrimLeft(t, "+-~?") == "all" {
			break
		}
	}
	return terms
}

// coversSPF tells whether a record has the mechanisms that ours has, or others
// that may allow this server, too.
func coversSPF(s, want string) bool {
	have := spfTerms(s)
	for _, m := range spfTerms(want) {
		if m != "-all" && !slices.Contains(have, m) && !slices.ContainsFunc(have, func(h string) bool {
			name := h[:strings.IndexAny(h+":", ":/=")]
			return slices.Contains([]string{"ip4", "ip6", "include", "a", "exists", "redirect", "all"}, name)
		}) {
			return false
		}
	}
	return true
}

// maxString is how long one string of a TXT record may be (RFC 1035 §3.3).
const maxString = 255

// zoneLine is the record as it stands in a zone file.
func (r *dnsRecord) zoneLine() string {
	value := r.Value
	if r.Type == "TXT" {
		var parts []string
		for value != "" {
			n := min(len(value), maxString)
			parts = append(parts, `"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value[:n])+`"`)
			value = value[n:]
		}
		value = strings.Join(parts, " ")
		if len(parts) > 1 {
			value = "( " + strings.Join(parts, "\n\t") + " )"
		}
	}
	return fmt.Sprintf("%s. IN %s %s\n", r.Name, r.Type, value)
}

func runDomainDNS(c *cli, f *flags, args []string) error {
	asJSON := f.Bool("json", false, "print JSON")
	offline := f.Bool("offline", false, "do not look what is published")
	name, err := oneArg(f, args, "the domain")
	if err != nil {
		return err
	}
	var all []dnsRecord
	if err := c.do(f, "domain.dns", domainDNSArgs{name, *offline}, nil, &all); err != nil {
		return err
	}
	if *asJSON {
		err = c.print(true, all, nil)
	} else {
		printRecords(c.stdout, name, all)
	}
	bad := 0
	for _, r := range all {
		if r.Needed && r.State != published && !*offline {
			bad++
		}
	}
	if err == nil && bad > 0 {
		return fmt.Errorf("%d records that mail of %s needs are missing or wrong; see the lines above", bad, name)
	}
	return err
}

func printRecords(w io.Writer, name string, all []dnsRecord) {
	fmt.Fprintf(w, "; What to publish for %s. Each line says what is there now.\n", name)
	for _, r := range all {
		fmt.Fprintf(w, "\n; %s\n", r.Why)
		fmt.Fprint(w, r.zoneLine())
		switch r.State {
		case "":
		case published:
			fmt.Fprintf(w, ";   published")
			if r.Fix != "" {
				fmt.Fprintf(w, "; %s", r.Fix)
			}
			fmt.Fprintln(w)
		default:
			fmt.Fprintf(w, ";   %s: %s\n", strings.ToUpper(r.State), r.Fix)
			for _, s := range r.Found {
				fmt.Fprintf(w, ";   there is: %s\n", oneLine(errors.New(s)))
			}
		}
	}
}

// writeZones writes what to publish for each domain into the configured
// directory, for a DNS server to include.
func (a *admin) writeZones(ctx context.Context) error {
	if a.cfg.DNS.ZoneDir == "" {
		return nil
	}
	domains, err := a.store.Domains(ctx)
	if err != nil {
		return err
	}
	for _, d := range domains {
		all, err := recordsOf(ctx, a, d.Name)
		if err != nil {
			return err
		}
		var b strings.Builder
		for _, r := range all {
			fmt.Fprintf(&b, "; %s\n%s", r.Why, r.zoneLine())
		}
		name := filepath.Join(a.cfg.DNS.ZoneDir, d.Name+".zone")
		if old, err := os.ReadFile(name); err == nil && string(old) == b.String() {
			continue
		}
		if err := replaceFile(name, b.String()); err != nil {
			return err
		}
	}
	return nil
}

// replaceFile puts a file whole in the place of another.
func replaceFile(name, text string) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".zone-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	if cerr := f.Chmod(0o644); err == nil { // it is for all the world
		err = cerr
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	return err
}

// publish has the records of changed domains written; that they cannot be is
// no reason to undo the change.
func (a *admin) publish(ctx context.Context) {
	if err := a.writeZones(ctx); err != nil {
		a.log.Warn(maillog.Warning, "doing", "write zones", "err", err)
	}
}
