package imapd_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// cells are what is to be shown of every capability: that it works, that what
// is wrong is refused, and what two sessions at once see, all in both revisions.
var cells = []string{"success", "refusal", "concurrent"}

// A dialogue shows a cell by "# caps: SORT refusal", a test in Go by the same
// behind slashes, with the revisions in which it shows it ("rev1 rev2").
var (
	capsLine = regexp.MustCompile(`(?m)^(#|//) caps: (\S+) (\w+)((?: rev[12])*)$`)
	onlyLine = regexp.MustCompile(`(?m)\AONLY (rev[12])$`)
)

// cell is one thing to be shown.
type cell struct{ capability, what, revision string }

// shown collects what dialogues and tests say that they show, and the files.
func shown(t *testing.T) map[cell][]string {
	t.Helper()
	all := map[cell][]string{}
	for _, pattern := range []string{"testdata/*.txt", "*_test.go", "../test/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			sections := txtar.Parse(text).Files
			if len(sections) == 0 {
				sections = []txtar.File{{Data: text}}
			}
			for _, part := range sections {
				for _, m := range capsLine.FindAllStringSubmatch(string(part.Data), -1) {
					if !slices.Contains(cells, m[3]) {
						t.Errorf("%s: %q is no cell", f, m[0])
					}
					for _, revision := range playedIn(part.Data, m) {
						k := cell{base(m[2]), m[3], revision}
						if name := filepath.Base(f); !slices.Contains(all[k], name) {
							all[k] = append(all[k], name)
						}
					}
				}
			}
		}
	}
	return all
}

// playedIn returns the revisions in which the line m of text shows something:
// dialogues are played in both, but for those that say that they are not.
func playedIn(text []byte, m []string) []string {
	only := onlyLine.FindSubmatch(text)
	switch {
	case m[1] == "//" && m[4] == "":
		return []string{inRev1}
	case m[1] == "//":
		return strings.Fields(m[4])
	case only != nil:
		return []string{string(only[1])}
	}
	return revisions
}

// announced returns every capability that the server announces in some state,
// and which of them a client that has logged in is told of: there is no revision
// before that.
func announced(t *testing.T) (all, later []string) {
	t.Helper()
	w := newWorld(t)
	take := func(l string) (list []string) {
		_, l, ok := strings.Cut(l, "[CAPABILITY ")
		if !ok {
			t.Fatalf("no capabilities in %q", l)
		}
		l, _, _ = strings.Cut(l, "]")
		for _, c := range strings.Fields(l) {
			list = append(list, base(c))
		}
		return list
	}
	strict := newClient(t, w.dial("x:strict"))
	defer strict.Close()
	all = take(strict.line())
	secure, _ := w.tlsClient(t, authority().client("alice@a.test"))
	all = append(all, take(secure.line())...)
	secure.send(`a LOGIN alice@a.test "` + password + `"`)
	later = append(take(secure.line()), "QUOTASET") // announced to administrators
	all = append(all, later...)
	slices.Sort(all)
	return slices.Compact(all), later
}

// base is a capability without what is only its parameter.
func base(c string) string {
	for _, name := range []string{"APPENDLIMIT", "RIGHTS", "MESSAGELIMIT", "SAVELIMIT"} {
		if strings.HasPrefix(c, name+"=") {
			return name
		}
	}
	return c
}

// TestCaps holds every announced capability to what is shown of it. With -v it
// prints the matrix.
func TestCaps(t *testing.T) {
	have := shown(t)
	caps, later := announced(t)
	missing, demanded := 0, 0
	var b strings.Builder
	fmt.Fprintf(&b, "%-20s", "capability")
	for _, what := range cells {
		for _, revision := range revisions {
			fmt.Fprintf(&b, " %-20s", what+" "+revision)
		}
	}
	for _, c := range caps {
		fmt.Fprintf(&b, "\n%-20s", c)
		for _, what := range cells {
			for _, revision := range revisions {
				text := strings.Join(have[cell{c, what, revision}], ",")
				switch {
				case revision == inRev2 && !slices.Contains(later, c):
					text = "(before login)"
				case c == "IMAP4rev1" && revision == inRev2, c == "IMAP4rev2" && revision == inRev1:
					text = "-"
				case text == "":
					text = "MISSING"
					missing++
					fallthrough
				default:
					demanded++
				}
				if len(text) > 19 {
					text = text[:18] + "…"
				}
				fmt.Fprintf(&b, " %-20s", text)
			}
		}
	}
	t.Logf("\n%s\n%d capabilities, %d of %d cells missing", b.String(), len(caps), missing, demanded)
	if missing > 0 {
		t.Error("announced capabilities without a dialogue")
	}
	for k := range have {
		if !slices.Contains(caps, k.capability) {
			t.Errorf("a dialogue shows %s, which is not announced", k.capability)
		}
	}
}
