package order_test

import (
	"strings"
	"testing"

	"postrider/imapd/order"
)

// TestBaseSubject follows the rules of RFC 5256 §2.1 one by one.
func TestBaseSubject(t *testing.T) {
	for _, c := range []struct {
		subject, base string
		reply         bool
	}{
		{"", "", false},
		{"Lunch", "Lunch", false},
		{"  Lunch\t \r\n at\t one ", "Lunch at one", false}, // step 1
		{"Lunch (fwd)", "Lunch", true},                      // step 2
		{"Lunch (FWD) (fwd)  ", "Lunch", true},
		{"(fwd)", "", true},
		{"Lunch(fwd)", "Lunch", true},
		{"(fwd) Lunch", "(fwd) Lunch", false},
		{"Re: Lunch", "Lunch", true}, // step 3
		{"re:Lunch", "Lunch", true},
		{"RE : Lunch", "Lunch", true},
		{"Fw: Lunch", "Lunch", true},
		{"FWD: Lunch", "Lunch", true},
		{"re re: Lunch", "re re: Lunch", false},
		{"Re: re: FW: Lunch", "Lunch", true},
		{"Re[2]: Lunch", "Lunch", true},
		{"Re [x] : Lunch", "Lunch", true},
		{"Re [x]y: Lunch", "Re [x]y: Lunch", false},
		{"Re [[x]]: Lunch", "Re [[x]]: Lunch", false},
		{"[list] Re: Lunch", "Lunch", true},
		{"[a][b] [c]Re: Lunch", "Lunch", true},
		{"Reply: Lunch", "Reply: Lunch", false},
		{"Aw: Lunch", "Aw: Lunch", false}, // translations stay (§7)
		{"Re:", "", true},
		{"Re: ", "", true},
		{"[list] Lunch", "Lunch", false}, // step 4
		{"[a] [b]Lunch", "Lunch", false},
		{"[list]", "[list]", false},
		{"[a] [b]", "[b]", false},
		{"Re: [list]", "[list]", true},
		{"[a] Re: [b] Lunch", "Lunch", true}, // step 5
		{"[a Lunch", "[a Lunch", false},
		{"Lunch [a]", "Lunch [a]", false},
		{"[fwd: Lunch]", "Lunch", true}, // step 6
		{"[FWD:Lunch]", "Lunch", true},
		{"[fwd: re: [x] Lunch (fwd)]", "Lunch", true},
		{"Re: [fwd: [fwd: Lunch]]", "Lunch", true},
		{"[fwd: Lunch] now", "now", false}, // a blob, by step 4
		{"[fwd: ]", "", true},
		{"[fwd: Lunch", "[fwd: Lunch", false},
		{"Re: Grüße [2]", "Grüße [2]", true},
	} {
		base, reply := order.BaseSubject(c.subject)
		if base != c.base || reply != c.reply {
			t.Errorf("BaseSubject(%q) = %q, %v; want %q, %v", c.subject, base, reply, c.base, c.reply)
		}
	}
}

// TestBaseSubjectLinear would not end with subjects that make each step look
// at all of the rest.
func TestBaseSubjectLinear(t *testing.T) {
	for _, s := range []string{"[a]", "[a] ", "re:", "[fwd:", "(fwd)", "re [", "[fwd: re [x] : ", "[", "]", " "} {
		for _, end := range []string{"", "x", "]", "(fwd)"} {
			order.BaseSubject(strings.Repeat(s, 1<<18) + end)
			order.BaseSubject(strings.Repeat(s, 1<<17) + strings.Repeat("]", 1<<17) + end)
		}
	}
}

func FuzzBaseSubject(f *testing.F) {
	for _, s := range []string{"Re: [a] x (fwd)", "[fwd: [fwd: y] ]", "re [x]\t:", "[a][b]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		base, reply := order.BaseSubject(s)
		again, more := order.BaseSubject(base)
		if again != base || more {
			t.Errorf("%q has the base %q, and that %q (reply %v)", s, base, again, more)
		}
		if len(base) > len(s) {
			t.Errorf("%q grew to %q", s, base)
		}
		if !reply && len(base) == 0 && strings.Trim(s, " \t\r\n") != "" {
			t.Errorf("nothing is left of %q, though it is no reply", s)
		}
	})
}

func TestCollate(t *testing.T) {
	collated := func(s string) string { return string(order.AppendCollated(nil, s)) }
	for _, same := range [][2]string{
		{"abc", "ABC"}, {"grün", "GRÜN"}, {"gru\u0308n", "grün"}, {"ǆ", "ǅ"}, {"σ", "ς"},
	} {
		if collated(same[0]) != collated(same[1]) {
			t.Errorf("%q and %q differ", same[0], same[1])
		}
	}
	// In ascending order; "_" stands behind letters, which are compared in
	// upper case (RFC 5051 §2).
	ascending := []string{"", " ", "1", "a", "A1", "Ab", "B", "_", "\u4e00"}
	for i := 1; i < len(ascending); i++ {
		if collated(ascending[i-1]) >= collated(ascending[i]) {
			t.Errorf("%q is not before %q", ascending[i-1], ascending[i])
		}
	}
	if n := len(collated(strings.Repeat("ü", 5000))); n > order.MaxText {
		t.Errorf("%d bytes of a long text", n)
	}
}
