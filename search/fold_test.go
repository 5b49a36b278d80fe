package search

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

var foldable = []string{
	"", "Plain ASCII", "Grüße aus KÖLN", "e\u0323\u0301E\u0301\u0323é\u0323", "\u0301\u0323 at the beginning",
	"Привет, МИР", "ΌΣΟΣ ς", "漢字かな交じり文ガギグ", "한국어 각", "ﬁne ½ Ⅷ K Å ſ İ ı ẞ", "bad \xff\xc3 utf-8 \xe2\x82", "\u0344\u0f73\u0f75 marks that come apart",
	strings.Repeat("é", maxRun), strings.Repeat("x\u0323\u0301", 5000),
}

// TestFoldAsDefined holds the quick way to the definition.
func TestFoldAsDefined(t *testing.T) {
	for _, s := range append(foldable, strings.Join(foldable, "")) {
		want := foldWide([]byte(s))
		if got := Fold(s); !bytes.Equal(got, want) {
			t.Errorf("%.40q: got %.60q, want %.60q", s, got, want)
		}
		for _, r := range []io.Reader{strings.NewReader(s), iotest.OneByteReader(strings.NewReader(s)), iotest.DataErrReader(strings.NewReader(s))} {
			got, err := io.ReadAll(&foldReader{r: r})
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%.40q, read: got %.60q, want %.60q (%v)", s, got, want, err)
			}
		}
	}
}

func BenchmarkFold(b *testing.B) {
	for name, s := range map[string]string{"ascii": "the quick brown fox\r\n", "german": "zwölf Boxkämpfer jagen Viktor quer über den Deich\r\n",
		"russian": "съешь же ещё этих мягких французских булок\r\n"} {
		b.Run(name, func(b *testing.B) {
			text := strings.Repeat(s, 1<<20/len(s))
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				io.Copy(io.Discard, struct{ io.Reader }{&foldReader{r: strings.NewReader(text)}})
			}
		})
	}
}

func FuzzFold(f *testing.F) {
	for _, s := range foldable[:12] {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := Fold(s), foldWide([]byte(s)); !bytes.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	})
}
