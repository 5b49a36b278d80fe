package main

import (
	"fmt"
	"strings"
)

// keyLines finds the line on which each key of a TOML document stands, under
// its full name: "smtp.listen", "account[0].address". It is for error
// messages alone and knows only how people write configuration: a key inside
// an inline table is found with the table.
func keyLines(doc string) map[string]int {
	lines := map[string]int{}
	counts := map[string]int{}
	prefix := ""
	for i, line := range strings.Split(doc, "\n") {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
		case strings.HasPrefix(line, "[["):
			name, _, _ := strings.Cut(line[2:], "]")
			name = plainKey(name)
			at := fmt.Sprintf("%s[%d]", name, counts[name])
			counts[name]++
			prefix = at + "."
			note(lines, name, i+1)
			note(lines, at, i+1)
		case line[0] == '[':
			name, _, _ := strings.Cut(line[1:], "]")
			prefix = plainKey(name) + "."
			note(lines, plainKey(name), i+1)
		default:
			if key, _, ok := strings.Cut(line, "="); ok {
				note(lines, prefix+plainKey(key), i+1)
			}
		}
	}
	return lines
}

func note(lines map[string]int, key string, n int) {
	if lines[key] == 0 {
		lines[key] = n
	}
}

// plainKey takes the spaces and quotes out of a key.
func plainKey(s string) string {
	parts := strings.Split(s, ".")
	for i, p := range parts {
		parts[i] = strings.Trim(strings.TrimSpace(p), `"'`)
	}
	return strings.Join(parts, ".")
}

// orMaybe ends a complaint of a name that is not among names with the one that
// s may be a slip of, as format has it, or with where else to look if none is
// at all alike.
func orMaybe(s string, names []string, format, otherwise string) string {
	best := nearest(s, names)
	if 2*distance(s, best) > max(len(s), len(best)) {
		return otherwise
	}
	return fmt.Sprintf("; did you mean "+format+"?", best)
}

// nearest returns the name that takes the fewest edits to become s.
func nearest(s string, names []string) string {
	best, cost := "", 1<<30
	for _, n := range names {
		if d := distance(s, n); d < cost {
			best, cost = n, d
		}
	}
	return best
}

// distance is how many characters must be put in, taken out or changed to
// make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
