package wiretest

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net"
	"strings"
	"testing"
)

// echo answers each line in a way that the dialogues of this test exercise.
func echo(_ context.Context, c net.Conn) {
	fmt.Fprintf(c, "+OK id-17 ready\r\n")
	r := bufio.NewReader(c)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		switch word, rest, _ := strings.Cut(strings.TrimSpace(line), " "); word {
		case "SAY":
			fmt.Fprintf(c, "%s\r\n", rest)
		case "MANY":
			for i := len(rest) - 1; i >= 0; i-- {
				fmt.Fprintf(c, "* %c\r\n", rest[i])
			}
		case "LEN":
			fmt.Fprintf(c, "%d\r\n", len(rest))
		case "BARE":
			fmt.Fprintf(c, "bare\n")
		case "QUIT":
			return
		}
	}
}

func TestDialogues(t *testing.T) {
	Dir(t, "testdata", func(t *testing.T) *Env {
		return &Env{Dial: Listen(t, echo), Vars: map[string]string{"user": "bob"}}
	})
}

func TestInputs(t *testing.T) {
	for _, in := range Inputs(t, "testdata") {
		if len(in) == 0 {
			t.Error("a dialogue sends nothing")
		}
	}
}

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, line string
		vars          map[string]string
		ok            bool
		after         map[string]string
	}{
		{"+OK", "+OK", nil, true, nil},
		{"+OK", "+OK ", nil, false, nil},
		{"", "", nil, true, nil},
		{"+OK*", "+OK", nil, true, nil},
		{"* OK [*] hi", "* OK [A B] hi", nil, true, nil},
		{"a.c", "abc", nil, false, nil},
		{"uid $u)", "uid 17)", nil, true, map[string]string{"u": "17"}},
		{"uid $u", "uid 17 18", nil, false, map[string]string{}},
		{"uid $u", "uid 18", map[string]string{"u": "17"}, false, map[string]string{"u": "17"}},
		{"uid $u", "uid 17", map[string]string{"u": "17"}, true, map[string]string{"u": "17"}},
		{"$u=$u", "1=1", nil, true, map[string]string{"u": "1"}},
		{"$u=$u", "1=2", nil, false, map[string]string{}},
		{"$$Junk", "$Junk", nil, true, nil},
		{"cost 5$", "cost 5$", nil, true, nil},
		{"$u", "(.*)", nil, true, map[string]string{"u": "(.*)"}},
		{"$u", "x", map[string]string{"u": ".*"}, false, nil},
	} {
		vars := maps.Clone(tt.vars)
		if vars == nil {
			vars = map[string]string{}
		}
		if got := match(tt.pattern, tt.line, vars); got != tt.ok {
			t.Errorf("match(%q, %q) = %v", tt.pattern, tt.line, got)
		}
		if tt.after != nil && !maps.Equal(vars, tt.after) {
			t.Errorf("match(%q, %q) leaves %v, want %v", tt.pattern, tt.line, vars, tt.after)
		}
	}
}

// TestFailures has dialogues that must fail, and where.
func TestFailures(t *testing.T) {
	for _, tt := range []struct{ script, want string }{
		{"1 S: +OK id-18 ready", "want: +OK id-18 ready\n got: +OK id-17 ready"},
		{"1 S: *\n1 C: SAY $nobody", "$nobody has no value yet"},
		{"1 S: *\n1 C: BARE\n1 S: bare", "ends without CR"},
		{"1 S: *\n1 C: QUIT\n1 S: more", "the server closed the connection"},
		{"1 S: *\n1 C: SAY more\n1 EOF", "still speaks"},
		{"1 S: *\n1 C: MANY ab\n1 S~ * a\n1 S~ * c", "want one of: * a"},
		{"1 S: *\n1 C: SAY abc\n1 S| \"abd\"", "other bytes"},
	} {
		steps, err := parse("x", 1, tt.script)
		if err != nil {
			t.Fatal(err)
		}
		p := &player{d: dialogue{steps: steps}, env: &Env{Dial: Listen(t, echo)}, conns: map[string]*conn{}, vars: map[string]string{}}
		defer p.close()
		for i := 0; i < len(steps) && err == nil; {
			var n int
			n, err = p.step(i)
			i += n
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: error %v, want %q in it", tt.script, err, tt.want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, src := range []string{"1 X: a", "1", "1 C| raw", `1 C| "a" b`, `1 C| "a" 0`, "# only a comment", ""} {
		if _, err := parse("f", 1, src); err == nil {
			t.Errorf("parse(%q) succeeds", src)
		}
	}
}

func TestLineNumbers(t *testing.T) {
	f, err := parseFile("a.txt", []byte("prose\n\n-- one --\n1 C: a\n-- two --\n\n1 C: b\n"))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := f.dialogues[0].steps[0].line, f.dialogues[1].steps[0].line; a != 4 || b != 7 {
		t.Errorf("lines %d and %d, want 4 and 7", a, b)
	}
}

// TestVariants plays what is left of a dialogue in a variant.
func TestVariants(t *testing.T) {
	const text = "shown\n-- a --\n1 S: *\n1 C:one SAY 1\n1 S:one 1\n1 C:two SAY 2\n1 S~two 2\n" +
		"-- b --\nONLY two\n1 S: *\n-- c --\n1 S: *\n1 C: SAY 3\n"
	f, err := parseFile("f.txt", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	same := func([]Line) []Line { return nil }
	more := func(l []Line) []Line { return append(l, Line{Conn: "1", Verb: "S:", Text: "3"}) }
	for _, x := range []struct {
		v    Variant
		want string
	}{
		{Variant{Name: "one", Rewrite: same}, "3 4 5||"},
		{Variant{Name: "two", Rewrite: same}, "3 6 7||"},
		{Variant{Name: "one", Rewrite: more}, "3 4 5 5|10 10|12 13 13"},
	} {
		var got []string
		for _, d := range f.dialogues {
			var lines []string
			for _, s := range x.v.rewrite(d.steps) {
				lines = append(lines, fmt.Sprint(s.line))
			}
			got = append(got, strings.Join(lines, " "))
		}
		if s := strings.Join(got, "|"); s != x.want {
			t.Errorf("%s: lines %s, want %s", x.v.Name, s, x.want)
		}
	}
	if f.dialogues[0].only != "" || f.dialogues[1].only != "two" {
		t.Errorf("only %q, %q", f.dialogues[0].only, f.dialogues[1].only)
	}
	for i, d := range f.dialogues {
		if err := (Variant{Of: []string{"one"}}).check(d); (err != nil) != (i < 2) {
			t.Errorf("%s: %v", d.name, err)
		}
		if err := (Variant{Of: []string{"one", "two"}}).check(d); err != nil {
			t.Error(err)
		}
	}
}
