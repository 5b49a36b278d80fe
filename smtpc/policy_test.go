package smtpc

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"postrider/internal/labdns"
	"postrider/internal/resolve"
	"postrider/smtpc/mtasts"
	"postrider/smtpc/smtpctest"
)

// results collects what a client tells of its connections.
type results struct {
	mu  sync.Mutex
	all []string
}

func (r *results) add(t TLSResult) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := t.Type + " " + t.Domain + " ok"
	if t.Failure != nil {
		s = t.Type + " " + t.Domain + " " + t.Failure.Type
	}
	r.all = append(r.all, s)
}

func (r *results) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.all, ", ")
}

// policies tells one policy of every domain.
type policies struct{ mtasts.Found }

func (p policies) Lookup(context.Context, string) mtasts.Found { return p.Found }

// tlsaOf makes the data of a TLSA record for a certificate.
func tlsaOf(usage, selector, matching int, c *x509.Certificate) string {
	data := c.Raw
	if selector == 1 {
		data = c.RawSubjectPublicKeyInfo
	}
	switch matching {
	case 1:
		sum := sha256.Sum256(data)
		data = sum[:]
	case 2:
		sum := sha512.Sum512(data)
		data = sum[:]
	}
	return fmt.Sprintf("%d %d %d %x", usage, selector, matching, data)
}

// TestDANE goes through what a host's TLSA records may say (RFC 7672).
func TestDANE(t *testing.T) {
	conf, chain := smtpctest.Chain(t, "mx.b.test")
	elsewhere, other := smtpctest.Chain(t, "elsewhere.test")
	leaf, root := chain[0], chain[1]
	junk := fmt.Sprintf("3 1 1 %064x", 7)
	for name, c := range map[string]struct {
		tlsa   []string
		server *tls.Config // nil offers no TLS
		want   string
		result string
	}{
		"3 1 1":              {[]string{tlsaOf(3, 1, 1, leaf)}, conf, "delivered 250 2.0.0", "tlsa b.test ok"},
		"3 0 2":              {[]string{tlsaOf(3, 0, 2, leaf)}, conf, "delivered 250 2.0.0", "tlsa b.test ok"},
		"3 1 0":              {[]string{tlsaOf(3, 1, 0, leaf)}, conf, "delivered 250 2.0.0", "tlsa b.test ok"},
		"3 0 0":              {[]string{tlsaOf(3, 0, 0, leaf)}, conf, "delivered 250 2.0.0", "tlsa b.test ok"},
		"2 0 1":              {[]string{tlsaOf(2, 0, 1, root)}, conf, "delivered 250 2.0.0", "tlsa b.test ok"},
		"2 1 1":              {[]string{tlsaOf(2, 1, 1, root)}, conf, "delivered 250 2.0.0", "tlsa b.test ok"},
		"2 0 0":              {[]string{tlsaOf(2, 0, 0, root)}, conf, "delivered 250 2.0.0", "tlsa b.test ok"},
		"one of two":         {[]string{junk, tlsaOf(2, 1, 2, root)}, conf, "delivered 250 2.0.0", "tlsa b.test ok"},
		"any name":           {[]string{tlsaOf(3, 1, 1, other[0])}, elsewhere, "delivered 250 2.0.0", "tlsa b.test ok"},
		"the anchor's names": {[]string{tlsaOf(2, 0, 1, other[1])}, elsewhere, "temporary 0 4.7.5", "tlsa b.test certificate-host-mismatch"},
		"another key":        {[]string{junk}, conf, "temporary 0 4.7.5", "tlsa b.test validation-failure"},
		"another anchor":     {[]string{tlsaOf(2, 0, 1, other[1])}, conf, "temporary 0 4.7.5", "tlsa b.test validation-failure"},
		"leaf as anchor":     {[]string{tlsaOf(2, 0, 1, leaf)}, conf, "temporary 0 4.7.5", "tlsa b.test validation-failure"},
		"no STARTTLS":        {[]string{tlsaOf(3, 1, 1, leaf)}, nil, "temporary 0 4.7.4", "tlsa b.test starttls-not-supported"},
		"the weaker digest":  {[]string{tlsaOf(3, 1, 1, leaf), fmt.Sprintf("3 1 2 %0128x", 7)}, conf, "temporary 0 4.7.5", "tlsa b.test validation-failure"},
		"none is usable":     {[]string{tlsaOf(1, 1, 1, leaf), "3 1 1 00", "9 9 9 00", "3 0 0 00"}, elsewhere, "delivered 250 2.0.0", "tlsa b.test tlsa-invalid"},
		"none, and no TLS":   {[]string{tlsaOf(0, 1, 1, leaf)}, nil, "temporary 0 4.7.4", "tlsa b.test starttls-not-supported"},
	} {
		t.Run(name, func(t *testing.T) {
			s := smtpctest.New(t, smtpctest.Options{TLS: c.server})
			records := oneMX
			for _, r := range c.tlsa {
				records += fmt.Sprintf("_%d._tcp.mx TLSA %s\n", s.Addr().Port(), r)
			}
			d := zoned(t, records)
			d.SetSigned("b.test")
			var got results
			r := send(t, client(t, d, s.Addr().Port(), func(o *Options) { o.TLSResult = got.add }), "b.test", letter(t, "bob@b.test"))
			want(t, r.Outcomes[0], c.want, "")
			if got.String() != c.result || !strings.HasPrefix(r.Outcomes[0].Policy, "DANE") {
				t.Errorf("results %q, want %q; policy %q", got.String(), c.result, r.Outcomes[0].Policy)
			}
			if delivered := strings.HasPrefix(c.want, "delivered"); len(s.Messages()) == 1 != delivered {
				t.Errorf("%d messages", len(s.Messages()))
			}
			// The same without proof by DNSSEC demands nothing.
			got = results{}
			r = send(t, client(t, zoned(t, records), s.Addr().Port(), func(o *Options) { o.TLSResult = got.add }), "b.test", letter(t, "bob@b.test"))
			want(t, r.Outcomes[0], "delivered 250 2.0.0", "")
			if c.server != nil && got.String() != "no-policy-found b.test ok" || c.server == nil && got.String() != "no-policy-found b.test starttls-not-supported" {
				t.Errorf("unsigned: results %q", got.String())
			}
		})
	}
}

