package wire

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestEncoder compares what each method writes.
func TestEncoder(t *testing.T) {
	long := strings.Repeat("x", maxQuoted+1)
	for _, x := range []struct {
		utf8  bool
		write func(e *Encoder)
		want  string
	}{
		{false, func(e *Encoder) { e.String(`a "b\c`) }, `"a \"b\\c"`},
		{false, func(e *Encoder) { e.String("") }, `""`},
		{false, func(e *Encoder) { e.String("a\x00b") }, `"ab"`},
		{false, func(e *Encoder) { e.String("a\nb") }, "{3}\r\na\nb"},
		{false, func(e *Encoder) { e.String("grü") }, "{4}\r\ngrü"},
		{true, func(e *Encoder) { e.String("grü") }, `"grü"`},
		{true, func(e *Encoder) { e.String("gr\xfc") }, "{3}\r\ngr\xfc"},
		{true, func(e *Encoder) { e.String(long) }, "{1025}\r\n" + long},
		{true, func(e *Encoder) { e.String(long[1:]) }, `"` + long[1:] + `"`},
		{false, func(e *Encoder) { e.NString("") }, "NIL"},
		{false, func(e *Encoder) { e.NString("NIL") }, `"NIL"`},
		{false, func(e *Encoder) { e.AString("a.b/c") }, "a.b/c"},
		{false, func(e *Encoder) { e.AString("a]b") }, `"a]b"`},
		{false, func(e *Encoder) { e.AString("a b") }, `"a b"`},
		{false, func(e *Encoder) { e.AString("") }, `""`},
		{true, func(e *Encoder) { e.AString("ü") }, `"ü"`},
		{false, func(e *Encoder) { e.Mailbox("INBOX") }, "INBOX"},
		{false, func(e *Encoder) { e.Mailbox("ä & b") }, `"&AOQ- &- b"`},
		{true, func(e *Encoder) { e.Mailbox("ä & b") }, `"ä & b"`},
		{false, func(e *Encoder) { e.Range(Range{1, 5}); e.Special(','); e.Range(Range{7, 7}) }, "1:5,7"},
		{false, func(e *Encoder) { e.Range(Range{7, 0}); e.Special(','); e.Range(Range{}) }, "7:*,*"},
		{false, func(e *Encoder) { e.Number(-1 << 63) }, "-9223372036854775808"},
		{false, func(e *Encoder) { e.Literal([]byte("a\x80")) }, "{2}\r\na\x80"},
		{false, func(e *Encoder) { e.LiteralHeader(1<<40, true) }, "~{1099511627776}\r\n"},
		{false, func(e *Encoder) { e.List(0, nil) }, "()"},
		{false, func(e *Encoder) { e.List(3, func(i int) { e.Number(int64(i)) }) }, "(0 1 2)"},
		{false, func(e *Encoder) { e.Special('('); e.ListSP(); e.NIL(); e.ListSP(); e.NIL() }, "(NIL NIL"},
		{false, func(e *Encoder) { e.ListSP(); e.NIL() }, " NIL"},
		{false, func(e *Encoder) { e.Text("a"); e.Raw(append(e.AvailableBuffer(), "bc"...)) }, "abc"},
	} {
		e := Encoder{UTF8: x.utf8}
		if x.write(&e); string(e.Bytes()) != x.want {
			t.Errorf("%.80q, want %.80q", e.Bytes(), x.want)
		}
	}
}

// TestEncoderFlushes sees when something goes to the writer.
func TestEncoderFlushes(t *testing.T) {
	var out bytes.Buffer
	e := NewEncoder(&out, false)
	e.Literal(make([]byte, flushEncoder))
	if out.Len() > 0 {
		t.Error("written in the middle of a response")
	}
	if e.CRLF(); out.Len() != flushEncoder+len("{65536}\r\n\r\n") || len(e.Bytes()) > 0 {
		t.Errorf("%d bytes are written, %d are not", out.Len(), len(e.Bytes()))
	}
	n := out.Len()
	e.Text("* OK")
	if e.CRLF(); out.Len() > n {
		t.Error("a short response is written alone")
	}
	if e.Flush(); out.Len() != n+6 {
		t.Errorf("%d bytes are written, not %d", out.Len(), n+6)
	}
}

func TestDateTime(t *testing.T) {
	for _, at := range []time.Time{
		time.Date(2024, 1, 5, 3, 4, 59, 0, time.UTC), time.Date(1970, 12, 31, 23, 0, 0, 0, time.UTC),
		time.Date(999, 2, 28, 0, 0, 0, 0, time.UTC), time.Date(2031, 7, 10, 12, 30, 0, 0, time.FixedZone("", 7200)),
	} {
		var e Encoder
		e.DateTime(at)
		if want := at.UTC().Format(`"_2-Jan-2006 15:04:05 -0700"`); string(e.Bytes()) != want {
			t.Errorf("%v is %s, want %s", at, e.Bytes(), want)
		}
	}
}

