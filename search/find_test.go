package search

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestFold(t *testing.T) {
	for _, x := range [][2]string{
		{"GRÜSSE", "grüße"}, {"Ångström", "ångström"}, {"ﬁn", "FIN"}, {"ΣΊΣΥΦΟΣ", "σίσυφος"}, {"ABC", "abc"},
		{"@ABC[XYZ]`{12345678", "@abc[xyz]`{12345678"},
	} {
		if a, b := string(Fold(x[0])), string(Fold(x[1])); a != b {
			t.Errorf("%q and %q fold to %q and %q", x[0], x[1], a, b)
		}
	}
	Fold("\xff\xfe broken")
}

// seek tells whether a text has all others, which are folded as it is.
func seek(t *testing.T, in io.Reader, texts ...string) bool {
	t.Helper()
	var f finder
	for _, s := range texts {
		f.seek([][]byte{Fold(s)})
	}
	var r Reader
	if err := r.stream(in, &f); err != nil {
		t.Error(err)
	}
	return f.done()
}

// TestStream seeks texts that lie across the pieces in which text is read.
func TestStream(t *testing.T) {
	for _, at := range []int{0, 32762, 32768, 32771, 65530, 65536, 65541, 131070, 200000} {
		text := strings.Repeat("é", at/2) + "Nadel im Heu\xff" + strings.Repeat("x", 1000)
		if !seek(t, strings.NewReader(text), "nadel", "HEU") {
			t.Errorf("at %d: not found", at)
		}
	}
	mixed := "PLAIN ascii, then Ü, e\u0301 and É; ﬁn"
	for _, part := range []string{"plain ASCII", "THEN ü", "é AND e\u0301", "FIN"} {
		if !seek(t, iotest.OneByteReader(strings.NewReader(mixed)), part) {
			t.Errorf("%q is not found", part)
		}
	}
	if seek(t, strings.NewReader(strings.Repeat("absenabsen", 20000)), "absent") {
		t.Error("found what is not there")
	}
}

// TestPieces gives a finder every way of cutting a text into pieces.
func TestPieces(t *testing.T) {
	const text = "abcabcabd"
	for _, x := range []struct {
		needle string
		found  bool
	}{{"abcabd", true}, {"abcabcabd", true}, {"abcabca", true}, {"cabd", true}, {"d", true}, {"abdb", false}, {"acab", false}} {
		for cuts := range 1 << (len(text) - 1) {
			var f finder
			f.seek([][]byte{[]byte(x.needle)})
			from := 0
			for i := 1; i < len(text); i++ {
				if cuts>>(i-1)&1 != 0 {
					f.text([]byte(text[from:i]), false)
					from = i
				}
			}
			f.text([]byte(text[from:]), true)
			f.text([]byte("bbb"), true) // another text
			if f.done() != x.found {
				t.Fatalf("%q in pieces %b: %v", x.needle, cuts, f.done())
			}
		}
	}
}
