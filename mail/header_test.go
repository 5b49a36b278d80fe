package mail

import (
	"bytes"
	"slices"
	"testing"
)

func TestHeaderSize(t *testing.T) {
	tests := []struct {
		in   string
		want int
	}{
		{"", 0},
		{"Do you like ketchup?\r\nHow about pickles?\r\n", 0},
		{"\r\nbody\r\n", 2},
		{"\nbody\n", 1},
		{"A: b\r\n\r\nbody\r\n", 8},
		{"A: b\n\nbody\n", 6},
		{"A : b\r\n\r\nbody", 9},
		{"A: b\r\n", 6},
		{"A: b", 4},
		{"A:\r\n", 4},
		{": b\r\n\r\n", 0},
		{" A: b\r\n\r\n", 0},
		{"A: b\r\nno field\r\nC: d\r\n\r\nbody", 24},
		{"A: b\r\n \r\nC: d\r\n\r\nbody", 17},
		{"From a@b Mon Nov 23 02:04:31 2026\r\nA: b\r\n\r\nbody", 43},
		{"From here on there is no header\r\nat all\r\n", 0},
		{"A: b\r\n\r\r\nC: d\r\n\r\n", 17},
		{"\xc3\xa4: b\r\n\r\n", 9},
	}
	for _, tt := range tests {
		if got := HeaderSize([]byte(tt.in)); got != tt.want {
			t.Errorf("HeaderSize(%q) = %d, want %d", tt.in, got, tt.want)
		}
	}
}

func TestFields(t *testing.T) {
	in := []byte("From x Mon\r\nSubject: a\r\n\tb\r\n  c \r\nX :y\r\njunk\r\nEmpty:\r\n\r\nBody: no\r\n")
	var got, raw []string
	for f := range Fields(in) {
		got = append(got, f.Name+"="+f.Value())
		raw = append(raw, string(f.Raw))
	}
	want := []string{"=From x Mon", "Subject=a\tb  c", "X=y", "=junk", "Empty="}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if joined := bytes.Join(toBytes(raw), nil); string(joined) != string(in[:len(in)-len("\r\nBody: no\r\n")]) {
		t.Errorf("raw fields: %q", joined)
	}
}

func toBytes(s []string) [][]byte {
	var b [][]byte
	for _, x := range s {
		b = append(b, []byte(x))
	}
	return b
}
