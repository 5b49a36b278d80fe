package mail

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"strings"
	"testing"
)

// A JPEG in base64, as a whole message and as an attachment, comes out bit
// for bit.
func TestPicture(t *testing.T) {
	img := image.NewRGBA(image.Rect(0, 0, 320, 200))
	for i := range 320 * 200 {
		img.Set(i%320, i/320, color.RGBA{byte(i), byte(i >> 4), byte(i * i), 255})
	}
	var picture bytes.Buffer
	if err := jpeg.Encode(&picture, img, nil); err != nil {
		t.Fatal(err)
	}
	var body strings.Builder
	for enc := base64.StdEncoding.EncodeToString(picture.Bytes()); enc != ""; {
		n := min(76, len(enc))
		body.WriteString(enc[:n] + "\r\n")
		enc = enc[n:]
	}
	const top = "From: alice@crepes.fr\r\nTo: bob@hamburger.edu\r\nSubject: Picture of yummy crepe.\r\nMIME-Version: 1.0\r\n"
	const part = "Content-Transfer-Encoding: base64\r\nContent-Type: image/jpeg\r\n\r\n"
	for name, raw := range map[string]string{
		"whole":      top + part + body.String(),
		"attachment": top + "Content-Type: multipart/mixed; boundary=\"=_1\"\r\n\r\n--=_1\r\n" + part + body.String() + "\r\n--=_1--\r\n",
	} {
		m := parseString(t, raw)
		p, ok := m.Part([]int{1})
		if !ok || !p.is("image", "jpeg") || p.Encoding != "base64" {
			t.Fatalf("%s: part %+v", name, p)
		}
		x, _ := m.Section([]int{1}, "")
		got, err := io.ReadAll(DecodeBody(io.NewSectionReader(strings.NewReader(raw), x.Offset, x.Size), p.Encoding))
		if err != nil || !bytes.Equal(got, picture.Bytes()) {
			t.Errorf("%s: %d bytes, %v; want %d", name, len(got), err, picture.Len())
		}
		if !isASCIIBytes([]byte(raw)) {
			t.Errorf("%s is not of 7 bits", name)
		}
	}
}

func TestFileName(t *testing.T) {
	for field, want := range map[string]string{
		"Content-Disposition: attachment; filename=a.txt":                                   "a.txt",
		"Content-Disposition: attachment; filename=\"a.txt\"; filename*=utf-8''%c3%a4.txt":  "ä.txt",
		"Content-Disposition: attachment; filename*=utf-8''%c3%a4.txt; filename=\"a.txt\"":  "ä.txt",
		"Content-Type: application/x; name=b":                                               "b",
		"Content-Type: application/x; name=b\r\nContent-Disposition: inline; filename=c":    "c",
		"Content-Disposition: attachment; filename=\"=?iso-8859-1?q?=E4.txt?=\"":            "ä.txt",
		"Content-Disposition: attachment; filename*0=\"long-\"; filename*1=name.txt":        "long-name.txt",
		"Content-Disposition: attachment; filename*0*=koi8-r''%c1; filename*1*=%c2.txt":     "аб.txt",
		"Content-Disposition: attachment; filename*=x-unknown''%e4":                         "\uFFFD",
		"Content-Disposition: attachment; filename*=no-quotes%41":                           "no-quotesA",
		"Content-Disposition: attachment; filename*0=a; filename*2=c":                       "",
		"Content-Disposition: attachment; filename*1=b; filename*0=a; filename*0=again":     "",
		"Content-Disposition: attachment; filename*0*=utf-8''%C3; filename*1=%; filename=x": "\uFFFD%",
	} {
		m := parseString(t, field+"\r\n\r\n")
		if got := m.Root.FileName(); got != want {
			t.Errorf("%s: %q, want %q", field, got, want)
		}
	}
}
