package dmarcrpt

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postrider/delivery"
	"postrider/internal/resolve"
	"postrider/mail"
	"postrider/mailauth"
	"postrider/store"
	"postrider/store/sqlite/sqlitetest"
)

type world map[string]string

func (w world) TXT(_ context.Context, name string) ([]string, resolve.Info, error) {
	switch txt, ok := w[name]; {
	case !ok:
		return nil, resolve.Info{}, resolve.ErrNoDomain
	case txt == "!":
		return nil, resolve.Info{}, context.DeadlineExceeded
	default:
		return []string{txt}, resolve.Info{}, nil
	}
}

func (world) MX(context.Context, string) ([]resolve.MX, resolve.Info, error) {
	return nil, resolve.Info{}, resolve.ErrNoDomain
}

func (world) A(context.Context, string) ([]netip.Addr, resolve.Info, error) {
	return nil, resolve.Info{}, resolve.ErrNoDomain
}

func (world) AAAA(context.Context, string) ([]netip.Addr, resolve.Info, error) {
	return nil, resolve.Info{}, resolve.ErrNoDomain
}

func (world) PTR(context.Context, netip.Addr) ([]string, resolve.Info, error) {
	return nil, resolve.Info{}, resolve.ErrNoDomain
}

// rig is a server that reports, on a day and the next.
type rig struct {
	*Sender
	t   *testing.T
	now time.Time
	dns world
}

func newRig(t *testing.T, dns world) *rig {
	r := &rig{t: t, now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), dns: dns}
	st := sqlitetest.New(t)
	if _, err := st.AddDomain(t.Context(), "b.test"); err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return r.now }
	r.Sender = &Sender{Counter: &Counter{Store: st, Now: now}, Store: st, Deliver: delivery.New(delivery.Options{Store: st, Hostname: "mx.b.test"}),
		Resolver: dns, Hostname: "mx.b.test", Contact: mail.Address{Local: "postmaster", Domain: "b.test"}, Now: now, Log: slog.New(slog.DiscardHandler)}
	return r
}

// gets lets the server check mail.
func (r *rig) gets(from, addr, text string) {
	r.t.Helper()
	a, _ := mail.ParseAddress(from)
	k := mailauth.New(mailauth.Options{Resolver: r.dns}).Begin(r.t.Context(), mailauth.Peer{Addr: netip.MustParseAddr(addr), Helo: "x", From: a})
	k.Write([]byte(text))
	r.Counter.Add(k.Finish())
}

