package imapd

import (
	"fmt"
	"testing"
)

func TestMessageURLs(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{"/INBOX/;UID=20", `"INBOX" 0 20 "" 0 -1`},
		{"/Drafts;UIDVALIDITY=385759045/;UID=20/;section=1.MIME", `"Drafts" 385759045 20 "1.MIME" 0 -1`},
		{"/a/b/;uid=7/;SECTION=HEADER.FIELDS%20(Subject)/;PARTIAL=10.20", `"a/b" 0 7 "HEADER.FIELDS (Subject)" 10 20`},
		{"/;UID=7/;PARTIAL=10", `"" 0 7 "" 10 -1`},
		{";UID=7", `"" 0 7 "" 0 -1`},
		{"/Entw%C3%BCrfe/;UID=1", `"Entwürfe" 0 1 "" 0 -1`},
		{"Drafts/;UID=1", `"Drafts" 0 1 "" 0 -1`},
		{"", "bad"}, {"/", "bad"}, {"/INBOX", "bad"}, {"/INBOX;UID=1", "bad"}, {"/INBOX/;UID=", "bad"}, {"/INBOX/;UID=0", "bad"},
		{"/INBOX/;UID=4294967296", "bad"}, {"/INBOX/;UID=-1", "bad"}, {"/INBOX/;UID=1/;SECTION=", "bad"}, {"/INBOX/;UID=1/;FROB=1", "bad"},
		{"/INBOX/;UID=1/;PARTIAL=1/;SECTION=1", "bad"}, {"/INBOX/;UID=1/;PARTIAL=x", "bad"}, {"/INBOX/;UID=1/;PARTIAL=1.0", "bad"},
		{"/INBOX/;UID=1/;PARTIAL=1/;PARTIAL=2", "bad"}, {"imap://mail.a.test/INBOX/;UID=1", "bad"}, {"//mail.a.test/INBOX/;UID=1", "bad"},
		{"/INBOX%/;UID=1", "bad"}, {"/INBOX%00/;UID=1", "bad"}, {"/%FF/;UID=1", "bad"}, {"/INBOX;UIDVALIDITY=0/;UID=1", "bad"},
		{"/INBOX/;UID=1/;UID=2", "bad"}, {"/INBOX/;UID=1/extra", "bad"},
	} {
		u, ok := parseMessageURL(c.url)
		got := fmt.Sprintf("%q %d %d %q %d %d", u.mailbox, u.validity, u.uid, u.section, u.offset, u.length)
		if !ok {
			got = "bad"
		}
		if got != c.want {
			t.Errorf("%q: %s, want %s", c.url, got, c.want)
		}
	}
}

func FuzzMessageURL(f *testing.F) {
	f.Add("/Drafts;UIDVALIDITY=385759045/;UID=20/;section=1.MIME/;PARTIAL=1.2")
	f.Fuzz(func(t *testing.T, s string) {
		if u, ok := parseMessageURL(s); ok && (u.uid == 0 || u.offset < 0 || u.length < -1) {
			t.Errorf("%+v", u)
		}
		badURL(s)
	})
}
