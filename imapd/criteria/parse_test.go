package criteria_test

import (
	"bufio"
	"errors"
	"fmt"
	"strings"
	"testing"

	"postrider/imapd/criteria"
	"postrider/imapd/wire"
)

func decoder(t testing.TB, line string) *wire.Decoder {
	t.Helper()
	d := wire.NewDecoder(bufio.NewReader(strings.NewReader(line+"\r\n")), func() {})
	d.Limits = wire.Limits{Line: 1 << 20, String: 64 << 10, Total: 2 << 20, Skip: 1 << 20}
	if err := d.Next(); err != nil {
		t.Fatal(err)
	}
	return d
}

// text writes a key in a form that is easy to compare.
func text(k criteria.Key) string {
	list := func(name string) string {
		var parts []string
		for _, sub := range k.Keys {
			parts = append(parts, text(sub))
		}
		return name + "(" + strings.Join(parts, " ") + ")"
	}
	switch k.Op {
	case criteria.And:
		return list("and")
	case criteria.Or:
		return list("or")
	case criteria.Not:
		return list("not")
	case criteria.Fuzzy:
		return list("fuzzy")
	case criteria.All:
		return "all"
	case criteria.Recent:
		return "recent"
	}
	s := fmt.Sprint(names[k.Op], ":", k.Name, k.Text)
	if len(k.Set.Ranges) > 0 || k.Set.Saved {
		s += k.Set.String()
	}
	if !k.Date.IsZero() {
		s += k.Date.Format("2006-01-02")
	}
	if k.Number != 0 {
		s += fmt.Sprint(k.Number)
	}
	return s
}

var names = map[criteria.Op]string{
	criteria.Seq: "seq", criteria.UID: "uid", criteria.UIDAfter: "uidafter", criteria.UIDBefore: "uidbefore", criteria.Flag: "flag",
	criteria.Since: "since", criteria.Before: "before", criteria.On: "on", criteria.SentSince: "sentsince",
	criteria.SentBefore: "sentbefore", criteria.SentOn: "senton", criteria.SavedSince: "savedsince", criteria.SavedBefore: "savedbefore",
	criteria.SavedOn: "savedon", criteria.Older: "older", criteria.Younger: "younger", criteria.Larger: "larger",
	criteria.Smaller: "smaller", criteria.ModSeq: "modseq", criteria.Header: "header", criteria.Body: "body", criteria.Text: "text",
	criteria.EmailID: "emailid", criteria.ThreadID: "threadid",
}

