package test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"postrider/internal/lab"
)

// attached is a message that carries a report as an attachment.
func attached(subject, kind, name string, content []byte) string {
	code := regexp.MustCompile(`.{1,76}`).ReplaceAllString(base64.StdEncoding.EncodeToString(content), "$0\r\n")
	return "From: Reports <noreply@big.example>\r\nTo: <dmarc-reports@a.test>\r\nSubject: " + subject + "\r\nDate: Mon, 23 Nov 2026 09:00:00 +0000\r\n" +
		"Message-ID: <" + strings.ReplaceAll(subject, " ", ".") + "@big.example>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
		"--b\r\nContent-Type: text/plain\r\n\r\nA report is attached.\r\n--b\r\nContent-Type: " + kind + "; name=\"" + name + "\"\r\nContent-Transfer-Encoding: base64\r\n" +
		"Content-Disposition: attachment; filename=\"" + name + "\"\r\n\r\n" + code + "--b--\r\n"
}

func zipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("report.xml")
	if err == nil {
		_, err = io.WriteString(w, text)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := io.WriteString(z, text)
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestReports: reports that other servers mail, packed as large providers do,
// are kept apart from the postmaster's mail, and read.
func TestReports(t *testing.T) {
	t.Parallel()
	const postmaster = "postmaster@a.test"
	s := newSite(t, func(c *lab.Config) {
		c.Accounts = append(c.Accounts, lab.Account{Address: postmaster, Password: password})
	})
	day := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -1)
	dmarc := func(org string, day time.Time, good, bad int) string {
		record := func(ip string, n int, disposition, result, domain string) string {
			return fmt.Sprintf("<record><row><source_ip>%s</source_ip><count>%d</count><policy_evaluated><disposition>%s</disposition><dkim>%[4]s</dkim><spf>fail</spf>"+
				"</policy_evaluated></row><identifiers><header_from>a.test</header_from></identifiers><auth_results><dkim><domain>%[5]s</domain><result>%[4]s</result></dkim>"+
				"<spf><domain>%[5]s</domain><result>pass</result></spf></auth_results></record>", ip, n, disposition, result, domain)
		}
		return fmt.Sprintf("<?xml version=\"1.0\"?><feedback><report_metadata><org_name>%s</org_name><email>x@%[1]s</email><report_id>1</report_id>"+
			"<date_range><begin>%d</begin><end>%d</end></date_range></report_metadata><policy_published><domain>a.test</domain><p>quarantine</p></policy_published>",
			org, day.Unix(), day.Unix()+86399) + record("192.0.2.1", good, "none", "pass", "a.test") + record("203.0.113.7", bad, "quarantine", "fail", "news.example.net") + "</feedback>"
	}
	tls := fmt.Sprintf(`{"organization-name":"Big","date-range":{"start-datetime":%q,"end-datetime":%q},"contact-info":"x@big.example","report-id":"1","policies":[{"policy":`+
		`{"policy-type":"sts","policy-string":["version: STSv1"],"policy-domain":"a.test","mx-host":"mail.a.test"},"summary":{"total-successful-session-count":41,`+
		`"total-failure-session-count":2},"failure-details":[{"result-type":"certificate-expired","receiving-mx-hostname":"mail.a.test","failed-session-count":2}]}]}`,
		day.Format(time.RFC3339), day.Add(24*time.Hour-time.Second).Format(time.RFC3339))
	for _, m := range []struct{ to, text string }{
		{"dmarc-reports@a.test", attached("zipped", "application/zip", "big.example!a.test.zip", zipped(t, dmarc("big.example", day, 30, 4)))},
		{"dmarc-reports@a.test", attached("gzipped", "application/gzip", "other.example!a.test.xml.gz", gzipped(t, dmarc("other.example", day, 12, 1)))},
		{"dmarc-reports@a.test", attached("long ago", "application/gzip", "r.xml.gz", gzipped(t, dmarc("past.example", day.AddDate(0, 0, -60), 1000, 1000)))},
		{"tls-reports@a.test", attached("tls", "application/tlsrpt+gzip", "r.json.gz", gzipped(t, tls))},
		{"dmarc-reports@a.test", attached("broken", "application/zip", "r.zip", []byte("PK\x03\x04 and nothing more"))},
		{postmaster, message("to the postmaster")},
	} {
		client(t, "", "curl", "-sS", "smtp://"+s.Addr["smtp"], "--mail-from", "noreply@big.example", "--mail-rcpt", m.to, "-T", file(t, "m", m.text))
	}
	if all := inbox(t, s, postmaster); len(all) != 1 || !strings.Contains(all[0], "to the postmaster") {
		t.Errorf("the postmaster's INBOX has %d messages", len(all))
	}
	out, err := s.Run(t.Context(), "", "reports")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"a.test, " + day.Format(time.DateOnly) + " to " + day.Format(time.DateOnly) + ", as 2 servers report: 42 messages were proved to be the domain's, 5 were not.\n",
		"5 from 203.0.113.7: filed as junk; ", "news.example.net",
		"a.test (MTA-STS): 41 connections as they should be, 2 not\n", "at mail.a.test", "No report could be read in 1 message or file.",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("there is no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "1000") {
		t.Errorf("what was long ago counts:\n%s", out)
	}
	t.Log(out)
	if out, err := s.Run(t.Context(), "", "reports", file(t, "r.json", tls)); err != nil || !strings.Contains(out, "41 connections") {
		t.Errorf("a file: %v\n%s", err, out)
	}
	// A report reads like any mail, in the mailbox that it is kept in.
	listed := client(t, "", "curl", "-sS", "imap://"+s.Addr["imap"]+"/Reports?ALL", "-u", postmaster+":"+password)
	if !strings.Contains(listed, "* SEARCH 1 2 3 4 5") {
		t.Errorf("Reports: %s", listed)
	}
}
