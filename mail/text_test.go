package mail

import (
	"bytes"
	"encoding/base64"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

func TestDecodeText(t *testing.T) {
	tests := []struct{ in, want string }{
		{"plain", "plain"},
		{"=?utf-8?q?caf=C3=A9?=", "café"},
		{"=?UTF-8?B?Y2Fmw6k=?=", "café"},
		{"=?utf-8?B?Y2Fmw6k?=", "café"},
		{"=?iso-8859-1?Q?a_b=E9?= x", "a bé x"},
		{"a =?utf-8?q?b?=  =?utf-8?q?c?= d", "a bc d"},
		{"=?utf-8?q?b?= x =?utf-8?q?c?=", "b x c"},
		{"=?utf-8?b?w6?==?utf-8?b?qQ==?=", "é"},
		{"=?utf-8?q?=C3?= =?utf-8?q?=A9?=", "é"},
		{"=?utf-8*de?q?x?=", "x"},
		{"=?iso-2022-jp?b?GyRCRnxLXBsoQg==?=", "日本"},
		{"=?koi8-r?q?=F0=F2?= =?windows-1251?q?=CF?=", "ПРП"},
		{"=?unknown-8bit?q?=E9?=", "=?unknown-8bit?q?=E9?="},
		{"=?utf-8?q?x", "=?utf-8?q?x"},
		{"=?utf-8?x?y?=", "=?utf-8?x?y?="},
		{"=?=?utf-8?q?x?=", "=?x"},
		{"=?utf-8?q?a=0D=0AB:c=00?=", "a  B:c "},
		{"raw \xe9", "raw \uFFFD"},
		{"=?utf-8?q?a b?=", "a b"},
		{"=?us-ascii?q?=c3=a9?=", "é"},
	}
	for _, tt := range tests {
		if got := DecodeText(tt.in); got != tt.want {
			t.Errorf("DecodeText(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestEncodeWord(t *testing.T) {
	for _, s := range []string{"", "plain", "café au lait", "日本語の件名はとても長いので、複数の単語に分けなければなりません。", "=?utf-8?q?x?=",
		strings.Repeat("é", 200), "line\r\nbreak", strings.Repeat("long text with an ë ", 20), "a\tb"} {
		e := EncodeWord(s)
		for w := range strings.SplitSeq(e, " ") {
			if len(w) > 75 {
				t.Errorf("%q: word %q has %d characters", s, w, len(w))
			}
		}
		if strings.ContainsAny(e, "\r\n") {
			t.Errorf("%q: line end in %q", s, e)
		}
		if got := DecodeText(e); got != strings.NewReplacer("\r", " ", "\n", " ").Replace(s) {
			t.Errorf("%q → %q → %q", s, e, got)
		}
	}
}

func TestDecodeBody(t *testing.T) {
	long := strings.Repeat("x", 3*decodeBuffer-1)
	tests := []struct{ enc, in, want string }{
		{"7bit", "a=20\r\n", "a=20\r\n"},
		{"x-unknown", "a=20", "a=20"},
		{"base64", "SGVs\r\nbG8=\r\n", "Hello"},
		{"BASE64 ", "SGVsbG8", "Hello"},
		{"base64", "S*G!V s-b\x00G8=", "Hello"},
		{"base64", "SGVsbG8=IHdvcmxk", "Hello world"},
		{"base64", "====", ""},
		{"quoted-printable", "a=3D=c3=a9\r\n", "a=é\r\n"},
		{"quoted-printable", "soft=\r\nbreak=  \r\n", "softbreak"},
		{"quoted-printable", "trailing \t\r\nx", "trailing\r\nx"},
		{"quoted-printable", "bad=ZZ=4\n=", "bad=ZZ=4\n"},
		{"quoted-printable", long + "=41" + long, long + "A" + long},
		{"quoted-printable", "x" + long + "=41", "x" + long + "A"},
		{"quoted-printable", long[1:] + "=\r\nB", long[1:] + "B"},
	}
	for _, tt := range tests {
		for _, r := range []io.Reader{strings.NewReader(tt.in), iotest.OneByteReader(strings.NewReader(tt.in)), iotest.DataErrReader(strings.NewReader(tt.in))} {
			got, err := io.ReadAll(DecodeBody(r, tt.enc))
			if string(got) != tt.want || err != nil {
				t.Errorf("%s %.40q: %.60q (%d bytes), %v; want %.60q", tt.enc, tt.in, got, len(got), err, tt.want)
			}
		}
	}
}

// A picture survives base64 bit for bit.
func TestDecodeBodyBinary(t *testing.T) {
	jpeg := make([]byte, 100001)
	for i := range jpeg {
		jpeg[i] = byte(i * i >> 3)
	}
	enc := base64.StdEncoding.EncodeToString(jpeg)
	var lines strings.Builder
	for len(enc) > 76 {
		lines.WriteString(enc[:76] + "\r\n")
		enc = enc[76:]
	}
	lines.WriteString(enc + "\r\n")
	got, err := io.ReadAll(DecodeBody(strings.NewReader(lines.String()), "base64"))
	if err != nil || !bytes.Equal(got, jpeg) {
		t.Errorf("%d bytes, %v; want %d", len(got), err, len(jpeg))
	}
}

func TestDecodeCharset(t *testing.T) {
	tests := []struct{ charset, in, want string }{
		{"utf-8", "é", "é"},
		{"utf-8", "\xff", "\uFFFD"},
		{"ISO-8859-15", "\xa4", "€"},
		{"iso-8859-1", "\xe9", "é"},
		{"cp437", "\x82", "é"},
		{"gb18030", "\xc4\xe3", "你"},
		{"utf-16", "\xfe\xff\x00A", "A"},
		{"utf-16", "\x00A", "A"},
		{"utf-16le", "A\x00", "A"},
		{"hz-gb-2312", "~{Dc~}", "你"},
		{"iso-2022-kr", "as is", "as is"},
		{"", "\xc3\xa9", "é"},
		{"us-ascii", "\xc3\xa9", "é"},
		{"no-such", "\xe9", "\xe9"},
	}
	for _, tt := range tests {
		got, err := io.ReadAll(DecodeCharset(tt.charset, strings.NewReader(tt.in)))
		if string(got) != tt.want || err != nil {
			t.Errorf("%s %q: %q, %v; want %q", tt.charset, tt.in, got, err, tt.want)
		}
	}
}

func FuzzDecodeText(f *testing.F) {
	for _, s := range []string{"=?utf-8?q?caf=C3=A9?= x", "=?a?b?=", "=?iso-2022-jp?b?GyRCRnxLXBsoQg==?=", "=?utf-16?b?AEE=?= =?utf-8?q?_?="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := DecodeText(s)
		if !utf8.ValidString(got) {
			t.Fatalf("%q → %q: not UTF-8", s, got)
		}
		if e := EncodeWord(s); DecodeText(e) != DecodeText(EncodeWord(DecodeText(e))) {
			t.Fatalf("%q → %q: not stable", s, e)
		}
	})
}
