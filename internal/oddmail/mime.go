package oddmail

import (
	"fmt"
	"strings"
)

// contentFields adds messages with odd fields that describe their content.
func (c *corpus) contentFields() {
	types := []string{
		"", "text", "text/", "/plain", "/", "text/plain", "TEXT/PLAIN", "Text/Html", "text/plain;", "text/plain ;", "text / plain", "text/plain/x", "text plain", "plain",
		"text/plain; charset", "text/plain; charset=", "text/plain; charset=\"\"", "text/plain; charset=utf-8", "text/plain; CHARSET=UTF-8", "text/plain; charset=\"utf-8\"", "text/plain; charset = utf-8",
		"text/plain; charset=\"utf-8", "text/plain; charset=utf-8; charset=us-ascii", "text/plain;charset=utf-8;format=flowed", "text/plain; format=flowed", "text/plain; =x; format=flowed", "text/plain; x; format=flowed",
		"text/plain; format=flowed; ;; x=y", "text/plain charset=utf-8", "text/plain, charset=utf-8", "text/plain; charset=utf-8 (comment)", "text/plain (comment); charset=utf-8", "(comment) text/plain", "text/(comment)plain",
		"text/plain; (comment) charset=(comment)utf-8", "text/plain; charset=iso 8859 1", "text/plain; charset='utf-8'", "text/plain; name=\"a \\\"b\\\" c\"", "text/plain; name=\"a\\\\b\"", "text/plain; name=a/b", "text/plain; name=a@b", "text/plain; name=a=b", "text/plain; name=[a]",
		"text/plain; name=\"gr\xc3\xbc\xc3\x9fe\"", "text/plain; name=gr\xfc\xdfe", "text/plain; name==?utf-8?q?a?=", "text/plain; name=\"=?utf-8?q?gr=C3=BC?=\"", "text/plain; name*=utf-8''gr%C3%BC", "text/plain; name*=utf-8'en'a%20b; name=c",
		"text/plain; name*0=a; name*1=b", "text/plain; name*0*=utf-8''a%20; name*1=b; name*2*=%20c", "text/plain; name*1=b; name*0=a", "text/plain; name*0=a; name*2=c", "text/plain; name*0=\"a b\"; name*1=\"c d\"", "text/plain; name*=nothing", "text/plain; name*0*=a; name*1*=b",
		"text/plain; name*00=a; name*01=b", "text/plain; *=a", "text/plain; name**=a", "text/plain; name*0=a; name=c; name*1=b", "text/plain; name*0*=utf-8''a; x=y; name*1*=b",
		"text/plain;\n charset=utf-8", "text/plain;\n\tcharset=utf-8;\n\tname=\"a\n b\"", "text/plain\n ; charset=utf-8", "\n text/plain; charset=utf-8", "text/plain; name=\"folded\n value\"", "text/plain; name=\"two\n  spaces\"",
		"text/x-unknown", "x-type/x-sub", "application/octet-stream", "application/octet-stream; name=x", "image/jpeg", "audio/basic", "video/mp4", "model/x", "font/woff", "example/x", "message/delivery-status", "message/partial; id=a; number=1; total=2", "message/external-body; access-type=x", "message/disposition-notification", "message/x", "message/news", "message/http",
		"multipart/mixed", "multipart/alternative", "multipart/", "multipart", "gr\xc3\xbcn/x", "text/gr\xc3\xbcn", "\"text\"/\"plain\"", "text/plain; name=\"" + strings.Repeat("x", 1100) + "\"", "text/plain; " + strings.Repeat("a=b; ", 50), "text/plain; name=\"\"", "text/plain; name=\" \"", "text/plain; charset=\"utf-8\"; name=\"x\" junk; y=z", "text/plain; charset=\"utf-8\"name=x",
		"text/plain; name=a,b", "text/plain; name=a b; x=y", "text/plain; na me=x", "text/plain; name=(x)", "text/plain; name=\\x", "text/plain\\; x=y", "text/html; charset=\"us-ascii\"; boundary=x", "application/pdf; name=\"a;b\"; x=\"y;z\"", "text/plain; charset=us-ascii\n\t(Plain text)", "TEXT/PLAIN; Charset=US-ASCII; Name=ABC", "text/plain; name=\ta", "text/plain\t;\tname=a", "text/rfc822-headers", "text/plain; charset*=us-ascii'en'utf-8", "text/plain; charset*0=ut; charset*1=f-8",
		"text/(a)plain(b);(c)charset(d)=(e)utf-8(f);(g)name=x(h)", "t\xe9xt/pl\xe9in; n\xe9me=x",
	}
	c.each("type", "From: a@a.test\nMIME-Version: 1.0\nContent-Type: %\n\nbody\nof two lines\n", types)
	c.each("part-type", "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: %\n\nbody\nof two lines\n--b--\n", types)
	c.each("type-no-version", "Content-Type: %\n\nbody\n", types[:6])
	c.add("type-twice/00", "Content-Type: text/html\nContent-Type: text/plain; charset=utf-8\n\nbody\n")
	c.add("type-twice/01", "Content-Type:\nContent-Type: text/html\n\nbody\n")
	c.add("type-twice/02", "Content-Type: nonsense\nContent-Type: text/html\n\nbody\n")
	c.add("type-twice/03", "Content-Type: multipart/mixed; boundary=a\nContent-Type: multipart/mixed; boundary=b\n\n--a\n\none\n--b\n\ntwo\n--b--\n--a--\n")
	other := map[string][]string{
		"Content-Transfer-Encoding": {"", " ", "7bit", "7BIT", "8bit", "8Bit", "binary", "base64", "BASE64", "quoted-printable", "Quoted-Printable", "x-uuencode", "uuencode", "utf-8", "7-bit", "8 bit", "7bit; x=y", "7bit (comment)", "(comment) 7bit", "\"7bit\"", "base64,", "base64 base64", "gr\xc3\xbcn", "=?x?=", ";", "base64\n ", "\n base64", "none"},
		"Content-ID":                {"", " ", "<a@b.test>", "a@b.test", "<a@b.test> x", " < a@b.test > ", "(c) <a@b.test>", "<a\n @b.test>", "gr\xc3\xbcn", "\"q\"", "<>"},
		"Content-Description":       {"", "one", "  two  words  ", "folded\n here", "gr\xc3\xbc\xc3\x9fe", "gr\xfc\xdfe", "=?utf-8?q?gr=C3=BC?=", "\"quoted\"", "back\\slash", "(c)", strings.Repeat("x", 1100)},
		"Content-MD5":               {"", "Q2hlY2sgSW50ZWdyaXR5IQ==", "a b", "\"x\"", "(c) x"},
		"Content-Location":          {"", "http://a.test/x", "a b", "http://a.test/\n x", "\"x\"", "(c) x", "gr\xc3\xbcn"},
		"Content-Disposition": {"", "inline", "INLINE", "Attachment", "attachment; filename=x", "attachment; FileName=X", "attachment; filename=\"a b\"", "attachment; filename=a b", "attachment; filename", "attachment; filename=", "attachment;", ";", "; filename=x", "attachment filename=x", "attachment, x", "\"attachment\"", "attachment; filename*=utf-8''gr%C3%BC",
			"attachment; filename*0=a; filename*1=b", "attachment; filename*0*=utf-8''a; filename*1*=%20b", "attachment; filename=\"gr\xc3\xbc\"", "attachment; filename==?utf-8?q?a?=", "attachment; filename=\"a\\\"b\"", "attachment; filename=\"x", "(c) attachment", "attachment (c); filename=x", "attachment/x", "attachment; size=5; creation-date=\"Mon, 23 Nov 2026 09:00:00 +0000\"", "attachment;\n filename=x", "gr\xc3\xbcn", "attachment; a=b; a=c", "attachment; filename=x (c)", "form-data; name=\"x\""},
		"Content-Language": {"", "en", "EN", "en, de", "en,de", "en-US", "en; q=1", "en de", "\"en\"", "(c) en", "en (c), de", ",", ",en", "en,", "gr\xc3\xbcn", "en\n , de", "i-mingo, de, x-y", "en-", "*"},
	}
	for _, field := range []string{"Content-Transfer-Encoding", "Content-ID", "Content-Description", "Content-MD5", "Content-Location", "Content-Disposition", "Content-Language"} {
		kind := strings.ToLower(strings.TrimPrefix(field, "Content-"))
		c.each(kind, "MIME-Version: 1.0\nContent-Type: text/plain\n"+field+": %\n\nbody=20\nYm9keQ==\n", other[field])
		c.each("part-"+kind, "Content-Type: multipart/mixed; boundary=b\n"+field+": %\n\n--b\n"+field+": %\n\nbody\n--b--\n", other[field][:4])
		c.each("message-"+kind, "Content-Type: message/rfc822\n"+field+": %\n\nSubject: inner\n"+field+": %\n\nbody\n", other[field][:4])
	}
}

