package mail

import (
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

func previewOf(t testing.TB, raw string) string {
	t.Helper()
	m := ParseBytes([]byte(raw))
	got, err := m.Preview(func(x Extent) io.Reader { return strings.NewReader(raw[x.Offset:][:x.Size]) })
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestPreview(t *testing.T) {
	alternative := "Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/html\n\n<p>html\n--b\n\n%\n--b--\n"
	tests := []struct{ raw, want string }{
		{"Subject: x\n\nHello  Bob,\n\tthis is\n\n a text.\n", "Hello Bob, this is a text."},
		{"Subject: x\n\n", ""},
		{"Subject: x\n\n \n\t\n", ""},
		{"Subject: x\n\nOn Monday Bob wrote:\n> quoted\n > more\nMy answer.\n", "On Monday Bob wrote: My answer."},
		{"Subject: x\n\n> only\n> quoted\n", "> only > quoted"},
		{"Content-Transfer-Encoding: quoted-printable\nContent-Type: text/plain; charset=iso-8859-1\n\nGr=FC=DFe=\n!\n", "Grüße!"},
		{"Content-Transfer-Encoding: base64\nContent-Type: text/plain; charset=utf-8\n\nR3LDvMOfZQ==\n", "Grüße"},
		{"Content-Type: text/plain; charset=utf-8\n\nbroken \xff\xfe here\n", "broken \uFFFD\uFFFD here"},
		{"Content-Type: text/html\n\n<html><head><title>T</title><style>p { }</style></head><body><p>Hello <b>B</b>ob &amp; co&nbsp;!<br>second<!-- c -->", "Hello Bob & co ! second"},
		{"Content-Type: text/html\n\n1 < 2 <a href=\"x>y\">link</a><script>if (a</b) {}</script> end <unclosed", "1 < 2 link end"},
		{"Content-Type: text/html\n\n&#8203;&zwnj;\u034f &shy; text", "text"},
		{strings.ReplaceAll(alternative, "%", "plain"), "plain"},
		{strings.ReplaceAll(alternative, "%", ""), "html"},
		{"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Disposition: attachment\n\nattached\n--b\nContent-Type: image/png\n\nx\n--b\n\nthe text\n--b--\n", "the text"},
		{"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: y\n\ninner\n--b--\n", ""},
		{"Content-Type: multipart/encrypted; boundary=b\n\n--b\n\nsecret\n--b--\n", ""},
		{"Content-Type: image/png\n\nx\n", ""},
		{"Subject: x\n\n" + strings.Repeat("ü", 300), strings.Repeat("ü", MaxPreview)},
		{"Subject: x\n\n" + strings.Repeat("ab ", 300), strings.Repeat("ab ", 66) + "ab"},
		{"Subject: x\n\n" + strings.Repeat("> quoted\n", 10000) + "behind what is looked at", "> quoted" + strings.Repeat(" > quoted", 21) + " >"},
	}
	for _, tt := range tests {
		if got := previewOf(t, strings.ReplaceAll(tt.raw, "\n", "\r\n")); got != tt.want {
			t.Errorf("%.100q:\n got %q\nwant %q", tt.raw, got, tt.want)
		}
	}
}

func FuzzPreview(f *testing.F) {
	f.Add("Content-Type: text/html\r\n\r\n<p class='x>y'>a</p><style><b></style><!-- x --> &lt;<")
	f.Add("Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\n> x\r\n--b\r\nContent-Type: text/html\r\n\r\n</head><head>")
	f.Fuzz(func(t *testing.T, raw string) {
		got := previewOf(t, raw)
		if n := utf8.RuneCountInString(got); n > MaxPreview || !utf8.ValidString(got) || strings.ContainsAny(got, "\r\n\x00") {
			t.Errorf("%d characters: %q", n, got)
		}
	})
}
