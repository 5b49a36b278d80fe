package unpack

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

func gz(s string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(s))
	w.Close()
	return b.Bytes()
}

func zipped(files ...string) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i, s := range files {
		f, _ := w.Create(fmt.Sprint("f", i))
		f.Write([]byte(s))
	}
	w.Close()
	return b.Bytes()
}

func mime(kind string, data []byte) string {
	return "From: x@a.test\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n<hello>\r\n--b\r\n" +
		"Content-Type: " + kind + "\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString(data) + "\r\n--b--\r\n"
}

func TestEach(t *testing.T) {
	bomb := gz(strings.Repeat("\x00", maxOutput+1))
	for _, c := range []struct{ name, in, want string }{
		{"plain", " <a/>", " <a/>"}, {"JSON", `{"a":1}`, `{"a":1}`}, {"gzip", string(gz("<a/>")), "<a/>"}, {"zip", string(zipped("<a/>", "<b/>")), "<a/>|<b/>"},
		{"message", mime("application/gzip", gz("<a/>")), "<a/>"}, {"message with zip", mime("application/zip", zipped("<a/>")), "<a/>"},
		{"octets", mime("application/octet-stream", gz("<a/>")), "<a/>"}, {"not packed", mime("application/xml", []byte("<a/>")), "<a/>"},
		{"alone", "Content-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString(gz("<a/>")), "<a/>"},
		{"picture", mime("image/png", []byte("\x89PNG")), ""}, {"bomb", string(bomb), ""}, {"bomb in a message", mime("application/gzip", bomb), ""},
		{"cut", string(gz("<a/>")[:15]), ""}, {"nothing", "", ""}, {"no message", "hello", ""}, {"bad zip", "PK\x03\x04xxxx", ""},
		{"deep", strings.Repeat("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n", 50), ""},
	} {
		var got []string
		Each(strings.NewReader(c.in), func(b []byte) { got = append(got, string(b)) })
		if strings.Join(got, "|") != c.want {
			t.Errorf("%s: %.100q", c.name, got)
		}
	}
}

func FuzzEach(f *testing.F) {
	f.Add(mime("application/gzip", gz("<a/>")))
	f.Add(string(zipped("<a/>")))
	f.Fuzz(func(t *testing.T, s string) {
		n := 0
		Each(strings.NewReader(s), func(b []byte) {
			if n += len(b); n > maxOutput {
				t.Fatal("too much")
			}
		})
	})
}