// headers adds messages whose header as a whole is odd.
func (c *corpus) headers() {
	for name, text := range map[string]string{
		"empty": "", "newline": "\n", "newlines": "\n\n\n", "body-only": "just text\nand more\n", "body-with-colon": "a b: c\nd\n", "no-body": "Subject: x\n", "no-newline": "Subject: x", "no-blank": "Subject: x\nFrom: a@a.test\n",
		"blank-first": "\nSubject: x\n\nbody\n", "space-first": " \nSubject: x\n\nbody\n", "continuation-first": " continued\nSubject: x\n\nbody\n", "from-line": "From a@a.test Mon Nov 23 09:00:00 2026\nSubject: x\n\nbody\n", "quoted-from-line": ">From a@a.test Mon Nov 23 09:00:00 2026\nSubject: x\n\nbody\n",
		"from-line-inside": "Subject: x\nFrom a@a.test Mon Nov 23 09:00:00 2026\nTo: b@b.test\n\nbody\n", "from-in-body": "Subject: x\n\nFrom here\n>From there\n", "x-uidl": "X-UIDL: x\nStatus: RO\nX-Status: A\nX-Keywords: a b\nX-IMAPbase: 1 2\nContent-Length: 4\nSubject: x\n\nbody\n",
		"junk-line": "Subject: x\njunk\nTo: b@b.test\n\nbody\n", "junk-line-folded": "Subject: x\njunk\n more junk\nTo: b@b.test\n\nbody\n", "junk-line-8bit": "Subject: x\ngr\xfc\xdfe\nTo: b@b.test\n\nbody\n", "space-line": "Subject: x\n \nTo: b@b.test\n\nbody\n", "tab-line": "Subject: x\n\t\nTo: b@b.test\n\nbody\n",
		"empty-name": "Subject: x\n: value\nTo: b@b.test\n\nbody\n", "colon-only": ":\n\nbody\n", "name-8bit": "gr\xc3\xbcn: x\nSubject: y\n\nbody\n", "name-space": "Sub ject: x\nTo: b@b.test\n\nbody\n", "long-field": "X: " + strings.Repeat("y", 5000) + "\nSubject: z\n\nbody\n", "long-folded": "X: " + strings.Repeat("y\n ", 2000) + "\nSubject: z\n\nbody\n",
		"many-fields": strings.Repeat("X-Field: value\n", 500) + "Subject: last\n\nbody\n", "mime-version-odd": "MIME-Version: 2.0 (what)\nContent-Type: text/html\n\nbody\n", "dot-stuffed": "Subject: x\n\n.\n..\n.x\n", "dash-line": "Subject: x\n--dash\nTo: b@b.test\n\nbody\n", "only-continuation": "\tx\n", "two-blank": "Subject: x\n\n\n\nbody\n", "blank-with-space": "Subject: x\n \n\nbody\n",
		"field-then-eof": "Subject: x\nTo:", "folded-eof": "Subject: x\n ", "8bit-everywhere": "S\xfc: \xfc\nSubject: \xfc\nFrom: \xfc <\xfc@\xfc>\n\n\xfc\n", "fold-blank-fold": "Subject: a\n\n b\n\nc\n",
	} {
		c.add("header/"+name, text)
	}
	sortFrom(c, "header/")
}

