package imapd

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// narrow takes some bytes and then fails.
type narrow struct {
	got  bytes.Buffer
	room int
}

func (n *narrow) Write(p []byte) (int, error) {
	if n.room -= len(p); n.room < 0 {
		return 0, errors.New("no room")
	}
	return n.got.Write(p)
}

func TestBuffer(t *testing.T) {
	dst := &narrow{room: 3 * writeBuffer}
	b := buffer{dst: dst}
	if b.Flush() != nil || b.w != nil {
		t.Error("an empty buffer has memory")
	}
	want := ""
	for i, n := range []int{5, writeBuffer, 0, writeBuffer + 7, 100} {
		s := strings.Repeat(string(rune('a'+i)), n)
		want += s
		b.WriteString(s[:n/2])
		b.Write([]byte(s[n/2:]))
		if err := b.Flush(); err != nil || b.w != nil || dst.got.String() != want {
			t.Fatalf("after %d bytes: %d of %d written, %v", n, dst.got.Len(), len(want), err)
		}
	}
	b.WriteString(strings.Repeat("x", 2*writeBuffer))
	if b.Flush() == nil {
		t.Error("a failed write was not told")
	}
	dst.room = 1000
	if _, err := b.Write([]byte("y")); err == nil {
		t.Error("a write after a failure was taken")
	}
	if b.Flush() == nil || dst.got.String() != want || b.w != nil {
		t.Error("something was written after a failure")
	}
}
