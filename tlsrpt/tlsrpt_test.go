package tlsrpt

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"postrider/delivery"
	"postrider/internal/labdns"
	"postrider/internal/publichttp"
	"postrider/internal/resolve"
	own "postrider/mail"
	"postrider/smtpc"
	"postrider/smtpc/smtpctest"
	"postrider/store"
	"postrider/store/sqlite/sqlitetest"
)

const zone = `$TTL 60
b.test. SOA ns.b.test. h.b.test. 1 1 1 1 1
_smtp._tls.many.b.test. TXT "v=TLSRPTv1; rua=https://1.many.b.test,https://2.many.b.test,https://3.many.b.test,https://4.many.b.test,https://5.many.b.test"
_smtp._tls.b.test. TXT "v=TLSRPTv1; rua=mailto:tls@b.test,https://reports.b.test/tls"
reports.b.test. A 127.0.0.1
broken.test. SOA ns.b.test. h.b.test. 1 1 1 1 1
quiet.test. SOA ns.b.test. h.b.test. 1 1 1 1 1
`

// rig is a sender with a store, a DNS and a web server of the test's own.
type rig struct {
	*Sender
	dns    *labdns.Server
	posted [][]byte
	now    time.Time
}

func newRig(t *testing.T) *rig {
	t.Helper()
	d, err := labdns.Start("127.0.0.1:0", strings.NewReader(zone))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	r := &rig{dns: d, now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		if req.Method != http.MethodPost || req.URL.Path != "/tls" || req.Header.Get("Content-Type") != "application/tlsrpt+gzip" {
			t.Errorf("%s %s %v", req.Method, req.URL, req.Header)
		}
		r.posted = append(r.posted, b)
		w.WriteHeader(http.StatusCreated)
	}))
	conf, pool := smtpctest.Certificate(t, "reports.b.test")
	web.TLS = conf
	web.StartTLS()
	t.Cleanup(web.Close)
	_, port, _ := net.SplitHostPort(web.Listener.Addr().String())
	st := sqlitetest.New(t)
	if _, err := st.AddDomain(t.Context(), "a.test"); err != nil {
		t.Fatal(err)
	}
	res := resolve.New(resolve.Options{Server: d.Addr(), Timeout: 30 * time.Second})
	now := func() time.Time { return r.now }
	from, _ := own.ParseAddress("postmaster@a.test")
	r.Sender = &Sender{Counter: &Counter{Store: st, Now: now}, Store: st, Resolver: res, Hostname: "mail.a.test", Contact: from, Now: now,
		Deliver: delivery.New(delivery.Options{Store: st, Hostname: "mail.a.test", Now: now}), Log: slog.New(slog.DiscardHandler),
		Client: publichttp.New(publichttp.Options{Resolver: res, Roots: pool, Port: port, Private: netip.Addr.IsLoopback}), Spread: 0.5}
	return r
}

func result(domain, kind, failure string) smtpc.TLSResult {
	r := smtpc.TLSResult{Counted: smtpc.Counted{Domain: domain, Type: kind, Strings: []string{"version: STSv1", "mode: enforce"}, MXHosts: []string{"*.b.test"}}}
	if failure != "" {
		r.Failure = &smtpc.TLSFailure{Type: failure, Host: "mx.b.test", Remote: "192.0.2.1", Local: "192.0.2.9", Reason: "x"}
	}
	return r
}