// signed starts a DNS with two zones, of which the first is signed.
func signed(t *testing.T, records string) *labdns.Server {
	t.Helper()
	d, err := labdns.Start("127.0.0.1:0", strings.NewReader("$TTL 60\nb.test. SOA ns.b.test. h.b.test. 1 1 1 1 1\n"+
		"open.test. SOA ns.b.test. h.b.test. 1 1 1 1 1\n"+records))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	d.SetSigned("b.test")
	return d
}

// TestDANEChain shows at which of a host's names TLSA records count.
func TestDANEChain(t *testing.T) {
	conf, chain := smtpctest.Chain(t, "mx.b.test")
	s := smtpctest.New(t, smtpctest.Options{TLS: conf})
	good, bad := tlsaOf(3, 1, 1, chain[0]), fmt.Sprintf("3 1 1 %064x", 7)
	at := func(name, data string) string {
		return fmt.Sprintf("_%d._tcp.%s. TLSA %s\n", s.Addr().Port(), name, data)
	}
	for name, c := range map[string]struct{ records, want string }{
		"the end of the alias first": {"b.test. MX 1 mx.b.test.\nmx.b.test. CNAME host.b.test.\nhost.b.test. A 127.0.0.1\n" +
			at("mx.b.test", bad) + at("host.b.test", good), "DANE, 1 TLSA record: delivered"},
		"then its beginning": {"b.test. MX 1 mx.b.test.\nmx.b.test. CNAME host.b.test.\nhost.b.test. A 127.0.0.1\n" +
			at("mx.b.test", good), "DANE, 1 TLSA record: delivered"},
		"an alias into the open": {"b.test. MX 1 mx.b.test.\nmx.b.test. CNAME host.open.test.\nhost.open.test. A 127.0.0.1\n" +
			at("mx.b.test", good) + at("host.open.test", bad), "DANE, 1 TLSA record: delivered"},
		"a host in the open": {"b.test. MX 1 mx.open.test.\nmx.open.test. A 127.0.0.1\n" +
			at("mx.open.test", bad), "opportunistic: delivered"},
		"a domain in the open": {"open.test. MX 1 mx.b.test.\nmx.b.test. A 127.0.0.1\n" +
			at("mx.b.test", bad), "opportunistic: delivered"},
		"no MX": {"b.test. A 127.0.0.1\n" + at("b.test", bad), "DANE, 1 TLSA record: temporary"},
		"records in the open": {"b.test. MX 1 mx.b.test.\nmx.b.test. A 127.0.0.1\n" +
			fmt.Sprintf("_%d._tcp.mx.b.test. CNAME x.open.test.\nx.open.test. TLSA %s\n", s.Addr().Port(), bad), "opportunistic: delivered"},
		"shared records": {"b.test. MX 1 mx.b.test.\nmx.b.test. A 127.0.0.1\n" +
			fmt.Sprintf("_%d._tcp.mx.b.test. CNAME x.b.test.\nx.b.test. TLSA %s\n", s.Addr().Port(), good), "DANE, 1 TLSA record: delivered"},
	} {
		dest := "b.test"
		if name == "a domain in the open" {
			dest = "open.test"
		}
		o := send(t, client(t, signed(t, c.records), s.Addr().Port()), dest, letter(t, "bob@b.test")).Outcomes[0]
		if got := o.Policy + ": " + o.Status.String(); got != c.want {
			t.Errorf("%s: %s (%s), want %s", name, got, o, c.want)
		}
	}
}

