package mailauth

import (
	"errors"
	"strings"
)

// tags is a tag list (RFC 6376 §3.2), white space around names and values
// removed.
type tags map[string]string

// maxTags bounds a tag list; the longest real ones have a dozen.
const maxTags = 64

var (
	errTagSyntax = errors.New("a tag list is name=value; name=value")
	errTagTwice  = errors.New("a tag stands there twice")
	errManyTags  = errors.New("too many tags")
)

// parseTags reads a tag list. A tag that stands there twice makes all of it
// invalid; an empty one, as from ";;", is passed over, as many records have it.
func parseTags(s string) (tags, error) {
	t := tags{}
	for part := range strings.SplitSeq(s, ";") {
		part = trimSpace(part)
		if part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		name = trimSpace(name)
		switch {
		case !ok || !isTagName(name) || !isTagValue(value):
			return nil, errTagSyntax
		case len(t) == maxTags:
			return nil, errManyTags
		}
		if _, there := t[name]; there {
			return nil, errTagTwice
		}
		t[name] = trimSpace(value)
	}
	return t, nil
}

// list splits a value at colons, without any white space.
func (t tags) list(name string) []string {
	v, ok := t[name]
	if !ok {
		return nil
	}
	return strings.Split(noSpace(v), ":")
}

func isTagName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i] | 0x20
		if letter := 'a' <= c && c <= 'z'; !letter && (i == 0 || s[i] != '_' && (s[i] < '0' || s[i] > '9')) {
			return false
		}
	}
	return s != ""
}

// isTagValue refuses control characters; UTF-8 is let through (RFC 8616 §4).
func isTagValue(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' && !isSpace(c) || c == 0x7f {
			return false
		}
	}
	return true
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func trimSpace(s string) string { return strings.Trim(s, " \t\r\n") }

// noSpace removes all white space, which folding may have put anywhere in
// base64 and lists.
func noSpace(s string) string {
	if !strings.ContainsAny(s, " \t\r\n") {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r < 0x80 && isSpace(byte(r)) {
			return -1
		}
		return r
	}, s)
}
