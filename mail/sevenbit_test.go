package mail

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// leaves returns the decoded content of every part that contains no other.
func leaves(t testing.TB, raw []byte, p *Part) []string {
	t.Helper()
	var out []string
	for i := range p.Parts {
		out = append(out, leaves(t, raw, &p.Parts[i])...)
	}
	if p.Message != nil {
		out = append(out, leaves(t, raw, &p.Message.Root)...)
	}
	if len(p.Parts) == 0 && p.Message == nil {
		body, err := io.ReadAll(DecodeBody(bytes.NewReader(raw[p.Body.Offset:][:p.Body.Size]), p.Encoding))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p.Type+"/"+p.Subtype+" "+string(body))
	}
	return out
}

// convert runs To7Bit and checks that nothing was lost.
func convert(t testing.TB, raw []byte) (string, error) {
	t.Helper()
	m, err := Parse(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := To7Bit(bytes.NewReader(raw), m, &out); err != nil {
		if !errors.Is(err, ErrNot7Bit) && !errors.Is(err, ErrNotASCII) {
			t.Fatalf("%q: %v", raw, err)
		}
		return "", err
	}
	if !isASCIIBytes(out.Bytes()) || bytes.IndexByte(out.Bytes(), 0) >= 0 {
		t.Fatalf("%q → %q: not 7bit", raw, out.Bytes())
	}
	if isASCIIBytes(raw) && !bytes.Contains(bytes.ToLower(raw), []byte("bi")) && bytes.IndexByte(raw, 0) < 0 && !bytes.Equal(raw, out.Bytes()) {
		t.Fatalf("%q → %q: changed without need", raw, out.Bytes())
	}
	again, err := Parse(bytes.NewReader(out.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	before, after := leaves(t, raw, &m.Root), leaves(t, out.Bytes(), &again.Root)
	if strings.Join(before, "\x00") != strings.Join(after, "\x00") {
		t.Fatalf("%q → %q:\n%q, want\n%q", raw, out.Bytes(), after, before)
	}
	return out.String(), nil
}

func TestWithoutNUL(t *testing.T) {
	tests := []struct {
		name, in, want string
		err            error
	}{
		{"no NUL", "Subject: \xfc\r\nContent-Transfer-Encoding: binary\r\n\r\n\xfc\r", "Subject: \xfc\r\nContent-Transfer-Encoding: binary\r\n\r\n\xfc\r", nil},
		{"binary", "Subject: \xfc\r\nContent-Type: image/x\r\nContent-Transfer-Encoding: binary\r\n\r\n\x00\xff\r\x01",
			"Subject: \xfc\r\nContent-Type: image/x\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\nAP8NAQ==\r\n", nil},
		{"text", "Subject: x\r\n\r\na\x00\xfc\n\r\n",
			"Subject: x\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=00=FC=0A\r\n", nil},
		{"one part of several", "Content-Transfer-Encoding: binary\r\nContent-Type: multipart/mixed; boundary=\xfc\r\n\r\npr\x00\xe9\r\n--\xfc\r\n\r\n\xe9\r\n--\xfc\r\nContent-Type: image/x\r\n\r\n\x00\r\n--\xfc--\r\n",
			"Content-Transfer-Encoding: binary\r\nContent-Type: multipart/mixed; boundary=\xfc\r\n\r\npr?\xe9\r\n--\xfc\r\n\r\n\xe9\r\n--\xfc\r\nContent-Type: image/x\r\nContent-Transfer-Encoding: base64\r\n\r\nAA==\r\n--\xfc--\r\n", nil},
		{"in a message", "Content-Type: message/rfc822\r\n\r\nContent-Type: image/x\r\n\r\n\x00",
			"Content-Type: message/rfc822\r\n\r\nContent-Type: image/x\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\nAA==\r\n", nil},
		{"header", "Subject: a\x00b\r\n\r\nx\r\n", "", ErrNotASCII},
		{"no header", "a\x00b\r\n", "", ErrNot7Bit},
		{"unknown encoding", "Content-Transfer-Encoding: x-y\r\n\r\n\x00\r\n", "", ErrNot7Bit},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw := []byte(tt.in)
			m := ParseBytes(raw)
			var out bytes.Buffer
			err := WithoutNUL(bytes.NewReader(raw), m, &out)
			if !errors.Is(err, tt.err) || err == nil && out.String() != tt.want {
				t.Fatalf("%q, %v\nwant %q, %v", out.String(), err, tt.want, tt.err)
			}
			if before, after := leaves(t, raw, &m.Root), leaves(t, out.Bytes(), &ParseBytes(out.Bytes()).Root); err == nil && !slices.Equal(before, after) {
				t.Errorf("%q, want %q", after, before)
			}
		})
	}
}

func TestTo7Bit(t *testing.T) {
	const signed = "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n%s\r\n--b--\r\n"
	tests := []struct {
		name, in, want string
		err            error
	}{
		{"7bit stays", "Subject: x\r\n\r\nbody\r\n", "Subject: x\r\n\r\nbody\r\n", nil},
		{"text", "Subject: x\r\n\r\ncafé = 1 \r\n.dot\r\n--x\r\n",
			"Subject: x\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ncaf=C3=A9 =3D 1=20\r\n=2Edot\r\n=2D-x\r\n", nil},
		{"label replaced", "MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\nContent-Type: text/plain; charset=utf-8\r\n\r\né\r\n",
			"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A9\r\n", nil},
		{"label only", "MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n\r\ne\r\n",
			"MIME-Version: 1.0\r\nContent-Transfer-Encoding: 7bit\r\n\r\ne\r\n", nil},
		{"binary", "MIME-Version: 1.0\r\nContent-Type: image/x\r\nContent-Transfer-Encoding: binary\r\n\r\n\x00\xff\r\x01",
			"MIME-Version: 1.0\r\nContent-Type: image/x\r\nContent-Transfer-Encoding: base64\r\n\r\nAP8NAQ==\r\n", nil},
		{"multipart", "MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npré\r\n--b\r\n\r\né\r\n--b\r\nContent-Type: image/x\r\n\r\n\xff\r\n--b\r\n\r\nascii\r\n--b--\r\népi\r\n",
			"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 7bit\r\n\r\npr??\r\n--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A9\r\n--b\r\nContent-Type: image/x\r\nContent-Transfer-Encoding: base64\r\n\r\n/w==\r\n--b\r\n\r\nascii\r\n--b--\r\n??pi\r\n", nil},
		{"message", "Content-Type: message/rfc822\r\n\r\nSubject: ü\r\n\r\né\r\n",
			"Content-Type: message/rfc822\r\n\r\nSubject: =?utf-8?b?w7w=?=\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A9\r\n", nil},
		{"header", "Subject: über\r\nFrom: Jörg <j@x>, \"A, B\" <a@b>\r\nTo: Ü: ü <c@d>;\r\nContent-Type: text/plain; name=\"é.txt\"; charset=utf-8\r\n\r\nx\r\n",
			"Subject: =?utf-8?q?=C3=BCber?=\r\nFrom: =?utf-8?q?J=C3=B6rg?= <j@x>, \"A, B\" <a@b>\r\nTo: =?utf-8?b?w5w=?=: =?utf-8?b?w7w=?= <c@d>;\r\nContent-Type: text/plain; name*=utf-8''%C3%A9.txt; charset=\"utf-8\"\r\n\r\nx\r\n", nil},
		{"signed", strings.Replace(signed, "%s", "é", 1), "", ErrNot7Bit},
		{"signed 7bit", strings.Replace(signed, "%s", "e", 1), strings.Replace(signed, "%s", "e", 1), nil},
		{"partial", "Content-Type: message/partial\r\n\r\né\r\n", "", ErrNot7Bit},
		{"unknown encoding", "Content-Transfer-Encoding: x-y\r\n\r\né\r\n", "", ErrNot7Bit},
		{"encoded multipart", "Content-Transfer-Encoding: base64\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\né\r\n", "", ErrNot7Bit},
		{"no header", "Do you like café?\r\n", "", ErrNot7Bit},
		{"address", "From: jörg@x\r\n\r\nx\r\n", "", ErrNotASCII},
		{"domain", "From: j@ö.de\r\n\r\nx\r\n", "", ErrNotASCII},
		{"message-id", "Message-ID: <ö@x>\r\n\r\nx\r\n", "", ErrNotASCII},
		{"boundary", "Content-Type: multipart/mixed; boundary=é\r\n\r\n--é\r\n\r\nx\r\n", "", ErrNot7Bit},
		{"extended boundary", "Content-Type: multipart/mixed; boundary*=utf-8''%C3%A9\r\n\r\n--é\r\n\r\nx\r\n", "", ErrNot7Bit},
		{"name of a parameter", "Content-Type: multipart/mixed; bou\x84dary=\"b\"\r", "", ErrNotASCII},
		{"type", "Content-Type: te\xffxt/plain\r\n\r\nx\r\n", "", ErrNotASCII},
		{"disposition", "Content-Disposition: \xff; filename=x\r\n\r\nx\r\n", "", ErrNotASCII},
		{"name of a field", "Sübject: x\r\n\r\nx\r\n", "", ErrNotASCII},
		{"line that is no field", "Subject: x\r\n\xff\r\n\r\nx\r\n", "", ErrNotASCII},
		{"byte behind a CR", "Content-Type:multipart/0;boundary=b\r\xef\n\n--b\n\n0", "Content-Type: multipart/0; boundary=\"b\"\r\n\n--b\n\n0", nil},
		{"extended in quotes", "Content-Type: text/plain; n=\xff; name*=\"utf-8''a;b %C3%A9\"\r\n\r\nx\r\n",
			"Content-Type: text/plain; n*=utf-8''%EF%BF%BD; name*=utf-8''a%3Bb%20%C3%A9\r\n\r\nx\r\n", nil},
		{"filler", "Content-Type: multipart/mixed; boundary=?\r\n\r\n--\xff\r\n--?\r\n\r\nx\r\n", "Content-Type: multipart/mixed; boundary=?\r\n\r\n--#\r\n--?\r\n\r\nx\r\n", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := convert(t, []byte(tt.in))
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("%q, %v\nwant %q, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

func TestTo7BitLongLines(t *testing.T) {
	in := "Content-Type: text/plain; charset=utf-8\r\n\r\n" + strings.Repeat("long é -line .F ", 5000) + "\r\n"
	got, err := convert(t, []byte(in))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(got, "\r\n") {
		if len(line) > 76 || strings.HasPrefix(line, "-") {
			t.Fatalf("line %q", line)
		}
	}
}

func FuzzTo7Bit(f *testing.F) {
	files, _ := filepath.Glob("testdata/odd/*.eml")
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(bytes.ReplaceAll(raw, []byte("e\r\n"), []byte("é\r\n")))
		f.Add(bytes.ReplaceAll(raw, []byte("t\r\n"), []byte("é\xff\x00\r\n")))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		convert(t, raw)
		var out bytes.Buffer
		err := WithoutNUL(bytes.NewReader(raw), ParseBytes(raw), &out)
		if err == nil && (bytes.IndexByte(out.Bytes(), 0) >= 0 || bytes.IndexByte(raw, 0) < 0 && !bytes.Equal(raw, out.Bytes())) {
			t.Fatalf("%q → %q", raw, out.Bytes())
		}
	})
}