// TestDANELookupFails shows that nobody is spoken with who may demand DANE,
// which cannot be told, and that the next host is tried.
func TestDANELookupFails(t *testing.T) {
	s := smtpctest.New(t, smtpctest.Options{})
	d := zoned(t, "@ MX 10 mx1\n@ MX 20 mx2\nmx1 A 127.0.0.1\nmx2 A 127.0.0.1\n")
	d.SetSigned("b.test")
	d.SetFail(fmt.Sprintf("_%d._tcp.mx1.b.test", s.Addr().Port()), dns.RcodeServerFailure)
	var got results
	c := client(t, d, s.Addr().Port(), func(o *Options) { o.TLSResult = got.add })
	o := send(t, c, "b.test", letter(t, "bob@b.test")).Outcomes[0]
	if want(t, o, "delivered 250 2.0.0", ""); o.Host != "mx2.b.test" {
		t.Errorf("got %v", o)
	}
	d.SetFail(fmt.Sprintf("_%d._tcp.mx2.b.test", s.Addr().Port()), dns.RcodeServerFailure)
	want(t, send(t, c, "b.test", letter(t, "bob@b.test")).Outcomes[0], "temporary 0 4.7.5", "TLSA records of mx")
	if g := got.String(); !strings.HasPrefix(g, "tlsa b.test dnssec-invalid, no-policy-found b.test starttls-not-supported, tlsa") {
		t.Errorf("results %q", g)
	}
}

func sts(mode mtasts.Mode, hosts ...string) mtasts.Found {
	return mtasts.Found{Policy: mtasts.New(mode, 86400e9, hosts...)}
}

