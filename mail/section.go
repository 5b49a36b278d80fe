package mail

import (
	"bytes"
	"slices"
	"strings"
)

// Part finds the part that a section number of IMAP names (RFC 9051
// §6.4.5.1): in a multipart the n-th part, in a message/rfc822 what the
// message inside has, in a message that is no multipart 1 for its only part.
// An empty path names no part.
func (m *Meta) Part(path []int) (*Part, bool) {
	if len(path) == 0 {
		return nil, false
	}
	part, ok := m.Root.child(path[0])
	for _, n := range path[1:] {
		if !ok {
			break
		}
		switch {
		case part.Message != nil:
			part, ok = part.Message.Root.child(n)
		case len(part.Parts) > 0:
			part, ok = part.child(n)
		default:
			ok = false
		}
	}
	if !ok {
		return nil, false
	}
	return part, true
}

// child returns the n-th part of a multipart, or of a message that is none.
func (p *Part) child(n int) (*Part, bool) {
	switch {
	case p.Type == "multipart" && 1 <= n && n <= len(p.Parts):
		return &p.Parts[n-1], true
	case p.Type != "multipart" && n == 1:
		return p, true
	}
	return nil, false
}

// Section returns where the bytes of BODY[path.spec] are. spec is empty,
// "HEADER", "TEXT" or "MIME" in any case. ok is false if the message has no
// such part, or the part no such thing: HEADER and TEXT belong to messages,
// MIME to parts.
func (m *Meta) Section(path []int, spec string) (x Extent, ok bool) {
	spec = strings.ToUpper(spec)
	if len(path) == 0 {
		switch spec {
		case "":
			return Extent{0, m.Size}, true
		case "HEADER":
			return m.Root.Header, true
		case "TEXT":
			return m.Root.Body, true
		}
		return Extent{}, false
	}
	part, ok := m.Part(path)
	switch {
	case !ok:
	case spec == "":
		return part.Body, true
	case spec == "MIME":
		return part.Header, true
	case spec == "HEADER" && part.Message != nil:
		return part.Message.Root.Header, true
	case spec == "TEXT" && part.Message != nil:
		return part.Message.Root.Body, true
	}
	return Extent{}, false
}

// SectionAfter is Section for a message that is served with prefix bytes of
// header before it: they belong to the whole and to the message's header.
func (m *Meta) SectionAfter(prefix int64, path []int, spec string) (x Extent, ok bool) {
	x, ok = m.Section(path, spec)
	if !ok {
		return x, false
	}
	if part, found := m.Part(path); len(path) == 0 && !strings.EqualFold(spec, "TEXT") ||
		found && part == &m.Root && strings.EqualFold(spec, "MIME") {
		return Extent{0, x.Size + prefix}, true
	}
	x.Offset += prefix
	return x, true
}

// FilterHeader returns the fields of a header that have one of these names,
// or, if not, none of them, in the order of the header, with a blank line at
// the end: BODY[HEADER.FIELDS] and BODY[HEADER.FIELDS.NOT] of RFC 9051
// §6.4.5.1. Case does not count; lines that are no field have no name.
func FilterHeader(header []byte, names []string, not bool) []byte {
	wanted := make(map[string]bool, len(names))
	for _, n := range names {
		wanted[strings.ToLower(n)] = true
	}
	var out []byte
	for f := range Fields(header) {
		if wanted[strings.ToLower(f.Name)] == not || f.Name == "" && !not {
			continue
		}
		out = append(out, f.Raw...)
		if !bytes.HasSuffix(f.Raw, []byte("\n")) {
			out = append(out, "\r\n"...)
		}
	}
	return append(slices.Clip(out), "\r\n"...)
}
