package mail

import (
	"strings"
	"testing"
)

func TestFormatAddress(t *testing.T) {
	a := Address{"alice", "a.test"}
	tests := []struct {
		name string
		addr Address
		want string
	}{
		{"", a, "alice@a.test"},
		{"Alice", a, "Alice <alice@a.test>"},
		{"Alice A.", a, `"Alice A." <alice@a.test>`},
		{`A "x" \`, a, `"A \"x\" \\" <alice@a.test>`},
		{"two  spaces", a, `"two  spaces" <alice@a.test>`},
		{"Jörg", a, "=?utf-8?q?J=C3=B6rg?= <alice@a.test>"},
		{"=?utf-8?q?J=C3=B6rg?=", a, "=?utf-8?q?J=C3=B6rg?= <alice@a.test>"},
		{"=?utf-8?q?x,y?=", a, "=?utf-8?q?=3D=3Futf-8=3Fq=3Fx=2Cy=3F=3D?= <alice@a.test>"},
		{"x\r\nBcc: y", a, "=?utf-8?q?x=0D=0ABcc=3A_y?= <alice@a.test>"},
		{"", Address{"a b", "a.test"}, `"a b"@a.test`},
		{"Postmaster", Address{Local: "postmaster"}, "Postmaster <postmaster>"},
	}
	for _, tt := range tests {
		if got := FormatAddress(tt.name, tt.addr); got != tt.want {
			t.Errorf("%q %v: %s, want %s", tt.name, tt.addr, got, tt.want)
		}
	}
}

func TestFold(t *testing.T) {
	word := strings.Repeat("x", 30)
	tests := []struct{ name, value, want string }{
		{"Subject", "short", "Subject: short\r\n"},
		{"Subject", "", "Subject:\r\n"},
		{"Subject", "a\r\nBcc: b", "Subject: a  Bcc: b\r\n"},
		{"X", word + " " + word + " " + word, "X: " + word + " " + word + "\r\n " + word + "\r\n"},
		{"X", strings.Repeat("y", 100), "X: " + strings.Repeat("y", 100) + "\r\n"},
		{"X", strings.Repeat("y", 100) + "   z", "X: " + strings.Repeat("y", 100) + "\r\n   z\r\n"},
	}
	for _, tt := range tests {
		got := Fold(tt.name, tt.value)
		if got != tt.want {
			t.Errorf("%s %q: %q, want %q", tt.name, tt.value, got, tt.want)
		}
		for f := range Fields([]byte(got)) {
			if f.Name != tt.name || f.Value() != strings.NewReplacer("\r", " ", "\n", " ").Replace(tt.value) {
				t.Errorf("%q reads as %q", got, f.Value())
			}
		}
	}
}
