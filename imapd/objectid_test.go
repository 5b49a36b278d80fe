package imapd

import (
	"testing"

	"postrider/store"
)

func TestObjectIDs(t *testing.T) {
	if got := mailboxObjectID(store.MailboxID{Account: 26, N: 3}); got != "F1a-3" {
		t.Error(got)
	}
	for text, id := range map[string]int64{"1": 1, "7fffffffffffffff": 1<<63 - 1, "beef": 0xbeef} {
		if got, ok := parseEmailObjectID("M" + text); !ok || got != id {
			t.Errorf("EMAILID M%s is read as %d", text, got)
		}
		if got, ok := parseThreadObjectID("T" + text); !ok || got != id {
			t.Errorf("THREADID T%s is read as %d", text, got)
		}
	}
	for _, s := range []string{"", "M", "T1", "M01", "M-1", "MX", "M+1", "MBEEF", "M8000000000000000"} {
		if id, ok := parseEmailObjectID(s); ok {
			t.Errorf("%q is read as %d", s, id)
		}
	}
}