func TestParseProgram(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"ALL", "all"},
		{"all", "all"},
		{"1:3,7,*:9", "seq:1:3,7,*:9"},
		{"$", "seq:$"},
		{"UID $ UID 4:*", "and(uid:$ uid:4:*)"},
		{"SEEN UNSEEN", `and(flag:\Seen not(flag:\Seen))`},
		{"ANSWERED DELETED DRAFT FLAGGED", `and(flag:\Answered flag:\Deleted flag:\Draft flag:\Flagged)`},
		{"UNANSWERED UNDELETED", `and(not(flag:\Answered) not(flag:\Deleted))`},
		{"NEW OLD RECENT", `and(and(recent not(flag:\Seen)) not(recent) recent)`},
		{"KEYWORD $Junk UNKEYWORD x", `and(flag:$Junk not(flag:x))`},
		{"NOT NOT 1", "not(not(seq:1))"},
		{"OR 1 OR 2 3 4", "and(or(seq:1 or(seq:2 seq:3)) seq:4)"},
		{"(1 (2)) ((3))", "and(and(seq:1 seq:2) seq:3)"},
		{"NOT (1 2) OR (3 4) 5", "and(not(and(seq:1 seq:2)) or(and(seq:3 seq:4) seq:5))"},
		{`FROM "a b" TO x CC "" BCC q SUBJECT "\"\\"`, `and(header:Froma b header:Tox header:Cc header:Bccq header:Subject"\)`},
		{`HEADER List-Id "x" BODY y TEXT z`, `and(header:List-Idx body:y text:z)`},
		{"SINCE 1-Feb-1994 BEFORE \"02-feb-1994\" ON 3-FEB-1994", "and(since:1994-02-01 before:1994-02-02 on:1994-02-03)"},
		{"SENTSINCE 1-Feb-1994 SENTBEFORE 2-Feb-1994 SENTON 3-Feb-1994", "and(sentsince:1994-02-01 sentbefore:1994-02-02 senton:1994-02-03)"},
		{"SAVEDSINCE 1-Feb-1994 SAVEDBEFORE 2-Feb-1994 SAVEDON 3-Feb-1994 SAVEDATESUPPORTED",
			"and(savedsince:1994-02-01 savedbefore:1994-02-02 savedon:1994-02-03 all)"},
		{"LARGER 10 SMALLER 9223372036854775807", "and(larger:10 smaller:9223372036854775807)"},
		{"OLDER 60 YOUNGER 3600", "and(older:60 younger:3600)"},
		{"UIDAFTER 5 UIDBEFORE 7", "and(uidafter:5 uidbefore:7)"},
		{`MODSEQ 7 MODSEQ "/flags/\\draft" all 8`, "and(modseq:7 modseq:8)"},
		{"EMAILID M1 THREADID T2", "and(emailid:M1 threadid:T2)"},
		{"FUZZY (SUBJECT x FROM y) FUZZY TEXT z", "and(fuzzy(and(header:Subjectx header:Fromy)) fuzzy(text:z))"},
		{"CHARSET UTF-8 SUBJECT \"grün\"", "header:Subjectgrün"},
		{"CHARSET iso-8859-1 SUBJECT \"gr\xfcn\"", "header:Subjectgrün"},
		{"CHARSET koi8-r BODY \"\xd4\xc5\xd3\xd4\"", "body:тест"},
		{"SUBJECT {3+}\r\na b TEXT {2+}\r\nxy", "and(header:Subjecta b text:xy)"},
		{"ALL ", "all"},

		{"", "error"},
		{"CHARSET", "error"},
		{"CHARSET utf-8", "error"},
		{"NOT", "error"},
		{"OR 1", "error"},
		{"()", "error"},
		{"(1", "error"},
		{"1)", "error"},
		{"1  2", "error"},
		{"0", "error"},
		{"1:", "error"},
		{"SUBJECT", "error"},
		{"NONSENSE", "error"},
		{"UNNONSENSE", "error"},
		{"UNRECENT", "error"},
		{`KEYWORD \Seen`, "error"},
		{"OLDER 0", "error"},
		{"LARGER -1", "error"},
		{"LARGER 9223372036854775808", "error"},
		{"SINCE 31-Foo-2000", "error"},
		{"MODSEQ", "error"},
		{`MODSEQ "/flags/x" mine 5`, "error"},
		{strings.Repeat("NOT ", 101) + "1", "NO LIMIT"},
		{strings.Repeat("NOT ", 10000) + "1", "NO LIMIT"},
		{strings.Repeat("(", 10000) + "1", "NO LIMIT"},
		{strings.Repeat("OR 1 ", 10000) + "1", "NO LIMIT"},
		{strings.Repeat("1 ", 10000) + "1", "NO LIMIT"},
		{strings.Repeat("BODY x ", 1000) + "1", "NO LIMIT"},
		{strings.Repeat("1,", 100000) + "1", "NO LIMIT"},
	} {
		d := decoder(t, c.line)
		p := criteria.ParseProgram(d)
		d.CRLF()
		got := text(p.Key)
		var limit *wire.LimitError
		switch err := d.Err(); {
		case errors.As(err, &limit):
			got = "NO " + limit.Code
		case err != nil:
			got = "error"
		}
		if got != c.want {
			t.Errorf("%.80q: got %s, want %s (%v)", c.line, got, c.want, d.Err())
		}
	}
}

func TestUnknownCharset(t *testing.T) {
	d := decoder(t, `CHARSET x-unknown SUBJECT "abc"`)
	if p := criteria.ParseProgram(d); !p.Unknown || d.Err() != nil {
		t.Errorf("%+v, %v", p, d.Err())
	}
	d = decoder(t, `US-ASCII SUBJECT "abc"`)
	if p := criteria.ParseCriteria(d); p.Unknown || d.Err() != nil || text(p.Key) != "header:Subjectabc" {
		t.Errorf("%+v, %v", p, d.Err())
	}
}