// multiparts adds multiparts that are odd in one way each.
func (c *corpus) multiparts() {
	head := "From: a@a.test\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"
	for _, x := range [][2]string{
		{"good", "preamble\n--b\n\none\n--b\n\ntwo\n--b--\nepilogue\n"}, {"no-final", "--b\n\none\n--b\n\ntwo\n"}, {"no-final-no-newline", "--b\n\none\n--b\n\ntwo"}, {"no-delimiter", "text\nonly\n"}, {"empty-body", ""}, {"only-final", "--b--\n"}, {"only-final-no-newline", "--b--"},
		{"only-first", "--b\n"}, {"only-first-no-newline", "--b"}, {"two-delimiters", "--b\n--b\n"}, {"three-delimiters", "--b\n--b\n--b--\n"}, {"delimiter-final", "--b\n--b--\n"}, {"blank-delimiter", "\n--b\n\n--b--\n"}, {"empty-parts", "--b\n\n--b\n\n--b--\n"}, {"empty-parts-blank", "--b\n\n\n--b\n\n\n--b--\n"},
		{"header-only-part", "--b\nContent-Type: text/html\n--b\n\ntwo\n--b--\n"}, {"header-only-last", "--b\n\none\n--b\nContent-Type: text/html\n--b--\n"}, {"header-no-end", "--b\nContent-Type: text/html"}, {"header-blank-end", "--b\nContent-Type: text/html\n\n"}, {"header-cut-fold", "--b\nContent-Type: text/html;\n --b\n\ntwo\n--b--\n"},
		{"no-header", "--b\njust text\nmore\n--b--\n"}, {"after-final", "--b\n\none\n--b--\n--b\n\ntwo\n--b--\n"}, {"final-twice", "--b\n\none\n--b--\n--b--\n"}, {"space-after", "--b \n\none\n--b\t\n\ntwo\n--b-- \n"}, {"text-after", "--b text\n\none\n--bx\n\ntwo\n--b--x\n"}, {"space-before", " --b\n\none\n --b--\n"},
		{"one-dash", "-b\n\none\n-b--\n"}, {"three-dashes", "---b\n\none\n--b\n\ntwo\n--b--\n"}, {"final-one-dash", "--b\n\none\n--b-\n\ntwo\n--b--\n"}, {"delimiter-at-end", "--b\n\none\n--b\n"}, {"no-newline-before", "--b\n\none--b\n\ntwo\n--b--\n"}, {"blank-lines", "\n\n--b\n\n\n\none\n\n\n--b--\n\n\n"}, {"preamble-like", "--\n--c\n--b\n\none\n--b--\n"},
		{"epilogue-like", "--b\n\none\n--b--\n--c\n--\n"}, {"dashes", "--b\n\n--\n---\n--b--\n"}, {"signature", "--b\n\ntext\n-- \nsignature\n--b--\n"}, {"no-blank-after-header", "--b\nContent-Type: text/html\nnot a field\n\none\n--b--\n"}, {"part-from-line", "--b\nFrom x Mon\nContent-Type: text/html\n\none\n--b--\n"}, {"upper", "--B\n\none\n--B--\n"},
		{"text-then-html", "--b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\na=3Db=\nc\n--b\nContent-Type: text/html\nContent-Transfer-Encoding: base64\n\nPGI+\n--b--\n"}, {"no-newline-at-end", "--b\n\none\n--b--"}, {"part-continuation", "--b\n x: y\nContent-Type: text/html\n\none\n--b--\n"},
	} {
		c.add("multipart/"+x[0], head+x[1])
	}
	boundaries := []string{
		"boundary=", `boundary=""`, "boundary", `boundary=" "`, `boundary="b"`, "boundary=b; x=y", `boundary="b `, `boundary="b "`, `boundary=" b"`, "boundary=b b", "Boundary=b", "BOUNDARY=\"b\"", "boundary = b", "boundary=b\n ; x=y", "boundary*=us-ascii''b", "boundary*0=b; boundary*1=\"\"", "boundary=(b)", "boundary=b (c)", `boundary="b"; boundary="c"`, "boundary=b;", "boundary=\tb", "x=y;boundary=b", "boundary=\"b\n c\"", "boundary='b'", "boundary==b", "boundary=gr\xfc", "x; boundary=b", "charset=utf-8",
	}
	for i, b := range boundaries {
		for j, line := range []string{"b", "", " b", "b c", "'b'", "gr\xfc", "=b"} {
			if j > 0 && i%3 != j%3 {
				continue
			}
			c.add(fmt.Sprintf("boundary/%02d-%d", i, j), "Content-Type: multipart/mixed; "+b+"\n\npreamble\n--"+line+"\n\none\n--"+line+"\n\ntwo\n--"+line+"--\nepilogue\n")
		}
	}
	for _, n := range []int{60, 69, 70, 71, 100, 200, 990} {
		b := strings.Repeat("b", n)
		c.add(fmt.Sprintf("boundary/long-%03d", n), "Content-Type: multipart/mixed; boundary="+b+"\n\n--"+b+"\n\none\n--"+b+"--\n")
	}
	nested := func(name, outer, inner, text string) {
		text = strings.NewReplacer("OUT", outer, "IN", inner).Replace(text)
		c.add("nested/"+name, text)
	}
	good := "Content-Type: multipart/mixed; boundary=\"OUT\"\n\n--OUT\nContent-Type: multipart/alternative; boundary=\"IN\"\n\ninner preamble\n--IN\n\none\n--IN\nContent-Type: text/html\n\ntwo\n--IN--\ninner epilogue\n--OUT\n\nthree\n--OUT--\nepilogue\n"
	unended := strings.Replace(good, "--IN--\n", "", 1)
	crossed := "Content-Type: multipart/mixed; boundary=\"OUT\"\n\n--OUT\nContent-Type: multipart/alternative; boundary=\"IN\"\n\n--IN\n\none\n--OUT--\n--IN\n\ntwo\n--IN--\n"
	for _, p := range [][3]string{{"different", "out", "in"}, {"same", "b", "b"}, {"inner-longer", "b", "bb"}, {"outer-longer", "bb", "b"}, {"inner-dashes", "b", "b--"}, {"outer-dashes", "b--", "b"}, {"inner-dash", "b", "b-"}, {"outer-dash", "b-", "b"}, {"outer-space", "b b", "b"}, {"case", "b", "B"}} {
		nested(p[0], p[1], p[2], good)
		nested(p[0]+"-unended", p[1], p[2], unended)
		nested(p[0]+"-crossed", p[1], p[2], crossed)
	}
	c.add("nested/in-header", "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=b\n--b\n\none\n--b--\n--a--\n")
	c.add("nested/no-inner-boundary", "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed\n\ntext\n--a\n\ntwo\n--a--\n")
	c.add("nested/empty-inner", "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=b\n\n--b--\n--a--\n")
	c.add("nested/encoded", "Content-Type: multipart/mixed; boundary=a\nContent-Transfer-Encoding: base64\n\n--a\nContent-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: quoted-printable\n\n--b\n\none=20\n--b--\n--a--\n")
	for _, sub := range []string{"related; type=\"text/html\"; start=\"<a@a>\"", "signed; micalg=pgp-sha256; protocol=\"application/pgp-signature\"", "report; report-type=delivery-status", "digest", "parallel", "form-data", "x-unknown", "byteranges", "encrypted; protocol=x", "appledouble"} {
		name, _, _ := strings.Cut(sub, ";")
		c.add("subtype/"+name, "Content-Type: multipart/"+sub+"; boundary=b\n\n--b\n\nSubject: one\n\nbody\n--b\nContent-Type: text/html\n\ntwo\n--b--\n")
	}
}

