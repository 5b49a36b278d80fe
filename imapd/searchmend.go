package imapd

import (
	"slices"
	"strconv"
	"strings"
)

// mendSearch works round a fault of the engine in one line of a SEARCH: it
// forgets SMALLER when another key follows (SearchCriteria.And takes an
// absent Smaller for a smaller one). SMALLER n is written as NOT LARGER n-1,
// which means the same. It also notes whether RETURN asks for SAVE, and for
// nothing else. It can go with the engine.
func mendSearch(req *request, line []byte) []byte {
	first := req.search == nil
	if first {
		req.search = &searchScan{skip: 2 + strings.Count(req.name, " ")}
	}
	out := req.search.line(string(line))
	if first {
		_, rest, _ := strings.Cut(strings.ToUpper(out), " SEARCH RETURN (")
		list, _, _ := strings.Cut(rest, ")")
		options := strings.Fields(list)
		req.saves = slices.Contains(options, "SAVE")
		req.saveOnly = req.saves && len(options) == 1
	}
	return []byte(out)
}

// searchScan walks through the keys of a SEARCH, which may span lines.
type searchScan struct {
	skip    int  // words before the first key: tag and command
	args    int  // arguments still to come of the last key
	smaller bool // the last key was SMALLER, not yet written
}

// line returns a line with its keys mended.
func (s *searchScan) line(in string) string {
	var out strings.Builder
	for in != "" {
		n := tokenLen(in)
		token := in[:n]
		in = in[n:]
		switch token[0] {
		case ' ', '(', ')':
			if !s.smaller {
				out.WriteString(token)
			}
		default:
			out.WriteString(s.word(token))
		}
	}
	return out.String()
}

// tokenLen returns the length of the token at the beginning of s: a space, a
// parenthesis, a quoted string, or anything else up to one of those.
func tokenLen(s string) int {
	switch s[0] {
	case ' ', '(', ')':
		return 1
	case '"':
		for i := 1; i < len(s); i++ {
			if s[i] == '\\' {
				i++
			} else if s[i] == '"' {
				return i + 1
			}
		}
		return len(s)
	}
	if i := strings.IndexAny(s[1:], " ()"); i >= 0 {
		return i + 1
	}
	return len(s)
}

// word returns what is written for one word.
func (s *searchScan) word(w string) string {
	switch {
	case s.skip > 0:
		s.skip--
		return w
	case s.smaller:
		s.smaller = false
		n, err := strconv.ParseInt(w, 10, 63)
		switch {
		case err != nil || n < 0:
			return "SMALLER " + w // the engine says BAD
		case n == 0:
			return "NOT ALL"
		}
		return "NOT LARGER " + strconv.FormatInt(n-1, 10)
	case s.args > 0:
		s.args--
		return w
	}
	switch strings.ToUpper(w) {
	case "SMALLER":
		s.smaller = true
		return ""
	case "HEADER":
		s.args = 2
	case "BCC", "CC", "FROM", "SUBJECT", "TO", "BODY", "TEXT", "KEYWORD", "UNKEYWORD", "CHARSET", "UID",
		"LARGER", "SINCE", "BEFORE", "ON", "SENTSINCE", "SENTBEFORE", "SENTON":
		s.args = 1
	}
	return w
}
