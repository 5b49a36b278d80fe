package mail

import (
	"os"
	"strings"
	"testing"
)

func parseFile(t testing.TB, name string) (string, *Meta) {
	t.Helper()
	raw, err := os.ReadFile("testdata/odd/" + name + ".eml")
	if err != nil {
		t.Fatal(err)
	}
	m, err := Parse(strings.NewReader(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw), m
}

func TestSection(t *testing.T) {
	const none = "none"
	tests := []struct {
		file string
		path []int
		spec string
		want string
	}{
		{"no-body", nil, "TEXT", ""},
		{"plain", nil, "text", "body line\r\nsecond\r\n"},
		{"plain", []int{1}, "", "body line\r\nsecond\r\n"},
		{"plain", []int{2}, "", none},
		{"plain", []int{1, 1}, "", none},
		{"plain", []int{1}, "HEADER", none},
		{"plain", nil, "MIME", none},
		{"plain", nil, "X", none},
		{"junk-in-header", []int{1}, "MIME", "Subject: one\r\nthis line is no field\r\nX-Two: 2\r\n continued\r\n\r\n"},
		{"no-header", nil, "HEADER", ""},
		{"multipart", []int{1}, "", "first"},
		{"multipart", []int{1}, "MIME", "\r\n"},
		{"multipart", []int{0}, "", none},
		{"multipart", []int{3}, "", none},
		{"multipart", []int{1, 1}, "", none},
		{"nested", []int{1, 2}, "", "<p>html"},
		{"nested", []int{1, 2}, "MIME", "Content-Type: text/html\r\n\r\n"},
		{"nested", []int{1, 3}, "", none},
		{"rfc822", []int{1}, "", "Subject: inner\r\nFrom: c@c.test\r\n\r\ninner body\r\nline"},
		{"rfc822", []int{1}, "HEADER", "Subject: inner\r\nFrom: c@c.test\r\n\r\n"},
		{"rfc822", []int{1}, "TEXT", "inner body\r\nline"},
		{"rfc822", []int{1, 1}, "", "inner body\r\nline"},
		{"rfc822", []int{1, 1}, "HEADER", none},
		{"rfc822-multipart", []int{1, 1}, "", "x"},
		{"rfc822-root", []int{1}, "HEADER", "Subject: inner\r\n\r\n"},
		{"rfc822-root", []int{1, 1}, "", "inner\r\n"},
		{"rfc822-in-rfc822", []int{1, 1}, "HEADER", "Subject: 2\r\n\r\n"},
		{"rfc822-in-rfc822", []int{1, 1, 1}, "", "body\r\n"},
		{"rfc822-in-rfc822", []int{1, 1, 1, 1}, "", none},
		{"no-boundary-at-all", []int{1}, "", ""},
	}
	for _, tt := range tests {
		raw, m := parseFile(t, tt.file)
		for _, prefix := range []string{"", "Received: x\r\n"} {
			got, want := none, tt.want
			served := prefix + raw
			if x, ok := m.SectionAfter(int64(len(prefix)), tt.path, tt.spec); ok {
				got = served[x.Offset:][:x.Size]
			}
			if tt.file == "junk-in-header" || tt.file == "no-header" {
				want = prefix + want
			}
			if got != want {
				t.Errorf("%s %v %s: %q, want %q", tt.file, tt.path, tt.spec, got, want)
			}
		}
	}
	raw, m := parseFile(t, "rfc822")
	if x, ok := m.SectionAfter(5, nil, ""); !ok || x != (Extent{0, int64(len(raw) + 5)}) {
		t.Errorf("the whole: %v", x)
	}
}

func TestFilterHeader(t *testing.T) {
	const header = "From x Mon\r\nSubject: one\r\n two\r\nTO: a@b\r\njunk\r\nto : c@d\r\nX: y\r\n\r\n"
	tests := []struct {
		header string
		names  string
		not    bool
		want   string
	}{
		{header, "to subject", false, "Subject: one\r\n two\r\nTO: a@b\r\nto : c@d\r\n\r\n"},
		{header, "TO subject", true, "From x Mon\r\njunk\r\nX: y\r\n\r\n"},
		{header, "none", false, "\r\n"},
		{header, "", true, header},
		{"", "to", false, "\r\n"},
		{"A: cut", "a", false, "A: cut\r\n\r\n"},
	}
	for _, tt := range tests {
		if got := FilterHeader([]byte(tt.header), strings.Fields(tt.names), tt.not); string(got) != tt.want {
			t.Errorf("%s %v: %q, want %q", tt.names, tt.not, got, tt.want)
		}
	}
}
