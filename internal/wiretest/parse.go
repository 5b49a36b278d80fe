package wiretest

import (
	"fmt"
	"strconv"
	"strings"
)

type verb uint8

const (
	sendLine verb = iota
	sendRaw
	wantLine
	wantAnyOrder
	wantRaw
	startTLS
	startDeflate
	endDeflate
	wantEOF
	closeConn
)

// step is one line of a dialogue. text of the raw verbs is unquoted.
type step struct {
	line int
	conn string
	verb verb
	only string // the variant in which alone it counts, empty for all
	text string
	src  string
}

var verbs = map[string]verb{
	"C:": sendLine, "C|": sendRaw, "S:": wantLine, "S~": wantAnyOrder, "S|": wantRaw,
	"TLS": startTLS, "DEFLATE": startDeflate, "PLAIN": endDeflate, "EOF": wantEOF, "CLOSE": closeConn,
}

// parse reads a dialogue whose first line is number line of the file.
func parse(path string, line int, text string) ([]step, error) {
	var steps []step
	for src := range strings.Lines(text) {
		src = strings.TrimRight(src, "\r\n")
		if strings.TrimSpace(src) != "" && src[0] != '#' {
			s, err := parseStep(src)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w: %s", path, line, err, src)
			}
			s.line = line
			steps = append(steps, s)
		}
		line++
	}
	if len(steps) == 0 {
		return nil, fmt.Errorf("%s:%d: a dialogue without lines", path, line)
	}
	return steps, nil
}

func parseStep(src string) (step, error) {
	name, rest, _ := strings.Cut(src, " ")
	word, text, _ := strings.Cut(rest, " ")
	var only string
	if n := strings.IndexAny(word, ":|~"); n >= 0 {
		word, only = word[:n+1], word[n+1:]
	}
	v, ok := verbs[word]
	if !ok {
		return step{}, fmt.Errorf("unknown verb %q", word)
	}
	s := step{conn: name, verb: v, only: only, text: text, src: src}
	var err error
	if v == sendRaw || v == wantRaw {
		s.text, err = unquote(text)
	}
	return s, err
}

// unquote reads a Go-quoted string and, behind it, how often it is repeated.
func unquote(text string) (string, error) {
	quoted, err := strconv.QuotedPrefix(text)
	if err != nil {
		return "", fmt.Errorf("not a quoted string")
	}
	raw, err := strconv.Unquote(quoted)
	if err != nil {
		return "", err
	}
	if times := strings.TrimSpace(text[len(quoted):]); times != "" {
		n, err := strconv.Atoi(times)
		if err != nil || n < 1 {
			return "", fmt.Errorf("not a count: %q", times)
		}
		raw = strings.Repeat(raw, n)
	}
	return raw, nil
}
