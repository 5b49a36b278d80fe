package spool

import (
	"bytes"
	"testing"
)

// TestMemory fills buffers one after the other: what one leaves behind must
// not show in the next.
func TestMemory(t *testing.T) {
	const mem = 300 << 10
	for _, size := range []int{1, 16 << 10, 16<<10 + 1, 200 << 10, mem, 50, mem + 1, 70 << 10} {
		b := New(t.TempDir(), mem)
		var want []byte
		for len(want) < size {
			p := bytes.Repeat([]byte{byte(len(want)/3000 + size)}, min(3000, size-len(want)))
			want = append(want, p...)
			if _, err := b.Write(p); err != nil {
				t.Fatal(err)
			}
		}
		switch got := b.Bytes(); {
		case size > mem && got != nil:
			t.Errorf("%d bytes: in memory", size)
		case size <= mem && !bytes.Equal(got, want):
			t.Errorf("%d bytes: others", size)
		}
		got := make([]byte, size)
		if _, err := b.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: read others, %v", size, err)
		}
		b.Close()
		if b.Bytes() != nil {
			t.Error("a closed buffer has bytes")
		}
	}
}
