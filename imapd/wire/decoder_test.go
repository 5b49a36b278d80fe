package wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

var testLimits = Limits{Line: 1000, String: 100, Total: 2000, Skip: 5000}

func decoderOf(in string) (d *Decoder, asked *int) {
	asked = new(int)
	d = NewDecoder(bufio.NewReaderSize(strings.NewReader(in), 16), func() { *asked++ })
	d.Limits = testLimits
	return d, asked
}

// TestGrammar reads one command with each method, and sees what is left.
func TestGrammar(t *testing.T) {
	for _, x := range []struct {
		in   string
		read func(d *Decoder) any
		want string // what is read, or the error
	}{
		{"a]b", func(d *Decoder) any { return d.AString() }, "a]b"},
		{"a]b", func(d *Decoder) any { return d.Atom() }, "Too many arguments"},
		{`"a \"\\ b"`, func(d *Decoder) any { return d.AString() }, `a "\ b`},
		{`"a \x"`, func(d *Decoder) any { return d.AString() }, "A backslash stands before what needs none"},
		{`"abc`, func(d *Decoder) any { return d.AString() }, "A string has no end"},
		{"\"gr\xc3\xbc\"", func(d *Decoder) any { return d.String() }, "grü"},
		{"{3}\r\nabc", func(d *Decoder) any { return d.AString() }, "abc"},
		{"{3+}\r\na\r\n", func(d *Decoder) any { return d.AString() }, "a\r\n"},
		{"{0}\r\n", func(d *Decoder) any { return d.String() }, ""},
		{"{101}\r\n", func(d *Decoder) any { return d.String() }, "The literal is too large"},
		{"{4294967296}\r\n", func(d *Decoder) any { return d.String() }, "The literal is too large"},
		{"{99999999999999999999}\r\n", func(d *Decoder) any { return d.String() }, "The literal is too large"},
		{"{-1}\r\n", func(d *Decoder) any { return d.String() }, "A literal is missing"},
		{"{3}\r\na\x00b", func(d *Decoder) any { return d.String() }, "NUL has a place only in a literal8"},
		{"~{3}\r\na\x00b", func(d *Decoder) any { return d.String8() }, "a\x00b"},
		{"~{3}\r\na\x00b", func(d *Decoder) any { return d.String() }, "A string is missing"},
		{"nil", func(d *Decoder) any { _, ok := d.NString(); return ok }, "false"},
		{`"nil"`, func(d *Decoder) any { s, ok := d.NString(); return s + fmt.Sprint(ok) }, "niltrue"},
		{"4294967295", func(d *Decoder) any { return d.Number() }, "4294967295"},
		{"4294967296", func(d *Decoder) any { return d.Number() }, "A number is too large"},
		{"-1", func(d *Decoder) any { return d.Number() }, "A number is missing"},
		{"9223372036854775807", func(d *Decoder) any { return d.Number64() }, "9223372036854775807"},
		{"9223372036854775808", func(d *Decoder) any { return d.Number64() }, "A number is too large"},
		{"0", func(d *Decoder) any { return d.NZNumber() }, "A number is zero"},
		{"1:3,*,7:*", func(d *Decoder) any { return d.SeqSet() }, "1:3,*,7:*"},
		{"$", func(d *Decoder) any { return d.SeqSet() }, "$"},
		{"0", func(d *Decoder) any { return d.SeqSet() }, "A number is zero"},
		{"1:", func(d *Decoder) any { return d.SeqSet() }, "A number is missing"},
		{"1,", func(d *Decoder) any { return d.SeqSet() }, "A number is missing"},
		{"*", func(d *Decoder) any { return d.UIDRanges() }, "A number is missing"},
		{"$", func(d *Decoder) any { return d.UIDRanges() }, "A number is missing"},
		{"&AOQ-/&-", func(d *Decoder) any { return d.Mailbox() }, "ä/&"},
		{"a&b", func(d *Decoder) any { return d.Mailbox() }, "A name is not modified UTF-7"},
		{"\"a\xff\"", func(d *Decoder) any { return d.Mailbox() }, "A name is not modified UTF-7"},
		{"%/*]", func(d *Decoder) any { s, _ := d.ListMailbox(); return s }, "%/*]"},
		{`(\Seen $x)`, func(d *Decoder) any { return d.FlagList() }, `[\Seen $x]`},
		{`()`, func(d *Decoder) any { return d.FlagList() }, `[]`},
		{`(\Seen  x)`, func(d *Decoder) any { return d.FlagList() }, `A flag is missing`},
		{`(\Seen`, func(d *Decoder) any { return d.FlagList() }, `An argument is missing`},
		{`" 5-jan-2024 03:04:05 +0100"`, func(d *Decoder) any { return d.DateTime() }, "2024-01-05 03:04:05 +0100 +0100"},
		{`"5-Jan-2024 03:04:05 +0100"`, func(d *Decoder) any { return d.DateTime() }, "A date and time is malformed"},
		{`"31-Feb-2024 03:04:05 +0100"`, func(d *Decoder) any { return d.DateTime() }, "A date and time is malformed"},
		{"1-FEB-2024", func(d *Decoder) any { return d.Date().Unix() }, "1706745600"},
		{`"01-Feb-2024"`, func(d *Decoder) any { return d.Date().Unix() }, "1706745600"},
		{"yesterday", func(d *Decoder) any { return d.Date() }, "A date is malformed"},
		{"=", func(d *Decoder) any { return len(d.Base64()) }, "0"},
		{"AGE=", func(d *Decoder) any { return d.Base64() }, "[0 97]"},
		{"a&", func(d *Decoder) any { return d.Base64() }, "Base64 is malformed"},
		{strings.Repeat("(", 101), func(d *Decoder) any {
			for d.TryListOpen() {
			}
			return nil
		}, "The command nests too deep"},
		{"ab  ", func(d *Decoder) any { return d.Keyword() }, "AB"},
	} {
		d, _ := decoderOf("t " + x.in + "\r\nnext\r\n")
		if err := d.Next(); err != nil || d.Tag() != "t" {
			t.Fatal(err)
		}
		d.SP()
		v := x.read(d)
		d.CRLF()
		got := fmt.Sprint(v)
		if err := d.Err(); err != nil {
			got = err.Error()
		}
		if got != x.want {
			t.Errorf("%q reads as %q, want %q", x.in, got, x.want)
		}
	}
}

