package mail

import (
	"bytes"
	"iter"
	"strings"
)

// Field is one field of a header (RFC 5322 §2.2).
type Field struct {
	Name string // as it stands; empty for a line that is no field, such as an mbox "From " line
	Raw  []byte // the whole field with its line ends and continuation lines
}

// Value returns the field's body unfolded (RFC 5322 §2.2.3): line ends
// removed, white space at both ends trimmed, nothing decoded.
func (f Field) Value() string {
	b := f.Raw
	if f.Name != "" {
		b = b[bytes.IndexByte(b, ':')+1:]
	}
	return unfold(b)
}

// Is tells whether the field has this name; case does not count.
func (f Field) Is(name string) bool { return strings.EqualFold(f.Name, name) }

// Fields yields the fields of a header in order, up to its blank line or its
// end. Lines that are no field are yielded too, without a name, so that the
// Raw of all fields together is the header less its blank line.
func Fields(header []byte) iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for len(header) > 0 && !isBlankLine(header) {
			n := fieldLen(header)
			if !yield(Field{Name: fieldName(header[:n]), Raw: header[:n:n]}) {
				return
			}
			header = header[n:]
		}
	}
}

// HeaderSize returns how many bytes of b are its header, with the blank line
// that ends it; all of b if there is no blank line. It is 0 if the first line
// is no header field: then b has no header, and is all body. A "From " line
// of an mbox file before the first field belongs to the header; so does a
// line within it that is no field.
func HeaderSize(b []byte) int {
	if !startsHeader(b) {
		return 0
	}
	n := 0
	for n < len(b) {
		blank := isBlankLine(b[n:])
		n += lineLen(b[n:])
		if blank {
			break
		}
	}
	return n
}

// startsHeader tells whether a header, possibly an empty one, is at the
// beginning of b.
func startsHeader(b []byte) bool {
	if n := lineLen(b); isMboxLine(b) && n < maxFieldName {
		b = b[n:]
	}
	return isBlankLine(b) || fieldName(b[:lineLen(b)]) != ""
}

// isMboxLine tells whether b begins with the line that mbox files put before
// a message, possibly quoted.
func isMboxLine(b []byte) bool {
	return bytes.HasPrefix(b, []byte("From ")) || bytes.HasPrefix(b, []byte(">From "))
}

// lineLen returns the length of the first line of b with its line end, which
// is LF; a CR by itself ends no line.
func lineLen(b []byte) int {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return i + 1
	}
	return len(b)
}

// fieldLen returns the length of the first field of b with its continuation
// lines.
func fieldLen(b []byte) int {
	n := lineLen(b)
	for n < len(b) && (b[n] == ' ' || b[n] == '\t') {
		n += lineLen(b[n:])
	}
	return n
}

// isBlankLine tells whether the first line of b is empty.
func isBlankLine(b []byte) bool {
	return len(b) > 0 && b[0] == '\n' || len(b) > 1 && b[0] == '\r' && b[1] == '\n'
}

// maxFieldName is how long a field's name and a "From " line may be; a line
// that is longer is none (RFC 5322 §2.1.1 has 998 for any line).
const maxFieldName = 1000

// fieldName returns the name of the field that begins a line, empty if the
// line begins no field.
func fieldName(line []byte) string {
	n, _ := cutField(line)
	return string(line[:n])
}

// cutField finds the name of the field that begins a line, and its colon:
// printable ASCII or what is no ASCII at all, then white space, which RFC 5322 §4.5.8 allows. n is 0 if
// the line begins no field.
func cutField(line []byte) (n, colon int) {
	line = line[:min(len(line), maxFieldName)]
	i := 0
	for i < len(line) && line[i] > ' ' && line[i] != 0x7f && line[i] != ':' {
		i++
	}
	colon = i
	for colon < len(line) && (line[colon] == ' ' || line[colon] == '\t') {
		colon++
	}
	if i == 0 || colon == len(line) || line[colon] != ':' {
		return 0, 0
	}
	return i, colon
}

// unfold removes line ends and trims white space.
func unfold(b []byte) string {
	b = bytes.Trim(b, " \t\r\n")
	if bytes.IndexByte(b, '\n') < 0 {
		return string(b)
	}
	var s strings.Builder
	s.Grow(len(b))
	for len(b) > 0 {
		n := lineLen(b)
		line := b[:n]
		if bytes.HasSuffix(line, []byte("\n")) {
			line = bytes.TrimSuffix(line[:n-1], []byte("\r"))
		}
		s.Write(line)
		b = b[n:]
	}
	return s.String()
}
