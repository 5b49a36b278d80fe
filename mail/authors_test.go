package mail

import "testing"

func FuzzAuthors(f *testing.F) {
	for _, s := range []string{"a@b <c@d>", "\"q@\\\"\" <a@b> (c@(d)\\))", "g: a@b;, <@x:y@z>", "a@b (c", "\"a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, list string) {
		words, ats := atWords(list)
		if len(words) > ats {
			t.Errorf("%d words, %d signs", len(words), ats)
		}
		// An address that stands by itself is found whatever comes after it.
		if all := Authors("z@z.test, " + list); len(all) == 0 || all[0] != (Address{Local: "z", Domain: "z.test"}) {
			t.Errorf("%q: %v", list, all)
		}
	})
}