// TestSkip sees that the literals of refused commands are no commands.
func TestSkip(t *testing.T) {
	long := strings.Repeat("x", 3000)
	for _, in := range []string{
		"a x {3+}\r\na\r\n y {2+}\r\n\r\n z\r\n",
		"a x {3}\r\n",
		"a " + long + "\r\n",
		"a " + long + "{4+}\r\na b \r\n",
		"a \x00 {4+}\r\na b \r\n",
		"a ok\r\n",
		"a {2+}\r\nxx " + long + " {4+}\r\na b \r\n",
	} {
		d, asked := decoderOf(in + "next\r\n")
		d.Next()
		if tag := d.Tag(); tag != "a" {
			t.Errorf("%.20q: tag %q", in, tag)
		}
		if err := d.Skip(); err != nil {
			t.Errorf("%.20q: %v", in, err)
		}
		if err := d.Next(); err != nil || d.Tag() != "next" || *asked > 0 {
			t.Errorf("%.20q: then %v, %q", in, err, d.line)
		}
	}
	d, _ := decoderOf("a {5001+}\r\n")
	d.Next()
	if err := d.Skip(); !errors.Is(err, ErrTooMuch) {
		t.Error(err)
	}
	d, _ = decoderOf("a {5")
	if err := d.Next(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

func TestCopy(t *testing.T) {
	d, asked := decoderOf("a {8}\r\none\r\ntwo {3+}\r\nend)\r\nnext\r\n")
	d.Next()
	d.Tag()
	d.SP()
	var b bytes.Buffer
	if l := d.LiteralHeader(8); l.Size != 8 || *asked != 0 {
		t.Errorf("%+v", l)
	}
	d.Copy(&b)
	d.SP()
	s := d.AString()
	d.Special(')')
	d.CRLF()
	if err := d.Err(); err != nil || b.String() != "one\r\ntwo" || s != "end" || *asked != 1 {
		t.Errorf("%v, %q, %q, asked %d", err, b.String(), s, *asked)
	}
	full := errors.New("full")
	d, _ = decoderOf("a {3+}\r\nabc\r\nnext\r\n")
	d.Next()
	d.Tag()
	d.SP()
	d.LiteralHeader(8)
	if err := d.Copy(failing{full}); err != full || d.Err() != nil {
		t.Error(err, d.Err())
	}
	if d.CRLF(); d.Err() != nil {
		t.Error(d.Err())
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestContinue(t *testing.T) {
	d, _ := decoderOf("a idle\r\nDONE {3+}\r\n" + strings.Repeat("x", 100) + "\r\nnext\r\n")
	d.Next()
	if s := d.Continue(50); s != "DONE {3+}" || d.Err() != nil {
		t.Errorf("%q, %v", s, d.Err())
	}
	var limit *LimitError
	if d.Continue(50); !errors.As(d.Err(), &limit) {
		t.Error(d.Err())
	}
	if d.Next(); string(d.Line()) != "next" {
		t.Errorf("%q", d.Line())
	}
}

func TestNames(t *testing.T) {
	for _, x := range []struct{ wire, name string }{
		{"INBOX", "INBOX"}, {"a&-b", "a&b"}, {"&Jjo-!", "☺!"}, {"~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"}, {"&2D3eAA-", "😀"},
	} {
		if got, ok := DecodeName(x.wire); !ok || got != x.name {
			t.Errorf("%s is %q", x.wire, got)
		}
		if got := EncodeName(x.name); got != x.wire {
			t.Errorf("%s is written %s", x.name, got)
		}
	}
	for _, bad := range []string{"&", "&a", "&AGE-", "&Jjo", "&Jjo-&Jjo-", "&2D0-", "&Jjp-", "&J-", "&!!-"} {
		if got, ok := DecodeName(bad); ok {
			t.Errorf("%s is %q", bad, got)
		}
	}
}

// TestBound reads no more than is allowed, of lines, literals, and what is
// skipped.
func TestBound(t *testing.T) {
	for _, x := range []struct {
		in    string
		bound int64
		want  string // what is read, separated by |
	}{
		{"a b\r\nc d\r\n", 10, "b|d|EOF"},
		{"a b\r\nc d\r\n", 9, "b|" + ErrBound.Error()},
		{"a " + strings.Repeat("x", 100) + "\r\n", 103, ErrBound.Error()},
		{"a " + strings.Repeat("x", 90) + "\r\nc d\r\n", 98, strings.Repeat("x", 90) + "|" + ErrBound.Error()},
		{"a {3}\r\nxyz\r\n", 12, "xyz|EOF"},
		{"a {3}\r\nxyz\r\n", 11, ErrBound.Error()},
		{"a {3}\r\nb c\r\n", 9, "The literal is too large|" + ErrBound.Error()},
		{"a {3+}\r\nxyz\r\n", 10, "The literal is too large|" + ErrTooMuch.Error()},
	} {
		d, _ := decoderOf(x.in)
		d.Bound(x.bound)
		var got []string
		for {
			err := d.Next()
			if err == nil {
				d.Tag()
				d.SP()
				got = append(got, d.AString())
				if err = d.Err(); err != nil && !fatal(err) {
					got[len(got)-1], err = err.Error(), nil
				} else if err != nil {
					got = got[:len(got)-1]
				}
			}
			if err == nil {
				err = d.Skip()
			}
			if err != nil {
				got = append(got, err.Error())
				break
			}
		}
		if strings.Join(got, "|") != x.want {
			t.Errorf("%.20q within %d: %.60q, want %.60q", x.in, x.bound, strings.Join(got, "|"), x.want)
		}
	}
	d, _ := decoderOf("a b\r\nc d\r\n")
	d.Bound(5)
	d.Next()
	d.Unbound()
	if err := d.Next(); err != nil {
		t.Errorf("unbound: %v", err)
	}
}
