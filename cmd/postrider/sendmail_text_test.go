package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/iotest"

	"postrider/mail"
)

func TestSendmailText(t *testing.T) {
	alice := mail.Address{Local: "alice", Domain: "a.test"}
	for _, c := range []struct {
		name     string
		args     sendmailArgs
		from     mail.Address
		in, want string
		rcpts    string
	}{
		{"LF becomes CRLF", sendmailArgs{}, mail.Address{}, "To: b\n\nhi\nyou\n", "To: b\r\n\r\nhi\r\nyou\r\n", ""},
		{"CRLF stays", sendmailArgs{}, mail.Address{}, "To: b\r\n\r\nhi\r\n", "To: b\r\n\r\nhi\r\n", ""},
		{"the last line gets its end", sendmailArgs{}, mail.Address{}, "To: b\n\nhi", "To: b\r\n\r\nhi\r\n", ""},
		{"bare CR", sendmailArgs{}, mail.Address{}, "To: b\n\na\rb\r\r\nc\r", "To: b\r\n\r\na\r\nb\r\n\r\nc\r\n", ""},
		{"From is added", sendmailArgs{}, alice, "To: b\n\nhi\n", "To: b\r\nFrom: alice@a.test\r\n\r\nhi\r\n", ""},
		{"with a name", sendmailArgs{Name: `Al "A" ice`}, alice, "\nhi\n", "From: \"Al \\\"A\\\" ice\" <alice@a.test>\r\n\r\nhi\r\n", ""},
		{"with a foreign name", sendmailArgs{Name: "Ålice"}, alice, "\nhi\n", "From: =?utf-8?q?=C3=85lice?= <alice@a.test>\r\n\r\nhi\r\n", ""},
		{"From is there", sendmailArgs{}, alice, "FROM: x\n\n", "FROM: x\r\n\r\n", ""},
		{"no header", sendmailArgs{}, mail.Address{}, "hello there\nyou\n", "\r\nhello there\r\nyou\r\n", ""},
		{"a header without blank line", sendmailArgs{}, mail.Address{}, "Subject: x\nhello there\n", "Subject: x\r\n\r\nhello there\r\n", ""},
		{"nothing", sendmailArgs{}, mail.Address{}, "", "\r\n", ""},
		{"mbox", sendmailArgs{}, mail.Address{}, "From alice Mon\nTo: b\n\nhi\n", "To: b\r\n\r\nhi\r\n", ""},
		{"a dot ends", sendmailArgs{dots: true}, mail.Address{}, "To: b\n\nhi\n.\nmore\n", "To: b\r\n\r\nhi\r\n", ""},
		{"or does not", sendmailArgs{}, mail.Address{}, "To: b\n\nhi\n.\nmore\n.", "To: b\r\n\r\nhi\r\n.\r\nmore\r\n.\r\n", ""},
		{"a dot at the very end", sendmailArgs{dots: true}, mail.Address{}, "To: b\n\nhi\n.", "To: b\r\n\r\nhi\r\n", ""},
		{"-t", sendmailArgs{FromHeader: true}, mail.Address{},
			"To: Bob <bob@b.test>, root\nbcc: eve@e.test,\n mallory@e.test\nCc: friends: carol@c.test;\nSubject: x\n\nBcc: stays\n",
			"To: Bob <bob@b.test>, root\r\nCc: friends: carol@c.test;\r\nSubject: x\r\n\r\nBcc: stays\r\n",
			"bob@b.test root eve@e.test mallory@e.test carol@c.test"},
		{"Bcc stays without -t", sendmailArgs{}, mail.Address{}, "Bcc: eve@e.test\n\n", "Bcc: eve@e.test\r\n\r\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := &sendmailText{sendmailArgs: c.args, from: c.from, limit: 1000}
			var out bytes.Buffer
			if err := text.copy(&out, iotest.OneByteReader(strings.NewReader(c.in))); err != nil {
				t.Fatal(err)
			}
			if out.String() != c.want {
				t.Errorf("got  %q\nwant %q", &out, c.want)
			}
			if got := strings.Join(text.rcpts, " "); got != c.rcpts {
				t.Errorf("recipients %q, want %q", got, c.rcpts)
			}
		})
	}
}

