package sqlite

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/store"
)

var testBox = store.MailboxID{Account: 3, N: 7}

// someRows makes n messages as delivery does; wild ones have anything.
func someRows(r *rand.Rand, n int, wild bool) store.Rows {
	var rows store.Rows
	uid, at := store.UID(1+r.IntN(1000)), int64(1.7e15)
	words := []string{"", "", "", "", "$Junk", "a b c", "NonJunk"}
	for range n {
		at += int64(r.IntN(600e6))
		x := store.Row{UID: uid, ModSeq: store.ModSeq(uid) + 100, Size: int64(2000 + r.IntN(100000)),
			Flags:    store.Flags{System: store.System(r.IntN(32)), Keywords: words[r.IntN(len(words))]},
			Received: time.UnixMicro(at), Saved: time.UnixMicro(at + int64(r.IntN(2000))), EmailID: at/1000<<21 + int64(r.IntN(1<<21))}
		x.ThreadID = x.EmailID
		if wild {
			x.ModSeq, x.Size = store.ModSeq(1+r.Int64N(math.MaxInt64)), r.Int64()
			x.Received, x.Saved = time.UnixMicro(int64(r.Uint64())), time.UnixMicro(int64(r.Uint64()))
			x.EmailID, x.ThreadID = int64(r.Uint64()), int64(r.Uint64())
		}
		rows.Append(x)
		uid += store.UID(1 + r.IntN(3)/2)
	}
	return rows
}

func list(r *store.Rows) []store.Row {
	var all []store.Row
	for _, x := range r.All() {
		all = append(all, x)
	}
	return all
}

func TestPageRoundTrip(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 1))
		rows := someRows(r, 1+r.IntN(200), seed%2 == 0)
		i := r.IntN(rows.Len())
		j := i + 1 + r.IntN(rows.Len()-i)
		page := appendPage(nil, testBox, &rows, i, j)
		var got store.Rows
		if err := decodePage(page, testBox, &got); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if !reflect.DeepEqual(list(&got), list(&rows)[i:j]) {
			t.Fatalf("seed %d:\n%v\n%v", seed, list(&got), list(&rows)[i:j])
		}
		if err := decodePage(page, testBox, &got); err == nil {
			t.Fatal("UIDs that do not rise were taken")
		}
		if got.Len() != j-i {
			t.Fatalf("a page that was refused left %d rows", got.Len()-(j-i))
		}
	}
}

// No change of a page passes, nor does its place in another mailbox.
func TestPageDamaged(t *testing.T) {
	rows := someRows(rand.New(rand.NewPCG(1, 1)), 40, false)
	page := appendPage(nil, testBox, &rows, 0, 40)
	refused := func(what string, page []byte, box store.MailboxID) {
		t.Helper()
		var got store.Rows
		if err := decodePage(page, box, &got); err == nil || got.Len() != 0 {
			t.Errorf("%s: %v, %d rows", what, err, got.Len())
		}
	}
	for i := range page {
		if i >= len(page)-4 && i < len(page)-1 {
			continue // filler
		}
		bad := slices.Clone(page)
		bad[i] ^= 1 << (i % 8)
		refused(fmt.Sprint("byte ", i), bad, testBox)
		refused(fmt.Sprint("cut at ", i), page[:i], testBox)
	}
	refused("empty", nil, testBox)
	refused("another mailbox", page, store.MailboxID{Account: 3, N: 8})
	refused("another account", page, store.MailboxID{Account: 4, N: 7})
}

// FuzzPage gives the decoder pages whose checksum fits.
func FuzzPage(f *testing.F) {
	for seed := range uint64(4) {
		rows := someRows(rand.New(rand.NewPCG(seed, 2)), 1+int(seed)*20, seed == 1)
		page := appendPage(nil, testBox, &rows, 0, rows.Len())
		f.Add(page[:len(page)-pageTrailer])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		page := binary.LittleEndian.AppendUint32(slices.Clone(b), pageSum(testBox, b))
		page = append(page, 0, 0, 0, pageVersion)
		var rows store.Rows
		if decodePage(page, testBox, &rows) != nil {
			if rows.Len() != 0 {
				t.Fatalf("%d rows of a damaged page", rows.Len())
			}
			return
		}
		if !slices.IsSorted(rows.UID) || rows.UID[0] < 1 {
			t.Fatalf("UIDs %v", rows.UID)
		}
		var again store.Rows
		if err := decodePage(appendPage(nil, testBox, &rows, 0, rows.Len()), testBox, &again); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(list(&rows), list(&again)) {
			t.Fatalf("%v became %v", list(&rows), list(&again))
		}
	})
}

func BenchmarkPage(b *testing.B) {
	for _, n := range []int{40, 128} {
		rows := someRows(rand.New(rand.NewPCG(1, 1)), n, false)
		page := appendPage(nil, testBox, &rows, 0, n)
		b.Run(fmt.Sprint("encode/", n), func(b *testing.B) {
			var buf []byte
			for b.Loop() {
				buf = appendPage(buf[:0], testBox, &rows, 0, n)
			}
			b.ReportMetric(float64(len(page))/float64(n), "bytes/msg")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/msg")
		})
		b.Run(fmt.Sprint("decode/", n), func(b *testing.B) {
			var got store.Rows
			for b.Loop() {
				got.Truncate(0)
				if err := decodePage(page, testBox, &got); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/msg")
		})
	}
}

// A damaged page is an error that names it, for its mailbox only, and mail
// still comes in.
func TestDamagedPage(t *testing.T) {
	e := checkStore(t)
	box := store.MailboxID{Account: 1, N: 1}
	trash, err := e.Mailbox(t.Context(), 1, "Trash")
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, e, "UPDATE message_page SET data = CAST(substr(data, 1, 10) || 'x' || substr(data, 12) AS BLOB) WHERE mbox = 1")
	seen := store.FlagChange{Mode: store.FlagsAdd, Flags: store.Flags{System: store.Seen}}
	for name, do := range map[string]func() error{
		"changes": func() error { _, err := e.Changes(t.Context(), box, 0); return err },
		"since":   func() error { _, err := e.Changes(t.Context(), box, 1); return err },
		"set flags": func() error {
			_, err := e.SetFlags(t.Context(), box, store.AllUIDs(), seen, store.Unconditional)
			return err
		},
		"expunge": func() error { _, err := e.Expunge(t.Context(), box, store.UIDSetOf(3), false); return err },
		"copy":    func() error { _, err := e.Copy(t.Context(), "", box, store.UIDSetOf(3), trash.ID, false); return err },
	} {
		if err := do(); store.KindOf(err) != store.Internal || !strings.Contains(fmt.Sprint(err), "mailbox 1/1: page from UID 1") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := range uint64(50) {
		if _, err := e.Accept(t.Context(), acceptance(1, text(n, 100))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.SetFlags(t.Context(), box, store.UIDSetOf(7, 50), seen, store.Unconditional); err != nil {
		t.Errorf("what came in later: %v", err)
	}
	if n := rowCount(t, e, "message_page WHERE acct = 1 AND mbox = 1"); n != 3 {
		t.Errorf("%d pages, want the damaged one and two new", n)
	}
	if d, err := e.Changes(t.Context(), trash.ID, 0); err != nil || d.Changed.Len() != 2 {
		t.Errorf("another mailbox: %d messages, %v", d.Changed.Len(), err)
	}
}
