package test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestDovecotSearch appends generated mail to Dovecot and to us, and compares
// what SEARCH, SORT and THREAD find in it. What differs on purpose does not
// occur in this mail: docs/fidelity.md lists it.
func TestDovecotSearch(t *testing.T) {
	t.Parallel()
	theirs := newDovecot(t).start()
	ours := imapAt(t, "Postrider", newSite(t).Addr["imap"], bob, password)
	for round := range 3 {
		g := searchMail{rand.New(rand.NewPCG(uint64(round), 11))}
		box := fmt.Sprint("search", round)
		for _, c := range []*rawIMAP{ours, theirs} {
			c.ok("CREATE %s", box)
		}
		for n := range 90 {
			options := fmt.Sprintf(`(%s) "%02d-Feb-2024 %02d:%02d:00 +0000"`,
				g.pick("", `\Seen`, `\Seen \Flagged`, "kw"), 1+g.IntN(28), g.IntN(24), g.IntN(60))
			raw := g.message(n)
			for _, c := range []*rawIMAP{ours, theirs} {
				c.ok("APPEND %s %s {%d+}\r\n%s", box, options, len(raw), raw)
			}
		}
		for _, c := range []*rawIMAP{ours, theirs} {
			c.ok("EXAMINE %s", box)
		}
		some := 0
		for _, command := range searchCommands() {
			got, want := found(ours.ok("%s", command)), found(theirs.ok("%s", command))
			if got != want {
				t.Errorf("round %d: %s\nPostrider %s\nDovecot   %s", round, command, got, want)
			}
			if strings.Count(got, " ") > 2 {
				some++
			}
		}
		if some < 50 {
			t.Errorf("only %d commands found anything", some)
		}
	}
}

// found is the untagged response of a search, without the tag that it names.
func found(lines []string) string {
	for _, l := range lines {
		word, _, _ := strings.Cut(strings.TrimPrefix(l, "* "), " ")
		if slices.Contains([]string{"SEARCH", "SORT", "THREAD", "ESEARCH"}, word) {
			head, tail, ok := strings.Cut(l, `(TAG "`)
			if ok {
				_, tail, _ = strings.Cut(tail, `")`)
				l = head + tail
			}
			return strings.TrimSpace(l)
		}
	}
	return "nothing"
}

func searchCommands() []string {
	var list []string
	for _, key := range strings.Fields("ARRIVAL CC DATE FROM SIZE SUBJECT TO DISPLAYFROM DISPLAYTO") {
		list = append(list, "SORT ("+key+") UTF-8 ALL", "UID SORT (REVERSE "+key+") US-ASCII UNSEEN")
	}
	list = append(list, "SORT (SUBJECT REVERSE DATE) UTF-8 ALL", "SORT (DISPLAYFROM FROM SIZE) UTF-8 SEEN",
		"SORT RETURN (MIN MAX ALL COUNT) (SUBJECT) UTF-8 ALL", "SORT RETURN (PARTIAL 3:9) (DATE) UTF-8 ALL")
	for _, a := range strings.Fields("ORDEREDSUBJECT REFERENCES REFS") {
		list = append(list, "THREAD "+a+" UTF-8 ALL", "UID THREAD "+a+" UTF-8 UNSEEN", "THREAD "+a+" UTF-8 NOT 10:40")
	}
	for _, word := range []string{"ring", `"summ"`, `"grün"`, `"GRÜN s"`, `"spring s"`, `""`, `"Äpfel"`} {
		for _, key := range []string{"SUBJECT", "FROM", "TO", "CC", "BODY", "TEXT", "HEADER X-Tag", "HEADER Message-ID"} {
			list = append(list, "SEARCH CHARSET UTF-8 "+key+" "+word)
		}
	}
	for _, date := range []string{"3-Jan-2024", "15-Jan-2024", "10-Feb-2024"} {
		for _, key := range strings.Fields("SINCE BEFORE ON SENTSINCE SENTBEFORE SENTON") {
			list = append(list, "SEARCH "+key+" "+date)
		}
	}
	return append(list, "SEARCH SUBJECT {12+}\r\ndinner plans", "SEARCH LARGER 300", "SEARCH SMALLER 300", "SEARCH KEYWORD KW", "SEARCH UNKEYWORD kw",
		"SEARCH NOT (OR SEEN FLAGGED)", "SEARCH OR SUBJECT ring NOT SEEN", "SEARCH (SEEN OR SUBJECT ring BODY ring)", "SEARCH 5:*,1 NOT 7",
		"SEARCH UID 3:9,100000:*", "SEARCH OLDER 100 YOUNGER 1000000000", "SEARCH RETURN (MIN MAX COUNT ALL) SEEN",
		"SEARCH RETURN (PARTIAL 3:5) SEEN", "UID SEARCH RETURN () UNSEEN")
}

