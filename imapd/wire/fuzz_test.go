package wire

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzDecoder reads commands by methods that the input chooses. Reading ends,
// keeps the limits, and never returns anything after an error.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}, []byte("a b \"c\" {3+}\r\nabc (\\x) 1:* 5-Jan-2024 {2}\r\nxx\r\nb\r\n"))
	f.Add([]byte{1, 1, 7}, []byte("a ~{4294967296+}\r\n"))
	f.Add([]byte{3, 3, 3}, []byte("((((((((((((("))
	f.Fuzz(func(t *testing.T, ops, in []byte) {
		d := NewDecoder(bufio.NewReaderSize(bytes.NewReader(in), 16), func() {})
		d.Limits = Limits{Line: 100, String: 50, Total: 200, Skip: 300}
		for range 100 {
			if err := d.Next(); fatal(err) {
				return
			}
			d.Tag()
			for _, op := range ops {
				failed := d.Err() != nil
				n := use(d, op)
				if failed && n > 0 {
					t.Fatalf("op %d returns something after %v", op, d.Err())
				}
				if n > 300 {
					t.Fatalf("op %d returns %d bytes", op, n)
				}
			}
			if err := d.Skip(); err != nil {
				return
			}
		}
	})
}

// use calls a method and returns how much it returned.
func use(d *Decoder, op byte) int {
	switch op % 20 {
	case 0:
		d.SP()
	case 1:
		return len(d.AString())
	case 2:
		return len(d.Keyword())
	case 3:
		d.TryListOpen()
	case 4:
		d.ListClose()
	case 5:
		return len(d.SeqSet().Ranges)
	case 6:
		return len(d.UIDRanges().Ranges)
	case 7:
		return len(d.String8())
	case 8:
		s, _ := d.NString8()
		return len(s)
	case 9:
		return len(d.Mailbox())
	case 10:
		s, _ := d.ListMailbox()
		return len(s)
	case 11:
		return len(d.FlagList())
	case 12:
		d.Date()
	case 13:
		d.DateTime()
	case 14:
		d.LiteralHeader(60)
		d.Copy(io.Discard)
	case 15:
		return len(d.Base64())
	case 16:
		d.Number64()
	case 17:
		d.CRLF()
	case 18:
		return len(d.Continue(40))
	case 19:
		d.List(func() { d.AString() })
	}
	return 0
}

func FuzzName(f *testing.F) {
	f.Add("a&-b")
	f.Add("&U,BTFw-/&ZeVnLIqe-")
	f.Fuzz(func(t *testing.T, s string) {
		name, ok := DecodeName(s)
		if ok && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) && EncodeName(name) != s {
			t.Errorf("%q is %q, which is written %q", s, name, EncodeName(name))
		}
		if utf8.ValidString(s) {
			if got, ok := DecodeName(EncodeName(s)); !ok || got != s {
				t.Errorf("%q is written %q, which is %q", s, EncodeName(s), got)
			}
		}
	})
}

func FuzzSet(f *testing.F) {
	f.Add("1:*,5,*:3")
	f.Add("1:4294967295,$")
	f.Fuzz(func(t *testing.T, s string) {
		d := NewDecoder(bufio.NewReader(bytes.NewReader([]byte(s+"\r\n"))), func() {})
		d.Limits = Limits{Line: 1000, Total: 1000}
		if d.Next() != nil {
			return
		}
		set := d.SeqSet()
		if d.Err() != nil {
			return
		}
		again := NewDecoder(bufio.NewReader(bytes.NewReader([]byte(set.String()+"\r\n"))), func() {})
		again.Limits = d.Limits
		again.Next()
		if got := again.SeqSet(); got.String() != set.String() {
			t.Errorf("%q is %v, then %v", s, set, got)
		}
	})
}