func TestMTASTS(t *testing.T) {
	conf, pool := smtpctest.Certificate(t, "mx.b.test")
	wrong, wrongPool := smtpctest.Certificate(t, "other.test")
	for name, c := range map[string]struct {
		found  mtasts.Found
		server *tls.Config
		roots  *x509.CertPool
		want   string
		policy string
		result string
	}{
		"enforce":                {sts("enforce", "mx.b.test"), conf, pool, "delivered 250 2.0.0", "MTA-STS enforce", "sts b.test ok"},
		"enforce, a star":        {sts("enforce", "*.b.test"), conf, pool, "delivered 250 2.0.0", "MTA-STS enforce", "sts b.test ok"},
		"enforce, no STARTTLS":   {sts("enforce", "mx.b.test"), nil, pool, "temporary 0 4.7.4", "MTA-STS enforce", "sts b.test starttls-not-supported"},
		"enforce, another host":  {sts("enforce", "mx2.b.test"), conf, pool, "temporary 0 4.7.5", "", "sts b.test validation-failure"},
		"enforce, another name":  {sts("enforce", "mx.b.test"), wrong, wrongPool, "temporary 0 4.7.5", "MTA-STS enforce", "sts b.test certificate-host-mismatch"},
		"enforce, nobody's word": {sts("enforce", "mx.b.test"), conf, x509.NewCertPool(), "temporary 0 4.7.5", "MTA-STS enforce", "sts b.test certificate-not-trusted"},
		"testing":                {sts("testing", "mx.b.test"), conf, pool, "delivered 250 2.0.0", "MTA-STS testing", "sts b.test ok"},
		"testing, no STARTTLS":   {sts("testing", "mx.b.test"), nil, pool, "delivered 250 2.0.0", "MTA-STS testing", "sts b.test starttls-not-supported"},
		"testing, another host":  {sts("testing", "mx2.b.test"), conf, pool, "delivered 250 2.0.0", "MTA-STS testing", "sts b.test validation-failure"},
		"testing, nobody's word": {sts("testing", "mx.b.test"), conf, x509.NewCertPool(), "delivered 250 2.0.0", "MTA-STS testing", "sts b.test certificate-not-trusted"},
		"none":                   {mtasts.Found{}, conf, pool, "delivered 250 2.0.0", "opportunistic", "no-policy-found b.test ok"},
		"not to be had":          {mtasts.Found{Err: errors.New("x")}, conf, pool, "delivered 250 2.0.0", "opportunistic", "sts b.test sts-policy-fetch-error"},
		"not valid":              {mtasts.Found{Err: mtasts.ErrInvalid}, conf, pool, "delivered 250 2.0.0", "opportunistic", "sts b.test sts-policy-invalid"},
		"a false web server":     {mtasts.Found{Err: mtasts.ErrWebPKI}, conf, pool, "delivered 250 2.0.0", "opportunistic", "sts b.test sts-webpki-invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			s := smtpctest.New(t, smtpctest.Options{TLS: c.server})
			var got results
			change := func(o *Options) {
				o.Policies, o.TLSResult, o.TLS = policies{c.found}, got.add, &tls.Config{RootCAs: c.roots}
			}
			o := send(t, client(t, zoned(t, oneMX), s.Addr().Port(), change), "b.test", letter(t, "bob@b.test")).Outcomes[0]
			want(t, o, c.want, "")
			if o.Policy != c.policy || got.String() != c.result {
				t.Errorf("policy %q, results %q; want %q, %q", o.Policy, got.String(), c.policy, c.result)
			}
			// What the sender says of a message counts for more, and a report
			// counts for nothing.
			got = results{}
			m := letterOf(t, "From: a@a.test\r\nTLS-Required:\r\n No\r\nTLS-Report-Domain: b.test\r\n\r\nhello\r\n", "bob@b.test")
			want(t, send(t, client(t, zoned(t, oneMX), s.Addr().Port(), change), "b.test", m).Outcomes[0], "delivered 250 2.0.0", "")
			if got.String() != "" {
				t.Errorf("a report was counted: %s", got.String())
			}
		})
	}
}

// TestDANEBeforeMTASTS: a policy of MTA-STS neither replaces nor adds to DANE
// (RFC 8461 §2).
func TestDANEBeforeMTASTS(t *testing.T) {
	conf, chain := smtpctest.Chain(t, "mx.b.test")
	for data, status := range map[string]Status{tlsaOf(3, 1, 1, chain[0]): Delivered, fmt.Sprintf("3 1 1 %064x", 7): Temporary} {
		s := smtpctest.New(t, smtpctest.Options{TLS: conf})
		d := zoned(t, oneMX+fmt.Sprintf("_%d._tcp.mx TLSA %s\n", s.Addr().Port(), data))
		d.SetSigned("b.test")
		c := client(t, d, s.Addr().Port(), func(o *Options) { o.Policies = policies{sts("enforce", "another.b.test")} })
		if o := send(t, c, "b.test", letter(t, "bob@b.test")).Outcomes[0]; o.Status != status || !strings.HasPrefix(o.Policy, "DANE") {
			t.Errorf("%s: %v, %q", data, o, o.Policy)
		}
	}
}