// nestedMessages adds messages inside messages.
func (c *corpus) nestedMessages() {
	inner := "From: In <in@a.test>\nSubject: inner\nContent-Type: text/html\n\ninner body\n"
	multi := "Subject: inner\nContent-Type: multipart/mixed; boundary=i\n\n--i\n\none\n--i\nContent-Type: message/rfc822\n\nSubject: innermost\n\nbody\n--i--\nepilogue\n"
	for _, typ := range []string{"message/rfc822", "MESSAGE/RFC822", "message/rfc822; name=x", "message/global", "message/partial; id=x", "message/news", "message/rfc822-x", "message/feedback-report"} {
		name := strings.NewReplacer("/", "-", ";", "", " ", "", "=", "").Replace(typ)
		c.add("message/root-"+name, "Subject: outer\nContent-Type: "+typ+"\n\n"+inner)
		c.add("message/part-"+name, "Subject: outer\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: "+typ+"\n\n"+inner+"--b--\n")
		c.add("message/multi-"+name, "Subject: outer\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: "+typ+"\n\n"+multi+"--b--\n")
	}
	for _, enc := range []string{"base64", "quoted-printable", "8bit", "binary", "7bit", "x-odd"} {
		c.add("message/encoded-"+enc, "Content-Type: message/rfc822\nContent-Transfer-Encoding: "+enc+"\n\nU3ViamVjdDogeA0KDQpi\n")
		c.add("message/encoded-part-"+enc, "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: "+enc+"\n\nSubject: a=20b\n\nU3ViamVjdA==\n--b--\n")
	}
	for _, x := range [][2]string{
		{"empty", ""}, {"blank", "\n"}, {"blanks", "\n\n"}, {"header-only", "Subject: x\n"}, {"header-no-newline", "Subject: x"}, {"header-blank", "Subject: x\n\n"}, {"no-header", "just text\n"}, {"from-line", "From x Mon Nov 23 09:00:00 2026\nSubject: x\n\nbody\n"}, {"quoted-from-line", ">From x Mon Nov 23 09:00:00 2026\nSubject: x\n\nbody\n"},
		{"continuation", " x\nSubject: y\n\nbody\n"}, {"multipart-empty", "Content-Type: multipart/mixed; boundary=i\n\n"}, {"multipart-no-boundary", "Content-Type: multipart/mixed\n\ntext\n"}, {"multipart-unended", "Content-Type: multipart/mixed; boundary=i\n\n--i\n\none\n"}, {"message", "Content-Type: message/rfc822\n\nSubject: y\n\nbody\n"}, {"message-empty", "Content-Type: message/rfc822\n\n"}, {"message-no-blank", "Content-Type: message/rfc822\n"},
		{"blank-first", "\nSubject: x\n\nbody\n"}, {"groups", "From: g: a@a.test;\nTo: undisclosed:;\n\nbody\n"}, {"8bit", "Subject: gr\xfc\xdfe\nFrom: \xfc <a@a.test>\n\n\xfc\n"},
	} {
		c.add("inner/root-"+x[0], "Subject: outer\nContent-Type: message/rfc822\n\n"+x[1])
		c.add("inner/part-"+x[0], "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\n"+x[1]+"--b\n\nlast\n--b--\n")
		c.add("inner/part-newline-"+x[0], "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\n"+x[1]+"\n--b\n\nlast\n--b--\n")
		c.add("inner/digest-"+x[0], "Content-Type: multipart/digest; boundary=b\n\n--b\n\n"+x[1]+"\n--b\nContent-Type: text/plain\n\nlast\n--b--\n")
	}
	c.add("message/cut-header", "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n--b\n\nlast\n--b--\n")
	c.add("message/outer-delimiter-in-inner-header", "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: x\n--b\n\nlast\n--b--\n")
	c.add("message/same-boundary", "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b--\n--b\n\nlast\n--b--\n")
}