func TestParseReturn(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"ALL", "{false false false false false false -  false false false}"},
		{"RETURN () ALL", "{true false false true false false -  false false false}"},
		{"RETURN (MIN max) ALL", "{true true true false false false -  false false false}"},
		{"RETURN (SAVE) ALL", "{true false false false false true -  false false false}"},
		{"RETURN (SAVE ALL COUNT) ALL", "{true false false true true true -  false false false}"},
		{"RETURN (PARTIAL 3:1) ALL", "{true false false false false false 3:1  false false false}"},
		{"RETURN (PARTIAL -1:-10 UPDATE CONTEXT) ALL", "{true false false false false false -1:-10  true true false}"},
		{"RETURN (RELEVANCY COUNT) ALL", "{true false false false true false -  false false true}"},
		{"RETURN (PARTIAL 1:2 ALL) ALL", "error"},
		{"RETURN (PARTIAL 1:2 PARTIAL 3:4) ALL", "error"},
		{"RETURN (PARTIAL 1:-2) ALL", "error"},
		{"RETURN (PARTIAL -1:2) ALL", "error"},
		{"RETURN (PARTIAL 0:2) ALL", "error"},
		{"RETURN (PARTIAL 1:*) ALL", "error"},
		{"RETURN (NONSENSE) ALL", "error"},
		{"RETURN ALL", "error"},
		{"RETURN (ALL", "error"},
	} {
		d := decoder(t, c.line)
		r := criteria.ParseReturn(d, func() { d.Fail("nothing is fetched here") })
		partial := "-"
		if p := r.Partial; p != nil {
			sign := map[bool]string{true: "-"}[p.FromEnd]
			partial = fmt.Sprintf("%s%d:%s%d", sign, p.A, sign, p.B)
		}
		got := fmt.Sprintf("{%v %v %v %v %v %v %s  %v %v %v}", r.Given, r.Min, r.Max, r.All, r.Count, r.Save, partial, r.Update, r.Context, r.Relevancy)
		if d.Err() != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("%q: got %s, want %s (%v)", c.line, got, c.want, d.Err())
		}
	}
}

func TestPartialCut(t *testing.T) {
	for _, c := range []struct {
		a, b     uint32
		end      bool
		n        int
		from, to int
	}{
		{1, 5, false, 10, 0, 5}, {5, 1, false, 10, 0, 5}, {8, 20, false, 10, 7, 10}, {11, 20, false, 10, 10, 10}, {1, 1, false, 0, 0, 0},
		{1, 3, true, 10, 7, 10}, {3, 1, true, 10, 7, 10}, {9, 20, true, 10, 0, 2}, {11, 20, true, 10, 0, 0}, {10, 10, true, 10, 0, 1},
		{1, 4294967295, false, 3, 0, 3}, {1, 4294967295, true, 3, 0, 3}, {4294967295, 4294967295, true, 3, 0, 0},
	} {
		p := criteria.Partial{A: c.a, B: c.b, FromEnd: c.end}
		if from, to := p.Cut(c.n); from != c.from && c.from != c.to || to-from != c.to-c.from {
			t.Errorf("%+v of %d: [%d, %d), want [%d, %d)", p, c.n, from, to, c.from, c.to)
		}
	}
}

func TestParseSources(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"ALL", "[]"},
		{"IN (selected) ALL", "[{0 []}]"},
		{`IN (mailboxes "a" subtree (b "c d") personal) ALL`, "[{4 [a]} {5 [b c d]} {2 []}]"},
		{"IN (subtree-one INBOX inboxes subscribed) ALL", "[{6 [INBOX]} {1 []} {3 []}]"},
		{"IN (selected-delayed) ALL", "error"},
		{"IN () ALL", "error"},
		{"IN (mailboxes) ALL", "error"},
		{"IN (mailboxes ()) ALL", "error"},
		{"IN (personal (x)) ALL", "error"},
		{"IN (mailboxes (" + strings.Repeat("a ", 2000) + "a)) ALL", "error"},
	} {
		d := decoder(t, c.line)
		s := criteria.ParseSources(d)
		got := fmt.Sprint(s)
		if d.Err() != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("%.80q: got %s, want %s (%v)", c.line, got, c.want, d.Err())
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`IN (mailboxes "a") RETURN (PARTIAL -1:-2 SAVE) CHARSET utf-8 OR 1:* (NOT SUBJECT "x" KEYWORD y) SINCE 1-Jan-2000`,
		`RETURN () FUZZY (BODY {3+}` + "\r\nabc) UID $ MODSEQ \"/flags/x\" all 5", "NOT NOT NOT (((1", `CHARSET utf-16 TEXT "ab"`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d := wire.NewDecoder(bufio.NewReader(strings.NewReader(s+"\r\n")), func() {})
		d.Limits = wire.Limits{Line: 1 << 16, String: 4096, Total: 1 << 17, Skip: 1 << 16}
		if d.Next() != nil {
			return
		}
		criteria.ParseSources(d)
		criteria.ParseReturn(d, func() { d.Fail("nothing is fetched here") })
		p := criteria.ParseProgram(d)
		d.CRLF()
		if d.Err() == nil && p.Key.Op == criteria.And && len(p.Key.Keys) < 2 {
			t.Errorf("%q: %+v", s, p)
		}
	})
}