func (r *rig) send() {
	r.t.Helper()
	if err := r.Counter.Flush(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	if err := r.Send(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// sent are the messages that wait to go out, by their recipients.
func (r *rig) sent() map[string]string {
	r.t.Helper()
	out := map[string]string{}
	all, err := r.Store.Outgoing(r.t.Context(), store.OutFilter{})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, o := range all {
		err := r.Store.FetchOutgoing(r.t.Context(), o.ID, func(c *store.Content) error {
			b := make([]byte, c.Size)
			if _, err := c.ReadAt(b, 0); err != nil && err != io.EOF {
				return err
			}
			for _, rcpt := range o.Rcpts {
				out[rcpt.Recipient.Addr.String()] = string(b)
			}
			return nil
		})
		if err != nil {
			r.t.Fatal(err)
		}
	}
	return out
}

// unpack finds the report in a message.
func unpack(t *testing.T, text string) *Report {
	t.Helper()
	_, code, _ := strings.Cut(text, "base64")
	_, code, _ = strings.Cut(code, "\r\n\r\n")
	code, _, _ = strings.Cut(code, "--")
	packed, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(code, "\r\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	x, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Parse(x)
	if err != nil {
		t.Fatalf("%v\n%s", err, x)
	}
	return r
}

func TestSend(t *testing.T) {
	r := newRig(t, world{
		"_dmarc.a.test":                      "v=DMARC1; p=reject; rua=mailto:me@a.test, mailto:far@reports.test, mailto:closed@closed.test",
		"a.test._report._dmarc.reports.test": "v=DMARC1",
		"a.test":                             "v=spf1 ip4:192.0.2.1 -all",
		"_dmarc.c.test":                      "v=DMARC1; p=reject", // wants none
		"_dmarc.d.test":                      "v=DMARC1; p=none; rua=mailto:me@d.test",
	})
	const hello = "From: x@a.test\r\nSubject: x\r\n\r\nHi\r\n"
	for range 3 {
		r.gets("x@a.test", "192.0.2.1", hello)
	}
	r.gets("x@far.test", "192.0.2.7", hello)
	r.gets("x@far.test", "192.0.2.7", strings.Replace(hello, "a.test", "c.test", 1))
	r.send()
	if got := r.sent(); len(got) != 0 {
		t.Errorf("reports of a day that is not over: %v", got)
	}
	r.now = r.now.Add(24 * time.Hour)
	r.send()
	got := r.sent()
	if len(got) != 2 || got["me@a.test"] == "" || got["far@reports.test"] != got["me@a.test"] {
		t.Fatalf("%v", got)
	}
	rep := unpack(t, got["me@a.test"])
	if rep.Metadata.Org != "mx.b.test" || rep.Policy.Domain != "a.test" || rep.Policy.P != "reject" || len(rep.Records) != 2 || rep.XMLName.Space != Namespace ||
		rep.Metadata.End-rep.Metadata.Begin != 86399 {
		t.Errorf("%+v", rep)
	}
	for _, rec := range rep.Records {
		switch rec.Addr {
		case "192.0.2.1":
			if rec.Count != 3 || rec.SPF != "pass" || rec.DKIM != "fail" || rec.Disposition != "pass" || rec.HeaderFrom != "a.test" || rec.Envelope != "a.test" {
				t.Errorf("%+v", rec)
			}
		default:
			if rec.Count != 1 || rec.passed() || rec.Disposition != "reject" || rec.Envelope != "far.test" || rec.Sent[0].Result != "none" {
				t.Errorf("%+v", rec)
			}
		}
	}
	r.send() // once and no more
	if n := len(r.sent()); n != 2 {
		t.Errorf("%d messages after that", n)
	}
	// Who cannot be asked is asked again, and not for ever.
	r.gets("x@far.test", "192.0.2.7", strings.Replace(hello, "a.test", "d.test", 1))
	r.dns["_dmarc.d.test"] = "!"
	for day, left := range []int{1, 1, 1, 1, 0} {
		r.send()
		domains, err := r.Store.DMARCDomains(t.Context(), store.DayOf(r.now))
		if err != nil || len(domains) != left {
			t.Errorf("day %d: %v %v", day, domains, err)
		}
		r.now = r.now.Add(24 * time.Hour)
	}
}

func TestBounded(t *testing.T) {
	c := &Counter{}
	for i := range 2 * perDomain {
		c.add(store.DMARCDomain{Domain: "a.test"}, strings.Repeat("x", i))
	}
	if len(c.counts) != perDomain {
		t.Errorf("%d kinds", len(c.counts))
	}
}

// old is a report as RFC 7489 has it, from a reporter with ways of its own.
const old = `<?xml version="1.0" encoding="windows-1252"?><feedback><report_metadata><org_name>big.example</org_name><email>x@big.example</email>
<extra>more</extra><report_id>1</report_id><date_range><begin>1795305600</begin><end>1795391999</end></date_range></report_metadata>
<policy_published><domain>a.test</domain><p>none</p><pct>100</pct></policy_published>
<record><row><source_ip>192.0.2.1</source_ip><count>5</count><policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated></row>
<identifiers><header_from>a.test</header_from></identifiers><auth_results><dkim><domain>a.test</domain><result>pass</result></dkim><spf><domain>x</domain><result>softfail</result></spf></auth_results></record>
<record><row><source_ip>192.0.2.2</source_ip><count>7</count><policy_evaluated><disposition>quarantine</disposition><dkim>fail</dkim><spf>fail</spf></policy_evaluated></row>
<identifiers><header_from>a.test</header_from></identifiers><auth_results><dkim><domain>list.test</domain><result>pass</result></dkim><spf><domain>list.test</domain><result>pass</result></spf></auth_results></record>
<record><row><source_ip>192.0.2.3</source_ip><count>2</count><policy_evaluated><disposition>reject</disposition><dkim>fail</dkim><spf>fail</spf></policy_evaluated></row>
<identifiers><header_from>a.test</header_from></identifiers><auth_results><spf><domain>evil&#133;.test</domain><result>none</result></spf></auth_results></record></feedback>`

func TestSummarise(t *testing.T) {
	r, err := Parse([]byte(old))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	Summarise(&b, []*Report{r, r})
	want := "a.test, 2026-11-22 to 2026-11-22, as 1 server reports: 10 messages were proved to be the domain's, 18 were not.\n" +
		"      14 from 192.0.2.2: filed as junk; signed by list.test, which is not aligned: a service that sends for you needs a key of yours\n" +
		"       4 from 192.0.2.3: refused; nothing shows that it is yours: a server that you forgot, or somebody else\n"
	if b.String() != want {
		t.Errorf("%s", b.String())
	}
	for _, bad := range []string{"", "<feedback/>", "{}", "<html></html>", "<feedback><policy_published>"} {
		if r, err := Parse([]byte(bad)); err == nil {
			t.Errorf("%q: %+v", bad, r)
		}
	}
}

// TestBombs reads what a few kilobytes unpack to.
func TestBombs(t *testing.T) {
	const head = `<feedback><report_metadata><report_id>1</report_id></report_metadata><policy_published><domain>a.test</domain></policy_published>`
	r, err := Parse([]byte(head + strings.Repeat("<record/>", 3*maxRecords) + "</feedback>"))
	if err != nil || len(r.Records) != maxRecords || cap(r.Records) > 2*maxRecords {
		t.Errorf("%v, %d records", err, len(r.Records))
	}
	for _, what := range []string{"<record/>", "<x>", "</x>", "<record><auth_results><dkim/></auth_results></record>"} {
		if _, err := Parse([]byte(head + strings.Repeat(what, 2*maxElements))); !errors.Is(err, errLong) {
			t.Errorf("%s: %v", what, err)
		}
	}
	odd := head
	for _, n := range []string{"-5", "9223372036854775807", "9223372036854775807"} {
		odd += "<record><row><count>" + n + "</count></row></record>"
	}
	if r, err = Parse([]byte(odd + "</feedback>")); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if Summarise(&b, []*Report{r}); strings.Contains(b.String(), " -") {
		t.Errorf("%s", b.String())
	}
	const entities = `<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c SYSTEM "file:///etc/hostname">]>`
	r, err = Parse([]byte(entities + strings.Replace(head, "a.test", "&b;&c;", 1) + "</feedback>"))
	if err != nil || r.Policy.Domain != "&b;&c;" {
		t.Errorf("entities: %v, %+v", err, r)
	}
}

func FuzzReport(f *testing.F) {
	f.Add(old)
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Parse([]byte(s))
		if err != nil {
			return
		}
		var b strings.Builder
		Summarise(&b, []*Report{r})
		if strings.ContainsAny(b.String(), "\x1b\x00\r") {
			t.Fatalf("%q", b.String())
		}
	})
}