// From is given a domain where it has none, and is left alone otherwise.
func TestSendmailTextOrigin(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"From: root (Cron Daemon)\n\n", "From: \"Cron Daemon\" <root@a.test>\r\n\r\n"},
		{"From: =?utf-8?q?=C3=85lice?= <alice>\n\n", "From: =?utf-8?q?=C3=85lice?= <alice@a.test>\r\n\r\n"},
		{"From: www-data\n\n", "From: www-data@a.test\r\n\r\n"},
		{"From: Bob <bob@b.test>\n\n", "From: Bob <bob@b.test>\r\n\r\n"},
		{"From: a, b@b.test\n\n", "From: a, b@b.test\r\n\r\n"},
		{"From: undisclosed:;\n\n", "From: undisclosed:;\r\n\r\n"},
		{"From:\n\n", "From:\r\n\r\n"},
	} {
		text := &sendmailText{origin: "a.test", limit: 1000}
		var out bytes.Buffer
		if err := text.copy(&out, strings.NewReader(c.in)); err != nil {
			t.Fatal(err)
		}
		if out.String() != c.want {
			t.Errorf("%q: got %q, want %q", c.in, &out, c.want)
		}
	}
}

func TestSendmailTextLongLines(t *testing.T) {
	long := strings.Repeat("x", 200_000)
	for _, c := range []struct{ in, want string }{
		{"\n" + long + "\n", "\r\n" + long + "\r\n"},
		{"\n" + long[:64<<10-1] + "\r\n.\n", "\r\n" + long[:64<<10-1] + "\r\n"}, // CR at the end of the buffer
		{"\n" + long[:64<<10-1] + "\ry\n", "\r\n" + long[:64<<10-1] + "\r\ny\r\n"},
		{"\n" + long[:64<<10] + ".\nz", "\r\n" + long[:64<<10] + ".\r\nz\r\n"}, // no dot alone
	} {
		var out bytes.Buffer
		text := &sendmailText{sendmailArgs: sendmailArgs{dots: true}, limit: 1 << 20}
		if err := text.copy(&out, strings.NewReader(c.in)); err != nil {
			t.Fatal(err)
		}
		if out.String() != c.want {
			t.Errorf("got %d bytes that end in %q", out.Len(), out.String()[max(0, out.Len()-10):])
		}
	}
	text := &sendmailText{limit: 1000}
	if err := text.copy(&bytes.Buffer{}, strings.NewReader(long)); err != errTextTooBig {
		t.Errorf("too long: %v", err)
	}
}

func TestSendmailBodyType(t *testing.T) {
	for in, want := range map[string]mail.BodyType{
		"To: b\n\nhi\n": mail.Body7Bit, "To: b\n\nhí\n": mail.Body8Bit, "To: ü\n\nhi\n": mail.Body8Bit, "hí\n": mail.Body8Bit,
	} {
		text := &sendmailText{limit: 1000}
		if err := text.copy(&bytes.Buffer{}, strings.NewReader(in)); err != nil {
			t.Fatal(err)
		}
		if got := text.bodyType(); got != want || text.header8Bit != strings.Contains(in, "ü") {
			t.Errorf("%q needs %s, header %v", in, got, text.header8Bit)
		}
	}
}

// Whatever a program writes, what comes out has CRLF line ends alone, and is
// left as it is when it comes in again.
func FuzzSendmailText(f *testing.F) {
	f.Add("To: b\nBcc: c\n\nhi\n.\nmore\r\r\n", true, true)
	f.Add("From x\rSubject: y", false, false)
	f.Fuzz(func(t *testing.T, in string, dots, fromHeader bool) {
		run := func(in string, args sendmailArgs) string {
			var out bytes.Buffer
			text := &sendmailText{sendmailArgs: args, from: mail.Address{Local: "a", Domain: "a.test"}, limit: 1 << 20}
			if err := text.copy(&out, strings.NewReader(in)); err != nil {
				t.Fatal(err)
			}
			return out.String()
		}
		once := run(in, sendmailArgs{dots: dots, FromHeader: fromHeader})
		if bare := strings.ReplaceAll(once, "\r\n", ""); strings.ContainsAny(bare, "\r\n") || !strings.HasSuffix(once, "\r\n") {
			t.Fatalf("line ends in %q", once)
		}
		if again := run(once, sendmailArgs{FromHeader: fromHeader}); again != once {
			t.Fatalf("%q becomes %q", once, again)
		}
	})
}
