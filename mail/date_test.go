package mail

import (
	"testing"
	"time"
)

func TestParseDate(t *testing.T) {
	tests := []struct{ in, want string }{ // want in RFC 3339, empty for an error
		{"Mon, 23 Nov 2026 02:04:31 +0000", "2026-11-23T02:04:31Z"},
		{"Mon, 23 Nov 2026 02:04:31 -0330", "2026-11-23T02:04:31-03:30"},
		{"23 Nov 2026 02:04 +0100 (CET)", "2026-11-23T02:04:00+01:00"},
		{"Mon,23 Nov 26 02:04:31 EST", "2026-11-23T02:04:31-05:00"},
		{"Mon, 23 Nov 99 02:04:31 gmt", "1999-11-23T02:04:31Z"},
		{"Mon, 23 Nov 126 02:04:31 Z", "2026-11-23T02:04:31Z"},
		{"Mon Nov 23 02:04:31 2026", "2026-11-23T02:04:31Z"},
		{"Mon Nov 23 02:04:31 EST 2026", "2026-11-23T02:04:31-05:00"},
		{"23-November-2026 02:04:31 PDT", "2026-11-23T02:04:31-07:00"},
		{"(a (nested) comment) 3 (x) Jan(y)2001 1:02:03 +0000", "2001-01-03T01:02:03Z"},
		{" Tue,  3 Jan\r\n 2001 01:02:03.456 +00:00", "2001-01-03T01:02:03Z"},
		{"Mon, 23 Nov 2026 2.04.31 +0100", "2026-11-23T02:04:31+01:00"},
		{"23 Nov 2026 02.04", "2026-11-23T02:04:00Z"},
		{"2026-11-23T02:04:31+02:00", "2026-11-23T02:04:31+02:00"},
		{"Fri, 31 Dec 1999 23:59:60 +0000", "2000-01-01T00:00:00Z"},
		{"", ""}, {"Mon", ""}, {"23 Nov 2026", ""}, {"23 Foo 2026 01:02:03", ""}, {"45 Nov 2026 01:02:03", ""},
		{"23 Nov 2026 24:02:03", ""}, {"23 Nov 2026 24.02.03", ""}, {"23.11.2026 2.04", ""}, {"23 Nov 2026 :02:03", ""}, {"00 Nov 2026 01:02:03", ""}, {"(23 Nov 2026 01:02:03", ""},
	}
	for _, tt := range tests {
		got, err := ParseDate(tt.in)
		if (err != nil) != (tt.want == "") || err == nil && got.Format(time.RFC3339) != tt.want {
			t.Errorf("ParseDate(%q) = %v, %v; want %q", tt.in, got, err, tt.want)
		}
	}
}

func FuzzDate(f *testing.F) {
	f.Add("Mon, 23 Nov 2026 02:04:31 +0000")
	f.Add("Mon Nov 23 02:04:31 2026")
	f.Add("2026-11-23T02:04:31Z")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDate(s)
		if err != nil || d.Year() < 1000 || d.Year() > 9999 {
			return
		}
		again, err := ParseDate(FormatDate(d))
		if err != nil || !again.Equal(d) {
			t.Fatalf("%q → %v → %q → %v, %v", s, d, FormatDate(d), again, err)
		}
	})
}
