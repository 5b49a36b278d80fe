package main

import (
	"strings"
	"testing"
)

func TestBar(t *testing.T) {
	var out strings.Builder
	b := bar{w: &out, doing: "checking"}
	b.clear()
	b.draw(progress{0, 0})
	if out.Len() > 0 {
		t.Errorf("of nothing: %q", &out)
	}
	for _, c := range []struct {
		done int64
		want string
	}{
		{0, "checking [" + strings.Repeat("-", 30) + "]   0% of "},
		{1 << 29, "checking [" + strings.Repeat("#", 15) + strings.Repeat("-", 15) + "]  50% of "},
		{1 << 30, "checking [" + strings.Repeat("#", 30) + "] 100% of "},
		{1<<30 + 1, "checking [" + strings.Repeat("#", 30) + "] 100% of "}, // it has grown
	} {
		out.Reset()
		b.draw(progress{c.done, 1 << 30})
		if got := out.String(); !strings.HasPrefix(got, "\r"+c.want) || strings.Contains(got, "\n") {
			t.Errorf("%d: %q, want %q", c.done, got, c.want)
		}
	}
	long := b.drawn
	out.Reset()
	b.draw(progress{1, 2})
	if got := len(strings.TrimPrefix(out.String(), "\r")); got < long {
		t.Errorf("%d columns are drawn over %d", got, long)
	}
	out.Reset()
	if b.clear(); strings.Trim(out.String(), "\r ") != "" || out.Len() < b.drawn {
		t.Errorf("cleared by %q", &out)
	}
}