// searchMail makes messages that are odd where sorting and threading look.
type searchMail struct{ *rand.Rand }

func (g searchMail) pick(list ...string) string { return list[g.IntN(len(list))] }

func (g searchMail) message(n int) string {
	var h strings.Builder
	field := func(often int, name, value string) {
		if g.IntN(100) < often {
			fmt.Fprintf(&h, "%s: %s\r\n", name, value)
		}
	}
	id := func(i int) string {
		if g.IntN(10) == 0 {
			return g.pick(fmt.Sprintf("< i%d@x >", i), fmt.Sprintf(`<"i%d"@x>`, i))
		}
		return fmt.Sprintf("<i%d@x>", i)
	}
	field(90, "Subject", g.subject())
	day, hour := 1+g.IntN(27), g.IntN(24)
	field(100, "Date", fmt.Sprintf(g.pick("Mon, %02d Jan 2024 %02d:10:00 +0000", "%d Jan 2024 %02d:10:00 -0800", "%d Jan 2024 %02d:10 +0530",
		"%d Jan 24 %02d:10:05 EST", "Mon, %d Jan 2024 %02d:10:05 GMT (comment)"), day, hour))
	field(93, "From", g.address())
	field(80, "To", g.address())
	field(40, "Cc", g.address())
	own := n
	if g.IntN(10) == 0 {
		own = g.IntN(n + 1)
	}
	field(93, "Message-ID", id(own))
	var refs []string
	for range g.IntN(4) {
		refs = append(refs, id(g.IntN(n+2)))
	}
	if len(refs) > 0 {
		field(70, "References", strings.Join(refs, "\r\n "))
	}
	field(30, "In-Reply-To", g.pick("", "your mail ")+id(g.IntN(n+2)))
	field(100, "X-Tag", fmt.Sprint("tag", n%7))
	var words []string
	for range g.IntN(12) {
		words = append(words, g.pick("ring", "spring", "grün", "summer", "in", "x", "Äpfel"))
	}
	text := strings.Join(words, " ")
	switch g.IntN(3) {
	case 0:
		field(100, "Content-Type", "text/plain; charset=utf-8")
	case 1:
		field(100, "Content-Type", "text/html; charset=utf-8")
		field(100, "Content-Transfer-Encoding", "base64")
		text = base64.StdEncoding.EncodeToString([]byte(text))
	case 2:
		field(100, "Content-Type", "multipart/mixed; boundary=b")
		text = "--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + text + "\r\n--b--"
	}
	return h.String() + "\r\n" + text + "\r\n"
}

func (g searchMail) subject() string {
	s := g.pick("Lunch", "lunch", "Dinner plans", "=?utf-8?q?Gr=C3=BCn?=", "=?iso-8859-1?q?GR=DCN_s?=", "Zebra", "[list]", "a_b", "aZb", "ab",
		"=?utf-8?b?w4RwZmVs?=", "Apfel", "x  y\tz", "ring")
	for range g.IntN(3) {
		s = g.pick("Re: ", "RE:", "Fwd: ", "fw: ", "[list] ", "Re[2]: ", "[a][b] ", "re : ", "Re [x]: ", "", "Aw: ") + s
	}
	if g.IntN(6) == 0 {
		s += g.pick(" (fwd)", "(fwd)", " (Fwd) ", " ")
	}
	if g.IntN(10) == 0 {
		s = "[fwd: " + s + "]"
	}
	if g.IntN(4) == 0 {
		s = strings.Replace(s, " ", g.pick("\r\n\t", "\r\n  ", "   "), 1)
	}
	return s
}

func (g searchMail) address() string {
	return g.pick("bob@b.test", "Bob <bob@b.test>", `"Zoe, A." <zoe@b.test>`, "=?utf-8?q?=C3=84nne?= <anne@b.test>", "carol@a.test (Carol C)",
		"Team: a@b.test, c@d.test;", "undisclosed-recipients:;", "<@r.test:dave@b.test>", `"q uoted"@b.test`, "ALICE@a.test",
		"alice@z.test, bob@b.test", "Émile <e@b.test>")
}
