package store

import (
	"runtime"
	"testing"
)

// A view takes at most 64 bytes a message, also after it has grown.
func TestViewMemory(t *testing.T) {
	const n, most = 200_000, 64
	var kept []*View
	measure := func(what string, make func() *View) *View {
		t.Helper()
		before := heap()
		v := make()
		kept = append(kept[:0], v)
		took := heap() - before
		if each := float64(took) / n; each > most || each < rowBytes-1 {
			t.Errorf("%s: %.1f bytes a message", what, each)
		}
		return v
	}
	fill := func() *View {
		d := Delta{Mailbox: Mailbox{UIDValidity: 7, ModSeq: 1, Total: n}, Full: true}
		d.Changed.Grow(n)
		for u := range UID(n) {
			d.Changed.Append(row(u+1, 1, 0, "a b"))
		}
		return newView(d)
	}
	measure("new", fill)
	kept[0] = nil
	measure("grown", func() *View {
		v := fill()
		for m := range ModSeq(300) {
			v = v.advance(delta(m+2, n+int(m)+1, nil, row(UID(n+m+1), m+2, 0, "")))
		}
		return v
	})
	runtime.KeepAlive(kept)
}

// heap is what lives on the heap.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