// queued returns the messages that wait to go out.
func (r *rig) queued(t *testing.T) (out []string) {
	t.Helper()
	all, err := r.Store.Outgoing(t.Context(), store.OutFilter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range all {
		err := r.Store.FetchOutgoing(t.Context(), o.ID, func(c *store.Content) error {
			b := make([]byte, c.Size)
			c.ReadAt(b, 0)
			out = append(out, string(b))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestReport goes from connections to what the other domain reads.
func TestReport(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	for range 3 {
		r.Counter.Add(result("b.test", smtpc.STS, ""))
	}
	r.Counter.Add(result("b.test", smtpc.STS, smtpc.FailExpired))
	r.Counter.Add(result("quiet.test", smtpc.NoPolicy, ""))
	r.Counter.Add(result("broken.test", smtpc.NoPolicy, ""))
	r.dns.SetFail("_smtp._tls.broken.test", dns.RcodeServerFailure)
	step := func(now time.Time, mails, posts, left int) {
		t.Helper()
		r.now = now
		if err := r.Counter.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		if err := r.Send(ctx); err != nil {
			t.Fatal(err)
		}
		domains, err := r.Store.TLSDomains(ctx, store.DayOf(now))
		if err != nil {
			t.Fatal(err)
		}
		if n := len(r.queued(t)); n != mails || len(r.posted) != posts || len(domains) != left {
			t.Errorf("at %v: %d messages, %d posts, %d domains left; want %d, %d, %d", now, n, len(r.posted), len(domains), mails, posts, left)
		}
	}
	day := r.now.Truncate(24 * time.Hour)
	step(r.now, 0, 0, 3)
	step(day.Add(25*time.Hour), 0, 0, 3) // too soon after midnight
	step(day.Add(26*time.Hour), 1, 1, 1)
	step(day.Add(27*time.Hour), 1, 1, 1)
	step(day.Add(5*24*time.Hour), 1, 1, 0) // whose DNS fails for days is given up

	m, err := mail.ReadMessage(strings.NewReader(r.queued(t)[0]))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]string{"TLS-Report-Domain": "b.test", "TLS-Report-Submitter": "mail.a.test", "TLS-Required": "No",
		"Subject": "Report Domain: b.test Submitter: mail.a.test Report-ID: <20260501.b.test@mail.a.test>"} {
		if got := m.Header.Get(k); got != v {
			t.Errorf("%s: %q, want %q", k, got, v)
		}
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "tlsrpt" {
		t.Fatalf("%s %v %v", kind, params, err)
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	text, err := parts.NextPart()
	if err != nil {
		t.Fatal(err)
	}
	words, _ := io.ReadAll(text)
	if !strings.Contains(string(words), "b.test (MTA-STS): 3 connections as they should be, 1 not\r\n    1 x the certificate has ended, at mx.b.test") {
		t.Errorf("the text is %q", words)
	}
	file, err := parts.NextPart()
	if err != nil || file.FileName() != "mail.a.test!b.test!1777593600!1777679999.json.gz" {
		t.Fatalf("%v, %q", err, file.FileName())
	}
	packed, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, file))
	if err != nil || !bytes.Equal(packed, r.posted[0]) {
		t.Errorf("%v; what was mailed and what was posted differ", err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(plain)
	if err != nil {
		t.Fatal(err)
	}
	p := got.Policies[0]
	if got.Organization != "mail.a.test" || !got.Range.Start.Equal(day) || !got.Range.End.Equal(day.Add(24*time.Hour-time.Second)) ||
		p.Policy.Type != "sts" || p.Policy.MXHost[0] != "*.b.test" || len(p.Policy.String) != 2 || p.Summary != (Summary{3, 1}) ||
		p.Failures[0] != (Failure{Type: "certificate-expired", Host: "mx.b.test", Receiver: "192.0.2.1", Sender: "192.0.2.9", Sessions: 1, Reason: "x"}) {
		t.Errorf("%s", plain)
	}
}

// TestOnce: a report that was handed over and whose counts were not dropped
// before a crash is not sent again.
func TestOnce(t *testing.T) {
	r := newRig(t)
	d := store.TLSDomain{Day: store.DayOf(r.now), Domain: "b.test"}
	r.Counter.Add(result("b.test", smtpc.TLSA, ""))
	if err := r.Counter.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := r.report(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(r.queued(t)); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// TestBounded: hosts that fail in ever new ways do not fill our memory.
func TestBounded(t *testing.T) {
	r := newRig(t)
	for i := range 10 * perDest {
		f := result("b.test", smtpc.STS, smtpc.FailValidation)
		f.Failure.Reason = strings.Repeat("x", i)
		r.Counter.Add(f)
	}
	if n := len(r.Counter.counts); n > perDest+1 {
		t.Errorf("%d kinds", n)
	}
	if err := r.Counter.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	counts, err := r.Store.TLSCounts(t.Context(), store.TLSDomain{Day: store.DayOf(r.now), Domain: "b.test"})
	if err != nil {
		t.Fatal(err)
	}
	if got := results("b.test", counts); len(got) != 1 || got[0].Summary.Failure != 10*perDest {
		t.Errorf("%+v", got)
	}
}

func TestParseRecord(t *testing.T) {
	for txt, want := range map[string]string{
		"v=TLSRPTv1; rua=mailto:tls@b.test":                               "mailto:tls@b.test",
		"v=TLSRPTv1;rua=https://b.test/x,mailto:a@b.test; x=y":            "https://b.test/x mailto:a@b.test",
		"v=TLSRPTv1; rua=http://b.test/":                                  "",
		"v=TLSRPTv1; rua=file:///etc/passwd":                              "",
		"v=TLSRPTv1":                                                      "",
		"v=TLSRPTv2; rua=mailto:tls@b.test":                               "",
		"v=TLSRPTv1; rua=mailto:a@b.test|v=TLSRPTv1; rua=mailto:b@b.test": "",
		"v=spf1 -all|v=TLSRPTv1; rua=mailto:a@b.test":                     "mailto:a@b.test",
	} {
		var got []string
		for _, u := range ParseRecord(strings.Split(txt, "|")) {
			got = append(got, u.String())
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%q: %q, want %q", txt, s, want)
		}
	}
}

// foreign is a report as another server writes it: mx-host is one string, and
// there is more than we know of.
const foreign = `{"organization-name":"Example \u001b[31m","date-range":{"start-datetime":"2026-05-01T00:00:00Z","end-datetime":"2026-05-01T23:59:59Z"},
"contact-info":"x@example.net","report-id":"1","policies":[{"policy":{"policy-type":"sts","policy-string":["version: STSv1"],"policy-domain":"a.test",
"mx-host":"mail.a.test"},"summary":{"total-successful-session-count":7,"total-failure-session-count":2},"future":1,
"failure-details":[{"result-type":"starttls-not-supported","sending-mta-ip":"192.0.2.1","receiving-mx-hostname":"mail.a.test","failed-session-count":2}]}]}`

func TestForeign(t *testing.T) {
	r, err := Parse([]byte(foreign))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := Summarise(&b, []*Report{r}); err != nil {
		t.Fatal(err)
	}
	want := "Example ?[31m, 2026-05-01 00:00:00 to 2026-05-01 23:59:59\n  a.test (MTA-STS): 7 connections as they should be, 2 not\n" +
		"    2 × TLS was not offered, at mail.a.test, from 192.0.2.1\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	for _, bad := range []string{"", "[]", "{}", `{"policies":[]}`, `{"policies":"x"}`} {
		if _, err := Parse([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// TestBombs reads what a few kilobytes unpack to: it is told by its length, and
// not by what has been made of it.
func TestBombs(t *testing.T) {
	for _, what := range []string{"{}", "null", `{"failure-details":[{},{},{},{}]}`, `{"policy":{"mx-host":["","",""]}}`} {
		text := []byte(`{"policies":[` + strings.Repeat(what+",", maxCommas+1) + "{}]}")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Parse(text)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, errLong) || n > 1<<20 {
			t.Errorf("%s: %v, %d bytes", what, err, n)
		}
	}
}

// TestNobodyReached: counts are kept for another try if none of those who are
// told could be, however many more the record names.
func TestNobodyReached(t *testing.T) {
	r := newRig(t)
	r.Counter.Add(result("many.b.test", smtpc.NoPolicy, ""))
	if err := r.Counter.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.now = r.now.Add(36 * time.Hour)
	if err := r.Send(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, err := r.Store.TLSDomains(t.Context(), store.DayOf(r.now)); err != nil || len(left) != 1 {
		t.Errorf("%d domains left, %v", len(left), err)
	}
}

// FuzzReport reads anything as a report: its summary has no control characters
// but line ends.
func FuzzReport(f *testing.F) {
	f.Add([]byte(foreign))
	f.Add([]byte(`{"policies":[{"policy":{"mx-host":["a",2]}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Parse(text)
		if err != nil {
			return
		}
		var b strings.Builder
		Summarise(&b, []*Report{r})
		if i := strings.IndexFunc(b.String(), func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f || r == 0x202e }); i >= 0 {
			t.Errorf("%q", b.String())
		}
	})
}
