package oddmail

import (
	"fmt"
	"strings"
)

// Message is one odd message.
type Message struct {
	Name string // unique, the kind of oddity before its first "/"
	Raw  []byte
}

// Messages returns the corpus.
func Messages() []Message {
	c := &corpus{seen: map[string]bool{}}
	c.fields()
	c.addresses()
	c.contentFields()
	c.headers()
	c.multiparts()
	c.nestedMessages()
	c.encodings()
	c.lineEnds()
	c.large()
	c.trees()
	return c.all
}

type corpus struct {
	all  []Message
	seen map[string]bool
}

// add takes a message as text with LF, which become CRLF.
func (c *corpus) add(name, text string) {
	c.raw(name, strings.ReplaceAll(text, "\n", "\r\n"))
}

func (c *corpus) raw(name, text string) {
	if c.seen[name] {
		panic("oddmail: two messages are called " + name)
	}
	c.seen[name] = true
	c.all = append(c.all, Message{name, []byte(text)})
}

// each adds one message for each of some texts, put into a format.
func (c *corpus) each(kind, format string, texts []string) {
	for i, text := range texts {
		c.add(fmt.Sprintf("%s/%02d", kind, i), strings.ReplaceAll(format, "%", text))
	}
}

// fields adds messages with one odd field of those that an ENVELOPE has.
func (c *corpus) fields() {
	texts := []string{
		"", " ", "  two  spaces  ", "\ta tab", "folded\n here", "folded\n\tby a tab", "folded\n   by three spaces",
		"folded \n and a space before", "\n on the next line", "\n \n after a line of white space", "at the end\n ",
		"at the end\n \n\t", `"quoted"`, `back\slash`, `a "quote" and \"more\"`, "gr\xc3\xbc\xc3\x9fe", "gr\xfc\xdfe",
		"\xff\xfe", "=?utf-8?q?gr=C3=BC=C3=9Fe?=", "=?utf-8?q?a?= =?utf-8?q?b?=", "=?utf-8?q?a?=\n =?utf-8?q?b?=", "=?broken?q?",
		"(a comment)", "<a@b.test>", "<a@b.test> <c@d.test>", "a b c", "{5}", "NIL", "()", strings.Repeat("long ", 300),
		strings.Repeat("x", 1100), strings.Repeat("folded\n ", 200), "\x01\x02 control \x7f", "tab\tinside", "%s %d",
		"Mon, 23 Nov 2026 09:00:00 +0000", "Mon, 23 Nov 2026 09:00:00 +0000 (UTC)", "23 Nov 26 9:00 EST", "yesterday",
		"[a] * ] %", "~tilde", "a:b:c", "a;b;c",
	}
	for _, field := range []string{"Subject", "Date", "Message-ID", "In-Reply-To"} {
		c.each("field-"+strings.ToLower(field), "From: a@a.test\n"+field+": %\nTo: b@b.test\n\nbody\n", texts)
	}
	for _, field := range []string{"Subject", "Date", "Message-ID", "In-Reply-To", "From", "Sender", "Reply-To", "To", "Cc", "Bcc"} {
		c.add("twice/"+field, field+": one@a.test\nX: y\n"+field+": two@b.test\n\nbody\n")
		c.add("twice-empty-first/"+field, field+":\n"+field+": two@b.test\n\nbody\n")
		c.add("twice-empty-last/"+field, field+": one@a.test\n"+field+": \n\nbody\n")
		c.add("three/"+field, field+": one@a.test\n"+field+": two@b.test\n"+field+": three@c.test\n\nbody\n")
		c.add("space-before-colon/"+field, field+" : one@a.test\n\nbody\n")
		c.add("tab-before-colon/"+field, field+"\t: one@a.test\n\nbody\n")
		c.add("no-space-after-colon/"+field, field+":one@a.test\n\nbody\n")
		c.add("upper/"+field, strings.ToUpper(field)+": one@a.test\n\nbody\n")
		c.add("at-end/"+field, "X: y\n"+field+": one@a.test")
	}
	c.add("envelope/none", "X: y\n\nbody\n")
	c.add("envelope/from-only", "From: Alice <alice@a.test>\n\nbody\n")
	c.add("envelope/sender-only", "Sender: Alice <alice@a.test>\n\nbody\n")
	c.add("envelope/reply-to-only", "Reply-To: Alice <alice@a.test>\n\nbody\n")
	c.add("envelope/all", "Date: Mon, 23 Nov 2026 09:00:00 +0000\nSubject: all\nFrom: A <a@a.test>\nSender: S <s@a.test>\n"+
		"Reply-To: R <r@a.test>\nTo: T <t@a.test>\nCc: C <c@a.test>\nBcc: B <b@a.test>\nIn-Reply-To: <i@a.test>\nMessage-ID: <m@a.test>\n\nbody\n")
	c.add("envelope/empty-sender", "From: A <a@a.test>\nSender:\nReply-To:\n\nbody\n")
	c.add("envelope/empty-from", "From:\nSender: s@a.test\nReply-To: r@a.test\n\nbody\n")
	c.add("envelope/broken-sender", "From: A <a@a.test>\nSender: <>\nReply-To: ,\n\nbody\n")
	c.add("envelope/group-sender", "From: A <a@a.test>\nSender: undisclosed:;\nReply-To: g: a@a.test;\n\nbody\n")
	c.add("envelope/resent", "Resent-From: r@a.test\nResent-Date: today\nFrom: a@a.test\nResent-Message-ID: <r@a.test>\n\nbody\n")
}