// encodings adds bodies that are not what their encoding says.
func (c *corpus) encodings() {
	bodies := []string{
		"", "\n", "YQ==", "YQ==\n", "YQ", "YQ\n", "Y", "YQ=", "YWJj\nZGVm\n", "YWJj ZGVm\n", "YWJj!ZGVm\n", "YWJj\n\nZGVm\n", "YQ==YQ==\n", "YQ==\nYQ==\n", "YWI=\ntext after\n", "====\n", "=\n", "not base64 at all.\n", "gr\xc3\xbc\xc3\x9fe\n", "YW\xff==\n", strings.Repeat(strings.Repeat("YWJj", 19)+"\n", 30), "-----\nYQ==\n", "YQ==\n-- \nfooter\n",
		"a=20b\n", "a=\nb\n", "a= \nb\n", "a=20\n", "a \n", "a\t\n", "a =\n", "=C3=BC\n", "=c3=bc\n", "=C3=B\n", "=C3=\n", "=XY\n", "a=b\n", "==\n", "=3D=\n", "=", "a=", "a=2", "a=20", "=00=01\n", "=0D=0A\n", "=0A\n", strings.Repeat("x", 2000) + "=20\n", strings.Repeat("=20", 500) + "\n", "line one\nline two=\n=20three\n", "trailing   \n\ttabs\t\t\n", "_under_score\n", "=?utf-8?q?x?=\n", "\n\n\n",
	}
	for _, enc := range []string{"base64", "quoted-printable"} {
		c.each("body-"+enc, "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: "+enc+"\n\n%", bodies)
	}
	for _, enc := range []string{"7bit", "8bit", "binary", "x-unknown"} {
		c.each("body-"+enc, "Content-Transfer-Encoding: "+enc+"\n\n%", bodies[15:21])
	}
	c.each("body-image", "Content-Type: image/png\nContent-Transfer-Encoding: base64\n\n%", bodies[:12])
}