// TestEncoderAllocates holds a response to FETCH to no allocation, once there
// is room.
func TestEncoderAllocates(t *testing.T) {
	var out bytes.Buffer
	e := NewEncoder(&out, false)
	at, flags := time.Now(), []string{`\Seen`, "$Junk"}
	if n := testing.AllocsPerRun(100, func() {
		out.Reset()
		e.Text("* ")
		e.Number(12345)
		e.Text(" FETCH (UID ")
		e.Number(67890)
		e.ListSP()
		e.Text("FLAGS ")
		e.List(len(flags), func(i int) { e.Text(flags[i]) })
		e.ListSP()
		e.Text("INTERNALDATE ")
		e.DateTime(at)
		e.ListSP()
		e.Text("ENVELOPE (")
		e.NString("a \"subject\"")
		e.SP()
		e.AString("ümlaut")
		e.Text("))")
		e.CRLF()
		e.Flush()
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzEncoder writes values by methods that the input chooses, and reads them
// again.
func FuzzEncoder(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8}, "a \"b\\c", false)
	f.Add([]byte{3, 3, 0, 7}, "grü/日本語 & INBOX", true)
	f.Add([]byte{1, 2, 6}, "a\r\nb\x00\xff", true)
	f.Add([]byte{1, 2, 2}, "NIL", false)
	f.Fuzz(func(t *testing.T, ops []byte, s string, utf8 bool) {
		if len(ops) > 20 || len(s) > 4000 {
			return
		}
		e := Encoder{UTF8: utf8}
		for _, op := range ops {
			e.SP()
			write(&e, op, s)
		}
		e.CRLF()
		d := NewDecoder(bufio.NewReaderSize(bytes.NewReader(e.Bytes()), 16), func() {})
		d.Limits = Limits{Line: 1 << 20, String: 1 << 20, Total: 1 << 20}
		d.UTF8 = utf8
		d.Next()
		for _, op := range ops {
			d.SP()
			if got, want := read(d, op), written(op, s); got != want || d.Err() != nil {
				t.Fatalf("op %d: %q, want %q (%v) in %q", op%9, got, want, d.Err(), e.Bytes())
			}
		}
		if d.CRLF(); d.Err() != nil {
			t.Fatalf("%v in %q", d.Err(), e.Bytes())
		}
	})
}

// number and date are values that a string stands for.
func number(s string) (n int64) {
	for i := range min(len(s), 7) {
		n = n<<8 | int64(s[i])
	}
	return n
}

func date(s string) time.Time { return time.Unix(number(s)%(1<<37), 0).UTC() }

func setOf(s string) (set Set) {
	for i := 0; i+2 <= len(s); i += 2 {
		set.Ranges = append(set.Ranges, Range{uint32(s[i]), uint32(s[i+1])})
	}
	return Set{Ranges: append(set.Ranges, Range{uint32(number(s)), 1})}
}

// name is one that a mailbox may have.
func name(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "?"), "\x00", "")
}

func words(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r > 0x7f || classes[byte(r)]&inAtom == 0 })
}

func write(e *Encoder, op byte, s string) {
	switch op % 9 {
	case 0:
		e.AString(s)
	case 1:
		e.String(s)
	case 2:
		e.NString(s)
	case 3:
		e.Mailbox(name(s))
	case 4:
		e.Number(number(s))
	case 5:
		e.DateTime(date(s))
	case 6:
		e.LiteralHeader(int64(len(s)), true)
		e.Raw([]byte(s))
	case 7:
		list := words(s)
		e.List(len(list), func(i int) { e.Text(list[i]) })
	case 8:
		for i, r := range setOf(s).Ranges {
			if i > 0 {
				e.Special(',')
			}
			e.Range(r)
		}
	}
}

func read(d *Decoder, op byte) string {
	switch op % 9 {
	case 0:
		return d.AString()
	case 1:
		return d.String()
	case 2:
		s, ok := d.NString()
		return fmt.Sprint(s, ok)
	case 3:
		return d.Mailbox()
	case 4:
		return fmt.Sprint(d.Number64())
	case 5:
		return d.DateTime().UTC().Format(time.RFC3339)
	case 6:
		return d.String8()
	case 7:
		return fmt.Sprint(d.FlagList())
	}
	return d.SeqSet().String()
}

// written is what is to be read of what write has written: neither has NUL but
// in a literal8.
func written(op byte, s string) string {
	text := strings.ReplaceAll(s, "\x00", "")
	switch op % 9 {
	case 0, 1:
		return text
	case 2:
		return fmt.Sprint(text, s != "")
	case 3:
		return name(s)
	case 4:
		return fmt.Sprint(number(s))
	case 5:
		return date(s).Format(time.RFC3339)
	case 6:
		return s
	case 7:
		return fmt.Sprint(words(s))
	}
	return setOf(s).String()
}
