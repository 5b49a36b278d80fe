package oddmail

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

const randomTrees = 250

// trees adds messages whose MIME tree and oddities are chosen by chance, the
// same at every call.
func (c *corpus) trees() {
	for i := range randomTrees {
		g := &grower{r: rand.New(rand.NewPCG(uint64(i), 1)), budget: 12}
		text := g.header(true) + g.entity(0)
		c.add(fmt.Sprintf("tree/%03d", i), text)
	}
}

// grower makes one random tree.
type grower struct {
	r          *rand.Rand
	budget     int // parts that may still be made
	boundaries []string
}

// oneIn tells, by chance, whether an oddity happens.
func (g *grower) oneIn(n int) bool { return g.r.IntN(n) == 0 }

func (g *grower) pick(from ...string) string { return from[g.r.IntN(len(from))] }

// header makes the fields of a message.
func (g *grower) header(root bool) string {
	var b strings.Builder
	if g.oneIn(12) {
		b.WriteString("From x@a.test Mon Nov 23 09:00:00 2026\n")
	}
	fields := []string{
		"From: " + g.pick("a@a.test", "A <a@a.test>", "\"A, B\" <a@a.test>, c@c.test", "g: a@a.test;", "", "gr\xfc\xdfe <a@a.test>", "=?utf-8?q?gr=C3=BC?= <a@a.test>"),
		"Subject: " + g.pick("s", "", "folded\n subject", "gr\xc3\xbc\xc3\x9fe", "a \"quoted\" \\ subject", strings.Repeat("long ", 40)+"end"),
		"To: " + g.pick("b@b.test", "undisclosed:;", "b@b.test,\n c@c.test", "<@r.test:b@b.test>", "b@b.test (B)", "B <>"),
		"Date: " + g.pick("Mon, 23 Nov 2026 09:00:00 +0000", "", "odd"),
		"Message-ID: " + g.pick("<m@a.test>", "m", "<a> <b>"),
	}
	g.r.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	for _, f := range fields[:1+g.r.IntN(len(fields))] {
		b.WriteString(f + "\n")
	}
	if g.oneIn(15) {
		b.WriteString("a line that is no field\n")
	}
	if root && g.oneIn(2) {
		b.WriteString("MIME-Version: 1.0\n")
	}
	return b.String()
}

// entity makes the content fields, the blank line and the body of a part.
func (g *grower) entity(depth int) string {
	g.budget--
	extra := g.extra()
	switch n := g.r.IntN(10); {
	case depth < 5 && g.budget > 0 && n < 5-depth:
		return extra + g.multipart(depth)
	case depth < 5 && g.budget > 0 && n == 9:
		return extra + "Content-Type: message/rfc822\n" + g.blank() + g.header(false) + g.entity(depth+1)
	}
	return extra + g.pick("", "Content-Type: text/plain\n", "Content-Type: text/html; charset=utf-8\n", "Content-Type: image/png; name=x.png\n", "Content-Type: application/octet-stream\n", "Content-Type: message/delivery-status\n") +
		g.pick("", "", "Content-Transfer-Encoding: base64\n", "Content-Transfer-Encoding: quoted-printable\n", "Content-Transfer-Encoding: 8bit\n") +
		g.blank() + g.text()
}

func (g *grower) extra() string {
	if !g.oneIn(4) {
		return ""
	}
	return g.pick("Content-ID: <x@a.test>\n", "Content-Description: d\n", "Content-Disposition: attachment; filename=\"f x\"\n", "Content-Language: en, de\n", "Content-Location: http://a.test/\n", "Content-MD5: abc=\n", "X-Odd: "+strings.Repeat("y", 90)+"\n z\n", "Content-Disposition: inline\n")
}

// blank is the line between header and body, which is missing at times.
func (g *grower) blank() string {
	if g.oneIn(25) {
		return ""
	}
	return "\n"
}

func (g *grower) text() string {
	return g.pick("", "\n", "text\n", "two\nlines\n", "no newline", "YWJj\n", "a=20b=\nc\n", "\n\nblank lines\n\n", "-- \nsignature\n", "--not a delimiter\n", "gr\xfc\xdfe\n", "From me\n>From you\n", ".\n..\n")
}

func (g *grower) multipart(depth int) string {
	boundary := fmt.Sprintf("b%d", g.r.IntN(4))
	if g.oneIn(6) {
		boundary = strings.Repeat("b", 1+g.r.IntN(3))
	}
	param := "; boundary=" + boundary
	switch g.r.IntN(20) {
	case 0:
		param = ""
	case 1:
		param = "; boundary=other"
	case 2:
		param = "; charset=x;\n boundary=\"" + boundary + "\""
	}
	var b strings.Builder
	b.WriteString("Content-Type: multipart/" + g.pick("mixed", "alternative", "digest", "related") + param + "\n")
	b.WriteString(g.blank())
	b.WriteString(g.pick("", "", "preamble\n", "\n", "two lines\nof preamble\n"))
	g.boundaries = append(g.boundaries, boundary)
	for range g.r.IntN(4) {
		b.WriteString("--" + boundary + g.pick("", "", "", "", " ", "x") + "\n")
		b.WriteString(g.entity(depth + 1))
		if s := b.String(); !strings.HasSuffix(s, "\n") && !g.oneIn(10) {
			b.WriteString("\n")
		}
	}
	if g.oneIn(12) { // somebody else's delimiter
		b.WriteString("--" + g.boundaries[g.r.IntN(len(g.boundaries))] + g.pick("", "--") + "\n")
	}
	if !g.oneIn(6) {
		b.WriteString("--" + boundary + "--" + g.pick("\n", "\n", "\n", "", " \n"))
	}
	b.WriteString(g.pick("", "", "epilogue\n", "\n"))
	return b.String()
}

// sortFrom brings the messages of a kind, which came out of a map, in order.
func sortFrom(c *corpus, kind string) {
	i := slices.IndexFunc(c.all, func(m Message) bool { return strings.HasPrefix(m.Name, kind) })
	slices.SortFunc(c.all[i:], func(a, b Message) int { return strings.Compare(a.Name, b.Name) })
}