// lineEnds adds messages whose lines do not all end in CRLF, and some whose
// last one does not.
func (c *corpus) lineEnds() {
	bases := []string{
		"Subject: x\nTo: a@a.test,\n b@b.test\n\nbody\nof two lines\n",
		"Subject: x\nContent-Type: multipart/mixed;\n boundary=b\n\npreamble\n--b\nContent-Type: text/html\n\none\n--b\n\ntwo\nlines\n--b--\nepilogue\n",
		"Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: inner\n\nbody\n--b--\n",
		"Subject: x\nContent-Transfer-Encoding: quoted-printable\n\na=\nb=20\n",
	}
	for i, base := range bases {
		crlf := strings.ReplaceAll(base, "\n", "\r\n")
		header, body, _ := strings.Cut(crlf, "\r\n\r\n")
		c.raw(fmt.Sprintf("cr/in-body-%d", i), header+"\r\n\r\n"+strings.ReplaceAll(body, "o", "o\r"))
		c.raw(fmt.Sprintf("cr/in-header-%d", i), strings.Replace(header, ": ", ": a\rb ", 1)+"\r\n\r\n"+body)
		c.raw(fmt.Sprintf("cr/double-%d", i), header+"\r\n\r\n"+strings.ReplaceAll(body, "\r\n", "\r\r\n"))
		c.raw(fmt.Sprintf("cr/at-end-%d", i), crlf+"\r")
		c.raw(fmt.Sprintf("cr/before-delimiter-%d", i), strings.ReplaceAll(crlf, "\r\n--b", "\r\r\n--b"))
		c.raw(fmt.Sprintf("cr/after-delimiter-%d", i), strings.ReplaceAll(crlf, "--b\r\n", "--b\r\r\n"))
		c.raw(fmt.Sprintf("cr/only-%d", i), strings.ReplaceAll(base, "\n", "\r"))
		c.raw(fmt.Sprintf("end/no-newline-%d", i), strings.TrimSuffix(crlf, "\r\n"))
		c.raw(fmt.Sprintf("end/more-newlines-%d", i), crlf+"\r\n\r\n")
		c.raw(fmt.Sprintf("lf/only-%d", i), base)
		c.raw(fmt.Sprintf("lf/header-%d", i), strings.ReplaceAll(header, "\r\n", "\n")+"\n\n"+body)
		c.raw(fmt.Sprintf("lf/body-%d", i), header+"\r\n\r\n"+strings.ReplaceAll(body, "\r\n", "\n"))
		c.raw(fmt.Sprintf("lf/every-second-%d", i), everySecondLF(crlf))
	}
}

