package imapd

import (
	"testing"

	"postrider/store"
)

func TestObjectIDs(t *testing.T) {
	if got := mailboxObjectID(store.MailboxID{Account: 26, N: 3}); got != "F1a-3" {
		t.Error(got)
	}
	for _, id := range []int64{1, 1<<63 - 1, 0xbeef} {
		if got, ok := parseEmailObjectID(emailObjectID(id)); !ok || got != id {
			t.Errorf("EMAILID of %d is read as %d", id, got)
		}
		if got, ok := parseThreadObjectID(threadObjectID(id)); !ok || got != id {
			t.Errorf("THREADID of %d is read as %d", id, got)
		}
	}
	for _, s := range []string{"", "M", "T1", "M01", "M-1", "MX", "M+1", "MBEEF", "M8000000000000000"} {
		if id, ok := parseEmailObjectID(s); ok {
			t.Errorf("%q is read as %d", s, id)
		}
	}
}
