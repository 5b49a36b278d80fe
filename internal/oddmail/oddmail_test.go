package oddmail

import (
	"bytes"
	"testing"
)

func TestMessages(t *testing.T) {
	a, b := Messages(), Messages()
	if len(a) < 1000 || len(a) != len(b) {
		t.Fatalf("%d messages, then %d", len(a), len(b))
	}
	for i := range a {
		if a[i].Name != b[i].Name || !bytes.Equal(a[i].Raw, b[i].Raw) {
			t.Errorf("%s is another the second time", a[i].Name)
		}
		if len(a[i].Raw) > 1<<20 || bytes.IndexByte(a[i].Raw, 0) >= 0 {
			t.Errorf("%s is too large, or has a NUL, which not every server takes", a[i].Name)
		}
	}
}