// everySecondLF takes the CR away from every second line end.
func everySecondLF(s string) string {
	var b strings.Builder
	for i, line := range strings.SplitAfter(s, "\r\n") {
		if i%2 == 1 {
			line = strings.Replace(line, "\r\n", "\n", 1)
		}
		b.WriteString(line)
	}
	return b.String()
}

// large adds messages that are odd by their size.
func (c *corpus) large() {
	many := func(n int) string {
		var b strings.Builder
		b.WriteString("Subject: many\nContent-Type: multipart/mixed; boundary=b\n\n")
		for i := range n {
			fmt.Fprintf(&b, "--b\nContent-Type: text/plain; name=part%d\n\npart %d\n", i+1, i+1)
		}
		return b.String() + "--b--\n"
	}
	c.add("large/parts-100", many(100))
	c.add("large/parts-1000", many(1000))
	deep := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%03d\n\n--b%03d\n", i, i)
		}
		b.WriteString("\ninnermost\n")
		for i := n - 1; i >= 0; i-- {
			fmt.Fprintf(&b, "--b%03d--\n", i)
		}
		return "Subject: deep\n" + b.String()
	}
	c.add("large/depth-10", deep(10))
	c.add("large/depth-50", deep(50))
	c.add("large/depth-100", deep(100))
	c.add("large/depth-101", deep(101))
	c.add("large/depth-150", deep(150))
	for _, n := range []int{20, 98, 99, 100, 150} {
		c.add(fmt.Sprintf("large/messages-%d", n), strings.Repeat("Content-Type: message/rfc822\nSubject: s\n\n", n)+"\nbody\n")
	}
	c.add("large/lines", "Subject: lines\n\n"+strings.Repeat("line\n", 3000))
	c.add("large/one-line", "Subject: one line\n\n"+strings.Repeat("x", 20000))
	c.add("large/digest", "Content-Type: multipart/digest; boundary=b\n\n"+strings.Repeat("--b\n\nSubject: d\n\nx\n", 50)+"--b--\n")
}
