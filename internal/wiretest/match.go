package wiretest

import (
	"fmt"
	"regexp"
	"strings"
)

// name matches $$, which is a dollar, and $name.
var name = regexp.MustCompile(`\$(\$|[A-Za-z_][A-Za-z0-9_]*)`)

// expand puts what was taken in place of each $name.
func expand(text string, vars map[string]string) (string, error) {
	var err error
	out := name.ReplaceAllStringFunc(text, func(s string) string {
		if s == "$$" {
			return "$"
		}
		v, ok := vars[s[1:]]
		if !ok {
			err = fmt.Errorf("%s has no value yet", s)
		}
		return v
	})
	return out, err
}

// match compares a line with a pattern and adds what it takes to vars, which
// stays as it is if they differ.
func match(pattern, line string, vars map[string]string) bool {
	var re strings.Builder
	var taken []string
	re.WriteString(`(?s)\A`)
	literal := func(s string) {
		for i, part := range strings.Split(s, "*") {
			if i > 0 {
				re.WriteString(`.*`)
			}
			re.WriteString(regexp.QuoteMeta(part))
		}
	}
	at := 0
	for _, m := range name.FindAllStringIndex(pattern, -1) {
		literal(pattern[at:m[0]])
		word := pattern[m[0]+1 : m[1]]
		at = m[1]
		if word == "$" {
			re.WriteString(`\$`)
		} else if v, ok := vars[word]; ok {
			re.WriteString(regexp.QuoteMeta(v))
		} else {
			re.WriteString(`(\S+)`)
			taken = append(taken, word)
		}
	}
	literal(pattern[at:])
	re.WriteString(`\z`)
	found := regexp.MustCompile(re.String()).FindStringSubmatch(line)
	if found == nil {
		return false
	}
	return take(taken, found[1:], vars)
}

// take records new values; a name that occurs twice must have one value.
func take(names, values []string, vars map[string]string) bool {
	fresh := map[string]string{}
	for i, n := range names {
		if v, ok := fresh[n]; ok && v != values[i] {
			return false
		}
		fresh[n] = values[i]
	}
	for n, v := range fresh {
		vars[n] = v
	}
	return true
}