// TestRequireTLSProven goes through what REQUIRETLS demands of the way (RFC
// 8689 §4.2.1).
func TestRequireTLSProven(t *testing.T) {
	conf, pool := smtpctest.Certificate(t, "mx.b.test")
	ext := []string{"REQUIRETLS", "DSN"}
	for name, c := range map[string]struct {
		ext    []string
		server *tls.Config
		found  mtasts.Found
		signed bool
		want   string
		text   string
	}{
		"MTA-STS":          {ext, conf, sts("enforce", "mx.b.test"), false, "delivered 250 2.0.0", ""},
		"MTA-STS, testing": {ext, conf, sts("testing", "mx.b.test"), false, "delivered 250 2.0.0", ""},
		"DNSSEC":           {ext, conf, mtasts.Found{}, true, "delivered 250 2.0.0", ""},
		"neither":          {ext, conf, mtasts.Found{}, false, "permanent 0 5.7.10", "neither DNSSEC nor MTA-STS"},
		"another host":     {ext, conf, sts("testing", "mx2.b.test"), false, "permanent 0 5.7.10", "neither DNSSEC nor MTA-STS"},
		"not supported":    {[]string{"DSN"}, conf, mtasts.Found{}, true, "permanent 0 5.7.30", "does not support REQUIRETLS"},
		"no TLS":           {ext, nil, mtasts.Found{}, true, "permanent 0 5.7.10", "does not offer"},
	} {
		t.Run(name, func(t *testing.T) {
			s := smtpctest.New(t, smtpctest.Options{TLS: c.server, Ext: c.ext})
			d := zoned(t, oneMX)
			if c.signed {
				d.SetSigned("b.test")
			}
			cl := client(t, d, s.Addr().Port(), func(o *Options) {
				o.Policies, o.TLS = policies{c.found}, &tls.Config{RootCAs: pool}
			})
			se := cl.Session("b.test")
			defer se.Close()
			m := letterOf(t, "From: alice@a.test\r\nTLS-Required: No\r\n\r\nhello\r\n", "bob@b.test") // which counts for nothing here
			m.Envelope.RequireTLS = true
			want(t, se.Send(t.Context(), m).Outcomes[0], c.want, c.text)
			got := s.Messages()
			if sent := strings.HasPrefix(c.want, "delivered"); sent != (len(got) == 1) || sent && (!got[0].TLS || !strings.Contains(got[0].From, "REQUIRETLS")) {
				t.Errorf("got %+v", got)
			}
			// Others go, and a notice about one that could not (section 5).
			want(t, se.Send(t.Context(), letter(t, "bob@b.test")).Outcomes[0], "delivered 250 2.0.0", "")
			m.Envelope.From = addr(t, "alice@a.test")
			m.Envelope.From.Local, m.Envelope.From.Domain = "", ""
			want(t, se.Send(t.Context(), m).Outcomes[0], "delivered 250 2.0.0", "")
		})
	}
}

// FuzzMatchTLSA compares any record with a chain of our own: nothing but the
// right data matches.
func FuzzMatchTLSA(f *testing.F) {
	_, chain := smtpctest.Chain(f, "mx.b.test")
	f.Add(uint8(3), uint8(1), uint8(1), []byte("x"))
	f.Add(uint8(2), uint8(0), uint8(0), chain[1].Raw)
	f.Add(uint8(3), uint8(0), uint8(0), chain[0].Raw)
	f.Fuzz(func(t *testing.T, usage, selector, matching uint8, data []byte) {
		rs := usable([]resolve.TLSA{{Usage: usage, Selector: selector, Matching: matching, Data: data}})
		if err := matchTLSA(rs, chain, []string{"mx.b.test"}); err == nil && usage != 2 && usage != 3 {
			t.Errorf("usage %d matches", usage)
		}
	})
}