// addresses adds messages with odd lists of addresses.
func (c *corpus) addresses() {
	texts := []string{
		"a@a.test", "<a@a.test>", "A <a@a.test>", `"A" <a@a.test>`, `"A B" <a@a.test>`, "A B <a@a.test>", "A  B <a@a.test>", `"A  B" <a@a.test>`,
		"a@a.test (A)", "a@a.test (A (B) C)", "(A) a@a.test", "(A) a@a.test (B)", "A (comment) B <a@a.test>", "A <a@a.test> (comment)", "<a@a.test> (A)",
		`"A \"quoted\" B" <a@a.test>`, `"A \\ B" <a@a.test>`, `"A, B" <a@a.test>`, `"a b"@a.test`, `"a\"b"@a.test`, `<"a b"@a.test>`, `"a@b"@a.test`,
		"a . b @ a . test", "a.b@a.test", ".a@a.test", "a.@a.test", "a..b@a.test", "a@[192.0.2.1]", "a@[IPv6:2001:db8::1]", "a@ [ 192.0.2.1 ]",
		"<@r.test:a@a.test>", "<@r.test,@s.test:a@a.test>", "R <@r.test:a@a.test>", "<@r.test>", "<@r.test:>", "<>", "A <>", `"A" <>`, "< >",
		"a@a.test, b@b.test", "a@a.test,b@b.test,", ",a@a.test", ",,a@a.test,,", ",", ", ,", "a@a.test b@b.test", "a@a.test; b@b.test", "a@a.test;",
		"group:;", "group: ;", "group: a@a.test;", "group: a@a.test, b@b.test;", "group: a@a.test", "group:", `"a group": a@a.test;`, "a group: A <a@a.test>, b@b.test;",
		"group: a@a.test;, c@c.test", "group: a@a.test; c@c.test", "c@c.test, group: a@a.test;", "one:; two:;", "one:;, two:;", "one: two: a@a.test;;", "one: two: a@a.test;",
		"(c) group (d) : (e) a@a.test (f) ; (g)", ":;", ": a@a.test;", ":", ";", "undisclosed-recipients:;", "undisclosed recipients: ;", "Undisclosed.Recipients:;",
		"a", "A B C", `"A B C"`, "a@", "@a.test", "@", "A <a>", "A <a@>", "A <@a.test>", "A a@a.test", "A B a@a.test", "<a@a.test", "A <a@a.test", "A a@a.test>", "a@a.test>", ">",
		"<<a@a.test>>", "<a@a.test> <b@b.test>", "A <a@a.test> B <b@b.test>", "A <a@a.test> B", "<a@a.test>, ", "a@b@c.test", "<a@b@c.test>", "A <a b@c.test>", "a@b c",
		"A <a@a.test", `"A <a@a.test>`, `A" <a@a.test>`, "(A <a@a.test>", "A) <a@a.test>", "(unclosed", `"unclosed`, "a@a.test (unclosed", "a@a.test (un(closed)", `\`, `a\@a.test`, `A\ B <a@a.test>`,
		"gr\xc3\xbc\xc3\x9fe <a@a.test>", "gr\xfc\xdfe <a@a.test>", "\"gr\xfc\xdfe\" <a@a.test>", "\xc3\xbc@a.test", "a@\xc3\xbc.test", "a@a.test (gr\xfc\xdfe)", "=?utf-8?q?gr=C3=BC?= <a@a.test>", `"=?utf-8?q?gr=C3=BC?=" <a@a.test>`,
		"=?utf-8?q?a?= =?utf-8?q?b?= <a@a.test>", "=?utf-8?q?a,b?= <a@a.test>", "=?utf-8?q?a@b?= <a@a.test>",
		"A.B <a@a.test>", "A. B. <a@a.test>", "A .B <a@a.test>", "J. R. Hacker <a@a.test>", "Mr. A (B) <a@a.test>", "A/B <a@a.test>", "A-B <a@a.test>", "A[B] <a@a.test>", "[A] <a@a.test>", "A:B <a@a.test>", "A@B <a@a.test>", "a@a.test <a@a.test>", "A, B <a@a.test>",
		"A\n <a@a.test>", "a@a.test,\n b@b.test", "\n a@a.test", "a@a.test\n ", "A (com\n ment) <a@a.test>", "\"A\n B\" <a@a.test>", "<a\n @a.test>", "A\tB <a@a.test>", "  a@a.test  ", "\"A\tB\" <a@a.test>", `"" <a@a.test>`, `"" a@a.test`, `" " <a@a.test>`, `"\" <a@a.test>`,
		"mailto:a@a.test", "<mailto:a@a.test>", "a@a.test?subject=x", "a!b!c", "a%b@c.test", "a+b@c.test", "MAILER-DAEMON", "MAILER-DAEMON (Mail Delivery)", "<MAILER-DAEMON>", "root (Cron)", "\"root@host\" (Cron)",
		strings.Repeat("a@a.test, ", 100) + "b@b.test", strings.Repeat("x", 500) + "@a.test", `"` + strings.Repeat("long name ", 120) + `" <a@a.test>`, strings.Repeat("(", 50) + strings.Repeat(")", 50) + " a@a.test",
		"a@a.test \x01", "\x01 <a@a.test>", "a\x7fb@a.test", "A = B <a@a.test>", "A * B <a@a.test>", "a@a.test.", "a@.a.test", "a@a..test", "a@a_b.test", "a@a test", `a@[x\]y]`, `a@[x\], b@b.test`,
	}
	c.each("to", "From: f@f.test\nTo: %\nSubject: s\n\nbody\n", texts)
	c.each("from", "From: %\nTo: t@t.test\n\nbody\n", texts[:40])
	c.each("reply-to", "From: f@f.test\nReply-To: %\n\nbody\n", []string{"", "<>", ",", ";", "(c)", "a", "x:;", `""`, "@", "<@>"})
}
