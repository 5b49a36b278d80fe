package main

import (
	"strings"
	"testing"
)

// TestJudge compares what is published with what should be.
func TestJudge(t *testing.T) {
	mx := dnsRecord{Name: "a.test", Type: "MX", Value: "10 mail.a.test."}
	spf := dnsRecord{Name: "a.test", Type: "TXT", Value: "v=spf1 mx -all"}
	dmarc := dnsRecord{Name: "_dmarc.a.test", Type: "TXT", Value: "v=DMARC1; p=quarantine"}
	const public = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=" // of RFC 8032 §7.1
	key := dnsRecord{Name: "x._domainkey.a.test", Type: "TXT", Value: "v=DKIM1; k=ed25519; p=" + public}
	sts := dnsRecord{Name: "_mta-sts.a.test", Type: "TXT", Value: "v=STSv1; id=abc;"}
	tls := dnsRecord{Name: "_smtp._tls.a.test", Type: "TXT", Value: "v=TLSRPTv1; rua=mailto:tls-reports@a.test"}
	srv := dnsRecord{Name: "_imaps._tcp.a.test", Type: "SRV", Value: "0 1 993 mail.a.test."}
	none := dnsRecord{Name: "_pop3._tcp.a.test", Type: "SRV", Value: "0 0 0 ."}
	for _, c := range []struct {
		r          dnsRecord
		found      string // one on each line
		state, fix string
	}{
		{mx, "", missing, "add it"},
		{mx, "5 MAIL.a.test.", published, ""},
		{mx, "10 other.test.\n20 mail.a.test.", published, ""},
		{mx, "10 other.test.", differs, "mail goes elsewhere"},
		{spf, "v=spf1 mx -all", published, ""},
		{spf, "v=spf1 include:x.test mx ~all", published, ""},
		{spf, "v=spf1 ip4:192.0.2.1 -all", published, ""},
		{spf, "v=spf1 -all", differs, "replace"},
		{spf, "v=spf1 mx +all", differs, "everybody"},
		{spf, "v=spf1 mx -all\nv=spf1 -all", differs, "count as none"},
		{dmarc, "v=DMARC1; p=reject; sp=none", published, ""},
		{dmarc, "v=DMARC1; p=none", published, "lets everybody pretend"},
		{dmarc, "v=DMARC1; p=nonsense", differs, "replace"},
		{spf, "v=spf1 all", differs, "everybody"},
		{spf, "V=SPF1 MX ALL", differs, "everybody"},
		{spf, "v=spf1 mx/24 -all", differs, "replace"},
		{spf, "v=spf1 mx a: -all", differs, "fault"},
		{spf, "v=spf1 -all a", differs, "replace"},
		{spf, "v=spf1 mx -all +all", published, ""},
		{key, "p=" + public[:10] + " " + public[10:] + "; k=ed25519; t=s", published, ""},
		{key, "v=DKIM1; p=" + public, differs, "replace"}, // RSA, as it does not say otherwise
		{key, "v=DKIM1; k=ed25519; h=sha1; p=" + public, differs, "replace"},
		{key, "v=DKIM1; k=ed25519; s=other; p=" + public, differs, "replace"},
		{key, "v=DKIM1; k=ed25519; p=" + strings.ToLower(public), differs, "replace"},
		{key, "v=DKIM1; k=ed25519; p=", differs, "replace"},
		{sts, "v=STSv1;id=abc", published, ""},
		{sts, "v=STSv1; id=abd;", differs, "replace"},
		{tls, "v=TLSRPTv1; rua=https://reports.test/x", published, ""},
		{tls, "v=TLSRPTv1; rua=nowhere", differs, "replace"},
		{srv, "10 5 993 mail.a.test.", published, ""},
		{srv, "0 1 994 mail.a.test.", differs, ""},
		{none, "", published, ""},
		{none, "0 1 110 x.test.", differs, ""},
	} {
		if c.found != "" {
			c.r.Found = strings.Split(c.found, "\n")
		}
		c.r.judge()
		if c.r.State != c.state || !strings.Contains(c.r.Fix, c.fix) || c.fix == "" && c.state == published && c.r.Fix != "" {
			t.Errorf("%s, there is %q: %s, %q", c.r.Value, c.found, c.r.State, c.r.Fix)
		}
	}
}

func TestZoneLine(t *testing.T) {
	r := dnsRecord{Name: "a.test", Type: "TXT", Value: strings.Repeat("x", 300) + `"\`}
	if got := r.zoneLine(); got != `a.test. IN TXT ( "`+strings.Repeat("x", 255)+"\"\n\t\""+strings.Repeat("x", 45)+`\"\\" )`+"\n" {
		t.Error(got)
	}
}
